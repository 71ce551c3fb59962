package deliver

import (
	"time"

	"sluice/internal/backoff"
	"sluice/internal/observe"
)

// hold stops the calls of an operation because of a fault that no record caused. Probes of one
// item, at growing intervals, detect when the fault is gone.
type hold struct {
	reason    observe.HoldReason // empty: not held
	probes    backoff.Policy
	failures  int // probes that did not end the hold, plus one
	lastFault time.Time
	nextProbe time.Time
}

func (h *hold) isActive() bool { return h.reason != "" }

// recordFault starts or prolongs the hold. Concurrent faults count once. The next probe starts
// after at least minWait.
func (h *hold) recordFault(reason observe.HoldReason, callStarted, now time.Time, minWait time.Duration) {
	h.reason = reason
	if h.failures == 0 || !callStarted.Before(h.lastFault) {
		h.nextProbe = now.Add(max(h.probes.Delay(h.failures), minWait))
		h.failures++
	}
	h.lastFault = now
}

// postponeProbe schedules the next probe after one that met a different fault than the hold's.
func (h *hold) postponeProbe(now time.Time) {
	h.nextProbe = now.Add(h.probes.Delay(h.failures))
	h.failures++
}

// recordSuccess ends the hold if the call started after the last fault.
func (h *hold) recordSuccess(callStarted time.Time) {
	if h.isActive() && !callStarted.Before(h.lastFault) {
		h.end()
	}
}

// allowProbe allows the next probe immediately. The hold remains.
func (h *hold) allowProbe(now time.Time) { h.nextProbe, h.failures = now, 0 }

func (h *hold) end() { h.reason, h.failures = "", 0 }
