package route

import (
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"sluice/internal/observe"
)

// wait is what a record has to wait for. The zero value is nothing.
type wait struct {
	reason observe.HoldReason
	err    error
}

// holds is what is waited for, by who waits: each goroutine in Handle for its record, and Run for those aside. The pipeline is held while anybody
// waits; of several reasons the first by name is told, so that it does not change to and fro.
type holds struct {
	obs *observe.Pipeline
	log *zap.Logger

	mu      sync.Mutex
	reasons map[any]observe.HoldReason
}

// state says what who waits for now; nothing lets go. A reason is logged when nobody has waited for it before.
func (h *holds) state(who any, w wait) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.reasons[who]
	if w.reason == before {
		return
	}
	if w.reason != "" && !slices.Contains(slices.Collect(maps.Values(h.reasons)), w.reason) {
		h.log.Warn("what records need is not to be had; they wait", zap.String("reason", string(w.reason)), zap.Error(w.err))
	}
	delete(h.reasons, who)
	if w.reason != "" {
		h.reasons[who] = w.reason
	}
	if len(h.reasons) == 0 {
		h.log.Info("nothing is waited for any more", zap.String("reason", string(before)))
	}
	h.tell()
}

// flood says whether the guard keeps dead letters back; the guard's own watcher logs it.
func (h *holds) flood(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.reasons, floodHold)
	if on {
		h.reasons[floodHold] = floodHold
	}
	h.tell()
}

const floodHold = observe.HoldFlood

// tell states the hold, or that there is none. The caller holds h.mu.
func (h *holds) tell() {
	if len(h.reasons) == 0 {
		h.obs.SetHold("", "")
		return
	}
	h.obs.SetHold("", slices.Min(slices.Collect(maps.Values(h.reasons))))
}
