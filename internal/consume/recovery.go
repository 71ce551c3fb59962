package consume

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/backoff"
	"sluice/internal/notify"
	"sluice/internal/observe"
)

// housekeepingInterval is how often progress is reported and failed partitions are fetched again.
const housekeepingInterval = 5 * time.Second

var recoveryBackoff = backoff.Policy{Min: 250 * time.Millisecond, Max: 10 * time.Second}

// recovery recovers new assignments: it finds out where their partitions are to be read from and
// which of their records are settled already, and then lets the fetchers have them.
type recovery struct {
	cfg         Config
	clients     *clients
	assignments *assignments
	pauser      *pauser
	obs         *observe.Pipeline
	log         *zap.Logger
	failure     *observe.Condition

	// arrivals signals that an assignment waits for its recovery.
	arrivals chan struct{}
	// commitNeeded is what new trackers signal.
	commitNeeded chan<- struct{}
}

func newRecovery(
	cfg Config, clients *clients, table *assignments, pauser *pauser, commitNeeded chan<- struct{},
	obs *observe.Pipeline, log *zap.Logger,
) *recovery {
	return &recovery{
		cfg: cfg, clients: clients, assignments: table, pauser: pauser, obs: obs, log: log,
		failure:      observe.NewCondition(log, "partition recovery failed, retrying", "all partitions recovered"),
		arrivals:     make(chan struct{}, 1),
		commitNeeded: commitNeeded,
	}
}

// wake makes run look for assignments that wait for their recovery.
func (r *recovery) wake() { notify.TrySignal(r.arrivals) }

// run recovers assignments until ctx ends, and runs housekeep at each interval in between.
func (r *recovery) run(ctx context.Context, housekeep func(context.Context)) {
	ticker := time.NewTicker(housekeepingInterval)
	defer ticker.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	var failures backoff.Counter
	for {
		select {
		case <-r.arrivals:
			failures.Reset()
		case <-retry.C:
		case <-ticker.C:
			housekeep(ctx)
			continue
		case <-ctx.Done():
			return
		}
		if r.recoverPending(ctx) {
			failures.Reset()
			continue
		}
		retry.Reset(failures.Next(recoveryBackoff))
	}
}

// recoverPending recovers what waits for it, and reports whether nothing waits any more. An
// assignment whose retry partitions do not exist yet or cannot be read waits alone.
func (r *recovery) recoverPending(ctx context.Context) (done bool) {
	pending := r.assignments.listUnrecovered()
	if len(pending) == 0 {
		r.failure.End()
		return true
	}
	err := r.recoverAssignments(ctx, pending)
	if ctx.Err() != nil {
		return true
	}
	r.assignments.noteRecovery(pending)
	if err != nil {
		r.failure.Begin(err)
		return false
	}
	r.failure.End()
	return true
}

func (r *recovery) recoverAssignments(ctx context.Context, pending []*assignment) error {
	snapshot, err := r.takeSnapshot(ctx)
	if err != nil {
		return err
	}
	var prepared []*recoveryPlan
	var failures []error
	for _, a := range pending {
		plan, err := r.prepareAssignment(a, snapshot)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		prepared = append(prepared, plan)
	}
	scanned, err := scanRetryPartitions(ctx, r.cfg, prepared)
	for _, plan := range scanned {
		plan.settleCopies(r.obs)
		r.install(plan)
	}
	return errors.Join(append(failures, err)...)
}

// install gives a recovered assignment to the fetchers, unless it was revoked or its committed
// offset was replaced meanwhile.
func (r *recovery) install(plan *recoveryPlan) {
	a := plan.assignment
	r.assignments.mu.Lock()
	defer r.assignments.mu.Unlock()
	if a.ending || a.committed != plan.committed {
		return
	}
	a.source, a.retries = plan.source, plan.retries
	positions := map[string]map[int32]kgo.Offset{}
	for _, p := range plan.retries {
		at := plan.retryPositions[p.topic]
		setPartition(positions, p.topicPartition, kgo.NewOffset().At(at.Offset).WithEpoch(at.Epoch))
	}
	r.clients.retry.AddConsumePartitions(positions)
	if plan.begin != plan.committed.Offset {
		r.clients.group.SetOffsets(map[string]map[int32]kgo.EpochOffset{
			plan.source.topic: {plan.source.number: {Epoch: -1, Offset: plan.begin}},
		})
	}
	r.pauser.removeReason(pauseRecovery, plan.source.topicPartition)
	r.log.Info("partition recovered", zap.Int32("partition", a.number),
		zap.Int64("offset", plan.source.tracker.Progress().Committable), zap.Int("retry_records", len(plan.copies)))
}

// setPartition sets the value of a partition in a map by topic and number.
func setPartition[V any](byTopic map[string]map[int32]V, at topicPartition, value V) {
	if byTopic[at.topic] == nil {
		byTopic[at.topic] = map[int32]V{}
	}
	byTopic[at.topic][at.number] = value
}
