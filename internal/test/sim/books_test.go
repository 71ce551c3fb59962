package sim_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// produced is a record as it went in.
type produced struct {
	seq      int
	kind     kind
	customer string
	raw      *kgo.Record
	origin   sink.Origin
}

// place is where a copy of a record stands.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// books say what became of each record. They are written at the borders, before the connector can know what is written: by the vendor before it
// answers, and by the tap before a write is answered. Safe for concurrent use.
type books struct {
	line    *line
	commits *testkit.CommitOracle
	ledger  testkit.Ledger

	mu        sync.Mutex
	records   map[string]*produced // by origin
	bySeq     map[int]*produced
	copies    map[string][]place // in retry topics, by origin
	attempts  map[string]int     // of those copies
	delivered map[string]int
	dead      map[string]int
	versions  map[string][]int // by customer: the sequence numbers in the order accepted
	faults    []string
}

func newBooks(l *line, commits *testkit.CommitOracle) *books {
	return &books{
		line: l, commits: commits, records: map[string]*produced{}, bySeq: map[int]*produced{}, copies: map[string][]place{}, attempts: map[string]int{},
		delivered: map[string]int{}, dead: map[string]int{}, versions: map[string][]int{},
	}
}

func (b *books) fault(format string, args ...any) {
	const most = 20
	if len(b.faults) < most {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// enter notes a record before it is produced.
func (b *books) enter(p *produced, skipped bool) {
	b.mu.Lock()
	b.records[p.origin.ID()] = p
	b.bySeq[p.seq] = p
	b.mu.Unlock()
	b.ledger.Produced(p.origin.ID(), text(p.kind, p.seq))
	if skipped {
		b.ledger.Skipped(p.origin.ID())
		b.settle(p.origin.ID())
	}
}

// accept is the vendor's hook: it runs when an item stands in the vendor's ledger and is not answered yet.
func (b *books) accept(e sandbox.LedgerEntry) {
	b.mu.Lock()
	p := b.of(e)
	if p == nil {
		b.fault("the vendor has an item %q, version %q, of no record", e.ID, e.Version)
		b.mu.Unlock()
		return
	}
	id := p.origin.ID()
	b.delivered[id]++
	b.versions[p.customer] = append(b.versions[p.customer], p.seq)
	if want := b.line.body(p.seq, text(p.kind, p.seq), p.customer, id); !sameJSON(e.Body, want) {
		b.fault("the vendor has %s for %s, want %s", e.Body, id, want)
	}
	b.mu.Unlock()
	b.ledger.Delivered(id, text(p.kind, p.seq))
	b.settle(id)
}

func (b *books) of(e sandbox.LedgerEntry) *produced {
	if b.line.vendor != "propel" {
		return b.records[e.ID]
	}
	seq, err := strconv.Atoi(e.Version)
	if p := b.bySeq[seq]; err == nil && p != nil && e.ID == "sim/"+p.customer {
		return p
	}
	return nil
}

func sameJSON(got []byte, want string) bool {
	var g, w any
	return json.Unmarshal(got, &g) == nil && json.Unmarshal([]byte(want), &w) == nil && reflect.DeepEqual(g, w)
}

// moved notes that a record's copy is about to stand in a retry or dead-letter topic: then it is settled wherever it stood before. A copy of no more
// attempts than one that is there, or of a record that has ended, is the late one of a former owner: nothing has to become of it.
func (b *books) moved(id string, to place, dead bool, attempt int) {
	b.mu.Lock()
	late := !dead && (b.delivered[id]+b.dead[id] > 0 || len(b.copies[id]) > 0 && attempt <= b.attempts[id])
	b.mu.Unlock()
	if late {
		b.commits.Settled(to.topic, to.partition, to.offset)
		return
	}
	b.settle(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	if dead {
		b.dead[id]++
		return
	}
	b.copies[id], b.attempts[id] = append(b.copies[id], to), attempt
}

// settle tells the oracle of commits that nothing more has to become of a record, where it was produced and where its copies are.
func (b *books) settle(id string) {
	b.mu.Lock()
	p, copies := b.records[id], b.copies[id]
	delete(b.copies, id)
	b.mu.Unlock()
	if p != nil {
		b.commits.Settled(p.origin.Topic, p.origin.Partition, p.origin.Offset)
	}
	for _, c := range copies {
		b.commits.Settled(c.topic, c.partition, c.offset)
	}
}

// find is the record of an origin, nil where none was produced there.
func (b *books) find(id string) *produced {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records[id]
}

// accounts is the vendor's customer base: those of kind later come into being a while after they were asked for first.
type accounts struct {
	mu      sync.Mutex
	asked   map[string]time.Time
	wait    time.Duration
	refused int
}

// exist is sandbox.CRMCOMOptions.AccountExists.
func (a *accounts) exist(number string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := !hasKind(number, never)
	if hasKind(number, later) {
		if a.asked[number].IsZero() {
			a.asked[number] = time.Now()
		}
		kept = time.Since(a.asked[number]) >= a.wait
	}
	if !kept {
		a.refused++
	}
	return kept
}

func hasKind(text string, k kind) bool { return len(text) > len(k) && text[:len(k)+1] == string(k)+"-" }
