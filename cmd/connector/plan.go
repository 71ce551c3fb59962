package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"sluice/internal/demo/sample"
)

// order is one sample to make.
type order struct {
	pipeline string
	kind     sample.Kind
}

// plan lists the samples in the order in which they are written, the bad ones anywhere among the others.
func (p production) plan(sources []sample.Source) ([]order, error) {
	counts, err := p.counts(sources)
	if err != nil {
		return nil, err
	}
	var plan []order
	for _, s := range sources {
		plan = append(plan, slices.Repeat([]order{{s.Pipeline, sample.Valid}}, counts[s.Pipeline])...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.bad)) {
		kind := sample.Kind(name)
		if !slices.Contains(sample.Kinds(), kind) || p.bad[name] < 0 {
			return nil, wrongUse("--bad %s=%d: allowed are counts of 0 or more of %s", name, p.bad[name], strings.TrimSuffix(kindsHelp(), ".\n"))
		}
		able := slices.DeleteFunc(slices.Clone(sources), func(s sample.Source) bool { return counts[s.Pipeline] == 0 || !s.HasKind(kind) })
		if len(able) == 0 {
			return nil, wrongUse("--bad %s: none of the pipelines asked for has events of this kind", name)
		}
		for i := range p.bad[name] {
			plan = append(plan, order{able[i%len(able)].Pipeline, kind})
		}
	}
	rng := rand.New(rand.NewPCG(p.seed, 1))
	rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan, nil
}

// counts gives the number of valid events by pipeline.
func (p production) counts(sources []sample.Source) (map[string]int, error) {
	counts := map[string]int{}
	for _, s := range sources {
		counts[s.Pipeline] = p.number
	}
	if len(p.events) > 0 {
		names := slices.Sorted(maps.Keys(counts))
		clear(counts)
		for name, n := range p.events {
			if !slices.Contains(names, name) {
				return nil, wrongUse("--events %s=%d: pipelines of the configuration are %s", name, n, strings.Join(names, ", "))
			}
			counts[name] = n
		}
	}
	for name, n := range counts {
		if n < 0 {
			return nil, wrongUse("%d events of %s: 0 or more are allowed", n, name)
		}
	}
	if p.rate < 0 {
		return nil, wrongUse("--rate is %v: 0 or more is allowed", p.rate)
	}
	return counts, nil
}
