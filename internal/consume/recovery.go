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

// housekeepingInterval is the interval of progress reports and of retries of failed partitions.
const housekeepingInterval = 5 * time.Second

var recoveryBackoff = backoff.Policy{Min: 250 * time.Millisecond, Max: 10 * time.Second}

// recovery prepares new assignments: it determines the position of each of their partitions and
// which records are already settled, and then hands them to the fetchers.
type recovery struct {
	cfg         Config
	clients     *clients
	assignments *assignments
	pauser      *pauser
	committer   *committer
	obs         *observe.Pipeline
	log         *zap.Logger
	failure     *observe.Condition

	// pending is signaled when an assignment is waiting to be recovered.
	pending chan struct{}
}

func newRecovery(
	cfg Config, clients *clients, table *assignments, pauser *pauser, committer *committer,
	obs *observe.Pipeline, log *zap.Logger,
) *recovery {
	return &recovery{
		cfg: cfg, clients: clients, assignments: table, pauser: pauser, committer: committer, obs: obs, log: log,
		failure: observe.NewCondition(log, "partition recovery failed, retrying", "all partitions recovered"),
		pending: make(chan struct{}, 1),
	}
}

// wake makes run check for assignments that are waiting to be recovered.
func (r *recovery) wake() { notify.TrySignal(r.pending) }

// run recovers assignments until ctx ends, and calls housekeep at each interval.
func (r *recovery) run(ctx context.Context, housekeep func(context.Context)) {
	ticker := time.NewTicker(housekeepingInterval)
	defer ticker.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	var failures backoff.Counter
	for {
		select {
		case <-r.pending:
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

// recoverPending recovers the waiting assignments, and reports whether none is left. An assignment
// whose retry partitions do not exist yet or cannot be read does not keep the others from being
// recovered.
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
	r.appendMarkers(ctx, pending, snapshot)
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
	scanned, scanErr := scanRetryPartitions(ctx, r.cfg, prepared)
	for _, plan := range scanned {
		plan.settleCopies(r.obs)
	}
	owned, commitErr := r.committer.commitOwners(ctx, scanned)
	for _, plan := range owned {
		r.install(plan)
	}
	return errors.Join(append(failures, scanErr, commitErr)...)
}

// install hands a recovered assignment to the fetchers, unless it has been revoked or its committed
// offset has changed in the meantime.
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
