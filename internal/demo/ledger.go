package demo

import (
	"math"
	"slices"
	"sync"
	"time"

	"sluice/internal/sink"
)

// expectation is the outcome that the script expects for a record.
type expectation uint8

const (
	expectDelivered expectation = iota // the vendor accepts it eventually
	expectDead                         // it becomes a dead letter
	expectSkipped                      // a rule of the configuration skips it
)

// producedRecord is a record that the broker has confirmed.
type producedRecord struct {
	origin    sink.Origin
	pipeline  string
	operation string // full name; empty if no operation handles the record
	vendorID  string // id in the vendor's ledger; empty if that is the origin
	expected  expectation
	category  string // poison, invalid, unmapped or tombstone; empty for other records
}

// recordPosition is the position of a record in one of the connector's own topics.
type recordPosition struct {
	topic     string
	partition int32
	offset    int64
}

// acceptance is what a vendor's ledger contains about one item.
type acceptance struct {
	times int
	first time.Time
}

// vendorItem identifies an item in a vendor's ledger: the operation's full name and the vendor's
// id.
type vendorItem struct{ operation, id string }

// findings records where records were found, as seen from outside: in the vendors' ledgers, in the
// connector's topics and in the committed offsets. Records are identified by their origin,
// "<topic>-<partition>-<offset>".
type findings struct {
	accepted map[vendorItem]acceptance
	dead     map[string]int              // copies in dead-letter topics
	retries  map[string][]recordPosition // copies in retry topics, including settled ones
	commits  map[string]map[int32]int64  // committed offsets of source and retry topics, by topic and partition
	calls    map[string]callCount        // by operation
	lag      map[string]int64            // number of records not yet committed, by source topic
	// unexplained counts acceptances that no lost response explains, by operation. It is read once
	// no call is in progress.
	unexplained map[string]int
}

// callCount counts the calls to one operation and the items accepted in them.
type callCount struct{ calls, accepted int }

func newFindings() findings {
	return findings{
		accepted: map[vendorItem]acceptance{}, dead: map[string]int{}, retries: map[string][]recordPosition{},
		commits: map[string]map[int32]int64{}, calls: map[string]callCount{}, lag: map[string]int64{},
		unexplained: map[string]int{},
	}
}

// isCommitted reports whether the committed offset is beyond the position. Without a commit it is
// not.
func (f findings) isCommitted(at recordPosition) bool {
	next, ok := f.commits[at.topic][at.partition]
	return ok && at.offset < next
}

// location is where one record is.
type location struct {
	acceptance
	dead     int
	retrying bool
	settled  bool // its source offset is committed
}

func (f findings) locate(record producedRecord) location {
	origin := record.origin.ID()
	id := record.vendorID
	if id == "" {
		id = origin
	}
	return location{
		acceptance: f.accepted[vendorItem{record.operation, id}],
		dead:       f.dead[origin],
		retrying:   slices.ContainsFunc(f.retries[origin], func(at recordPosition) bool { return !f.isCommitted(at) }),
		settled:    f.isCommitted(recordPosition{record.origin.Topic, record.origin.Partition, record.origin.Offset}),
	}
}

// balance counts the outcomes of a set of records: Produced = Delivered + Retrying + Dead + Skipped
// + Unsettled + Lost.
type balance struct {
	figures     Figures
	calls       callCount
	delays      []time.Duration
	unexpected  int // records that did not end as the script expects
	unexplained int // duplicates without a reason; a lost response is a reason for a repeated delivery
}

// addRecord counts one record exactly once. If it is in several places, delivered takes precedence
// over dead and dead over retrying, and the other place is a duplicate. A copy in a retry topic of
// a record that ended elsewhere is not a duplicate, since only its commit is outstanding.
func (b *balance) addRecord(record producedRecord, found location) {
	figures := &b.figures
	figures.Produced++
	figures.Duplicates += max(0, found.times+found.dead-1)
	b.unexplained += max(0, found.dead-1)
	switch {
	case found.times > 0:
		figures.Delivered++
		b.delays = append(b.delays, found.first.Sub(record.origin.Timestamp))
	case found.dead > 0:
		figures.Dead++
	case found.retrying:
		figures.Retrying++
	case !found.settled:
		figures.Unsettled++
	case record.expected == expectSkipped:
		figures.Skipped++
	default:
		figures.Lost++
	}
	if found.times > 0 && record.expected != expectDelivered || found.dead > 0 && record.expected != expectDead {
		b.unexpected++
	}
}

func (b *balance) addCalls(calls callCount) {
	b.calls.calls += calls.calls
	b.calls.accepted += calls.accepted
}

// computeFigures returns the figures, including those that depend on all records.
func (b *balance) computeFigures() Figures {
	figures := b.figures
	figures.Calls = b.calls.calls
	if figures.Calls > 0 {
		figures.RecordsPerCall = math.Round(1000*float64(b.calls.accepted)/float64(figures.Calls)) / 1000
	}
	slices.Sort(b.delays)
	figures.DelayP50 = inMilliseconds(nearestRank(b.delays, 0.50))
	figures.DelayP99 = inMilliseconds(nearestRank(b.delays, 0.99))
	return figures
}

// nearestRank returns the quantile of sorted values by the nearest-rank method, or 0 if there are
// none.
func nearestRank(sorted []time.Duration, quantile float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(quantile*float64(len(sorted))))]
}

func inMilliseconds(duration time.Duration) float64 { return float64(duration.Microseconds()) / 1000 }

// ledger holds every record produced. It grows with the run, as the vendors' ledgers do. It is safe
// for concurrent use.
type ledger struct {
	mu      sync.Mutex
	records []producedRecord
}

func (l *ledger) recordProduced(record producedRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, record)
}

// snapshotRecords returns the records added so far.
func (l *ledger) snapshotRecords() []producedRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.records)
}

// totals are the balances of a run.
type totals struct {
	total      balance
	pipelines  map[string]*balance
	operations map[string]*balance
	categories map[string]categoryCount
	// unknownRecords counts items at the vendors and origins in dead-letter topics that belong to
	// no produced record. A negative value means that two records have the same id.
	unknownRecords int
}

// categoryCount counts the records of a category that were produced and those found in a
// dead-letter topic.
type categoryCount struct{ produced, dead int }

// computeTotals matches the produced records with where they were found. operations lists the
// operations of each pipeline.
func computeTotals(records []producedRecord, found findings, operations map[string][]string) totals {
	sums := totals{
		pipelines: map[string]*balance{}, operations: map[string]*balance{}, categories: map[string]categoryCount{},
		unknownRecords: len(found.accepted) + len(found.dead),
	}
	for pipeline, names := range operations {
		sums.pipelines[pipeline] = &balance{}
		for _, operation := range names {
			sums.operations[operation] = &balance{}
			for _, sum := range []*balance{&sums.total, sums.pipelines[pipeline], sums.operations[operation]} {
				sum.addCalls(found.calls[operation])
				sum.unexplained += found.unexplained[operation]
			}
		}
	}
	for _, record := range records {
		sums.addRecord(record, found.locate(record))
	}
	return sums
}

func (t *totals) addRecord(record producedRecord, found location) {
	t.unknownRecords -= min(1, found.times) + min(1, found.dead)
	t.total.addRecord(record, found)
	t.pipelines[record.pipeline].addRecord(record, found)
	if sum, ok := t.operations[record.operation]; ok {
		sum.addRecord(record, found)
	}
	if record.category != "" {
		count := t.categories[record.category]
		count.produced++
		count.dead += min(1, found.dead)
		t.categories[record.category] = count
	}
}
