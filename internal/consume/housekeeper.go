package consume

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"

	"sluice/internal/observe"
)

const (
	// reportTimeout limits how long a progress report waits for end offsets.
	reportTimeout = 2 * time.Second
	// deletionEvery is the number of housekeeping intervals between two deletions.
	deletionEvery = 12
)

// housekeeper does the recurring work of a pipeline.
type housekeeper struct {
	assignments *assignments
	reporter    *progressReporter
	cleaner     *retryCleaner
	faults      *fetchFaults

	intervals int // since the last deletion; the first one follows one interval early
}

func (h *housekeeper) runInterval(ctx context.Context) {
	h.reporter.reportProgress(ctx)
	h.faults.retryFailed()
	h.intervals++
	if h.intervals >= deletionEvery {
		h.intervals = 0
		h.cleaner.deleteSettled(ctx, h.assignments.listAll())
	}
}

// progressReporter reports the lag and age of each partition. It lists end offsets, because fetches
// return none while nothing is polled, and that is when the lag grows.
type progressReporter struct {
	topics      []string
	admin       *kadm.Client
	assignments *assignments
	obs         *observe.Pipeline
}

func (r *progressReporter) reportProgress(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	ends, _ := r.admin.ListEndOffsets(ctx, r.topics...) // on error the last fetched end is used
	r.assignments.mu.Lock()
	defer r.assignments.mu.Unlock()
	now := time.Now()
	for _, a := range r.assignments.byNumber {
		for _, p := range a.partitions() {
			r.reportPartition(p, ends, now)
		}
	}
}

func (r *progressReporter) reportPartition(reported *partition, ends kadm.ListedOffsets, now time.Time) {
	if end, ok := ends.Lookup(reported.topic, reported.number); ok && end.Err == nil {
		reported.highWatermark = end.Offset
	}
	progress := reported.tracker.Progress()
	age := time.Duration(0)
	if !progress.OldestTimestamp.IsZero() {
		age = now.Sub(progress.OldestTimestamp)
	}
	lag := max(reported.highWatermark-progress.Committable, 0)
	r.obs.ReportPartition(reported.topic, reported.number, lag, age, progress.Unsettled)
}

// retryCleaner deletes settled and committed records from retry partitions, so that they are not
// read again if the commit is lost: brokers expire the offsets of a topic that nothing reads.
type retryCleaner struct {
	admin       *kadm.Client
	assignments *assignments
	failure     *observe.Condition
}

func newRetryCleaner(admin *kadm.Client, table *assignments, log *zap.Logger) *retryCleaner {
	return &retryCleaner{admin: admin, assignments: table, failure: observe.NewCondition(log,
		"deletion of settled retry records failed, retrying", "settled retry records can be deleted again")}
}

// deleteSettled deletes the settled retry records of assignments. Failed deletions are retried by
// the next call.
func (c *retryCleaner) deleteSettled(ctx context.Context, assignments []*assignment) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	deletable := c.listDeletable(assignments)
	if len(deletable) == 0 {
		return
	}
	responses, err := c.admin.DeleteRecords(ctx, deletable)
	if err == nil {
		err = responses.Error()
	}
	if err != nil {
		c.failure.Begin(err)
	} else {
		c.failure.End()
	}
	c.assignments.mu.Lock()
	defer c.assignments.mu.Unlock()
	for _, a := range assignments {
		for _, p := range a.retries {
			if r, ok := responses.Lookup(p.topic, p.number); ok && r.Err == nil {
				p.deletedBelow = deletable[p.topic][p.number].At
			}
		}
	}
}

// listDeletable returns, for each retry partition, the offset below which records may be deleted.
func (c *retryCleaner) listDeletable(assignments []*assignment) kadm.Offsets {
	deletable := kadm.Offsets{}
	c.assignments.mu.Lock()
	defer c.assignments.mu.Unlock()
	for _, a := range assignments {
		for _, p := range a.retries {
			if p.confirmed > p.deletedBelow {
				deletable.AddOffset(p.topic, p.number, p.confirmed, -1)
			}
		}
	}
	return deletable
}
