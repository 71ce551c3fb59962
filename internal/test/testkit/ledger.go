package testkit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Ledger holds what became of each record, for the promise that produced = delivered + retry + dead + skipped. A record is known by its
// origin ("<topic>-<partition>-<offset>"). Its payload is any text that the test can make of the record wherever it meets it, so that what comes out
// can be held against what went in; where there is none to be seen, it is empty and not compared. The zero value is ready. Safe for concurrent use.
type Ledger struct {
	// MaxDuplicates is how many outcomes beyond the first Check lets pass, over all records.
	MaxDuplicates int

	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	produced  bool
	payload   string
	corrupted bool
	retry     bool
	delivered int
	dead      int
	skipped   int
}

// Report is what Check judges. The slices hold origins, sorted.
type Report struct {
	Produced, Delivered, Retry, Dead, Skipped int

	// Lost were produced and have no outcome at all.
	Lost []string
	// Spurious have an outcome and were never produced.
	Spurious []string
	// Corrupted came out with another payload than they went in.
	Corrupted []string
	// Duplicated have more than one final outcome (delivered, dead or skipped); Duplicates counts those beyond the first.
	Duplicated []string
	Duplicates int
}

// Produced says that the record went in. Saying it twice is an error of the test, and shows as a corruption when the payloads differ.
func (l *Ledger) Produced(origin, payload string) {
	l.update(origin, payload, func(e *entry) { e.produced = true })
}

// Delivered says that the vendor accepted the record, once more.
func (l *Ledger) Delivered(origin, payload string) {
	l.update(origin, payload, func(e *entry) { e.delivered++ })
}

// Retry says that the record is in a retry or parked topic. It may still be delivered or die, so this is an outcome but not a final one.
func (l *Ledger) Retry(origin, payload string) {
	l.update(origin, payload, func(e *entry) { e.retry = true })
}

// Dead says that the record is in the dead-letter topic, once more.
func (l *Ledger) Dead(origin, payload string) {
	l.update(origin, payload, func(e *entry) { e.dead++ })
}

// Skipped says that the record was skipped by a stated rule.
func (l *Ledger) Skipped(origin string) {
	l.update(origin, "", func(e *entry) { e.skipped++ })
}

func (l *Ledger) update(origin, payload string, f func(*entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[origin]
	if e == nil {
		if l.entries == nil {
			l.entries = map[string]*entry{}
		}
		e = &entry{}
		l.entries[origin] = e
	}
	switch {
	case e.payload == "":
		e.payload = payload
	case payload != "" && payload != e.payload:
		e.corrupted = true
	}
	f(e)
}

// Report counts what is in the ledger now.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r Report
	for origin, e := range l.entries {
		r.add(origin, e)
	}
	for _, s := range [][]string{r.Lost, r.Spurious, r.Corrupted, r.Duplicated} {
		slices.Sort(s)
	}
	return r
}

func (r *Report) add(origin string, e *entry) {
	r.Delivered += e.delivered
	r.Dead += e.dead
	r.Skipped += e.skipped
	final := e.delivered + e.dead + e.skipped
	if e.retry {
		r.Retry++
	}
	if e.produced {
		r.Produced++
	}
	if e.corrupted {
		r.Corrupted = append(r.Corrupted, origin)
	}
	if !e.produced {
		r.Spurious = append(r.Spurious, origin)
	} else if final == 0 && !e.retry {
		r.Lost = append(r.Lost, origin)
	}
	if final > 1 {
		r.Duplicated = append(r.Duplicated, origin)
		r.Duplicates += final - 1
	}
}

// Check lists what was lost, is spurious or corrupted, and duplicates beyond MaxDuplicates. A ledger of nothing produced is an error too, since
// then nothing was proved.
func (l *Ledger) Check() error {
	r := l.Report()
	if r.Produced == 0 && len(r.Spurious) == 0 {
		return errors.New("checking the ledger: nothing was produced")
	}
	var faults []string
	fault := func(what string, origins []string) {
		if len(origins) > 0 {
			faults = append(faults, fmt.Sprintf("%d %s (%s)", len(origins), what, list(origins)))
		}
	}
	fault("lost", r.Lost)
	fault("spurious", r.Spurious)
	fault("corrupted", r.Corrupted)
	if r.Duplicates > l.MaxDuplicates {
		fault(fmt.Sprintf("duplicated, %d times over in all, at most %d allowed", r.Duplicates, l.MaxDuplicates), r.Duplicated)
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("checking the ledger of %d records: %s", r.Produced, strings.Join(faults, "; "))
}

func list(origins []string) string {
	if len(origins) <= maxListed {
		return strings.Join(origins, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(origins[:maxListed], ", "), len(origins)-maxListed)
}
