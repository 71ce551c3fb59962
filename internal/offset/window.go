package offset

import (
	"slices"
	"sort"
)

// compactAbove is the number of settled entries above which a window is compacted.
const compactAbove = 64

// window has the records of a partition that have arrived, starting with the first unsettled one.
// An offset below next without an entry is settled.
type window struct {
	base int64 // every offset below it is settled
	next int64 // one past the highest offset that arrived
	// lastEpoch is the leader epoch of the record that arrived last; -1: none is known.
	lastEpoch int32
	// entries ascend. The first one is unsettled.
	entries []*Entry
	settled int // how many of entries are settled
}

func (w *window) unsettledCount() int { return len(w.entries) - w.settled }

// appendEntry adds an unsettled record.
func (w *window) appendEntry(entry *Entry) {
	if len(w.entries) == 0 {
		w.base = entry.offset
	}
	w.entries = append(w.entries, entry)
}

// settleEntry marks an entry as settled and advances the settled prefix.
func (w *window) settleEntry(entry *Entry) {
	entry.state = stateSettled
	w.settled++
	if w.entries[0] == entry {
		w.popSettled()
	} else if w.settled > compactAbove && w.settled > len(w.entries)/2 {
		w.compactEntries()
	}
}

// popSettled removes the settled entries at the head.
func (w *window) popSettled() {
	n := 0
	for n < len(w.entries) && w.entries[n].state == stateSettled {
		w.entries[n] = nil
		n++
	}
	w.entries, w.settled = w.entries[n:], w.settled-n
	if len(w.entries) == 0 {
		w.entries = nil
		w.base = w.next
		return
	}
	w.base = w.entries[0].offset
}

// compactEntries removes the settled entries in the middle.
func (w *window) compactEntries() {
	kept := make([]*Entry, 0, w.unsettledCount())
	for _, e := range w.entries {
		if e.state != stateSettled {
			kept = append(kept, e)
		}
	}
	w.entries, w.settled = kept, 0
}

// truncateAt removes the records from an offset on, because the log has lost them.
func (w *window) truncateAt(cut int64, epoch int32) {
	n := len(w.entries)
	for ; n > 0 && w.entries[n-1].offset >= cut; n-- {
		w.entries[n-1].truncated = true
		if w.entries[n-1].state == stateSettled {
			w.settled--
		}
	}
	clear(w.entries[n:])
	w.entries, w.next, w.lastEpoch = w.entries[:n], cut, epoch
	w.popSettled()
}

// headEpoch returns the leader epoch for a commit of base.
func (w *window) headEpoch() int32 {
	if len(w.entries) > 0 {
		return w.entries[0].epoch
	}
	return w.lastEpoch
}

// priorRuns has what earlier owners left known about offsets that have not arrived yet, as
// ascending runs that are not pending.
type priorRuns []run

// takeState returns what is known about an offset that has arrived, and removes what is known up to
// it.
func (p *priorRuns) takeState(offset int64) entryState {
	runs := *p
	for len(runs) > 0 && runs[0].to <= offset {
		runs = runs[1:]
	}
	state := statePending
	if len(runs) > 0 && offset >= runs[0].from {
		state = runs[0].state
		if runs[0].from = offset + 1; runs[0].from == runs[0].to {
			runs = runs[1:]
		}
	}
	*p = runs
	return state
}

// stateAt returns what is known about an offset.
func (p *priorRuns) stateAt(offset int64) entryState {
	runs := *p
	i := sort.Search(len(runs), func(i int) bool { return runs[i].to > offset })
	if i == len(runs) || offset < runs[i].from {
		return statePending
	}
	return runs[i].state
}

// truncateAt removes what is known about the offsets from a given one on.
func (p *priorRuns) truncateAt(cut int64) {
	runs := *p
	for n := len(runs); n > 0 && runs[n-1].to > cut; n-- {
		if runs[n-1].to = cut; runs[n-1].from >= cut {
			runs = runs[:n-1]
		}
	}
	*p = runs
}

// overlaySettled marks single offsets as settled. They must be ascending.
func (p *priorRuns) overlaySettled(offsets []int64) {
	runs := slices.Clone(*p)
	var merged []run
	for _, o := range offsets {
		for len(runs) > 0 && runs[0].to <= o {
			merged, runs = appendRun(merged, runs[0]), runs[1:]
		}
		if len(runs) > 0 && runs[0].from < o {
			merged = appendRun(merged, run{runs[0].from, o, runs[0].state})
		}
		merged = appendRun(merged, run{o, o + 1, stateSettled})
		if len(runs) > 0 && runs[0].from <= o {
			runs[0].from = o + 1
		}
	}
	for _, r := range runs {
		merged = appendRun(merged, r)
	}
	*p = merged
}

// endOffset returns one past the last offset about which something is known, or next if that is
// greater.
func (p *priorRuns) endOffset(next int64) int64 {
	if n := len(*p); n > 0 {
		return (*p)[n-1].to
	}
	return next
}

// encodedSize returns the size in bytes of the runs beyond next in the metadata. Runs that would
// exceed the metadata by themselves count as 0, because the encoding cuts them off.
func (p *priorRuns) encodedSize(next int64) int {
	size, at := 0, next
	for _, r := range *p {
		size += runSize(r.from-at) + runSize(r.to-r.from)
		at = r.to
	}
	if size > maxBodySize {
		return 0
	}
	return size
}
