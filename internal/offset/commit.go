package offset

// Commit is the content of a commit for one partition.
type Commit struct {
	Offset int64
	// Epoch is the leader epoch of the record at Offset if that has arrived, otherwise of the last
	// record before it, or -1 if none is known. The log reaches Offset in that epoch, so if the
	// epoch ends before Offset, the next owner's client recognizes that as a truncation.
	Epoch    int32
	Metadata string
	Version  uint64
}

// PendingCommit returns what to commit, and false when the last confirmed commit has the same
// content or the tracker is fenced.
func (t *Tracker) PendingCommit() (Commit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pendingCommit()
}

func (t *Tracker) pendingCommit() (Commit, bool) {
	if t.fenced || t.confirmed == t.version {
		return Commit{}, false
	}
	return Commit{
		Offset: t.arrived.base, Epoch: t.arrived.headEpoch(), Version: t.version,
		Metadata: encodeMetadata(t.topicID, t.arrived.base, t.owner, t.stateRuns()),
	}, true
}

// ConfirmCommit records that the broker has confirmed the commit of a version.
func (t *Tracker) ConfirmCommit(version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.confirmed = max(t.confirmed, version)
}

// ForceRecommit makes the tracker commit once more, because the broker may have replaced the last
// confirmed commit with an older one.
func (t *Tracker) ForceRecommit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noteChange()
}

// stateRuns returns the states of the offsets from base on, without trailing pending ones.
func (t *Tracker) stateRuns() []run {
	var runs []run
	at := t.arrived.base
	for _, e := range t.arrived.entries {
		if e.state == stateSettled {
			continue
		}
		runs = appendRun(runs, run{at, e.offset, stateSettled})
		runs = appendRun(runs, run{e.offset, e.offset + 1, e.state})
		at = e.offset + 1
	}
	runs = appendRun(runs, run{at, t.arrived.next, stateSettled})
	at = t.arrived.next
	for _, r := range t.prior {
		runs = appendRun(runs, run{at, r.from, statePending})
		runs = appendRun(runs, r)
		at = r.to
	}
	if n := len(runs); n > 0 && runs[n-1].state == statePending {
		runs = runs[:n-1]
	}
	return runs
}

// RemainingCapacity estimates how many more records may be tracked so that the metadata still fits,
// provided that they are close together in the log. Fits is exact.
func (t *Tracker) RemainingCapacity() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := t.arrived.unsettledCount()
	if unsettled == 0 {
		return maxMappedOffsets
	}
	next := t.arrived.next
	inRuns := (maxBodySize-t.prior.encodedSize(next)-maxRunSize)/maxEntrySize - unsettled
	if t.prior.endOffset(next)-t.arrived.base > int64(maxMappedOffsets) {
		return inRuns
	}
	return max(maxMappedOffsets-int(next-t.arrived.base), inRuns)
}

// Fits reports whether this many records, the first of them at the given offset, may be tracked so
// that the metadata fits in whatever order they settle. While nothing is unsettled, one record
// always fits; otherwise a partition with full metadata would never continue.
func (t *Tracker) Fits(offset int64, records int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := t.arrived.unsettledCount()
	if unsettled == 0 {
		return true
	}
	next := t.arrived.next
	if max(offset+int64(records), t.prior.endOffset(next))-t.arrived.base <= int64(maxMappedOffsets) {
		return true
	}
	return (unsettled+records)*maxEntrySize+maxRunSize+t.prior.encodedSize(next) <= maxBodySize
}
