package route

import (
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/sink"
)

// obstacle is what a record has to wait for. The zero value is none.
type obstacle struct {
	// reason is empty only if ctx has ended.
	reason observe.HoldReason
	err    error
}

func (o obstacle) present() bool { return o.err != nil }

// holdReasonFor returns the hold reason for a dependency of encoding that responded with the class.
func holdReasonFor(class sink.ResultClass) observe.HoldReason {
	switch class {
	case sink.Unauthorized:
		return observe.HoldUnauthorized
	case sink.Throttled:
		return observe.HoldThrottled
	case sink.Unavailable, sink.Unknown:
		return observe.HoldUnavailable
	case sink.Misconfigured, sink.Delivered, sink.Rejected, sink.Retryable, sink.TooLarge:
		return observe.HoldMisconfigured
	}
	return observe.HoldMisconfigured
}

// conditionMessages is what the log says about a kind of obstacle.
type conditionMessages struct{ begun, ended string }

var (
	registryMessages = conditionMessages{
		begun: "schema registry unavailable, records wait", ended: "schema registry recovered",
	}
	schemaIDMessages = conditionMessages{
		begun: "schema ID unknown to the registry, records wait",
		ended: "unknown schema IDs resolved",
	}
	dependencyMessages = conditionMessages{
		begun: "vendor dependency unavailable, records wait", ended: "vendor dependency recovered",
	}
)

func messagesFor(reason observe.HoldReason) conditionMessages {
	switch reason {
	case observe.HoldRegistry:
		return registryMessages
	case observe.HoldUnknownSchemaID:
		return schemaIDMessages
	case observe.HoldUnauthorized, observe.HoldMisconfigured, observe.HoldUnavailable, observe.HoldThrottled:
		return dependencyMessages
	case observe.HoldFlood, observe.HoldKafka, observe.HoldOffsetLost, observe.HoldUnreadable,
		observe.HoldRecovery, observe.HoldUnwritable: // never an obstacle of a record
	}
	return conditionMessages{}
}

// holdTracker keeps what is waited for, by waiter: each record in Handle, and all deferred records
// together. The pipeline is held while anything waits. Of several reasons the first in alphabetical
// order is stated, so that the stated one does not alternate. It is safe for concurrent use.
type holdTracker struct {
	obs *observe.Pipeline
	log *zap.Logger

	mu    sync.Mutex
	waits map[any]observe.HoldReason
}

func newHoldTracker(obs *observe.Pipeline, log *zap.Logger) *holdTracker {
	return &holdTracker{obs: obs, log: log, waits: map[any]observe.HoldReason{}}
}

// recordWait states what the waiter waits for now. A reason is logged when nobody has waited for it
// yet.
func (h *holdTracker) recordWait(waiter any, o obstacle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.waits[waiter]
	if o.reason == before {
		return
	}
	if !slices.Contains(slices.Collect(maps.Values(h.waits)), o.reason) {
		h.log.Warn(messagesFor(o.reason).begun, zap.String("reason", string(o.reason)), zap.Error(o.err))
	}
	h.waits[waiter] = o.reason
	if before != "" && messagesFor(before) != messagesFor(o.reason) {
		h.logEnd(before, true)
	}
	h.updateHold()
}

// endWait states that the waiter waits no longer: because it recovered, or because its records were
// released.
func (h *holdTracker) endWait(waiter any, recovered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.waits[waiter]
	if before == "" {
		return
	}
	delete(h.waits, waiter)
	h.logEnd(before, recovered)
	h.updateHold()
}

// logEnd logs the end of a condition unless another waiter is still in it. The caller holds h.mu.
func (h *holdTracker) logEnd(reason observe.HoldReason, recovered bool) {
	for waiter, other := range h.waits {
		if waiter != floodWaiter && messagesFor(other) == messagesFor(reason) {
			return
		}
	}
	message := "waiting records released"
	if recovered {
		message = messagesFor(reason).ended
	}
	h.log.Info(message, zap.String("reason", string(reason)))
}

// floodWaiter stands for the dead letters that the flood guard holds back.
const floodWaiter = "flood guard"

// setFlood states whether the guard holds back dead letters. The subscriber of the guard that
// belongs to the pipeline logs it.
func (h *holdTracker) setFlood(tripped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits, floodWaiter)
	if tripped {
		h.waits[floodWaiter] = observe.HoldFlood
	}
	h.updateHold()
}

// updateHold states the pipeline's hold, or that there is none. The caller holds h.mu.
func (h *holdTracker) updateHold() {
	if len(h.waits) == 0 {
		h.obs.SetHold("", "")
		return
	}
	h.obs.SetHold("", slices.Min(slices.Collect(maps.Values(h.waits))))
}
