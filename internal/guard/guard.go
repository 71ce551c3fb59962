// Package guard is the flood guard: it trips when so many of a pipeline's records are refused that
// something other than the records must be wrong. A broken mapping must not empty a topic into its
// dead-letter topic.
//
// It is pure: it knows no clock, no I/O and no goroutine. Those who refuse records report them
// before anything is retried or dead-lettered. While the guard is tripped, refused records stay
// where they are, and one record at a time is sent as a probe.
package guard

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"sluice/internal/record"
)

// minRecords is the number of records from which the ratio is taken.
const minRecords = 20

// acceptedToClear is the number of records in a row that must be accepted to clear a tripped guard.
const acceptedToClear = 5

// Config says when the guard trips.
type Config struct {
	// MaxRatio is the share of refused records above which it trips, above 0 and at most 1; 1:
	// never.
	MaxRatio float64
	// Window is the number of last records with different keys over which the share is taken, at
	// least 20; 0: it never trips.
	Window int
}

// Result is what became of one record: it was accepted, or refused for now or for good.
type Result struct {
	Record *record.Record
	// Cause is why the record was refused, empty if it was accepted.
	Cause record.Cause
	// Code is the vendor's own code, empty if it gave none.
	Code string
}

// Status is the state of the guard.
type Status struct {
	Tripped bool
	// RejectedShare is the share of the last WindowRecords records that were refused.
	RejectedShare float64
	WindowRecords int
	// Operation, Cause and Code belong to the most frequent refusal among them. Operation is empty
	// if the records have none.
	Operation string
	Cause     record.Cause
	Code      string
}

// Guard watches one stage of one pipeline. Results that arrive at different speeds, such as a bad
// record's before any call and a good one's after it, would say nothing together. A nil *Guard
// never trips. Guard is safe for concurrent use.
type Guard struct {
	cfg  Config
	seed maphash.Seed

	notifyMu    sync.Mutex // locked while subscribers are called, before mu
	subscribers []func(Status)

	mu            sync.Mutex // guards what follows; nothing else is locked under it
	window        *window
	tripped       bool
	forced        bool   // tripped by Trip, so that the share does not clear it
	operation     string // the operation whose accepted records clear it; empty: any
	acceptedInRow int    // since it tripped
	releases      uint64 // by an operator
}

// NewGuard returns a guard with an empty window.
func NewGuard(cfg Config) *Guard {
	return &Guard{cfg: cfg, seed: maphash.MakeSeed(), window: newWindow(cfg.Window)}
}

// Subscribe registers a function that is called each time the guard trips or clears, and when an
// operator releases it. Call it before the guard is used. The function must not call methods of the
// guard other than Tripped.
func (g *Guard) Subscribe(notify func(Status)) {
	if g == nil {
		return
	}
	g.notifyMu.Lock()
	defer g.notifyMu.Unlock()
	g.subscribers = append(g.subscribers, notify)
}

// RecordResults counts what became of records together: the items of a call, or one record that
// never came to a call. It returns whether the guard is tripped then; if so, the refused ones must
// neither be retried nor dead-lettered. operation is empty if none was found.
func (g *Guard) RecordResults(operation string, results []Result) (tripped bool) {
	if g.isDisabled() || len(results) == 0 {
		return g.Tripped()
	}
	g.mu.Lock()
	before := g.tripped
	refused := g.addResults(operation, results)
	if g.tripped {
		g.updateTripped(operation, len(results)-refused, refused)
	} else if g.isOverRatio() {
		g.setTripped(g.window.mostFrequent().operation)
	}
	tripped = g.tripped
	g.mu.Unlock()
	if tripped != before {
		g.notifySubscribers()
	}
	return tripped
}

// Trip counts refusals that are too many, whatever their share of the window is. Then only records
// accepted in a row, or an operator, clear the guard.
func (g *Guard) Trip(operation string, refusals []Result) {
	if g.isDisabled() {
		return
	}
	g.mu.Lock()
	before := g.tripped
	g.addResults(operation, refusals)
	g.setTripped(operation)
	g.forced = true
	g.mu.Unlock()
	if !before {
		g.notifySubscribers()
	}
}

// Release clears the guard on an operator's behalf, and empties its window.
func (g *Guard) Release() {
	if g.isDisabled() {
		return
	}
	g.mu.Lock()
	g.clearTripped()
	g.window = newWindow(g.cfg.Window)
	g.releases++
	g.mu.Unlock()
	g.notifySubscribers()
}

// ReleaseCount returns the number of operator releases.
func (g *Guard) ReleaseCount() uint64 {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.releases
}

// Tripped reports whether refused records must stay where they are.
func (g *Guard) Tripped() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tripped
}

func (g *Guard) isDisabled() bool { return g == nil || g.cfg.Window <= 0 || g.cfg.MaxRatio >= 1 }

// addResults puts results into the window and returns how many are refusals.
func (g *Guard) addResults(operation string, results []Result) (refused int) {
	for _, result := range results {
		g.window.recordResult(g.hashKey(result.Record), refusal{operation, result.Cause, result.Code})
		if result.Cause != "" {
			refused++
		}
	}
	return refused
}

func (g *Guard) isOverRatio() bool {
	return g.window.len() >= minRecords && g.window.refusedShare() > g.cfg.MaxRatio
}

func (g *Guard) setTripped(operation string) {
	g.tripped, g.operation, g.acceptedInRow = true, operation, 0
}

// updateTripped applies the results of a call to a tripped guard. Records that another operation
// than the one at fault accepts count toward the share only.
func (g *Guard) updateTripped(operation string, accepted, refused int) {
	if g.operation == "" || g.operation == operation {
		g.acceptedInRow += accepted
		if refused > 0 {
			g.acceptedInRow = 0
		}
	}
	switch {
	case g.acceptedInRow >= acceptedToClear:
		g.clearTripped()
		g.window = newWindow(g.cfg.Window)
	case !g.forced && !g.isOverRatio():
		g.clearTripped()
	}
}

func (g *Guard) clearTripped() {
	g.tripped, g.forced, g.operation, g.acceptedInRow = false, false, "", 0
}

// notifySubscribers passes the current status to the subscribers. Calls are serialized, so that the
// last status that a subscriber gets is the current one.
func (g *Guard) notifySubscribers() {
	g.notifyMu.Lock()
	defer g.notifyMu.Unlock()
	status := g.currentStatus()
	for _, notify := range g.subscribers {
		notify(status)
	}
}

func (g *Guard) currentStatus() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	frequent := g.window.mostFrequent()
	return Status{
		Tripped: g.tripped, RejectedShare: g.window.refusedShare(), WindowRecords: g.window.len(),
		Operation: frequent.operation, Cause: frequent.cause, Code: frequent.code,
	}
}

// hashKey hashes the record's key, or its origin if it has no key, so that nothing of the record is
// kept.
func (g *Guard) hashKey(rec *record.Record) uint64 {
	if rec.Raw.Key != nil {
		return maphash.Bytes(g.seed, rec.Raw.Key)
	}
	var origin [12]byte
	binary.BigEndian.PutUint64(origin[:8], uint64(rec.Origin.Offset))
	binary.BigEndian.PutUint32(origin[8:], uint32(rec.Origin.Partition))
	return maphash.Bytes(g.seed, origin[:])
}
