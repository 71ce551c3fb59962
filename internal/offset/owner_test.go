package offset

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOwnerIsRestoredWithWhateverElseTheMetadataHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		owner := Owner{
			WriterID: rapid.StringMatching(`[!-~]{1,32}`).Draw(t, "writer"),
			Marker:   rapid.Int64Range(0, 1<<62).Draw(t, "marker"),
		}
		first := NewTracker(topicID, base, nil)
		var settled []int64
		for i, o := 0, base; i < rapid.IntRange(0, 50).Draw(t, "settled"); i++ {
			o += rapid.Int64Range(1, 1000).Draw(t, "gap")
			settled = append(settled, o)
		}
		first.MarkSettled(settled)
		first.SetOwner(owner)
		commit, ok := first.PendingCommit()
		if !ok || len(commit.Metadata) > MaxMetadata {
			t.Fatalf("got commit %+v, %t, want one with at most %d bytes", commit, ok, MaxMetadata)
		}
		second := NewTracker(topicID, base, nil)
		if err := second.RestoreMetadata(commit.Metadata); err != nil {
			t.Fatal(err)
		}
		if got := second.Owner(); got != owner {
			t.Fatalf("got owner %+v, want %+v", got, owner)
		}
		for _, o := range settled {
			if !second.KnownSettled(o) {
				t.Fatalf("got offset %d unsettled, want it settled", o)
			}
		}
	})
}

// The metadata of a partition without an owner stays what earlier versions read and write.
func TestMetadataOfAPartitionWithoutAnOwnerIsOfTheFirstVersion(t *testing.T) {
	tr := NewTracker(topicID, 5, nil)
	tr.MarkSettled([]int64{7})
	commit, _ := tr.PendingCommit()
	if !strings.HasPrefix(commit.Metadata, metadataPrefix) {
		t.Errorf("got metadata %q, want the prefix %q", commit.Metadata, metadataPrefix)
	}
	next := NewTracker(topicID, 5, nil)
	if err := next.RestoreMetadata(commit.Metadata); err != nil || next.Owner() != (Owner{}) || !next.KnownSettled(7) {
		t.Errorf("got owner %+v and error %v, want none and 7 settled", next.Owner(), err)
	}
}

func TestOwnerIsCommittedOnceSet(t *testing.T) {
	changed := make(chan struct{}, 1)
	tr := NewTracker(topicID, 5, changed)
	tr.SetOwner(Owner{"writer", 9})
	select {
	case <-changed:
	default:
		t.Error("got no signal, want one for the owner")
	}
	commit, ok := tr.PendingCommit()
	if !ok || commit.Offset != 5 || commit.Metadata == "" {
		t.Errorf("got commit %+v, %t, want one with the owner", commit, ok)
	}
	tr.ConfirmCommit(commit.Version)
	if commit, ok := tr.PendingCommit(); ok {
		t.Errorf("got commit %+v after it was confirmed, want none", commit)
	}
}
