package deliver

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A search that sends both halves of each rejected batch would take twice as many calls.
func TestBisectionFindsExactlyTheOffendersInFewCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "items")
		offender := map[int]bool{}
		for range rapid.IntRange(0, min(n, 12)).Draw(t, "offenders") {
			offender[rapid.IntRange(0, n-1).Draw(t, "offender")] = true
		}
		search := &bisection[int]{}
		for i := range n {
			search.remainder = append(search.remainder, i)
		}
		delivered, dead, calls := map[int]int{}, map[int]int{}, 0
		for ; !search.isComplete(); calls++ {
			sent := search.nextCall(n)
			bad := false
			for _, i := range sent {
				bad = bad || offender[i]
			}
			switch {
			case !bad:
				for _, i := range sent {
					delivered[i]++
				}
				search.recordPassed(len(sent))
			case len(sent) == 1:
				dead[sent[0]]++
				search.recordOffender()
			default:
				search.recordRejected(len(sent))
			}
		}
		for i := range n {
			if offender[i] != (dead[i] == 1) || offender[i] == (delivered[i] == 1) {
				t.Fatalf("item %d, offender %v: got delivered %d times, dead %d times",
					i, offender[i], delivered[i], dead[i])
			}
		}
		if len(search.offenders) != len(offender) || search.resolved != n {
			t.Fatalf("got %d offenders and %d resolved items, want %d and %d",
				len(search.offenders), search.resolved, len(offender), n)
		}
		most := float64(len(offender))*(math.Ceil(math.Log2(float64(n)))+2) + 1
		if float64(calls) > most {
			t.Fatalf("got %d calls for %d offenders in %d items, want at most %v", calls, len(offender), n, most)
		}
	})
}

func TestTooManyOffendersAreOverAQuarterOfSixteenItemsOrOfACompleteSearch(t *testing.T) {
	for _, tc := range []struct {
		offenders, resolved, left int
		want                      bool
	}{
		{5, 16, 1, true},
		{5, 15, 1, false},
		{5, 15, 0, true},
		{5, 20, 1, false},
		{6, 23, 1, true},
		{6, 24, 1, false},
		{4, 4, 0, false},
	} {
		search := &bisection[int]{
			offenders: make([]int, tc.offenders), resolved: tc.resolved, remainder: make([]int, tc.left),
		}
		if got := search.tooManyOffenders(); got != tc.want {
			t.Errorf("%d offenders, %d resolved, %d left: got too many %v, want %v",
				tc.offenders, tc.resolved, tc.left, got, tc.want)
		}
	}
}

func TestBisectionForgetsTheCandidatesWhenSomeAreRemoved(t *testing.T) {
	search := &bisection[int]{remainder: []int{1, 2, 3, 4, 5, 6, 7, 8}}
	search.recordRejected(8)
	search.removeFirst(len(search.nextCall(8))) // items 1 to 4, with or without the offender
	if got := search.nextCall(8); len(got) != 4 || got[0] != 5 {
		t.Fatalf("got a next call of %v, want all that are left", got)
	}
}
