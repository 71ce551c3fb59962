package route

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/internal/notify"
	"sluice/internal/record"
)

// recheck is how often records that wait aside are tried again.
const recheck = 2 * time.Second

// aside holds what is settled or waited for beside the line. What it holds is bounded by the readers' credits.
type aside struct {
	mu       sync.Mutex
	outcomes []record.Outcome
	waiting  []waiting
	closed   bool

	wake chan struct{}
}

// waiting is a record that waits aside for its schema id, and since when.
type waiting struct {
	rec   *record.Record
	began time.Time
}

func newAside() *aside { return &aside{wake: make(chan struct{}, 1)} }

func (a *aside) settle(o record.Outcome) {
	a.mu.Lock()
	a.outcomes = append(a.outcomes, o)
	a.mu.Unlock()
	notify.TrySignal(a.wake)
}

func (a *aside) wait(w waiting) {
	a.mu.Lock()
	a.waiting = append(a.waiting, w)
	a.mu.Unlock()
	notify.TrySignal(a.wake)
}

func (a *aside) take() (outcomes []record.Outcome, arrived []waiting, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	outcomes, arrived = a.outcomes, a.waiting
	a.outcomes, a.waiting = nil, nil
	return outcomes, arrived, a.closed
}

// Close says that Handle will not be called again: Run returns when nothing is left aside.
func (r *Router) Close() {
	r.aside.mu.Lock()
	r.aside.closed = true
	r.aside.mu.Unlock()
	notify.TrySignal(r.aside.wake)
}

// Run settles what does not go down the line, until Close and nothing is left aside. After the end of ctx nothing is waited for: what still
// would have to is let go.
func (r *Router) Run(ctx context.Context) {
	timer := time.NewTimer(recheck)
	defer timer.Stop()
	defer r.holds.flood(false)
	var later []waiting
	var held []record.Outcome
	for {
		outcomes, arrived, closed := r.aside.take()
		outcomes, held = r.sift(ctx, append(held, outcomes...))
		if len(outcomes) > 0 {
			_ = r.settler.Settle(ctx, outcomes) // its only error is ctx's, and then it has dropped them
		}
		later = slices.DeleteFunc(append(later, arrived...), func(w waiting) bool { return dropIfEnding(ctx, w.rec, r.obs) })
		nothing := len(outcomes)+len(held)+len(later) == 0
		later = r.again(ctx, later)
		if closed && nothing {
			return
		}
		if !closed || len(held)+len(later) > 0 {
			r.idle(ctx, timer, len(held)+len(later) > 0)
		}
	}
}

// idle waits for something to do; with records waiting, no longer than until they are tried again.
func (r *Router) idle(ctx context.Context, timer *time.Timer, waiting bool) {
	timer.Reset(recheck)
	due, done := timer.C, ctx.Done()
	if !waiting {
		due = nil
	}
	if !waiting && ctx.Err() != nil {
		done = nil // it was seen, and nothing waits that it lets go
	}
	select {
	case <-r.aside.wake:
	case <-due:
	case <-done:
	}
}

// again tries records that waited aside, and gives those that still must. Where more than a schema id is missing, the others are not tried: each
// might take a time-out, and meanwhile nothing else is settled.
func (r *Router) again(ctx context.Context, tried []waiting) []waiting {
	var rest []waiting
	var held wait
	for i, t := range tried {
		w := r.try(ctx, t.rec, t.began)
		if w.reason == "" {
			continue
		}
		held = w
		if w.reason != unknownID {
			rest = append(rest, tried[i:]...)
			break
		}
		rest = append(rest, t)
	}
	if ctx.Err() != nil {
		held = wait{} // what is left is let go next
	}
	r.holds.state(r.aside, held)
	return rest
}
