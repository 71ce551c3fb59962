package sim_test

import (
	"flag"
	"fmt"
	"runtime/debug"
	"testing"

	"sluice/internal/test/testkit"
)

var (
	oneSeed   = flag.Int("sim.seed", -1, "the one seed to run")
	manySeeds = flag.Int("sim.seeds", 0, "seeds of each scenario; 0: as SLUICE_SIM_SEEDS says, else 12")
)

// fewSeeds of each scenario make fewRuns runs at least.
const fewSeeds, fewRuns = 12, 200

// seeds are those of one scenario.
func seeds(t *testing.T) []int {
	t.Helper()
	if *oneSeed >= 0 {
		return []int{*oneSeed}
	}
	n := *manySeeds
	if n == 0 {
		n = testkit.SeedCount(t, fewSeeds)
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestSim(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the worlds are small and many
	if n := fewSeeds * len(scenarios); n < fewRuns {
		t.Errorf("%d scenarios with %d seeds each are %d runs, at least %d are due", len(scenarios), fewSeeds, n, fewRuns)
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for _, seed := range seeds(t) {
				t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
					t.Parallel()
					testkit.RunInBubble(t, func(t *testing.T) { run(t, s, seed) })
				})
			}
		})
	}
}

func run(t *testing.T, s *scenario, seed int) {
	lines := s.lines
	if lines == nil {
		lines = everyLine
	}
	w := newWorld(t, s, lines[seed%len(lines)], uint64(seed))
	defer func() {
		if t.Failed() {
			t.Logf("line %s; again with: go test -tags synctests ./internal/test/sim -run 'TestSim/%s' -sim.seed=%d\n%s", w.line.pipeline, s.name, seed, w.logs.tail())
		}
	}()
	s.play(w)
	if err := w.judge(); err != nil {
		t.Error(err)
	}
}
