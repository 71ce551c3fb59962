package deliver

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A search that sends both halves of each refused batch would need twice the calls.
func TestABisectFindsExactlyTheCulpritsInFewCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "items")
		culprit := map[int]bool{}
		for range rapid.IntRange(0, min(n, 12)).Draw(t, "culprits") {
			culprit[rapid.IntRange(0, n-1).Draw(t, "culprit")] = true
		}
		w := &bisection[int]{}
		for i := range n {
			w.remainder = append(w.remainder, i)
		}
		delivered, dead, calls := map[int]int{}, map[int]int{}, 0
		for ; !w.isComplete(); calls++ {
			sent := w.nextCall(n)
			bad := false
			for _, i := range sent {
				bad = bad || culprit[i]
			}
			switch {
			case !bad:
				for _, i := range sent {
					delivered[i]++
				}
				w.recordPassed(len(sent))
			case len(sent) == 1:
				dead[sent[0]]++
				w.recordOffender()
			default:
				w.recordRejected(len(sent))
			}
		}
		for i := range n {
			if culprit[i] != (dead[i] == 1) || culprit[i] == (delivered[i] == 1) {
				t.Fatalf("item %d, culprit %v: delivered %d times, died %d times", i, culprit[i], delivered[i], dead[i])
			}
		}
		if len(w.offenders) != len(culprit) || w.resolved != n {
			t.Fatalf("%d culprits are known and %d items through, want %d and %d", len(w.offenders), w.resolved, len(culprit), n)
		}
		most := float64(len(culprit))*(math.Ceil(math.Log2(float64(n)))+2) + 1
		if float64(calls) > most {
			t.Fatalf("%d calls for %d culprits in %d items, at most %v expected", calls, len(culprit), n, most)
		}
	})
}

func TestASearchIsFloodedByMoreThanAQuarterFromSixteenOnOrAtItsEnd(t *testing.T) {
	for _, tc := range []struct {
		culprits, through, left int
		want                    bool
	}{
		{5, 16, 1, true},
		{5, 15, 1, false},
		{5, 15, 0, true},
		{5, 20, 1, false},
		{6, 23, 1, true},
		{6, 24, 1, false},
		{4, 4, 0, false},
	} {
		w := &bisection[int]{offenders: make([]int, tc.culprits), resolved: tc.through, remainder: make([]int, tc.left)}
		if got := w.tooManyOffenders(); got != tc.want {
			t.Errorf("%d culprits, %d through, %d left: flooded %v, want %v", tc.culprits, tc.through, tc.left, got, tc.want)
		}
	}
}

func TestASearchForgetsWhatItKnewWhenSuspectsAreGone(t *testing.T) {
	w := &bisection[int]{remainder: []int{1, 2, 3, 4, 5, 6, 7, 8}}
	w.recordRejected(8)
	w.removeFirst(len(w.nextCall(8))) // 1 to 4 have gone, with the culprit or not
	if got := w.nextCall(8); len(got) != 4 || got[0] != 5 {
		t.Fatalf("the next call carries %v, want all that are left", got)
	}
}
