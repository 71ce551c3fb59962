package route

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/record"
)

// deferredInterval is how often deferred records are tried again.
const deferredInterval = 2 * time.Second

// deferredQueue contains the work that Run does in place of Handle, so that fetching continues:
// outcomes to settle, and records that wait for their schema ID. The credits of the records bound
// its size. It is safe for concurrent use.
type deferredQueue struct {
	mu       sync.Mutex
	outcomes []record.Outcome
	records  []deferredRecord
	closed   bool

	wake chan struct{} // buffered for one signal
}

// deferredRecord is a record whose schema ID has been unknown since unknownSince.
type deferredRecord struct {
	rec          *record.Record
	unknownSince time.Time
}

func newDeferredQueue() *deferredQueue { return &deferredQueue{wake: make(chan struct{}, 1)} }

func (q *deferredQueue) addOutcome(outcome record.Outcome) {
	q.mu.Lock()
	q.outcomes = append(q.outcomes, outcome)
	q.mu.Unlock()
	notify.TrySignal(q.wake)
}

func (q *deferredQueue) addRecord(deferred deferredRecord) {
	q.mu.Lock()
	q.records = append(q.records, deferred)
	q.mu.Unlock()
	notify.TrySignal(q.wake)
}

func (q *deferredQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	notify.TrySignal(q.wake)
}

func (q *deferredQueue) takeAll() (outcomes []record.Outcome, records []deferredRecord, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	outcomes, records = q.outcomes, q.records
	q.outcomes, q.records = nil, nil
	return outcomes, records, q.closed
}

// Close makes Run return once nothing is deferred. Handle must not be called after Close.
func (r *Router) Close() { r.deferred.close() }

// Run settles the outcomes of records that Handle did not dispatch and tries deferred records
// again, until Close has been called and nothing is deferred. Once ctx has ended, it releases
// records that would have to wait.
func (r *Router) Run(ctx context.Context) {
	timer := time.NewTimer(deferredInterval)
	defer timer.Stop()
	defer r.holds.setFlood(false)
	var deferred []deferredRecord
	var held []record.Outcome
	for {
		outcomes, arrived, closed := r.deferred.takeAll()
		outcomes, held = r.filterSettleable(ctx, append(held, outcomes...))
		if len(outcomes) > 0 {
			_ = r.settler.Settle(ctx, outcomes) // fails only if ctx has ended, after releasing the records
		}
		deferred = slices.DeleteFunc(append(deferred, arrived...), func(d deferredRecord) bool {
			return r.releaseIfEnding(ctx, d.rec)
		})
		idle := len(outcomes)+len(held)+len(deferred) == 0
		deferred = r.retryDeferred(ctx, deferred)
		if closed && idle {
			return
		}
		if remaining := len(held)+len(deferred) > 0; remaining || !closed {
			r.awaitWork(ctx, timer, remaining)
		}
	}
}

// awaitWork waits until there is something to do. If remaining is true, something is to be tried
// again, and it waits at most deferredInterval and returns when ctx ends.
func (r *Router) awaitWork(ctx context.Context, timer *time.Timer, remaining bool) {
	timer.Reset(deferredInterval)
	due, done := timer.C, ctx.Done()
	if !remaining {
		due = nil
	}
	if !remaining && ctx.Err() != nil {
		done = nil // nothing is left to release, and the closed channel would make Run spin
	}
	select {
	case <-r.deferred.wake:
	case <-due:
	case <-done:
	}
}

// retryDeferred tries deferred records again and returns those that still have to wait. If it meets
// an obstacle other than an unknown schema ID, it does not try the rest: each attempt may take a
// full timeout, during which nothing else is settled.
func (r *Router) retryDeferred(ctx context.Context, records []deferredRecord) []deferredRecord {
	var remaining []deferredRecord
	var last obstacle
	for i, d := range records {
		o := r.routeRecord(ctx, d.rec, d.unknownSince)
		if !o.present() {
			continue
		}
		last = o
		if o.reason != observe.HoldUnknownSchemaID {
			remaining = append(remaining, records[i:]...)
			break
		}
		remaining = append(remaining, d)
	}
	if ctx.Err() != nil || !last.present() { // once ctx has ended, Run releases what remains
		r.holds.endWait(r.deferred, len(records) > 0 && !last.present())
	} else {
		r.holds.recordWait(r.deferred, last)
	}
	return remaining
}
