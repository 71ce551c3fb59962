package demo

import (
	"math"
	"slices"
	"sync"
	"time"

	"sluice/internal/sink"
)

// expectation is what the script has in store for a record.
type expectation uint8

const (
	expectDelivered expectation = iota // the vendor takes it, sooner or later
	expectDead                         // its place is the dead-letter topic
	expectSkipped                      // a rule of the configuration passes over it
)

// producedRecord is a record as the broker confirmed it.
type producedRecord struct {
	origin    sink.Origin
	pipeline  string
	operation string // full name; empty where the record belongs to none
	vendorID  string // by which the vendor's ledger knows it; empty: the origin
	expected  expectation
	class     string // of the script's bad records: poison, invalid, unmapped, tombstone; empty elsewhere
}

// recordPosition is one record of one of the connector's own topics.
type recordPosition struct {
	topic     string
	partition int32
	offset    int64
}

// acceptance is what a vendor's ledger says of one item.
type acceptance struct {
	times int
	first time.Time
}

// vendorItem is how a vendor's ledger names an item: the operation's full name, and the vendor's id of it.
type vendorItem struct{ operation, id string }

// findings is where records were found, seen from outside: the vendors' ledgers, the connector's topics, and the groups' commits. Records are
// named by their origin, "<topic>-<partition>-<offset>".
type findings struct {
	accepted map[vendorItem]acceptance
	dead     map[string]int              // copies in dead-letter topics
	retries  map[string][]recordPosition // copies in retry topics, settled ones too
	commits  map[string]map[int32]int64  // next offset, by topic and partition, of source and retry topics
	calls    map[string]callCount        // by operation
	lag      map[string]int64            // records that are not committed past, by source topic
	// acceptances that no lost answer explains, by operation; read once no call runs any more
	unexplained map[string]int
}

// callCount are a vendor's counts of one operation.
type callCount struct{ calls, accepted int }

func newFindings() findings {
	return findings{
		accepted: map[vendorItem]acceptance{}, dead: map[string]int{}, retries: map[string][]recordPosition{},
		commits: map[string]map[int32]int64{}, calls: map[string]callCount{}, lag: map[string]int64{},
		unexplained: map[string]int{},
	}
}

// isCommitted tells whether the group has committed past the position; what was never committed was never passed.
func (p findings) isCommitted(at recordPosition) bool {
	next, ok := p.commits[at.topic][at.partition]
	return ok && at.offset < next
}

// location is where one record is.
type location struct {
	acceptance
	dead     int
	retrying bool
	settled  bool // its offset in the source topic is committed past
}

func (p findings) locate(record producedRecord) location {
	origin := record.origin.ID()
	id := record.vendorID
	if id == "" {
		id = origin
	}
	return location{
		acceptance: p.accepted[vendorItem{record.operation, id}],
		dead:       p.dead[origin],
		retrying:   slices.ContainsFunc(p.retries[origin], func(at recordPosition) bool { return !p.isCommitted(at) }),
		settled:    p.isCommitted(recordPosition{record.origin.Topic, record.origin.Partition, record.origin.Offset}),
	}
}

// balance holds what became of some records; its sum is Produced = Delivered + Retrying + Dead + Skipped + Unsettled + Lost.
type balance struct {
	figures     Figures
	calls       callCount
	delays      []time.Duration
	unexpected  int // records that met another fate than the script's
	unexplained int // places beyond a record's first that have no reason: all but deliveries whose answer was lost
}

// addRecord enters one record, once: what is in two places is delivered rather than dead and dead rather than retrying, and the other place is a duplicate. A
// copy in a retry topic of a record that has ended elsewhere is none, since its offset is only not committed yet.
func (b *balance) addRecord(record producedRecord, found location) {
	f := &b.figures
	f.Produced++
	f.Duplicates += max(0, found.times+found.dead-1)
	b.unexplained += max(0, found.dead-1)
	switch {
	case found.times > 0:
		f.Delivered++
		b.delays = append(b.delays, found.first.Sub(record.origin.Timestamp))
	case found.dead > 0:
		f.Dead++
	case found.retrying:
		f.Retrying++
	case !found.settled:
		f.Unsettled++
	case record.expected == expectSkipped:
		f.Skipped++
	default:
		f.Lost++
	}
	if found.times > 0 && record.expected != expectDelivered || found.dead > 0 && record.expected != expectDead {
		b.unexpected++
	}
}

func (b *balance) addCalls(calls callCount) {
	b.calls.calls += calls.calls
	b.calls.accepted += calls.accepted
}

// computeFigures works out what needs all records.
func (b *balance) computeFigures() Figures {
	figures := b.figures
	figures.Calls = b.calls.calls
	if figures.Calls > 0 {
		figures.RecordsPerCall = math.Round(1000*float64(b.calls.accepted)/float64(figures.Calls)) / 1000
	}
	slices.Sort(b.delays)
	figures.DelayP50, figures.DelayP99 = inMilliseconds(nearestRank(b.delays, 0.50)), inMilliseconds(nearestRank(b.delays, 0.99))
	return figures
}

// nearestRank is the value at the nearest rank of sorted values; 0 of none.
func nearestRank(sorted []time.Duration, rank float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(rank*float64(len(sorted))))]
}

func inMilliseconds(duration time.Duration) float64 { return float64(duration.Microseconds()) / 1000 }

// ledger holds every record produced. It grows with the run, as the vendors' ledgers do. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	records []producedRecord
}

func (l *ledger) recordProduced(record producedRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, record)
}

// snapshotRecords are the records entered so far. What is entered later does not change them.
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
	classes    map[string]classCount
	// unknownRecords are items at the vendors and origins in the dead-letter topics that are of no record produced; below 0, two records have one name.
	unknownRecords int
}

// classCount says how many records of a class were produced, and how many of them are in a dead-letter topic.
type classCount struct{ produced, dead int }

// add up joins what was produced with where it is; routes are the operations of each pipeline.
func computeTotals(records []producedRecord, found findings, routes map[string][]string) totals {
	sums := totals{
		pipelines: map[string]*balance{}, operations: map[string]*balance{}, classes: map[string]classCount{},
		unknownRecords: len(found.accepted) + len(found.dead),
	}
	for pipeline, operations := range routes {
		sums.pipelines[pipeline] = &balance{}
		for _, operation := range operations {
			sums.operations[operation] = &balance{}
			for _, sum := range []*balance{&sums.total, sums.pipelines[pipeline], sums.operations[operation]} {
				sum.addCalls(found.calls[operation])
				sum.unexplained += found.unexplained[operation]
			}
		}
	}
	for _, record := range records {
		found := found.locate(record)
		sums.unknownRecords -= min(1, found.times) + min(1, found.dead)
		sums.total.addRecord(record, found)
		sums.pipelines[record.pipeline].addRecord(record, found)
		if o, ok := sums.operations[record.operation]; ok {
			o.addRecord(record, found)
		}
		if record.class != "" {
			count := sums.classes[record.class]
			count.produced++
			count.dead += min(1, found.dead)
			sums.classes[record.class] = count
		}
	}
	return sums
}
