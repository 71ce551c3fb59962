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
	// ID identifies the item as the vendor's format allows: CRM.COM's request_unique_identifier,
	// the value of Expoints' event id column ("" if there is none), or Propel's source and sourceId
	// joined by a slash.
	ID string
	// Reference is CRM.COM's external_system_reference_number; empty for other vendors.
	Reference string
	// Version is the value of the field that PropelOptions.VersionField names; empty for other
	// vendors.
	Version string
	// Times is 1 for the first acceptance of this item, 2 for the second, and so on. Two items are
	// the same if operation and ID are the same. For Propel, where a repeated write is an update,
	// the version must be the same too or, without versions, the hash. Items without an ID are
	// compared by hash.
	Times int
	// At is the time of the acceptance.
	At time.Time
	// Hash is the SHA-256 of the item's bytes as sent.
	Hash [sha256.Size]byte
	// Body is the item's JSON; nil unless Options.KeepBodies is set.
	Body []byte
	// Confirmed reports whether a response naming the item as accepted was sent to a client that
	// was still waiting. It is false if a fault replaced the response or left the item out, if the
	// client had disconnected, and until the call ends.
	Confirmed bool

	item              itemIdentity
	afterConfirmation bool // an earlier acceptance was already confirmed
}

// CallStats counts the requests to one operation.
type CallStats struct {
	// Calls counts all requests, including those that a fault ended early.
	Calls int
	// Items counts the items of all calls that could be parsed, MaxItems those of the largest call.
	Items, MaxItems int
	// Accepted and Refused count items. An item that was not judged because of a fault is neither.
	Accepted, Refused int
	// Failures counts failed calls by HTTP status; 0 is a connection closed without a response.
	Failures map[int]int
	// EnvelopeFailures counts CRM.COM's responses with HTTP 200 and a status.code other than OK.
	EnvelopeFailures int
}

// Ledger records what the vendors accepted, in order. It keeps every entry, so it grows with the
// run. All methods are safe for concurrent use.
type Ledger struct {
	keepBodies bool

	mu         sync.Mutex // guards operations
	operations map[string]*operationLedger
}

type operationLedger struct {
	entries []LedgerEntry
	items   map[itemIdentity]itemHistory
	stats   CallStats
}

// itemHistory is what an operation has seen of one item.
type itemHistory struct {
	times     int
	confirmed bool // at least one acceptance was confirmed to the client
}

// itemIdentity identifies an item; see LedgerEntry.Times.
type itemIdentity struct {
	id, version string
	hash        [sha256.Size]byte
}

// AcceptedEntries returns the entries of an operation in the order of acceptance.
func (l *Ledger) AcceptedEntries(operation string) []LedgerEntry {
	return slices.Collect(l.AllEntries(operation))
}

// AllEntries iterates over the entries that an operation has when AllEntries is called. Calls may
// run meanwhile: the entries are copied in chunks, since Confirmed may still change.
func (l *Ledger) AllEntries(operation string) iter.Seq[LedgerEntry] {
	count := l.Count(operation)
	return func(yield func(LedgerEntry) bool) {
		chunk := make([]LedgerEntry, min(count, entryChunk))
		for start := 0; start < count; start += len(chunk) {
			for _, entry := range chunk[:l.copyEntries(operation, start, count, chunk)] {
				if !yield(entry) {
					return
				}
			}
		}
	}
}

// entryChunk is the number of entries that AllEntries copies at a time.
const entryChunk = 256

// copyEntries copies entries from start up to end into chunk and returns how many it has copied.
func (l *Ledger) copyEntries(operation string, start, end int, chunk []LedgerEntry) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return copy(chunk, l.operationLedger(operation).entries[start:end])
}

// Count returns the number of acceptances, duplicates included.
func (l *Ledger) Count(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.operationLedger(operation).entries)
}

// Duplicates returns the number of acceptances of items that had been accepted before.
func (l *Ledger) Duplicates(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	ops := l.operationLedger(operation)
	return len(ops.entries) - len(ops.items)
}

// Unexplained returns repeated acceptances that no lost response explains: the client sent the item
// again although an earlier acceptance had been confirmed to it, or it sent the item in two calls
// at a time and both were confirmed. Call it only while no call is running.
func (l *Ledger) Unexplained(operation string) []LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LedgerEntry
	confirmed := map[itemIdentity]bool{}
	for _, entry := range l.operationLedger(operation).entries {
		if entry.afterConfirmation || entry.Confirmed && confirmed[entry.item] {
			out = append(out, entry)
		}
		confirmed[entry.item] = confirmed[entry.item] || entry.Confirmed
	}
	return out
}

// Calls returns the counts of an operation. Logins and the column catalogue count as operations
// too: "crmcom.login", "expoints.token", "expoints.columns" and "propel.token".
func (l *Ledger) Calls(operation string) CallStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := l.operationLedger(operation).stats
	stats.Failures = maps.Clone(stats.Failures)
	return stats
}

// operationLedger returns the ledger of an operation, which it creates if necessary. The caller
// must hold l.mu.
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

// recordAccepted adds an entry for the item and returns it with its index among the operation's
// entries.
func (l *Ledger) recordAccepted(operation string, item callItem) (LedgerEntry, int) {
	entry := LedgerEntry{
		Operation: operation, ID: item.id, Reference: item.reference, Version: item.version, At: time.Now(),
		Hash: sha256.Sum256(item.object.raw),
	}
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

// confirmEntries marks the entries at the given indexes as confirmed. It is called right before the
// response is sent.
func (l *Ledger) confirmEntries(operation string, entryIndexes []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ops := l.operationLedger(operation)
	for _, i := range entryIndexes {
		ops.entries[i].Confirmed = true
		history := ops.items[ops.entries[i].item]
		history.confirmed = true
		ops.items[ops.entries[i].item] = history
	}
}

// recordCall counts a call right before its response is sent.
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
