package consume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"sluice/internal/backoff"
	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/record"
)

// commitTimeout limits one round of commit requests, and the final commit of an assignment.
const commitTimeout = 10 * time.Second

var (
	commitBackoff      = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	finalCommitBackoff = backoff.Policy{Min: 100 * time.Millisecond, Max: 100 * time.Millisecond}
)

// committer commits the pending commits of the trackers, with one commit in flight at a time, so
// that commits batch by themselves under load. It is safe for concurrent use.
type committer struct {
	groupName   string
	interval    time.Duration
	clients     *clients
	assignments *assignments
	obs         *observe.Pipeline
	log         *zap.Logger
	failure     *observe.Condition

	changed chan struct{} // signaled when a tracker has something to commit
	urgent  chan struct{} // signaled when a call is waiting for a commit
	// unanswered is signaled when a commit of owners got no response.
	unanswered chan struct{}
	// slot is held from building a commit to reading its response, so that no older commit
	// overtakes a newer one. It is taken before assignments.mu.
	slot chan struct{}
	// requestBytes is the most that a commit request may have; see sendCommits. The slot guards it.
	requestBytes int
	finished     notify.Broadcaster // notified after each round of commits
}

func newCommitter(cfg Config, clients *clients, table *assignments, obs *observe.Pipeline, log *zap.Logger) *committer {
	return &committer{
		groupName: cfg.Group, interval: cfg.CommitInterval, clients: clients, assignments: table, obs: obs, log: log,
		failure:    observe.NewCondition(log, "offset commit failed, retrying", "offset commit recovered"),
		changed:    make(chan struct{}, 1),
		urgent:     make(chan struct{}, 1),
		unanswered: make(chan struct{}, 1),
		slot:       make(chan struct{}, 1),

		requestBytes: initialCommitBytes,
	}
}

// run commits until ctx ends. It calls onCommitted after each successful round.
func (c *committer) run(ctx context.Context, onCommitted func()) {
	var failures backoff.Counter
	recommit := time.NewTimer(2 * commitTimeout)
	recommit.Stop()
	defer recommit.Stop()
	for {
		select {
		case <-c.changed:
		case <-c.urgent:
		case <-c.unanswered:
			recommit.Reset(2 * commitTimeout)
			continue
		case <-recommit.C:
			c.forceRecommit()
		case <-ctx.Done():
			return
		}
		err := c.commitPending(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.obs.CommitFailed()
			c.failure.Begin(err)
			if errors.Is(err, errNoResponse) {
				recommit.Reset(2 * commitTimeout)
			}
			notify.TrySignal(c.changed)
			_ = backoff.Sleep(ctx, failures.Next(commitBackoff)) // the select above sees the end of ctx
			continue
		}
		c.failure.End()
		failures.Reset()
		onCommitted()
		c.waitInterval(ctx)
	}
}

// waitInterval waits for the commit interval, unless a call is waiting for a commit.
func (c *committer) waitInterval(ctx context.Context) {
	if c.interval <= 0 {
		return
	}
	timer := time.NewTimer(c.interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.urgent:
		notify.TrySignal(c.urgent)
	case <-ctx.Done():
	}
}

// forceRecommit makes every tracker commit once more. A commit without a response may have reached
// the broker after a newer one and rewound the group.
func (c *committer) forceRecommit() {
	c.assignments.mu.Lock()
	defer c.assignments.mu.Unlock()
	for _, a := range c.assignments.byNumber {
		for _, p := range a.partitions() {
			p.tracker.ForceRecommit()
		}
	}
}

// commitPending commits what is pending in live assignments. The retry partitions go in a separate
// request, because a broker may refuse them to a member of an older epoch (KIP-848). They wait
// until their source partition's commit has succeeded: recovery considers a source record settled
// by the source's commit, or by a copy that is not settled itself.
func (c *committer) commitPending(ctx context.Context) error {
	c.slot <- struct{}{}
	defer func() { <-c.slot }()
	defer c.finished.Notify()
	c.assignments.mu.Lock()
	source, retries := collectCommits(c.assignments.sortedByNumber(), (*offset.Tracker).PendingCommit)
	c.assignments.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	failed, sourceErr := c.sendCommits(ctx, source)
	_, retryErr := c.sendCommits(ctx, withoutFailed(retries, failed))
	return errors.Join(sourceErr, retryErr)
}

