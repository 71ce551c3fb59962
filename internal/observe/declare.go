package observe

// A series that is created by its first event hides that event from increase() and rate(), and an
// alert on a series that does not exist never fires. So every series exists from the start.

// operationHoldReasons are the reasons for which a single operation is held.
var operationHoldReasons = []HoldReason{
	HoldUnauthorized, HoldMisconfigured, HoldUnavailable, HoldThrottled, HoldFlood,
}

// declarePipeline creates the series that depend on neither an operation nor a topic.
func (p *Pipeline) declarePipeline() {
	p.metrics.started.WithLabelValues(p.name).Set(0)
	for _, u := range unroutedDispositions {
		p.settled.memberFor(settledKey{"", u})
	}
	for _, reason := range skipReasons {
		p.skipped.memberFor(reason)
	}
	for _, reason := range HoldReasons() {
		p.metrics.hold.WithLabelValues(p.name, "", string(reason))
	}
}

// DeclareOperation creates all series of an operation with value 0 and sets its breaker state to
// closed. It must be called before anything is reported about the operation.
func (p *Pipeline) DeclareOperation(operation string) {
	if p == nil {
		return
	}
	for _, o := range operationDispositions {
		p.settled.memberFor(settledKey{operation, o})
	}
	for _, class := range callClasses {
		p.calls.memberFor(callKey{operation, class})
	}
	p.possibleDuplicates.memberFor(operation)
	p.histograms.memberFor(operation)
	for _, reason := range operationHoldReasons {
		p.metrics.hold.WithLabelValues(p.name, operation, string(reason))
	}
	p.SetBreakerState(operation, breakerClosed)
}

// DeclareTopic creates the series of a retry or dead-letter topic of the pipeline.
func (p *Pipeline) DeclareTopic(topic string) {
	if p == nil {
		return
	}
	p.produceFailed.memberFor(topic)
}
