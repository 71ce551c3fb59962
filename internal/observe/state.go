package observe

import "time"

// Hold is a stated reason not to go on, and since when it holds.
type Hold struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

var breakerStates = [...]string{"closed", "half-open", "open"}

// SetStarted says that the pipeline is running: its topics are fit and its steps stand, while its group may still be joining; false before that and after its end.
func (p *Pipeline) SetStarted(started bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = started
	p.m.started.WithLabelValues(p.name).Set(oneIf(started))
}

// SetBreakerState says the state that the operation's breaker is in: closed, half-open or open.
func (p *Pipeline) SetBreakerState(operation, state string) {
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

// SetHold says that the operation (or, with an empty operation, the pipeline's reading) is held for a reason (unauthorized, misconfigured,
// unavailable, throttled, registry, kafka, flood), or with an empty reason that it is not held any more.
func (p *Pipeline) SetHold(operation, reason string) { p.hold(holdKey{operation: operation}, reason) }

// SetPartitionHold says that partitions of the pipeline are not read, for a reason (offset_lost, unreadable, take_over), or with an empty reason that none is
// so. It stands beside Hold: it may need a person, and what the rest of the pipeline waits for comes and goes meanwhile.
func (p *Pipeline) SetPartitionHold(reason string) { p.hold(holdKey{what: partitions}, reason) }

// SetWriteHold says that records cannot be written to their retry or dead-letter topic (unwritable), or with an empty reason that all can be. It stands beside the others.
func (p *Pipeline) SetWriteHold(reason string) { p.hold(holdKey{what: writes}, reason) }

// holdKey is what is held: an operation, or what of the pipeline.
type holdKey struct {
	operation string
	what      part
}

// part is what of a pipeline is held; of several, the last of these is shown.
type part uint8

const (
	wholeReading part = iota
	writes
	partitions
)

func (p *Pipeline) hold(k holdKey, reason string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.holds[k].Reason
	if reason == before {
		return
	}
	if before != "" {
		p.m.hold.DeleteLabelValues(p.name, k.operation, before)
		delete(p.holds, k)
	}
	if reason != "" {
		p.m.hold.WithLabelValues(p.name, k.operation, reason).Set(1)
		p.holds[k] = Hold{Reason: reason, Since: time.Now()}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
