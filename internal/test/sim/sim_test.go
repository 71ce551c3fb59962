package sim_test

import (
	"flag"
	"fmt"
	"runtime/debug"
	"testing"

	"sluice/internal/test/testkit"
)

var (
	seedFlag  = flag.Int("sim.seed", -1, "run only this seed")
	seedsFlag = flag.Int("sim.seeds", 0, "number of seeds per scenario; default: SLUICE_SIM_SEEDS, else 12")
)

// By default all scenarios together must have at least minimumRuns runs.
const defaultSeeds, minimumRuns = 12, 200

// scenarioSeeds returns the seeds of each scenario.
func scenarioSeeds(t *testing.T) []int {
	t.Helper()
	if *seedFlag >= 0 {
		return []int{*seedFlag}
	}
	count := *seedsFlag
	if count == 0 {
		count = testkit.SeedCount(t, defaultSeeds)
	}
	out := make([]int, count)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestSim(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // many small clusters are garbage at once
	if count := defaultSeeds * len(scenarios); count < minimumRuns {
		t.Errorf(
			"%d scenarios with %d seeds: got %d runs, want at least %d", len(scenarios), defaultSeeds, count,
			minimumRuns,
		)
	}
	for _, scn := range scenarios {
		t.Run(scn.name, func(t *testing.T) {
			for _, seed := range scenarioSeeds(t) {
				t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
					t.Parallel()
					testkit.RunInBubble(t, func(t *testing.T) { runScenario(t, scn, seed) })
				})
			}
		})
	}
}

func runScenario(t *testing.T, scn *scenario, seed int) {
	pipelines := scn.pipelines
	if pipelines == nil {
		pipelines = allPipelines
	}
	h := newHarness(t, scn, pipelines[seed%len(pipelines)], uint64(seed))
	defer func() {
		if t.Failed() {
			t.Logf(
				"pipeline %s; to repeat: go test -tags synctests ./internal/test/sim -run 'TestSim/%s' -sim.seed=%d\n%s",
				h.pipeline.name, scn.name, seed, h.logs.tail(),
			)
		}
	}()
	scn.run(h)
	if err := h.checkRun(); err != nil {
		t.Error(err)
	}
}
