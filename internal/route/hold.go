package route

import (
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/sink"
)

// obstacle is something that a record has to wait for. The zero value means that there is none.
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

// conditionMessages are the log messages for the beginning and the end of a kind of obstacle.
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

// holdTracker tracks the reasons for waiting. Each record in Handle is a waiter, all deferred
// records together are one, and so are the dead letters that the flood guard holds (floodWaiter).
// The pipeline is held while there is a waiter. If the reasons differ, the hold has the
// alphabetically first one, so that it does not alternate. It is safe for concurrent use.
type holdTracker struct {
	obs *observe.Pipeline
	log *zap.Logger

	mu    sync.Mutex
	waits map[any]observe.HoldReason // by waiter
}

func newHoldTracker(obs *observe.Pipeline, log *zap.Logger) *holdTracker {
	return &holdTracker{obs: obs, log: log, waits: map[any]observe.HoldReason{}}
}

// recordWait records the obstacle that the waiter is waiting for now. It logs the obstacle unless
// another waiter has the same reason.
func (h *holdTracker) recordWait(waiter any, met obstacle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.waits[waiter]
	if met.reason == before {
		return
	}
	if !slices.Contains(slices.Collect(maps.Values(h.waits)), met.reason) {
		h.log.Warn(messagesFor(met.reason).begun, zap.String("reason", string(met.reason)), zap.Error(met.err))
	}
	h.waits[waiter] = met.reason
	if before != "" && messagesFor(before) != messagesFor(met.reason) {
		h.logEnd(before, true)
	}
	h.updateHold()
}

// endWait records that the waiter no longer waits. If recovered is false, the reason is that its
// records were released.
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

// floodWaiter is the waiter for the dead letters that are held while the flood guard is tripped.
const floodWaiter = "flood guard"

// setFlood records whether the flood guard is tripped. Nothing is logged here: package pipeline
// also subscribes to the guard and logs its changes.
func (h *holdTracker) setFlood(tripped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits, floodWaiter)
	if tripped {
		h.waits[floodWaiter] = observe.HoldFlood
	}
	h.updateHold()
}

// updateHold sets or ends the pipeline's hold. The caller holds h.mu.
func (h *holdTracker) updateHold() {
	if len(h.waits) == 0 {
		h.obs.SetHold("", "")
		return
	}
	h.obs.SetHold("", slices.Min(slices.Collect(maps.Values(h.waits))))
}
