// Package guard tells when so many of a pipeline's records are refused that something else than the records must be wrong: a broken mapping must not
// empty a topic into its dead-letter topic.
//
// It is pure: it knows neither clock nor I/O nor goroutine. Those who refuse records ask it before anything is retried or dead-lettered; while it is
// tripped, what was refused stays where it is, and one record at a time tries whether it is accepted now.
package guard

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"sluice/internal/record"
)

// minRecords is how many records the share is judged on at least.
const minRecords = 20

// acceptedToClear is how many records must be accepted in a row while it is tripped, for it to let go.
const acceptedToClear = 5

// Config says when the guard trips.
type Config struct {
	// MaxRatio is the share of refusals above which it trips, over 0 to 1; 1: never.
	MaxRatio float64
	// Window is the number of last records of different keys over which the share is taken, 20 or more; 0: it never trips.
	Window int
}

// Result is what became of one record: it was accepted, or refused for now or for good.
type Result struct {
	Record *record.Record
	// Cause is why it was refused, empty where it was accepted.
	Cause record.Cause
	// Code is the vendor's own code, empty where it gave none.
	Code string
}

// Status is how the guard stands.
type Status struct {
	Tripped bool
	// RejectedShare of the last Records that was refused.
	RejectedShare float64
	WindowRecords int
	// Operation, Cause and Code are those of the commonest refusal among them. Operation is empty where none was found for the records.
	Operation string
	Cause     record.Cause
	Code      string
}

// Guard counts for one step of one pipeline: results that come at different speeds, as a bad record's before any call and a good one's after it, would say
// nothing together. A nil *Guard never trips. Safe for concurrent use.
type Guard struct {
	cfg  Config
	seed maphash.Seed

	notifyMu    sync.Mutex // held while watchers are told, before mu
	subscribers []func(Status)

	mu            sync.Mutex // guards what follows; nothing else is locked under it
	window        *window
	tripped       bool
	forced        bool   // by Trip, so that the share does not end it
	operation     string // the operation that is to accept records before it lets go; empty: any
	acceptedInRow int    // accepted in a row since it tripped
	releases      uint64 // by an operator
}

// NewGuard makes a guard with an empty window.
func NewGuard(cfg Config) *Guard {
	return &Guard{cfg: cfg, seed: maphash.MakeSeed(), window: newWindow(cfg.Window)}
}

// Subscribe has f told each time the guard trips or lets go, and when it is released. Call it before the guard is used; f must not call the guard's other
// methods than Tripped.
func (g *Guard) Subscribe(f func(Status)) {
	if g == nil {
		return
	}
	g.notifyMu.Lock()
	defer g.notifyMu.Unlock()
	g.subscribers = append(g.subscribers, f)
}

// RecordResults counts what became of records together (a call's items, or one that never came to a call), and tells whether the guard is tripped then: if so,
// those that were refused must neither be retried nor dead-lettered. operation is empty where none was found.
func (g *Guard) RecordResults(operation string, results []Result) (tripped bool) {
	if g.isDisabled() || len(results) == 0 {
		return g.Tripped()
	}
	g.mu.Lock()
	was := g.tripped
	refused := g.addResults(operation, results)
	if g.tripped {
		g.updateTripped(operation, len(results)-refused, refused)
	} else if g.isOverRatio() {
		g.setTripped(g.window.mostFrequent().operation)
	}
	tripped = g.tripped
	g.mu.Unlock()
	if tripped != was {
		g.notifySubscribers()
	}
	return tripped
}

// Trip counts refusals that are too many whatever the share of the window is. Then only records accepted in a row or an operator end it.
func (g *Guard) Trip(operation string, refusals []Result) {
	if g.isDisabled() {
		return
	}
	g.mu.Lock()
	was := g.tripped
	g.addResults(operation, refusals)
	g.setTripped(operation)
	g.forced = true
	g.mu.Unlock()
	if !was {
		g.notifySubscribers()
	}
}

// Release ends the hold by an operator's word, with an empty window.
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

// ReleaseCount counts the operator's releases.
func (g *Guard) ReleaseCount() uint64 {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.releases
}

// Tripped tells whether what is refused must stay.
func (g *Guard) Tripped() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tripped
}

func (g *Guard) isDisabled() bool { return g == nil || g.cfg.Window <= 0 || g.cfg.MaxRatio >= 1 }

// addResults puts results into the window and tells how many are refusals.
func (g *Guard) addResults(operation string, results []Result) (refused int) {
	for _, r := range results {
		g.window.recordResult(g.keyHash(r.Record), rejection{operation, r.Cause, r.Code})
		if r.Cause != "" {
			refused++
		}
	}
	return refused
}

func (g *Guard) isOverRatio() bool {
	return g.window.len() >= minRecords && g.window.rejectedShare() > g.cfg.MaxRatio
}

func (g *Guard) setTripped(suspect string) {
	g.tripped, g.operation, g.acceptedInRow = true, suspect, 0
}

// updateTripped takes results of a call while it is tripped. What another operation than the suspect accepts says nothing about the suspect but for the share.
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

// notifySubscribers gives the watchers the latest standing, one after the other, so that the last that they hear holds.
func (g *Guard) notifySubscribers() {
	g.notifyMu.Lock()
	defer g.notifyMu.Unlock()
	s := g.currentStatus()
	for _, f := range g.subscribers {
		f(s)
	}
}

func (g *Guard) currentStatus() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.window.mostFrequent()
	return Status{
		Tripped: g.tripped, RejectedShare: g.window.rejectedShare(), WindowRecords: g.window.len(), Operation: c.operation, Cause: c.cause, Code: c.code,
	}
}

// keyHash stands for the record's key, or for its origin where it has none. It is a hash: nothing of a record is kept.
func (g *Guard) keyHash(r *record.Record) uint64 {
	if r.Raw.Key != nil {
		return maphash.Bytes(g.seed, r.Raw.Key)
	}
	var origin [12]byte
	binary.BigEndian.PutUint64(origin[:8], uint64(r.Origin.Offset))
	binary.BigEndian.PutUint32(origin[8:], uint32(r.Origin.Partition))
	return maphash.Bytes(g.seed, origin[:])
}
