package testkit_test

import (
	"fmt"
	"testing"

	"sluice/internal/test/testkit"
)

func TestSeedCountIsTheDefaultUnlessTheEnvironmentSetsIt(t *testing.T) {
	if got := testkit.SeedCount(t, 3); got != 3 {
		t.Errorf("got %d seeds, want 3", got)
	}
	t.Setenv("SLUICE_SIM_SEEDS", "50")
	if got := testkit.SeedCount(t, 3); got != 50 {
		t.Errorf("got %d seeds, want 50", got)
	}
	t.Setenv("SLUICE_SIM_SEEDS", "0")
	var message fatalRecorder
	testkit.SeedCount(&message, 3)
	if want := `SLUICE_SIM_SEEDS is "0", want a number of at least 1`; string(message) != want {
		t.Errorf("got failure %q, want %q", message, want)
	}
}

// fatalRecorder is a TB that keeps the message of Fatalf.
type fatalRecorder string

func (*fatalRecorder) Helper()               {}
func (*fatalRecorder) Cleanup(func())        {}
func (*fatalRecorder) Errorf(string, ...any) {}
func (f *fatalRecorder) Fatalf(format string, args ...any) {
	*f = fatalRecorder(fmt.Sprintf(format, args...))
}
