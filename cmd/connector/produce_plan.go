package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"sluice/internal/demo/sample"
)

// sampleOrder is one sample to generate.
type sampleOrder struct {
	pipeline string
	kind     sample.Kind
}

// planSamples lists the samples in the order in which they are written, with the bad ones spread
// among the others.
func (p produceOptions) planSamples(sources []sample.Source) ([]sampleOrder, error) {
	counts, err := p.validCounts(sources)
	if err != nil {
		return nil, err
	}
	var plan []sampleOrder
	for _, s := range sources {
		plan = append(plan, slices.Repeat([]sampleOrder{{s.Pipeline, sample.Valid}}, counts[s.Pipeline])...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.bad)) {
		kind := sample.Kind(name)
		if !slices.Contains(sample.Kinds(), kind) || p.bad[name] < 0 {
			return nil, usageErrorf("--bad %s=%d: the count must be 0 or more, the kind one of %s", name, p.bad[name], strings.TrimSuffix(kindsHelp(), ".\n"))
		}
		eligible := slices.DeleteFunc(slices.Clone(sources), func(s sample.Source) bool { return counts[s.Pipeline] == 0 || !s.HasKind(kind) })
		if len(eligible) == 0 {
			return nil, usageErrorf("--bad %s: none of the selected pipelines has events of this kind", name)
		}
		for i := range p.bad[name] {
			plan = append(plan, sampleOrder{eligible[i%len(eligible)].Pipeline, kind})
		}
	}
	random := rand.New(rand.NewPCG(p.seed, 1))
	random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan, nil
}

// validCounts returns the number of valid events by pipeline.
func (p produceOptions) validCounts(sources []sample.Source) (map[string]int, error) {
	counts := map[string]int{}
	for _, s := range sources {
		counts[s.Pipeline] = p.count
	}
	if len(p.events) > 0 {
		names := slices.Sorted(maps.Keys(counts))
		clear(counts)
		for name, n := range p.events {
			if !slices.Contains(names, name) {
				return nil, usageErrorf("--events %s=%d: the configured pipelines are %s", name, n, strings.Join(names, ", "))
			}
			counts[name] = n
		}
	}
	for name, n := range counts {
		if n < 0 {
			return nil, usageErrorf("%d events of %s: must be 0 or more", n, name)
		}
	}
	if p.rate < 0 {
		return nil, usageErrorf("--rate %v: must be 0 or more", p.rate)
	}
	return counts, nil
}
