package observe

// SetStarted reports whether the pipeline is running. A pipeline is running once its topics have
// been checked and its components built, even while its consumer group is still joining, until it
// ends.
func (p *Pipeline) SetStarted(started bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = started
	p.metrics.started.WithLabelValues(p.name).Set(boolGauge(started))
}

// SetBreakerState reports the state of the operation's breaker: closed, half-open or open.
func (p *Pipeline) SetBreakerState(operation, state string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakers[operation] = state
	for _, s := range breakerStateValues {
		p.metrics.breaker.WithLabelValues(p.name, operation, s.value).Set(boolGauge(s.value == state))
	}
}

func boolGauge(value bool) float64 {
	if value {
		return 1
	}
	return 0
}