// commitOwners commits the new owner of each retry partition of the plans, with what the scan found
// there. It returns the plans for which the coordinator has accepted that.
//
// Only then may the owner write to its retry partitions: until then, the next owner would take what
// it finds there behind the marker for late copies. And only the coordinator knows that this member
// owns the partitions. The slot is held so that a revoke waits for the response.
func (c *committer) commitOwners(ctx context.Context, plans []*recoveryPlan) ([]*recoveryPlan, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	select {
	case c.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to commit the owner of retry partitions: %w", ctx.Err())
	}
	defer func() { <-c.slot }()
	var batch []pendingCommit
	c.assignments.mu.Lock()
	plans = slices.DeleteFunc(plans, func(plan *recoveryPlan) bool { return plan.assignment.ending })
	c.assignments.mu.Unlock()
	for _, plan := range plans {
		for _, p := range plan.retries {
			if commit, ok := p.tracker.PendingCommit(); ok {
				batch = append(batch, pendingCommit{p, commit})
			}
		}
	}
	failed, err := c.sendCommits(ctx, batch)
	if errors.Is(err, kerr.OffsetMetadataTooLarge) { // refused metadata is left out from now on
		failed, err = c.sendCommits(ctx, failed)
	}
	if errors.Is(err, errNoResponse) {
		notify.TrySignal(c.unanswered)
	}
	return withoutFailedPlans(plans, failed), err
}

// finishAssignments fences assignments and, where their partitions are still owned, commits what
// was settled until then: the source partitions first, as in commitPending.
func (c *committer) finishAssignments(workCtx context.Context, ending []*assignment, stillOwned bool) {
	c.slot <- struct{}{}
	defer func() { <-c.slot }()
	source, retries := collectCommits(ending, (*offset.Tracker).Fence)
	for _, a := range ending {
		a.cancel()
	}
	c.finished.Notify()
	if !stillOwned {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(workCtx), finalCommitTimeout(workCtx))
	defer cancel()
	failed, sourceErr := c.commitUntilDone(ctx, source)
	_, retryErr := c.commitUntilDone(ctx, withoutFailed(retries, failed))
	for _, err := range []error{sourceErr, retryErr} {
		if err != nil {
			c.obs.CommitFailed()
			c.log.Warn("final commit failed; records will be redelivered", zap.Error(err))
		}
	}
}

// finalCommitTimeout is short once the work context has ended, because the process is about to
// exit.
func finalCommitTimeout(workCtx context.Context) time.Duration {
	if workCtx.Err() != nil {
		return time.Second
	}
	return commitTimeout
}

// commitUntilDone sends the final commits of assignments. No later commit makes up for a failed
// one, so it retries until all are confirmed, ctx ends, or the group no longer knows this member.
// It returns the commits that failed.
func (c *committer) commitUntilDone(ctx context.Context, batch []pendingCommit) ([]pendingCommit, error) {
	failed := batch
	err := backoff.RetryUntil(ctx, finalCommitBackoff, func() (err error) {
		failed, err = c.sendCommits(ctx, failed)
		if isExpelled(err) {
			return backoff.Permanent(err)
		}
		return err
	}, nil)
	return failed, err
}

// logIntent commits that a call may carry these records. It returns when the broker has confirmed
// that for every record whose assignment has not ended, or with ctx's error.
func (c *committer) logIntent(ctx context.Context, intents []record.Intent) error {
	versions := make([]uint64, len(intents))
	for i, intent := range intents {
		if intent.Resend {
			versions[i] = intent.Record.Entry.MarkResendIntent()
		} else {
			versions[i] = intent.Record.Entry.MarkIntent()
		}
	}
	for i := 0; i < len(intents); {
		next := c.finished.Next()
		for i < len(intents) && intents[i].Record.Entry.IntentCommitted(versions[i]) {
			i++
		}
		if i == len(intents) {
			break
		}
		notify.TrySignal(c.urgent)
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// clearIntent takes logIntent back for a call on which the vendor did not act.
func (c *committer) clearIntent(intents []record.Intent) {
	for _, intent := range intents {
		if intent.Resend {
			intent.Record.Entry.MarkIntent()
		} else {
			intent.Record.Entry.ClearIntent()
		}
	}
}
