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
	// Told says that the answer that names the item accepted was on its way to a client that still waited. It is false where a fault took the answer's place
	// or left the item out, where the client had gone, and as long as the call runs.
	Told bool

	item  identity
	after bool // the client had been told of the item before
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
	operations map[string]*account
}

type account struct {
	entries []LedgerEntry
	items   map[identity]known
	stats   CallStats
}

// known is what an account has of one item.
type known struct {
	times int
	told  bool // the client was told of one acceptance at least
}

// identity tells whether two items are the same one.
type identity struct {
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
	return slices.Values(l.account(operation).entries)
}

// Count is the number of acceptances, duplicates included.
func (l *Ledger) Count(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.account(operation).entries)
}

// Duplicates is the number of acceptances of items that had been accepted before.
func (l *Ledger) Duplicates(operation string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(operation)
	return len(a.entries) - len(a.items)
}

// Unexplained are the acceptances beyond an item's first that no lost answer is a reason for: the client sent the item again although it was told of it, or
// twice at a time and was told of both. It may be asked when no call runs.
func (l *Ledger) Unexplained(operation string) []LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LedgerEntry
	told := map[identity]bool{}
	for _, e := range l.account(operation).entries {
		if e.after || e.Told && told[e.item] {
			out = append(out, e)
		}
		told[e.item] = told[e.item] || e.Told
	}
	return out
}

// Calls are the counts of an operation. The logins and the column catalogue have names too: "crmcom.login", "expoints.token", "expoints.columns", "propel.token".
func (l *Ledger) Calls(operation string) CallStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := l.account(operation).stats
	stats.Failures = maps.Clone(stats.Failures)
	return stats
}

// account must be called with mu held.
func (l *Ledger) account(operation string) *account {
	a, ok := l.operations[operation]
	if !ok {
		a = &account{items: map[identity]known{}, stats: CallStats{Failures: map[int]int{}}}
		if l.operations == nil {
			l.operations = map[string]*account{}
		}
		l.operations[operation] = a
	}
	return a
}

// accept records an item, and gives its entry and where it stands among the operation's.
func (l *Ledger) accept(operation string, it item) (LedgerEntry, int) {
	e := LedgerEntry{Operation: operation, ID: it.id, Reference: it.reference, Version: it.version, At: time.Now(), Hash: sha256.Sum256(it.object.raw)}
	if l.keepBodies {
		e.Body = slices.Clone(it.object.raw)
	}
	e.item = identity{id: it.id, version: it.version}
	if it.id == "" || it.upsert && it.version == "" {
		e.item.hash = e.Hash
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(operation)
	k := a.items[e.item]
	k.times++
	a.items[e.item] = k
	e.Times, e.after = k.times, k.told
	a.entries = append(a.entries, e)
	return e, len(a.entries) - 1
}

// tell notes that the client is about to be told of the entries that stand there.
func (l *Ledger) tell(operation string, at []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(operation)
	for _, i := range at {
		a.entries[i].Told = true
		k := a.items[a.entries[i].item]
		k.told = true
		a.items[a.entries[i].item] = k
	}
}

// count records a call that is about to be answered.
func (l *Ledger) count(c *call, rep reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats := &l.account(c.endpoint.operation).stats
	stats.Calls++
	stats.Items += c.items
	stats.MaxItems = max(stats.MaxItems, c.items)
	stats.Accepted += len(c.accepted)
	stats.Refused += c.refused
	switch {
	case rep.closes():
		stats.Failures[0]++
	case rep.status >= http.StatusMultipleChoices:
		stats.Failures[rep.status]++
	case rep.failed:
		stats.EnvelopeFailures++
	}
}
