package offset

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// takeRoom tracks what is offered until it does not fit, and settles every k-th of it from the last to the first.
func takeRoom(tr *Tracker, stride int64, k int) (taken int, open []*Entry) {
	for o := tr.next; taken < 40_000; o += stride {
		if !tr.Fits(o, 1) {
			break
		}
		e := new(Entry)
		if fate := tr.Track(e, o, 0, time.Time{}); fate == PriorNone || fate == PriorIntent {
			open = append(open, e)
		}
		taken++
	}
	var rest []*Entry
	for i := len(open) - 1; i >= 0; i-- {
		if i%k == k-1 {
			open[i].Settle()
		} else {
			rest = append(rest, open[i])
		}
	}
	return taken, rest
}

func TestWhatFitsFitsWithAnyGapsAndAnyOrderOfSettling(t *testing.T) {
	for _, stride := range []int64{1, 2, 7, 40, 300, 5000, 1 << 20} {
		for _, k := range []int{2, 3, 5} {
			t.Run(fmt.Sprintf("stride %d, one in %d", stride, k), func(t *testing.T) {
				tr := NewTracker(topicID, 1<<40, nil)
				taken, _ := takeRoom(tr, stride, k)
				c, _ := tr.PendingCommit()
				if len(c.Metadata) > MaxMetadata {
					t.Errorf("%d records give metadata of %d bytes", taken, len(c.Metadata))
				}
				if taken < 400 {
					t.Errorf("only %d records were let in", taken)
				}
				if runs, err := decodeMetadata(c.Metadata, topicID, c.Offset); err != nil || runs[len(runs)-1].to < tr.next-2*stride*int64(k) {
					t.Errorf("the metadata was cut: %v", err)
				}
			})
		}
	}
}

func TestAFullTrackerGoesOnAfterItsRestoration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stride := rapid.SampledFrom([]int64{1, 1, 3, 50, 4000}).Draw(t, "stride")
		at := int64(7)
		metadata := ""
		for range rapid.IntRange(1, 4).Draw(t, "owners") {
			tr := NewTracker(topicID, at, nil)
			if err := tr.RestoreMetadata(metadata); err != nil {
				t.Fatal(err)
			}
			if !tr.Fits(at, 1) || tr.RemainingCapacity() < 256 {
				t.Fatalf("a tracker that holds nothing has room for %d", tr.RemainingCapacity())
			}
			if taken, _ := takeRoom(tr, stride, rapid.IntRange(2, 5).Draw(t, "k")); taken == 0 {
				t.Fatal("nothing was let in")
			}
			c, ok := tr.PendingCommit()
			if !ok || len(c.Metadata) > MaxMetadata {
				t.Fatalf("metadata of %d bytes, to be committed: %v", len(c.Metadata), ok)
			}
			at, metadata = c.Offset, c.Metadata
		}
	})
}

func TestCopiesFoundByTheThousandCutTheMetadata(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	var copies []int64
	for o := int64(0); o < 1_000_000; o += 10 {
		copies = append(copies, o)
	}
	tr.MarkSettled(copies)
	c, ok := tr.PendingCommit()
	if !ok || len(c.Metadata) > MaxMetadata {
		t.Fatalf("metadata of %d bytes, to be committed: %v", len(c.Metadata), ok)
	}
	if runs, err := decodeMetadata(c.Metadata, topicID, 0); err != nil || len(runs) < 500 {
		t.Fatalf("%d runs are left: %v", len(runs), err)
	}
	if tr.RemainingCapacity() < 256 {
		t.Fatalf("room for %d", tr.RemainingCapacity())
	}
	if got := tr.Track(new(Entry), 0, 0, time.Time{}); got != PriorSettled {
		t.Fatalf("a copied record is %v", got)
	}
}
