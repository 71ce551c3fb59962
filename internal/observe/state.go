package observe

import "time"

// Hold is a stated reason not to go on, and since when it holds.
type Hold struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

var breakerStates = [...]string{"closed", "half-open", "open"}

// Started says that the pipeline is running: its group is joined and its steps stand; false before that and after its end.
func (p *Pipeline) Started(started bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = started
	p.m.started.WithLabelValues(p.name).Set(oneIf(started))
}

// Breaker says the state that the operation's breaker is in: closed, half-open or open.
func (p *Pipeline) Breaker(operation, state string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakers[operation] = state
	for _, s := range breakerStates {
		p.m.breaker.WithLabelValues(p.name, operation, s).Set(oneIf(s == state))
	}
}

// Hold says that the operation (or, with an empty operation, the pipeline's reading) is held for a reason (unauthorized, misconfigured,
// unavailable, throttled, registry, kafka, flood, offset_lost), or with an empty reason that it is not held any more.
func (p *Pipeline) Hold(operation, reason string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.holds[operation].Reason
	if reason == before {
		return
	}
	if before != "" {
		p.m.hold.DeleteLabelValues(p.name, operation, before)
		delete(p.holds, operation)
	}
	if reason != "" {
		p.m.hold.WithLabelValues(p.name, operation, reason).Set(1)
		p.holds[operation] = Hold{Reason: reason, Since: time.Now()}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
