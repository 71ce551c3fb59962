package demo

import (
	"math"
	"slices"
	"sync"
	"time"

	"sluice/internal/sink"
)

// fate is what the script has in store for a record.
type fate uint8

const (
	toDeliver fate = iota // the vendor takes it, sooner or later
	toDie                 // its place is the dead-letter topic
	toSkip                // a rule of the configuration passes over it
)

// produced is a record as the broker confirmed it.
type produced struct {
	origin    sink.Origin
	pipeline  string
	operation string // full name; empty where the record belongs to none
	vendorID  string // by which the vendor's ledger knows it; empty: the origin
	fate      fate
	class     string // of the script's bad records: poison, invalid, unmapped, tombstone; empty elsewhere
}

// position is one record of one of the connector's own topics.
type position struct {
	topic     string
	partition int32
	offset    int64
}

// acceptance is what a vendor's ledger says of one item.
type acceptance struct {
	times int
	first time.Time
}

// item is how a vendor's ledger names an item: the operation's full name, and the vendor's id of it.
type item struct{ operation, id string }

// places is where records were found, seen from outside: the vendors' ledgers, the connector's topics, and the groups' commits. Records are
// named by their origin, "<topic>-<partition>-<offset>".
type places struct {
	accepted map[item]acceptance
	dead     map[string]int             // copies in dead-letter topics
	retries  map[string][]position      // copies in retry topics, settled ones too
	commits  map[string]map[int32]int64 // next offset, by topic and partition, of source and retry topics
	asked    map[string]requests        // by operation
	lag      map[string]int64           // records that are not committed past, by source topic
	doubled  map[string]int             // acceptances that no lost answer explains, by operation; read once no call runs any more
}

// requests are a vendor's counts of one operation.
type requests struct{ calls, accepted int }

func newPlaces() places {
	return places{
		accepted: map[item]acceptance{}, dead: map[string]int{}, retries: map[string][]position{},
		commits: map[string]map[int32]int64{}, asked: map[string]requests{}, lag: map[string]int64{}, doubled: map[string]int{},
	}
}

// committed tells whether the group has committed past the position; what was never committed was never passed.
func (p places) committed(at position) bool {
	next, ok := p.commits[at.topic][at.partition]
	return ok && at.offset < next
}

// whereabouts is where one record is.
type whereabouts struct {
	acceptance
	dead     int
	retrying bool
	settled  bool // its offset in the source topic is committed past
}

func (p places) of(r produced) whereabouts {
	origin := r.origin.ID()
	id := r.vendorID
	if id == "" {
		id = origin
	}
	return whereabouts{
		acceptance: p.accepted[item{r.operation, id}],
		dead:       p.dead[origin],
		retrying:   slices.ContainsFunc(p.retries[origin], func(at position) bool { return !p.committed(at) }),
		settled:    p.committed(position{r.origin.Topic, r.origin.Partition, r.origin.Offset}),
	}
}

// balance holds what became of some records; its sum is Produced = Delivered + Retrying + Dead + Skipped + Unsettled + Lost.
type balance struct {
	figures Figures
	asked   requests
	delays  []time.Duration
	wrong   int // records that met another fate than the script's
	doubled int // places beyond a record's first that have no reason: all but deliveries whose answer was lost
}

// add enters one record, once: what is in two places is delivered rather than dead and dead rather than retrying, and the other place is a duplicate. A
// copy in a retry topic of a record that has ended elsewhere is none, since its offset is only not committed yet.
func (b *balance) add(r produced, w whereabouts) {
	f := &b.figures
	f.Produced++
	f.Duplicates += max(0, w.times+w.dead-1)
	b.doubled += max(0, w.dead-1)
	switch {
	case w.times > 0:
		f.Delivered++
		b.delays = append(b.delays, w.first.Sub(r.origin.Timestamp))
	case w.dead > 0:
		f.Dead++
	case w.retrying:
		f.Retrying++
	case !w.settled:
		f.Unsettled++
	case r.fate == toSkip:
		f.Skipped++
	default:
		f.Lost++
	}
	if w.times > 0 && r.fate != toDeliver || w.dead > 0 && r.fate != toDie {
		b.wrong++
	}
}

func (b *balance) ask(q requests) {
	b.asked.calls += q.calls
	b.asked.accepted += q.accepted
}

// close works out what needs all records.
func (b *balance) close() Figures {
	f := b.figures
	f.Calls = b.asked.calls
	if f.Calls > 0 {
		f.RecordsPerCall = math.Round(1000*float64(b.asked.accepted)/float64(f.Calls)) / 1000
	}
	slices.Sort(b.delays)
	f.DelayP50, f.DelayP99 = milliseconds(quantile(b.delays, 0.50)), milliseconds(quantile(b.delays, 0.99))
	return f
}

// quantile is the value at the nearest rank of sorted values; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ledger holds every record produced. It grows with the run, as the vendors' ledgers do. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	records []produced
}

func (l *ledger) enter(r produced) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

// all are the records entered so far. What is entered later does not change them.
func (l *ledger) all() []produced {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.records)
}

// sums are the balances of a run.
type sums struct {
	total      balance
	pipelines  map[string]*balance
	operations map[string]*balance
	classes    map[string]classCount
	// strangers are items at the vendors and origins in the dead-letter topics that are of no record produced; below 0, two records have one name.
	strangers int
}

// classCount says how many records of a class were produced, and how many of them are in a dead-letter topic.
type classCount struct{ produced, dead int }

// add up joins what was produced with where it is; routes are the operations of each pipeline.
func addUp(records []produced, p places, routes map[string][]string) sums {
	s := sums{pipelines: map[string]*balance{}, operations: map[string]*balance{}, classes: map[string]classCount{}, strangers: len(p.accepted) + len(p.dead)}
	for pipeline, operations := range routes {
		s.pipelines[pipeline] = &balance{}
		for _, o := range operations {
			s.operations[o] = &balance{}
			for _, b := range []*balance{&s.total, s.pipelines[pipeline], s.operations[o]} {
				b.ask(p.asked[o])
				b.doubled += p.doubled[o]
			}
		}
	}
	for _, r := range records {
		w := p.of(r)
		s.strangers -= min(1, w.times) + min(1, w.dead)
		s.total.add(r, w)
		s.pipelines[r.pipeline].add(r, w)
		if o, ok := s.operations[r.operation]; ok {
			o.add(r, w)
		}
		if r.class != "" {
			c := s.classes[r.class]
			c.produced++
			c.dead += min(1, w.dead)
			s.classes[r.class] = c
		}
	}
	return s
}
