package testkit

import (
	"os"
	"strconv"
)

// seedsVariable is the environment variable by which `make sim` sets the number of seeds.
const seedsVariable = "SLUICE_SIM_SEEDS"

// SeedCount returns the number of seeds that a simulation (a test named TestSim...) runs:
// the value of SLUICE_SIM_SEEDS if it is set, and defaultCount otherwise.
func SeedCount(t TB, defaultCount int) int {
	t.Helper()
	value, ok := os.LookupEnv(seedsVariable)
	if !ok {
		return defaultCount
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number of at least 1", seedsVariable, value)
	}
	return n
}
