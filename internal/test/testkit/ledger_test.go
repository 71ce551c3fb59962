package testkit_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/test/testkit"
)

func TestLedgerFindsEachKindOfFailure(t *testing.T) {
	tests := []struct {
		name string
		fill func(*testkit.Ledger)
		want string
	}{
		{"nothing", func(*testkit.Ledger) {}, "nothing was produced"},
		{"each outcome once", func(l *testkit.Ledger) {
			for _, o := range []string{"a", "b", "c", "d"} {
				l.AddProduced(o, o)
			}
			l.AddDelivered("a", "a")
			l.AddRetried("b", "b")
			l.AddDeadLetter("c", "c")
			l.AddSkipped("d")
		}, ""},
		{"delivered after a retry", func(l *testkit.Ledger) {
			l.AddProduced("a", "x")
			l.AddRetried("a", "x")
			l.AddDelivered("a", "x")
		}, ""},
		{"lost", func(l *testkit.Ledger) { l.AddProduced("a", "x") }, "1 lost (a)"},
		{"spurious", func(l *testkit.Ledger) { l.AddDelivered("a", "x") }, "1 spurious (a)"},
		{"corrupted on delivery", func(l *testkit.Ledger) {
			l.AddProduced("a", "x")
			l.AddDelivered("a", "y")
		}, "1 corrupted (a)"},
		{"corrupted on the way to the dead-letter topic", func(l *testkit.Ledger) {
			l.AddProduced("a", "x")
			l.AddDeadLetter("a", "y")
		}, "1 corrupted (a)"},
		{"delivery entered before the production", func(l *testkit.Ledger) {
			l.AddDelivered("a", "x")
			l.AddProduced("a", "x")
		}, ""},
		{"delivered twice", func(l *testkit.Ledger) {
			l.AddProduced("a", "x")
			l.AddDelivered("a", "x")
			l.AddDelivered("a", "x")
		}, "1 duplicated, with 1 duplicates, want at most 0 (a)"},
		{"delivered and dead-lettered", func(l *testkit.Ledger) {
			l.AddProduced("a", "x")
			l.AddDelivered("a", "x")
			l.AddDeadLetter("a", "x")
		}, "duplicated"},
		{"duplicate allowed", func(l *testkit.Ledger) {
			l.MaxDuplicates = 1
			l.AddProduced("a", "x")
			l.AddDelivered("a", "x")
			l.AddDelivered("a", "x")
		}, ""},
		{"long lists are truncated", func(l *testkit.Ledger) {
			for i := range 25 {
				l.AddProduced(fmt.Sprintf("%02d", i), "x")
			}
		}, "25 lost (00, 01, 02, 03, 04, 05, 06, 07, 08, 09 and 15 more)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l testkit.Ledger
			tt.fill(&l)
			checkError(t, l.Check(), tt.want)
		})
	}
}

// The report of a random history is compared with counts that the test keeps in plain maps.
func TestReportIsRightForAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l testkit.Ledger
		produced, retry, final := map[string]bool{}, map[string]bool{}, map[string]int{}
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			origin := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "origin")
			switch rapid.IntRange(0, 4).Draw(t, "event") {
			case 0:
				l.AddProduced(origin, origin)
				produced[origin] = true
			case 1:
				l.AddDelivered(origin, origin)
				final[origin]++
			case 2:
				l.AddRetried(origin, origin)
				retry[origin] = true
			case 3:
				l.AddDeadLetter(origin, origin)
				final[origin]++
			case 4:
				l.AddSkipped(origin)
				final[origin]++
			}
		}
		lost, spurious, duplicates := 0, 0, 0
		for _, origin := range []string{"a", "b", "c", "d", "e"} {
			switch {
			case produced[origin] && final[origin] == 0 && !retry[origin]:
				lost++
			case !produced[origin] && (final[origin] > 0 || retry[origin]):
				spurious++
			}
			duplicates += max(0, final[origin]-1)
		}
		r := l.BuildReport()
		if len(r.Lost) != lost || len(r.Spurious) != spurious || r.Duplicates != duplicates || len(r.Corrupted) != 0 {
			t.Fatalf("got %+v, want %d lost, %d spurious, %d duplicates", r, lost, spurious, duplicates)
		}
		valid := len(produced) > 0 && lost+spurious+duplicates == 0
		if err := l.Check(); (err == nil) != valid {
			t.Fatalf("Check: got error %v, want one: %v", err, !valid)
		}
	})
}
