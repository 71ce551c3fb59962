package testkit

import (
	"os"
	"strconv"
)

// seedsVariable is how `make sim` asks for more seeds.
const seedsVariable = "SLUICE_SIM_SEEDS"

// SeedCount is how many seeds a simulation (a test named TestSim...) takes: few, unless SLUICE_SIM_SEEDS names another number.
func SeedCount(t TB, few int) int {
	t.Helper()
	value, ok := os.LookupEnv(seedsVariable)
	if !ok {
		return few
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q: a number from 1 is allowed", seedsVariable, value)
	}
	return n
}
