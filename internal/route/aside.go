package route

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"sluice/internal/record"
	"sluice/internal/wake"
)

// recheck is how often records that wait aside are tried again.
const recheck = 2 * time.Second

// aside holds what is settled or waited for beside the line. What it holds is bounded by the readers' credits.
type aside struct {
	mu       sync.Mutex
	outcomes []record.Outcome
	waiting  []*record.Record
	closed   bool
	lastNote string

	wake chan struct{}
}

func newAside() *aside { return &aside{wake: make(chan struct{}, 1)} }

func (a *aside) settle(o record.Outcome) {
	a.mu.Lock()
	a.outcomes = append(a.outcomes, o)
	a.mu.Unlock()
	wake.Signal(a.wake)
}

func (a *aside) wait(rec *record.Record) {
	a.mu.Lock()
	a.waiting = append(a.waiting, rec)
	a.mu.Unlock()
	wake.Signal(a.wake)
}

func (a *aside) take() (outcomes []record.Outcome, waiting []*record.Record, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	outcomes, waiting = a.outcomes, a.waiting
	a.outcomes, a.waiting = nil, nil
	return outcomes, waiting, a.closed
}

// note logs what is waited for, once until it is something else.
func (a *aside) note(log *zap.Logger, what string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lastNote != what {
		a.lastNote = what
		log.Warn(what, zap.Error(err))
	}
}

// Close says that Handle will not be called again: Run returns when nothing is left aside.
func (r *Router) Close() {
	r.aside.mu.Lock()
	r.aside.closed = true
	r.aside.mu.Unlock()
	wake.Signal(r.aside.wake)
}

// Run settles what does not go down the line, until Close or the end of ctx; then it lets go of what it still holds.
func (r *Router) Run(ctx context.Context) {
	timer := time.NewTimer(recheck)
	defer timer.Stop()
	var waiting []*record.Record
	for {
		outcomes, arrived, closed := r.aside.take()
		if len(outcomes) > 0 {
			_ = r.settler.Settle(ctx, outcomes) // its only error is ctx's, and then it has dropped them
		}
		waiting = append(waiting, arrived...)
		dropEnding(ctx, waiting, r.obs)
		waiting = r.again(ctx, waiting)
		if ctx.Err() != nil || closed && len(outcomes)+len(arrived) == 0 {
			return
		}
		if len(outcomes) == 0 {
			r.idle(ctx, timer, len(waiting) > 0)
		}
	}
}

// idle waits for something to do; with records waiting, no longer than until they are tried again.
func (r *Router) idle(ctx context.Context, timer *time.Timer, waiting bool) {
	timer.Reset(recheck)
	due := timer.C
	if !waiting {
		due = nil
	}
	select {
	case <-r.aside.wake:
	case <-due:
	case <-ctx.Done():
	}
}

// again tries records that waited aside, and gives those that still must.
func (r *Router) again(ctx context.Context, waiting []*record.Record) []*record.Record {
	var rest []*record.Record
	for _, rec := range waiting {
		if rec != nil && r.try(ctx, rec) != "" {
			rest = append(rest, rec)
		}
	}
	return rest
}
