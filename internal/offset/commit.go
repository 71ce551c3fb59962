package offset

// Commit is what to commit for a partition.
type Commit struct {
	Offset int64
	// Epoch is the leader epoch of the record at Offset where that one arrived, else of the last one before it: the log has an end of it at or past
	// Offset, so that the next owner's client takes an end before Offset for what it is, a loss. -1: none known.
	Epoch    int32
	Metadata string
	Version  uint64
}

// PendingCommit gives what to commit, and false when the last confirmed commit says the same or the tracker is fenced.
func (t *Tracker) PendingCommit() (Commit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending()
}

func (t *Tracker) pending() (Commit, bool) {
	if t.fenced || t.committed == t.version {
		return Commit{}, false
	}
	epoch := t.last
	if len(t.open) > 0 {
		epoch = t.open[0].epoch
	}
	return Commit{Offset: t.base, Epoch: epoch, Metadata: encodeMetadata(t.topicID, t.base, t.runs()), Version: t.version}, true
}

// ConfirmCommit says that the broker has taken the commit of a version.
func (t *Tracker) ConfirmCommit(version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed = max(t.committed, version)
}

// ForceRecommit says that the broker may not have what it confirmed last, for an older commit may have come after it: it is to be committed once more.
func (t *Tracker) ForceRecommit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change()
}

// runs is what the offsets from base on are, without the tail that nothing is known of.
func (t *Tracker) runs() []run {
	var out []run
	at := t.base
	for _, e := range t.open {
		if e.state == done {
			continue
		}
		out = appendRun(out, run{at, e.offset, done})
		out = appendRun(out, run{e.offset, e.offset + 1, e.state})
		at = e.offset + 1
	}
	out = appendRun(out, run{at, t.next, done})
	at = t.next
	for _, r := range t.ahead {
		out = appendRun(out, run{at, r.from, pending})
		out = appendRun(out, r)
		at = r.to
	}
	if n := len(out); n > 0 && out[n-1].state == pending {
		out = out[:n-1]
	}
	return out
}

// RemainingCapacity is about how many more records may be tracked so that the metadata still fits, should they lie close together in the log. Fits decides.
func (t *Tracker) RemainingCapacity() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := len(t.open) - t.settled
	if unsettled == 0 {
		return maxMapped
	}
	byRuns := (maxRunBytes-t.aheadBytes()-worstRun)/worstEntry - unsettled
	if t.aheadEnd()-t.base > int64(maxMapped) {
		return byRuns
	}
	return max(maxMapped-int(t.next-t.base), byRuns)
}

// Fits tells whether so many records may be tracked from this offset on, the first of them there, so that the metadata fits whatever is settled
// and in whatever order. Where nothing is unsettled one record always fits, else a partition whose metadata is full would never go on.
func (t *Tracker) Fits(offset int64, records int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	unsettled := len(t.open) - t.settled
	if unsettled == 0 {
		return true
	}
	if max(offset+int64(records), t.aheadEnd())-t.base <= int64(maxMapped) {
		return true
	}
	return (unsettled+records)*worstEntry+worstRun+t.aheadBytes() <= maxRunBytes
}

// aheadEnd is one past the last offset that anything is known of.
func (t *Tracker) aheadEnd() int64 {
	if n := len(t.ahead); n > 0 {
		return t.ahead[n-1].to
	}
	return t.next
}

// aheadBytes is what the runs ahead of what arrived take. What is too much for the metadata by itself counts as nothing: the encoding cuts it.
func (t *Tracker) aheadBytes() int {
	n, at := 0, t.next
	for _, r := range t.ahead {
		n += runSize(r.from-at) + runSize(r.to-r.from)
		at = r.to
	}
	if n > maxRunBytes {
		return 0
	}
	return n
}
