package testkit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Ledger counts the outcomes of each record, to check that every produced record was delivered,
// retried, dead-lettered or skipped, that nothing else was, and that there are no more than
// MaxDuplicates duplicates. A record is identified by its origin ("<topic>-<partition>-<offset>").
// Its payload is any text that the test can derive from the record wherever it sees it, so that the
// ledger can compare what came out with what went in; an empty payload is unknown and not compared.
// The zero value is ready to use. A Ledger is safe for concurrent use.
type Ledger struct {
	// MaxDuplicates is the number of duplicates, summed over all records, that Check accepts.
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

// Report summarizes a ledger. The slices hold sorted origins.
type Report struct {
	Produced, Delivered, Retry, Dead, Skipped int

	// Lost holds records that were produced and have no outcome at all.
	Lost []string
	// Spurious holds records that have an outcome although they were never produced.
	Spurious []string
	// Corrupted holds records whose payload differs from the produced one.
	Corrupted []string
	// Duplicated holds records with more than one final outcome (delivered, dead-lettered or
	// skipped). Duplicates counts the final outcomes beyond the first.
	Duplicated []string
	Duplicates int
}

// AddProduced records that the record was produced. It must be called once for each record; two
// calls with different payloads count as a corruption.
func (l *Ledger) AddProduced(origin, payload string) {
	l.updateEntry(origin, payload, func(e *entry) { e.produced = true })
}

// AddDelivered records one acceptance of the record by the vendor.
func (l *Ledger) AddDelivered(origin, payload string) {
	l.updateEntry(origin, payload, func(e *entry) { e.delivered++ })
}

// AddRetried records that the record is in a retry topic. That is an outcome, but not a final one,
// because the record may still be delivered or dead-lettered.
func (l *Ledger) AddRetried(origin, payload string) {
	l.updateEntry(origin, payload, func(e *entry) { e.retry = true })
}

// AddDeadLetter records one copy of the record in the dead-letter topic.
func (l *Ledger) AddDeadLetter(origin, payload string) {
	l.updateEntry(origin, payload, func(e *entry) { e.dead++ })
}

// AddSkipped records that the record was skipped by a rule.
func (l *Ledger) AddSkipped(origin string) {
	l.updateEntry(origin, "", func(e *entry) { e.skipped++ })
}

func (l *Ledger) updateEntry(origin, payload string, update func(*entry)) {
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
	update(e)
}

// BuildReport summarizes the current contents of the ledger.
func (l *Ledger) BuildReport() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	var r Report
	for origin, e := range l.entries {
		r.addEntry(origin, e)
	}
	for _, origins := range [][]string{r.Lost, r.Spurious, r.Corrupted, r.Duplicated} {
		slices.Sort(origins)
	}
	return r
}

func (r *Report) addEntry(origin string, e *entry) {
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

// Check returns an error that lists the lost, spurious and corrupted records, and the duplicated
// ones if there are more than MaxDuplicates. It also fails if nothing was produced, because then
// nothing was verified.
func (l *Ledger) Check() error {
	r := l.BuildReport()
	if r.Produced == 0 && len(r.Spurious) == 0 {
		return errors.New("checking the ledger: nothing was produced")
	}
	var failures []string
	addFailure := func(what string, origins []string) {
		if len(origins) > 0 {
			failures = append(failures, fmt.Sprintf("%d %s (%s)", len(origins), what, listOrigins(origins)))
		}
	}
	addFailure("lost", r.Lost)
	addFailure("spurious", r.Spurious)
	addFailure("corrupted", r.Corrupted)
	if r.Duplicates > l.MaxDuplicates {
		what := fmt.Sprintf("duplicated, with %d duplicates, want at most %d", r.Duplicates, l.MaxDuplicates)
		addFailure(what, r.Duplicated)
	}
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("checking the ledger of %d records: %s", r.Produced, strings.Join(failures, "; "))
}

func listOrigins(origins []string) string {
	if len(origins) <= maxListed {
		return strings.Join(origins, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(origins[:maxListed], ", "), len(origins)-maxListed)
}
