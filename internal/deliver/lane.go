package deliver

import (
	"context"
	"slices"
	"time"

	"sluice/internal/batch"
	"sluice/internal/guard"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// job is a Job in its lane.
type job struct {
	Delivery
	delay     time.Duration // the last retry delay that it has waited
	failedAt  time.Time     // when it was first refused for now, here or before; zero: never
	attempts  int           // made in this lane
	resends   int           // after an unknown outcome
	announced bool          // committed as sent
	maybe     bool          // an earlier call may have reached the vendor
	strikes   int           // failures over it, each with a passing call since the one before
	passes    uint64        // calls that had passed when it failed last
	held      uint64        // by the guard: 1 and the operator's releases until then; 0: never
	refusal   *sink.Result  // of a culprit whose batch is still searched
}

type (
	entry = batch.Entry[job]
	chunk = []*entry
)

// lane is one goroutine with one request in flight. Its fields, the inbox aside, belong to that goroutine.
type lane struct {
	id      int
	op      sink.Operation
	cfg     Config
	policy  policy
	gate    *gate
	ann     IntentLog
	settler Settler
	obs     *observe.Pipeline
	inbox   *inbox

	queue *batch.Queue[job]
	// stack is what was taken from the queue and has not ended, the next on top: a batch is searched or cut before another one is taken.
	stack     []*bisection[*entry]
	held      bisection[*entry] // refused while the guard is tripped; they are the probes, in turn with what waits in the queue
	known     []known           // refused then too, and never to be sent again
	heldNext  bool              // one of held is the next probe
	closed    bool
	draining  bool           // there may be records whose assignment is ending
	look      bool           // and some may have to go now
	failures  int            // calls in a row that found the vendor unavailable
	notBefore time.Time      // of the next call, after a failure
	failed    *record.Record // of the call of one item that failed last

	timer   *time.Timer
	spare   []Delivery
	items   []sink.Item
	records []*record.Record
	outs    []record.Outcome
	counted []guard.Result
}

func newLane(id int, op sink.Operation, cfg Config, g *gate, ann IntentLog, settler Settler, obs *observe.Pipeline) *lane {
	_, renewable := op.(sink.TokenRefresher)
	l := &lane{id: id, op: op, cfg: cfg, gate: g, ann: ann, settler: settler, obs: obs, inbox: newInbox()}
	l.policy = policy{
		repeatable: op.Spec().Repeatable, tokenRefreshable: renewable, unknownPolicy: cfg.UnknownPolicy, maxResends: cfg.MaxResends,
		retryDelays: cfg.RetryDelays, maxAge: cfg.MaxAge, retryInPlace: cfg.RetryInPlace,
	}
	l.queue = batch.NewQueue[job](batch.Limits{Items: cfg.MaxItems, Bytes: cfg.MaxBytes, Linger: cfg.Linger}, op.EnvelopeSize)
	return l
}

// run takes turns until ctx ends, or until the lane is closed and empty.
func (l *lane) run(ctx context.Context) {
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	defer l.gate.withdraw(l.id)
	for ctx.Err() == nil {
		if !l.intake(ctx) {
			break
		}
		if l.closed && l.empty() {
			return
		}
		l.turn(ctx)
	}
	l.abandon()
}

// turn ends what waited for something that has come, then makes one call, or waits for the reason why there is none. What has to go goes first: with the
// last of a batch that was to be sent its search is over.
func (l *lane) turn(ctx context.Context) {
	if l.look {
		now := time.Now()
		l.shed(now, now)
	}
	l.bury(ctx)
	l.goOn(ctx)
	now := time.Now()
	if l.closed && l.empty() {
		return // nothing would end a wait
	}
	if ready, wait := l.ready(now); !ready {
		l.gate.withdraw(l.id)
		l.stall(ctx, denial{wait: wait})
		return
	}
	if wait := l.notBefore.Sub(now); wait > 0 {
		l.gate.withdraw(l.id)
		l.stall(ctx, denial{wait: wait})
		return
	}
	p, r := l.gate.admit(l.id, now)
	if p == nil {
		l.stall(ctx, r)
		return
	}
	l.call(ctx, p)
}

// intake takes what was dispatched. It is false when ctx ended on the way. At the close too the lane looks whose assignment has ended, so that nothing that
// could wait for ever is left.
func (l *lane) intake(ctx context.Context) bool {
	jobs, flushed, closed := l.inbox.take(l.spare)
	now := time.Now()
	l.outs = l.outs[:0]
	for _, j := range jobs {
		l.accept(j, now)
	}
	clear(jobs)
	l.spare = jobs
	if flushed || closed && !l.closed {
		l.draining, l.look = true, true
	}
	if closed && !l.closed {
		l.closed = true
		l.queue.SkipLinger(func(*entry) bool { return true })
	}
	return l.settle(ctx)
}

// accept queues a job. One that an earlier owner may have sent goes by the policy for unknown outcomes.
func (l *lane) accept(j Delivery, now time.Time) {
	own := job{Delivery: j, delay: j.Record.TierDelay, failedAt: j.Record.FirstFailed}
	if j.Record.OutcomeUnknown && !l.policy.repeatable {
		own.attempts, own.announced, own.maybe = 1, true, true
		f := l.policy.rulingForPriorIntent(l.history(&own, now))
		if f.kind != rulingResend && j.Record.Fenced() {
			j.Record.Release()
			l.obs.RecordsReleased(1)
			return
		}
		if f.kind != rulingResend {
			l.outs = append(l.outs, l.outcome(&own, f, sink.Result{}))
			return
		}
		own.resends = 1
	}
	l.queue.Add(entry{Value: own, EnvelopeKey: j.Item.EnvelopeKey, OrderKey: j.OrderKey, EntityKey: j.Item.EntityKey, Size: len(j.Item.Body), ArrivedAt: now})
}

// settle hands the outcomes gathered on. It is false when ctx ended on the way; the settler has dropped the records then.
func (l *lane) settle(ctx context.Context) bool {
	if len(l.outs) == 0 {
		return true
	}
	err := l.settler.Settle(ctx, l.outs)
	clear(l.outs)
	return err == nil
}

func (l *lane) ready(now time.Time) (bool, time.Duration) {
	if len(l.stack)+len(l.held.remainder) > 0 {
		return true, 0
	}
	if l.queue.Len() == 0 {
		return false, batch.Forever
	}
	most, _ := l.gate.callLimits()
	return l.queue.NextReady(now, most)
}

// stall waits for a refusal to end. Records whose assignment is ending do not wait: they are dropped at once, or, where only the pace is in the way, when
// the call would come too late for them.
func (l *lane) stall(ctx context.Context, r denial) {
	if l.draining {
		now, start := time.Now(), farOff
		if r.rateLimited {
			start = now.Add(r.wait)
		}
		if l.shed(now, start) > 0 {
			return
		}
	}
	l.wait(ctx, r.wait, r.changed)
}

// wait ends with the time, a change of the gate, something new in the inbox, or ctx.
func (l *lane) wait(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	var over <-chan time.Time
	if d < batch.Forever {
		l.timer.Reset(d)
		over = l.timer.C
	}
	select {
	case <-ctx.Done():
	case <-l.inbox.wake:
	case <-changed:
	case <-over:
	}
}

func (l *lane) history(j *job, now time.Time) attemptHistory {
	return attemptHistory{lastDelay: j.delay, age: l.gate.age(j.failedAt, now), resends: j.resends}
}

// pick gives the work that the next call is made of. A trial takes another item than the one that failed last, where there is one.
func (l *lane) pick(p *permit) *bisection[*entry] {
	if p.probe {
		for _, w := range slices.Backward(l.stack) {
			if w.preferOther(func(e *entry) bool { return e.Value.Record == l.failed }) {
				return w
			}
		}
	}
	if p.probe || len(l.stack) == 0 {
		if taken := l.take(p); len(taken) > 0 {
			l.stack = append(l.stack, &bisection[*entry]{remainder: taken})
		}
	}
	if len(l.stack) == 0 {
		return nil
	}
	return l.stack[len(l.stack)-1]
}

// tidy forgets work that has ended.
func (l *lane) tidy() {
	l.stack = slices.DeleteFunc(l.stack, func(w *bisection[*entry]) bool { return w.isEmpty() })
}
