package deliver

import (
	"time"

	"sluice/internal/observe"
	"sluice/internal/sink"
)

// gateState is where a gate stands: why it is held and since when, and its breaker's state.
type gateState struct {
	Reason  observe.HoldReason
	Since   time.Time
	Breaker string
}

func (g *gate) snapshotState(now time.Time) gateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := gateState{Breaker: g.breaker.state().String()}
	g.note(now, sink.Response{})
	if g.said != "" {
		s.Reason, s.Since = g.said, g.saidAt
	}
	return s
}
