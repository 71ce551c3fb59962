package deliver

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
)

// call makes one call with what is due, and does what the table says of its answer.
func (l *lane) call(ctx context.Context, p *permit) {
	defer p.cancel()
	defer l.tidy()
	w := l.pick(p)
	if w == nil || !l.vendorIsBack(ctx, p) {
		return
	}
	sent := l.announce(ctx, w, p.maxItems)
	if len(sent) == 0 {
		return
	}
	a, cut := l.send(ctx, sent)
	if cut {
		return
	}
	v := l.policy.verdictFor(callFacts{items: len(sent), tokenRefreshed: w.tokenRefreshed, poison: l.strike(sent, a)}, a)
	p.reportVerdict(v, a, len(sent))
	l.noteHealth(v, sent, a.RetryAfter)
	l.apply(ctx, p, w, sent, a, v)
}

// vendorIsBack makes the vendor's harmless call before a half-open breaker lets an item through, where the vendor has one.
func (l *lane) vendorIsBack(ctx context.Context, p *permit) bool {
	prober, ok := l.op.(sink.Prober)
	if !ok || !p.halfOpen {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	a := prober.Probe(ctx)
	if a.Class == sink.Unauthorized && l.policy.tokenRefreshable {
		if !l.renew(ctx, p, a) {
			return false
		}
		a = prober.Probe(ctx)
	}
	if a.Class == sink.Delivered {
		return true
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	p.reportVerdict(l.policy.verdictForProbe(a), a, 0)
	return false
}

// announce commits what the call will carry as sent, and gives it: less than what was due when an assignment has ended meanwhile, and nothing that
// moved up in its place.
func (l *lane) announce(ctx context.Context, w *bisection[*entry], most int) chunk {
	if l.draining {
		l.dropLate(w) // they need not be announced
	}
	due := w.nextCall(most)
	if !l.commitSent(ctx, due) {
		return nil
	}
	l.dropLate(w)
	due = w.nextCall(most)
	if i := slices.IndexFunc(due, l.mustAnnounce); i >= 0 {
		due = due[:i]
	}
	return due
}

// mustAnnounce tells whether the entry is not to be sent before it stands as sent. Where order is kept, that is for what may be repeated too: the broker takes the commit
// of no member that lost the partition without having heard of it, which would send an old state after a newer one.
func (l *lane) mustAnnounce(e *entry) bool {
	return (!l.policy.repeatable || l.policy.retryInPlace) && !e.Value.announced
}

// commitSent is false when ctx ended first.
func (l *lane) commitSent(ctx context.Context, due chunk) bool {
	l.records = l.records[:0]
	for _, e := range due {
		if l.mustAnnounce(e) {
			e.Value.announced = true
			l.records = append(l.records, e.Value.Record)
		}
	}
	return len(l.records) == 0 || l.ann.LogIntent(ctx, l.records) == nil
}

func (l *lane) dropLate(w *bisection[*entry]) {
	now := time.Now()
	if l.keep(w, func(e *entry) bool { return !l.late(e.Value.Record, now) }) > 0 {
		l.draining, l.look = true, true // there may be more of them
	}
}

// send makes the call. It is cut when ctx ended and nothing sure came back.
func (l *lane) send(ctx context.Context, sent chunk) (a sink.Response, cut bool) {
	l.items = l.items[:0]
	size, again := l.op.EnvelopeSize(sent[0].EnvelopeKey)+len(sent)-1, 0
	for _, e := range sent {
		l.items = append(l.items, e.Value.Item)
		size += e.Size
		if e.Value.maybe {
			again++
		}
	}
	if again > 0 && !l.policy.repeatable {
		l.obs.PossibleDuplicates(l.cfg.OperationName, again)
	}
	timed, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	start := time.Now()
	a = l.op.Send(timed, l.items)
	clear(l.items) // a lane that is idle holds no bodies
	fill := max(float64(len(sent))/float64(l.cfg.MaxItems), float64(size)/float64(l.cfg.MaxBytes))
	l.obs.VendorCall(l.cfg.OperationName, a.Class.String(), len(sent), min(fill, 1), time.Since(start))
	if mayHaveActed(a) {
		for _, e := range sent {
			e.Value.maybe = true
		}
	}
	return a, ctx.Err() != nil && a.Class != sink.Delivered
}

// strike counts, for each item, the failures over the request between which other calls passed. It tells whether this was the third for all of them: then
// the vendor fails on these items alone.
func (l *lane) strike(sent chunk, a sink.Response) (poison bool) {
	if !failedOnRequest(a) {
		return false
	}
	const enough = 3
	_, passes := l.gate.callLimits()
	poison = true
	for _, e := range sent {
		struck := e.Value.strikes == 0 || passes > e.Value.passes
		if struck {
			e.Value.strikes++
		}
		e.Value.passes = passes
		poison = poison && struck && e.Value.strikes >= enough
	}
	return poison
}

// noteHealth keeps the lane's own back-off: jitter, or longer where the vendor asked for it (503 with Retry-After).
func (l *lane) noteHealth(v verdict, sent chunk, asked time.Duration) {
	if v.signal == signalSuccess {
		l.failures = 0
		return
	}
	l.failed = nil
	if len(sent) == 1 {
		l.failed = sent[0].Value.Record
	}
	if v.backOff {
		wait := max(l.gate.jittered(l.failures), min(asked, l.cfg.RetryAfterCap))
		l.notBefore = time.Now().Add(wait)
		l.failures++
	}
}

// renew gets a new token, from an operation that can. Where none can be had the operation is held.
func (l *lane) renew(ctx context.Context, p *permit, a sink.Response) bool {
	timed, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	err := l.op.(sink.TokenRefresher).RefreshToken(timed, a.TokenVersion)
	if err == nil {
		return true
	}
	var unready *sink.DependencyError
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // we have called it off
	case errors.As(err, &unready):
		l.gate.holdForToken(p, unready.Response)
	default:
		l.gate.holdForToken(p, sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: err})
	}
	return false
}

// unsend takes back that these were sent, but for those that an earlier call may have brought to the vendor where that may do harm.
func (l *lane) unsend(sent chunk) {
	l.records = l.records[:0]
	for _, e := range sent {
		if e.Value.announced && (!e.Value.maybe || l.policy.repeatable) {
			e.Value.announced = false
			l.records = append(l.records, e.Value.Record)
		}
	}
	if len(l.records) > 0 {
		l.ann.ClearIntent(l.records)
	}
}

func (l *lane) outcome(j *job, f ruling, r sink.Result) record.Outcome {
	o := record.Outcome{
		Record: j.Record, OperationName: l.cfg.OperationName, Disposition: record.DispositionDelivered, Result: r, Attempt: j.Record.Attempt + j.attempts,
	}
	if f.kind == rulingDelivered {
		return o
	}
	o.Disposition, o.Cause, o.Stage, o.Reason = record.DispositionDead, f.cause, record.StageDeliver, reason(f.cause, r)
	if f.kind == rulingRetryTier || f.kind == rulingWaitInPlace {
		o.Disposition, o.Delay = record.DispositionRetry, f.delay
	}
	return o
}
