// Package guard is the flood guard: it trips when so many of a pipeline's records are refused that
// something other than the records must be wrong. A broken mapping must not empty a topic into its
// dead-letter topic.
//
// The package is pure: no clock, no I/O, no goroutine. Callers report refusals before anything is
// retried or dead-lettered. While the guard is tripped, refused records stay where they are, and
// one record at a time is sent as a probe.
package guard

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"sluice/internal/record"
)

// minRecords is the minimum number of records in the window for the ratio to trip the guard.
const minRecords = 20

// acceptedToClear is the number of consecutive accepted records that clears a tripped guard.
const acceptedToClear = 5

// Config configures when the guard trips.
type Config struct {
	// MaxRatio is the ratio of refused records above which the guard trips, above 0 and at most 1.
	// With 1, it never trips.
	MaxRatio float64
	// Window is the number of most recent keys over which the ratio is computed; only the latest
	// result of each key counts: at least 20, or 0 for a guard that never trips.
	Window int
}

// Result is what a vendor or the router decided about one record: accepted, or refused for now or
// for good.
type Result struct {
	Record *record.Record
	// Cause is why the record was refused, or empty if it was accepted.
	Cause record.Cause
	// Code is the vendor's own code, or empty if there is none.
	Code string
}

// Status is the state of the guard.
type Status struct {
	Tripped bool
	// RefusedRatio is the ratio of refused records among the last WindowRecords records.
	RefusedRatio  float64
	WindowRecords int
	// Operation, Cause and Code describe the most frequent refusal among them. Operation is empty
	// if the refused records have none.
	Operation string
	Cause     record.Cause
	Code      string
}

// Guard watches one stage of one pipeline. Stages need separate guards, because a rejection before
// a call is known sooner than the result of a call, and a ratio over both would be meaningless. A
// nil *Guard never trips. Guard is safe for concurrent use.
type Guard struct {
	cfg  Config
	seed maphash.Seed

	notifyMu    sync.Mutex // locked while subscribers are called, before mu
	subscribers []func(Status)

	mu                  sync.Mutex // guards the fields below; no other lock is taken while it is held
	window              *window
	tripped             bool
	forced              bool   // tripped by Trip, so that the ratio does not clear it
	operation           string // the operation whose accepted records clear it, or empty for any
	consecutiveAccepted int    // since it tripped
	releases            uint64 // by an operator
}

// NewGuard returns a guard with an empty window.
func NewGuard(cfg Config) *Guard {
	return &Guard{cfg: cfg, seed: maphash.MakeSeed(), window: newWindow(cfg.Window)}
}

// Subscribe registers a function that is called each time the guard trips or clears, and when an
// operator releases it. It must be called before the guard is used. The function must not call
// methods of the guard other than Tripped.
func (g *Guard) Subscribe(notify func(Status)) {
	if g == nil {
		return
	}
	g.notifyMu.Lock()
	defer g.notifyMu.Unlock()
	g.subscribers = append(g.subscribers, notify)
}

// RecordResults records the results of one call, or of one record that was refused before a call.
// It returns whether the guard is now tripped; if so, the refused records must neither be retried
// nor dead-lettered. operation is empty if the records have none.
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

// Trip records refusals and trips the guard, whatever the ratio is. Then only consecutive accepted
// records or an operator release clear it.
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

// Release clears the guard for an operator, and empties its window.
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

// addResults adds results to the window and returns how many are refusals.
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
	return g.window.len() >= minRecords && g.window.refusedRatio() > g.cfg.MaxRatio
}

func (g *Guard) setTripped(operation string) {
	g.tripped, g.operation, g.consecutiveAccepted = true, operation, 0
}

// updateTripped applies the results of a call to a tripped guard. Results of operations other than
// the one at fault affect only the ratio.
func (g *Guard) updateTripped(operation string, accepted, refused int) {
	if g.operation == "" || g.operation == operation {
		g.consecutiveAccepted += accepted
		if refused > 0 {
			g.consecutiveAccepted = 0
		}
	}
	switch {
	case g.consecutiveAccepted >= acceptedToClear:
		g.clearTripped()
		g.window = newWindow(g.cfg.Window)
	case !g.forced && !g.isOverRatio():
		g.clearTripped()
	}
}

func (g *Guard) clearTripped() {
	g.tripped, g.forced, g.operation, g.consecutiveAccepted = false, false, "", 0
}

// notifySubscribers passes the current status to the subscribers. The calls are serialized, so the
// last status that a subscriber gets is the latest.
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
		Tripped: g.tripped, RefusedRatio: g.window.refusedRatio(), WindowRecords: g.window.len(),
		Operation: frequent.operation, Cause: frequent.cause, Code: frequent.code,
	}
}

// hashKey hashes the record's key, or its origin if it has no key, so that the guard keeps no data
// of the record.
func (g *Guard) hashKey(rec *record.Record) uint64 {
	if rec.Raw.Key != nil {
		return maphash.Bytes(g.seed, rec.Raw.Key)
	}
	var origin [12]byte
	binary.BigEndian.PutUint64(origin[:8], uint64(rec.Origin.Offset))
	binary.BigEndian.PutUint32(origin[8:], uint32(rec.Origin.Partition))
	return maphash.Bytes(g.seed, origin[:])
}
