package sandbox

import (
	"crypto/sha256"
	"iter"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// LedgerEntry is one item that a vendor accepted. An item accepted twice has two entries.
type LedgerEntry struct {
	// Operation is the full name, such as "crmcom.purchases".
	Operation string
	// ID is what the vendor's form offers to tell items apart: CRM.COM's request_unique_identifier, Expoints' value in the event id column (empty
	// where there is none), Propel's source and sourceId with a slash between.
	ID string
	// Reference is CRM.COM's external_system_reference_number; empty elsewhere.
	Reference string
	// Version is the value of Propel's field named in PropelOptions.VersionField; empty elsewhere.
	Version string
	// Times is 1 for the first acceptance of this item, 2 for the second, and so on. It is the same item where operation and ID are the same; for
	// Propel, whose items are meant to come again, where the version (without one: the hash) is the same too; without ID where the hash is.
	Times int
	// At is when it was accepted.
	At time.Time
	// Hash is the SHA-256 of Body's bytes as sent.
	Hash [sha256.Size]byte
	// Body is the item's JSON; nil without Options.KeepBodies.
	Body []byte
	// Confirmed says that the answer that names the item accepted was on its way to a client that still waited. It is false where a fault took the answer's place
	// or left the item out, where the client had gone, and as long as the call runs.
	Confirmed bool

	item              itemIdentity
	afterConfirmation bool // the client had been told of the item before
}

// CallStats count what was asked of one operation.
type CallStats struct {
	// Calls are all requests, those that a fault ended early included.
	Calls int
	// Items are the items of calls that could be read, MaxItems those of the largest.
	Items, MaxItems int
	// Accepted and Refused are items; an item that a fault kept from being judged is neither.
	Accepted, Refused int
	// Failures counts calls that failed, by HTTP status; 0 is a connection closed without an answer.
	Failures map[int]int
	// EnvelopeFailures counts CRM.COM's answers with HTTP 200 and another status.code than OK.
	EnvelopeFailures int
}

// Ledger is what the vendors accepted, in order. It keeps every entry, and so grows with the run. All methods are safe for concurrent use.
type Ledger struct {
	keepBodies bool

	mu         sync.Mutex // covers all below
	operations map[string]*operationLedger
}

type operationLedger struct {
	entries []LedgerEntry
	items   map[itemIdentity]itemHistory
	stats   CallStats
}

// itemHistory is what an account has of one item.
type itemHistory struct {
	times     int
	confirmed bool // the client was told of one acceptance at least
}

// itemIdentity tells whether two items are the same one.
type itemIdentity struct {
	id, version string
	hash        [sha256.Size]byte
}

// AcceptedEntries are the entries of an operation, in the order accepted.
func (l *Ledger) AcceptedEntries(operation string) []LedgerEntry {
	return slices.Collect(l.AllEntries(operation))
}

// AllEntries iterates over the entries that an operation has at the time of the call.
func (l *Ledger) AllEntries(operation string) iter.Seq[LedgerEntry] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Values(l.operationLedger(operation).entries)
}

// Count is the number of acceptances, duplicates included.
func (l *Ledger) Count(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.operationLedger(operation).entries)
}

// Duplicates is the number of acceptances of items that had been accepted before.
func (l *Ledger) Duplicates(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	ops := l.operationLedger(operation)
	return len(ops.entries) - len(ops.items)
}

// Unexplained are the acceptances beyond an item's first that no lost answer is a reason for: the client sent the item again although it was told of it, or
// twice at a time and was told of both. It may be asked when no call runs.
func (l *Ledger) Unexplained(operation string) []LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LedgerEntry
	told := map[itemIdentity]bool{}
	for _, entry := range l.operationLedger(operation).entries {
		if entry.afterConfirmation || entry.Confirmed && told[entry.item] {
			out = append(out, entry)
		}
		told[entry.item] = told[entry.item] || entry.Confirmed
	}
	return out
}

// Calls are the counts of an operation. The logins and the column catalogue have names too: "crmcom.login", "expoints.token", "expoints.columns", "propel.token".
func (l *Ledger) Calls(operation string) CallStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := l.operationLedger(operation).stats
	stats.Failures = maps.Clone(stats.Failures)
	return stats
}

// operationLedger must be called with mu held.
func (l *Ledger) operationLedger(operation string) *operationLedger {
	ops, ok := l.operations[operation]
	if !ok {
		ops = &operationLedger{items: map[itemIdentity]itemHistory{}, stats: CallStats{Failures: map[int]int{}}}
		if l.operations == nil {
			l.operations = map[string]*operationLedger{}
		}
		l.operations[operation] = ops
	}
	return ops
}

// recordAccepted records an item, and gives its entry and where it stands among the operation's.
func (l *Ledger) recordAccepted(operation string, item callItem) (LedgerEntry, int) {
	entry := LedgerEntry{Operation: operation, ID: item.id, Reference: item.reference, Version: item.version, At: time.Now(), Hash: sha256.Sum256(item.object.raw)}
	if l.keepBodies {
		entry.Body = slices.Clone(item.object.raw)
	}
	entry.item = itemIdentity{id: item.id, version: item.version}
	if item.id == "" || item.upsert && item.version == "" {
		entry.item.hash = entry.Hash
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ops := l.operationLedger(operation)
	history := ops.items[entry.item]
	history.times++
	ops.items[entry.item] = history
	entry.Times, entry.afterConfirmation = history.times, history.confirmed
	ops.entries = append(ops.entries, entry)
	return entry, len(ops.entries) - 1
}

// confirmEntries notes that the client is about to be told of the entries that stand there.
func (l *Ledger) confirmEntries(operation string, at []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ops := l.operationLedger(operation)
	for _, i := range at {
		ops.entries[i].Confirmed = true
		history := ops.items[ops.entries[i].item]
		history.confirmed = true
		ops.items[ops.entries[i].item] = history
	}
}

// recordCall records a call that is about to be answered.
func (l *Ledger) recordCall(call *vendorCall, resp response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := &l.operationLedger(call.endpoint.operation).stats
	stats.Calls++
	stats.Items += call.itemCount
	stats.MaxItems = max(stats.MaxItems, call.itemCount)
	stats.Accepted += len(call.accepted)
	stats.Refused += call.refusedCount
	switch {
	case resp.closesConnection():
		stats.Failures[0]++
	case resp.status >= http.StatusMultipleChoices:
		stats.Failures[resp.status]++
	case resp.envelopeFailed:
		stats.EnvelopeFailures++
	}
}
