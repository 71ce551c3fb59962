package offset

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fillTracker tracks records at every stride-th offset until one does not fit, then settles every
// k-th record from the last to the first. It returns how many fit, and the unsettled entries.
func fillTracker(tr *Tracker, stride int64, k int) (taken int, unsettled []*Entry) {
	for o := tr.arrived.next; taken < 40_000; o += stride {
		if !tr.Fits(o, 1) {
			break
		}
		e := new(Entry)
		if prior := tr.Track(e, o, 0, time.Time{}); prior == PriorNone || prior == PriorIntent {
			unsettled = append(unsettled, e)
		}
		taken++
	}
	var rest []*Entry
	for i := len(unsettled) - 1; i >= 0; i-- {
		if i%k == k-1 {
			unsettled[i].Settle()
		} else {
			rest = append(rest, unsettled[i])
		}
	}
	return taken, rest
}

func TestMetadataOfRecordsThatFitStaysSmallForAnyGaps(t *testing.T) {
	for _, stride := range []int64{1, 2, 7, 40, 300, 5000, 1 << 20} {
		for _, k := range []int{2, 3, 5} {
			t.Run(fmt.Sprintf("stride %d, one in %d", stride, k), func(t *testing.T) {
				tr := NewTracker(topicID, 1<<40, nil)
				taken, _ := fillTracker(tr, stride, k)
				c, _ := tr.PendingCommit()
				if len(c.Metadata) > MaxMetadata {
					t.Errorf("got metadata of %[2]d bytes for %[1]d records, want at most 4096", taken, len(c.Metadata))
				}
				if taken < 400 {
					t.Errorf("got room for %d records, want at least 400", taken)
				}
				_, runs, err := decodeMetadata(c.Metadata, topicID, c.Offset)
				if err != nil || runs[len(runs)-1].to < tr.arrived.next-2*stride*int64(k) {
					t.Errorf("got metadata that was cut, want all runs (error %v)", err)
				}
			})
		}
	}
}

func TestNextOwnerOfAFullTrackerHasCapacity(t *testing.T) {
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
				t.Fatalf("got capacity %d without unsettled records, want at least 256", tr.RemainingCapacity())
			}
			if taken, _ := fillTracker(tr, stride, rapid.IntRange(2, 5).Draw(t, "k")); taken == 0 {
				t.Fatal("got no room for a record, want some")
			}
			c, ok := tr.PendingCommit()
			if !ok || len(c.Metadata) > MaxMetadata {
				t.Fatalf("got metadata of %d bytes, pending %v; want at most 4096, pending", len(c.Metadata), ok)
			}
			at, metadata = c.Offset, c.Metadata
		}
	})
}

func TestMetadataIsTruncatedForThousandsOfCopies(t *testing.T) {
	tr := NewTracker(topicID, 0, nil)
	var copies []int64
	for o := int64(0); o < 1_000_000; o += 10 {
		copies = append(copies, o)
	}
	tr.MarkSettled(copies)
	c, ok := tr.PendingCommit()
	if !ok || len(c.Metadata) > MaxMetadata {
		t.Fatalf("got metadata of %d bytes, pending %v; want at most 4096, pending", len(c.Metadata), ok)
	}
	if _, runs, err := decodeMetadata(c.Metadata, topicID, 0); err != nil || len(runs) < 500 {
		t.Fatalf("got %d runs, want at least 500 (error %v)", len(runs), err)
	}
	if tr.RemainingCapacity() < 256 {
		t.Fatalf("got capacity %d, want at least 256", tr.RemainingCapacity())
	}
	if got := tr.Track(new(Entry), 0, 0, time.Time{}); got != PriorSettled {
		t.Fatalf("got prior state %v of a copied record, want settled", got)
	}
}
