package consume

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// drainer ends assignments: on a revoke from the group client's goroutine, on a stop from that of
// Group.Run.
type drainer struct {
	timeout     time.Duration
	clients     *clients
	assignments *assignments
	committer   *committer
	faults      *fetchFaults
	handler     Handler
	log         *zap.Logger
}

// endAssignments ends the assignments of source partitions. No call starts any more that could not
// finish in time, and it waits for the records in flight, unless the partitions are no longer owned
// or workCtx ends. Then the trackers are fenced and the final commits are sent.
func (d *drainer) endAssignments(workCtx context.Context, numbers []int32, stillOwned bool) {
	<-d.clients.joined
	ending, others := d.assignments.beginEnding(numbers)
	d.clients.retry.RemoveConsumePartitions(retryPartitionsOf(ending))
	defer waitEnded(others)
	if len(ending) == 0 {
		return
	}
	deadline := time.Now()
	if stillOwned {
		deadline = deadline.Add(d.timeout)
	}
	for _, a := range ending {
		for _, p := range a.partitions() {
			p.tracker.StartDraining(deadline)
		}
	}
	d.handler.NotifyDraining()
	if stillOwned {
		d.waitIdle(workCtx, ending)
	}
	d.committer.finishAssignments(workCtx, ending, stillOwned)
	d.faults.forgetPartitions(ending)
	d.assignments.forget(ending)
	d.handler.NotifyDraining()
}

// waitIdle waits until no record of the assignments is in flight, for at most the drain timeout.
func (d *drainer) waitIdle(workCtx context.Context, ending []*assignment) {
	deadline := time.NewTimer(d.timeout)
	defer deadline.Stop()
	for _, a := range ending {
		for _, p := range a.partitions() {
			select {
			case <-p.tracker.Idle():
			case <-workCtx.Done():
				return
			case <-deadline.C:
				d.log.Warn("drain timed out; unsettled records will be redelivered",
					append(p.logFields(), zap.Int("unsettled", p.tracker.Progress().Unsettled))...)
				return
			}
		}
	}
}
