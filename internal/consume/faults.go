package consume

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/offset"
)

// fetchState states whether a partition can be fetched.
type fetchState uint8

const (
	fetchHealthy fetchState = iota
	// fetchFailed: the partition is paused, because the client would retry immediately.
	fetchFailed
	// fetchRetrying: the partition is being fetched again, and is healthy if that does not fail.
	fetchRetrying
	// fetchImpossible: no later fetch can succeed.
	fetchImpossible
)

// fetchFaults handles fetch errors: partitions that cannot be fetched, lost offsets, and truncated
// logs.
type fetchFaults struct {
	assignments *assignments
	pauser      *pauser
	handler     Handler
	log         *zap.Logger
	// wakeRecovery makes recovery check for assignments to recover.
	wakeRecovery func()

	active map[topicPartition]*fetchFault // guarded by assignments.mu
}

// fetchFault is a fault of one partition, from its first failed fetch until an interval passes
// without a failed one.
type fetchFault struct {
	condition *observe.Condition
	recurred  bool // it was reported since retryFailed last ran
}

func newFetchFaults(
	table *assignments, pauser *pauser, handler Handler, log *zap.Logger, wakeRecovery func(),
) *fetchFaults {
	return &fetchFaults{
		assignments: table, pauser: pauser, handler: handler, log: log, wakeRecovery: wakeRecovery,
		active: map[topicPartition]*fetchFault{},
	}
}

// handleErrors handles the errors of a poll. It must be called before the records of the poll are
// tracked: records that follow a truncation are new, although their offsets were seen before.
func (f *fetchFaults) handleErrors(ctx context.Context, fetches kgo.Fetches) {
	for _, e := range fetches.Errors() {
		if isStopping(ctx, e.Err) || errors.Is(e.Err, context.DeadlineExceeded) {
			continue
		}
		at := topicPartition{e.Topic, e.Partition}
		var loss *kgo.ErrDataLoss
		switch {
		case errors.As(e.Err, &loss):
			f.continueAfterTruncation(loss)
		case errors.Is(e.Err, kerr.OffsetOutOfRange) && e.Topic == f.assignments.sourceTopic:
			if f.assignments.loseOffset(e.Partition) {
				f.log.Error("offset lost, partition held", append(at.logFields(), zap.Error(e.Err))...)
			}
		default:
			f.markFailed(at, e.Err)
		}
	}
}

// isStopping reports whether an error only means that the pipeline is stopping.
func isStopping(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed)
}

// markFailed pauses a partition whose fetch failed until retryFailed runs.
func (f *fetchFaults) markFailed(at topicPartition, err error) {
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	fault := f.active[at]
	if fault == nil {
		fault = &fetchFault{condition: observe.NewCondition(f.log,
			"fetching failed, retrying", "fetching recovered", at.logFields()...)}
		f.active[at] = fault
	}
	fault.recurred = true
	fault.condition.Begin(err)
	p := f.assignments.findPartition(at)
	if p == nil {
		return
	}
	p.fetchState = fetchFailed
	if errors.Is(err, kgo.ErrMaxDecompress) {
		p.fetchState = fetchImpossible
	}
	f.pauser.addReason(pauseFetchFailed, at)
	f.assignments.updateHold()
}

// retryFailed resumes partitions whose last fetch failed, and ends the faults that have not
// recurred since it last ran.
func (f *fetchFaults) retryFailed() {
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	for at, fault := range f.active {
		p := f.assignments.findPartition(at)
		switch a := f.assignments.byNumber[at.number]; {
		case a != nil && a.ending: // no longer fetched
		case p != nil && p.fetchState == fetchImpossible:
		case fault.recurred:
			fault.recurred = false
			if p != nil {
				p.fetchState = fetchRetrying
				f.pauser.removeReason(pauseFetchFailed, at)
			}
		default:
			if p != nil {
				p.fetchState = fetchHealthy
			}
			fault.condition.End()
			delete(f.active, at)
		}
	}
	f.assignments.updateHold()
}

// forgetPartitions forgets the faults of assignments that have ended.
func (f *fetchFaults) forgetPartitions(ended []*assignment) {
	f.assignments.mu.Lock()
	defer f.assignments.mu.Unlock()
	for _, a := range ended {
		for _, p := range a.partitions() {
			delete(f.active, p.topicPartition)
		}
	}
}

// continueAfterTruncation prepares a truncated partition for the position from which the client
// continues. Offsets that were seen before may now have different records. Records fetched from
// below the truncation point must still be settled; those that the log has lost are released.
func (f *fetchFaults) continueAfterTruncation(loss *kgo.ErrDataLoss) {
	tracked := f.truncatePartition(loss)
	at := topicPartition{loss.Topic, loss.Partition}
	f.log.Error("log truncated, continuing from the truncation point", append(at.logFields(), zap.Int64("offset", loss.ResetTo))...)
	if tracked {
		f.handler.NotifyDraining()
	}
}

// truncatePartition truncates the partition's tracker, and reports whether it has one: it has none
// before it is recovered.
func (f *fetchFaults) truncatePartition(loss *kgo.ErrDataLoss) (tracked bool) {
	t := f.assignments
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.byNumber[loss.Partition]
	if a == nil || a.ending {
		return false
	}
	if a.source == nil { // recovery will start at the truncation point, not at the commit
		if loss.Topic == t.sourceTopic {
			a.committed = offset.Commit{Offset: loss.ResetTo, Epoch: -1}
			f.pauser.removeReason(pauseOffsetLost, topicPartition{loss.Topic, loss.Partition})
			f.wakeRecovery()
		}
		return false
	}
	p := t.findPartition(topicPartition{loss.Topic, loss.Partition})
	if p == nil {
		return false
	}
	p.tracker.Truncate(loss.ResetTo, loss.ResetToEpoch)
	p.confirmed = min(p.confirmed, loss.ResetTo)
	return true
}

// logFields returns the log fields of a partition. Errors that concern no partition have no topic.
func (at topicPartition) logFields() []zap.Field {
	if at.topic == "" {
		return nil
	}
	return []zap.Field{zap.String("topic", at.topic), zap.Int32("partition", at.number)}
}
