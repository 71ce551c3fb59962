package conformance

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"sluice/internal/test/fourthvendor"
)

// The suite must report each known-wrong variant of the fourth vendor's sink by the check for its
// mistake, and by no other check.
func TestKnownWrongSinksAreReported(t *testing.T) {
	for mistake, want := range map[fourthvendor.Mistake][]string{
		fourthvendor.TrustRepeatedResult: {"two results of an item"},
		fourthvendor.RejectMissingFlag:   {"results that do not state whether the items were accepted"},
		fourthvendor.KeepMessage: {
			"message with personal data in a refused batch", "message with personal data in an item result",
		},
	} {
		t.Run(string(mistake), func(t *testing.T) {
			s := fourthSuite()
			fourthvendor.RegisterVariant(s.vendors, mistake)
			s = s.onlyFourth()
			for _, o := range s.operations() {
				var failed []string
				for name, run := range (operationCheck{suite: s, operationFixture: o}).doubtfulResponses() {
					if failures := failuresOf(t, run); len(failures) > 0 {
						t.Logf("%s: %s: %s", o.name, name, failures[0])
						failed = append(failed, name)
					}
				}
				if slices.Sort(failed); !slices.Equal(failed, want) {
					t.Errorf("%s: got failures of %q, want of %q", o.name, failed, want)
				}
			}
		})
	}
}

// failuresOf runs a check and returns the failures that it reports.
func failuresOf(t *testing.T, run func(testing.TB)) []string {
	recorder := &failureRecorder{TB: t}
	done := make(chan struct{})
	go func() { // FailNow ends the goroutine
		defer close(done)
		run(recorder)
	}()
	<-done
	return recorder.failures
}

// failureRecorder is a testing.TB that records failures and does not fail the test.
type failureRecorder struct {
	testing.TB
	failures []string
}

func (r *failureRecorder) Fail()                        { r.Error("failed") }
func (r *failureRecorder) Failed() bool                 { return len(r.failures) > 0 }
func (r *failureRecorder) Error(args ...any)            { r.failures = append(r.failures, fmt.Sprintln(args...)) }
func (r *failureRecorder) Errorf(f string, args ...any) { r.Error(fmt.Sprintf(f, args...)) }

func (r *failureRecorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *failureRecorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *failureRecorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }
