package testkit_test

import (
	"fmt"
	"testing"

	"sluice/internal/test/testkit"
)

func TestSeedsAreFewUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	if got := testkit.SeedCount(t, 3); got != 3 {
		t.Errorf("got %d seeds, want 3", got)
	}
	t.Setenv("SLUICE_SIM_SEEDS", "50")
	if got := testkit.SeedCount(t, 3); got != 50 {
		t.Errorf("got %d seeds, want 50", got)
	}
	t.Setenv("SLUICE_SIM_SEEDS", "0")
	var f fatal
	testkit.SeedCount(&f, 3)
	if want := `SLUICE_SIM_SEEDS is "0": a number from 1 is allowed`; string(f) != want {
		t.Errorf("failed with %q, want %q", f, want)
	}
}

// fatal keeps what a test would have failed with.
type fatal string

func (*fatal) Helper()                          {}
func (*fatal) Cleanup(func())                   {}
func (*fatal) Errorf(string, ...any)            {}
func (f *fatal) Fatalf(format string, a ...any) { *f = fatal(fmt.Sprintf(format, a...)) }
