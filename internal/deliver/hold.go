package deliver

import (
	"time"

	"sluice/internal/observe"
)

// hold keeps an operation from being called until somebody has put right what no record is to blame for. One item at a time tries whether that is so.
type hold struct {
	reason   observe.HoldReason // empty: not held
	probe    Backoff
	failures int
	asked    time.Time // when the last fault came
	next     time.Time // of the next probe
	probing  bool      // a probe is under way
}

// set takes a fault. Calls that ran beside each other count once.
func (h *hold) set(reason observe.HoldReason, started, now time.Time, atLeast time.Duration) {
	h.reason = reason
	if h.failures == 0 || !started.Before(h.asked) {
		h.next = now.Add(max(h.probe.after(h.failures), atLeast))
		h.failures++
	}
	h.asked = now
}

// postpone puts the next probe off, after one that told nothing of what the hold is for.
func (h *hold) postpone(now time.Time) {
	h.next = now.Add(h.probe.after(h.failures))
	h.failures++
}

// clear takes a success of a call that started after the last fault.
func (h *hold) clear(started time.Time) {
	if h.reason != "" && !started.Before(h.asked) {
		h.end()
	}
}

// ease takes a probe that passed while the hold goes on: the next one may come at once.
func (h *hold) ease(now time.Time) { h.next, h.failures = now, 0 }

// end lets go.
func (h *hold) end() { h.reason, h.failures = "", 0 }
