package deliver

import (
	"slices"
	"time"

	"sluice/internal/batch"
	"sluice/internal/observe"
	"sluice/internal/record"
)

// backlog is everything that a lane has: the deliveries in its queue, the batches that it took from
// the queue and has not finished, and the quarantine.
type backlog struct {
	queue *batch.Queue[Delivery]
	// bisections are the batches taken from the queue. The last one is next: a batch is finished
	// before another one is taken.
	bisections []*bisection[*entry]
	quarantine quarantine
	intents    *intentKeeper
	obs        *observe.Pipeline
	timeout    time.Duration // of a call
	queueTurn  bool          // probes come from the queue and the quarantine in turn

	draining   bool // some records may belong to an ending assignment
	releaseDue bool // some of those may have to be released now
}

func newBacklog(op *operation) *backlog {
	limits := batch.Limits{Items: op.cfg.MaxItems, Bytes: op.cfg.MaxBytes, Linger: op.cfg.Linger}
	return &backlog{
		queue:      batch.NewQueue[Delivery](limits, op.EnvelopeSize),
		quarantine: quarantine{guard: op.cfg.Guard},
		intents:    &intentKeeper{log: op.intents, policy: op.policy},
		obs:        op.obs,
		timeout:    op.cfg.Timeout,
	}
}

func (b *backlog) isEmpty() bool {
	return len(b.bisections)+b.queue.Len() == 0 && b.quarantine.isEmpty()
}

// nextBatch returns the bisection from which the next call is taken, or nil if there is none. A
// probe avoids lastFailed if it can carry another item.
func (b *backlog) nextBatch(permit *permit, lastFailed *record.Record) *bisection[*entry] {
	if permit.probe {
		for _, search := range slices.Backward(b.bisections) {
			if search.preferOther(func(e *entry) bool { return e.Value.Record == lastFailed }) {
				return search
			}
		}
	}
	if permit.probe || len(b.bisections) == 0 {
		if taken := b.takeBatch(permit); len(taken) > 0 {
			b.pushBatch(taken, 0)
		}
	}
	if len(b.bisections) == 0 {
		return nil
	}
	return b.bisections[len(b.bisections)-1]
}

// takeBatch takes a batch from the queue, or a probe from the quarantine. Probes alternate between
// the two: one from the queue shows whether new records are accepted, one from the quarantine
// whether the vendor has been repaired.
func (b *backlog) takeBatch(permit *permit) []*entry {
	b.queueTurn = !b.queueTurn
	if permit.probe && !b.queueTurn {
		if probe := b.quarantine.takeProbe(); probe != nil {
			return probe
		}
	}
	taken := b.queue.TakeBatch(time.Now(), permit.maxItems)
	if permit.probe && len(taken) == 0 {
		return b.quarantine.takeProbe()
	}
	return taken
}

// pushBatch makes the entries the next batch, to be sent in calls of at most maxItems items; 0 sets
// no limit.
func (b *backlog) pushBatch(entries []*entry, maxItems int) {
	b.bisections = append(b.bisections, &bisection[*entry]{remainder: entries, maxItems: maxItems})
}

// pruneBatches removes the batches that have nothing left.
func (b *backlog) pruneBatches() {
	b.bisections = slices.DeleteFunc(b.bisections, func(search *bisection[*entry]) bool { return search.isEmpty() })
}

// finishEntries removes entries whose records are settled.
func (b *backlog) finishEntries(entries []*entry) {
	for _, e := range entries {
		b.queue.Finish(e)
	}
}

// delayEntries returns entries to the queue until their retry delay has elapsed. If their
// assignment is ending, the next turn releases them together with what follows them.
func (b *backlog) delayEntries(entries []*entry, now time.Time) {
	b.intents.clearUnlessActed(entries)
	for _, e := range entries {
		b.queue.Return(e, now.Add(e.Value.lastDelay))
		if isDraining(e.Value.Record) {
			b.requestRelease()
		}
	}
}
