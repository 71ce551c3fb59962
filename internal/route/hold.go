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
	reason string // as it stands in observe.Pipeline.Hold
	err    error
}

// holds is what is waited for, by who waits: each goroutine in Handle for its record, and Run for those aside. The pipeline is held while anybody
// waits; of several reasons the first by name is told, so that it does not change to and fro.
type holds struct {
	obs *observe.Pipeline
	log *zap.Logger

	mu      sync.Mutex
	reasons map[any]string
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
		h.log.Warn("what records need is not to be had; they wait", zap.String("reason", w.reason), zap.Error(w.err))
	}
	delete(h.reasons, who)
	if w.reason != "" {
		h.reasons[who] = w.reason
	}
	if len(h.reasons) == 0 {
		h.obs.Hold("", "")
		h.log.Info("nothing is waited for any more", zap.String("reason", before))
		return
	}
	h.obs.Hold("", slices.Min(slices.Collect(maps.Values(h.reasons))))
}
