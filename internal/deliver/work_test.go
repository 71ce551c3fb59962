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
		w := &work[int]{}
		for i := range n {
			w.rest = append(w.rest, i)
		}
		delivered, dead, calls := map[int]int{}, map[int]int{}, 0
		for ; !w.over(); calls++ {
			sent := w.next(n)
			bad := false
			for _, i := range sent {
				bad = bad || culprit[i]
			}
			switch {
			case !bad:
				for _, i := range sent {
					delivered[i]++
				}
				w.passed(len(sent))
			case len(sent) == 1:
				dead[sent[0]]++
				w.found()
			default:
				w.refused(len(sent))
			}
		}
		for i := range n {
			if culprit[i] != (dead[i] == 1) || culprit[i] == (delivered[i] == 1) {
				t.Fatalf("item %d, culprit %v: delivered %d times, died %d times", i, culprit[i], delivered[i], dead[i])
			}
		}
		if len(w.culprits) != len(culprit) || w.through != n {
			t.Fatalf("%d culprits are known and %d items through, want %d and %d", len(w.culprits), w.through, len(culprit), n)
		}
		most := float64(len(culprit))*(math.Ceil(math.Log2(float64(n)))+2) + 1
		if float64(calls) > most {
			t.Fatalf("%d calls for %d culprits in %d items, at most %v expected", calls, len(culprit), n, most)
		}
	})
}

func TestASearchIsFloodedByMoreThanAQuarterFromSixteenOnOrAtItsEnd(t *testing.T) {
	for _, c := range []struct {
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
		w := &work[int]{culprits: make([]int, c.culprits), through: c.through, rest: make([]int, c.left)}
		if got := w.flooded(); got != c.want {
			t.Errorf("%d culprits, %d through, %d left: flooded %v, want %v", c.culprits, c.through, c.left, got, c.want)
		}
	}
}

func TestASearchForgetsWhatItKnewWhenSuspectsAreGone(t *testing.T) {
	w := &work[int]{rest: []int{1, 2, 3, 4, 5, 6, 7, 8}}
	w.refused(8)
	w.cleared(len(w.next(8))) // 1 to 4 have gone, with the culprit or not
	if got := w.next(8); len(got) != 4 || got[0] != 5 {
		t.Fatalf("the next call carries %v, want all that are left", got)
	}
}
