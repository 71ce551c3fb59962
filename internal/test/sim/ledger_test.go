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

// producedRecord is a record as it was produced.
type producedRecord struct {
	seq      int
	kind     kind
	customer string
	raw      *kgo.Record
	origin   sink.Origin
}

// recordPosition is the position of a record or of its copy.
type recordPosition struct {
	topic     string
	partition int32
	offset    int64
}

// ledger records what became of each record, before the connector can know about it: the vendor
// writes to it before it responds, and the tap before the broker acknowledges a write. It is safe
// for concurrent use.
type ledger struct {
	pipeline *simPipeline
	commits  *testkit.CommitOracle
	outcomes testkit.Ledger

	mu         sync.Mutex
	records    map[string]*producedRecord // by origin
	bySeq      map[int]*producedRecord
	copies     map[string][]recordPosition // unsettled copies in retry topics, by origin
	attempts   map[string]int              // attempt number of the latest copy
	delivered  map[string]int
	dead       map[string]int
	versions   map[string][]int // by customer: sequence numbers in the order of acceptance
	violations []string
}

func newLedger(pipeline *simPipeline, commits *testkit.CommitOracle) *ledger {
	return &ledger{
		pipeline: pipeline, commits: commits, records: map[string]*producedRecord{}, bySeq: map[int]*producedRecord{},
		copies: map[string][]recordPosition{}, attempts: map[string]int{},
		delivered: map[string]int{}, dead: map[string]int{}, versions: map[string][]int{},
	}
}

func (l *ledger) addViolation(format string, args ...any) {
	const limit = 20
	if len(l.violations) < limit {
		l.violations = append(l.violations, fmt.Sprintf(format, args...))
	}
}

// recordProduced adds a record. It must be called before the record is produced.
func (l *ledger) recordProduced(original *producedRecord, skipped bool) {
	l.mu.Lock()
	l.records[original.origin.ID()] = original
	l.bySeq[original.seq] = original
	l.mu.Unlock()
	l.outcomes.AddProduced(original.origin.ID(), personalText(original.kind, original.seq))
	if skipped {
		l.outcomes.AddSkipped(original.origin.ID())
		l.settleRecord(original.origin.ID())
	}
}

// recordAccepted is the vendor's OnAccept hook. It runs after the item was added to the vendor's
// ledger and before the vendor responds.
func (l *ledger) recordAccepted(entry sandbox.LedgerEntry) {
	l.mu.Lock()
	original := l.findEntry(entry)
	if original == nil {
		l.addViolation("the vendor accepted item %q, version %q, which belongs to no record", entry.ID, entry.Version)
		l.mu.Unlock()
		return
	}
	id := original.origin.ID()
	l.delivered[id]++
	l.versions[original.customer] = append(l.versions[original.customer], original.seq)
	if want := l.pipeline.itemJSON(
		original.seq, personalText(original.kind, original.seq), original.customer, id,
	); !equalJSON(entry.Body, want) {
		l.addViolation("the vendor accepted %s for %s, want %s", entry.Body, id, want)
	}
	l.mu.Unlock()
	l.outcomes.AddDelivered(id, personalText(original.kind, original.seq))
	l.settleRecord(id)
}

func (l *ledger) findEntry(entry sandbox.LedgerEntry) *producedRecord {
	if l.pipeline.vendor != "propel" {
		return l.records[entry.ID]
	}
	seq, err := strconv.Atoi(entry.Version)
	if original := l.bySeq[seq]; err == nil && original != nil && entry.ID == "sim/"+original.customer {
		return original
	}
	return nil
}

func equalJSON(got []byte, want string) bool {
	var g, w any
	return json.Unmarshal(got, &g) == nil && json.Unmarshal([]byte(want), &w) == nil && reflect.DeepEqual(g, w)
}

// recordMoved records that a copy of the record is about to be written to a retry or dead-letter
// topic, which settles the record wherever it was before. A copy with no more attempts than an
// existing one, or of a record that has ended, is the late copy of a former owner: it is settled
// right away.
func (l *ledger) recordMoved(id string, to recordPosition, dead bool, attempt int) {
	l.mu.Lock()
	late := !dead && (l.delivered[id]+l.dead[id] > 0 || len(l.copies[id]) > 0 && attempt <= l.attempts[id])
	l.mu.Unlock()
	if late {
		l.commits.MarkSettled(to.topic, to.partition, to.offset)
		return
	}
	l.settleRecord(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if dead {
		l.dead[id]++
		return
	}
	l.copies[id], l.attempts[id] = append(l.copies[id], to), attempt
}

// settleRecord marks the record as settled for the commit oracle, in the source topic and in each
// retry topic that has a copy of it.
func (l *ledger) settleRecord(id string) {
	l.mu.Lock()
	original, copies := l.records[id], l.copies[id]
	delete(l.copies, id)
	l.mu.Unlock()
	if original != nil {
		l.commits.MarkSettled(original.origin.Topic, original.origin.Partition, original.origin.Offset)
	}
	for _, position := range copies {
		l.commits.MarkSettled(position.topic, position.partition, position.offset)
	}
}

// findRecord returns the record with an origin, or nil if none was produced there.
func (l *ledger) findRecord(id string) *producedRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[id]
}

// customerAccounts are the accounts that exist at the vendor. An account of kind later exists once
// wait has passed since it was first looked up.
type customerAccounts struct {
	mu           sync.Mutex
	firstQueried map[string]time.Time
	wait         time.Duration
	refused      int
}

// accountExists implements sandbox.CRMCOMOptions.AccountExists.
func (a *customerAccounts) accountExists(number string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	exists := !hasKind(number, never)
	if hasKind(number, later) {
		if a.firstQueried[number].IsZero() {
			a.firstQueried[number] = time.Now()
		}
		exists = time.Since(a.firstQueried[number]) >= a.wait
	}
	if !exists {
		a.refused++
	}
	return exists
}

func hasKind(text string, recordKind kind) bool {
	return len(text) > len(recordKind) && text[:len(recordKind)+1] == string(recordKind)+"-"
}
