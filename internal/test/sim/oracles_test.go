package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// verdict is all that the oracles have against a run.
type verdict []error

func (v *verdict) add(format string, args ...any) {
	const most = 25
	if len(*v) < most {
		*v = append(*v, fmt.Errorf(format, args...))
	}
}

// judge holds a run that has ended against the promise.
func (w *world) judge() error {
	var v verdict
	if err := w.commits.Check(); err != nil {
		v = append(v, err)
	}
	w.judgeTap(&v)
	w.judgeDeadLetters(&v)
	for _, r := range w.tap.written(false) {
		w.judgeRetry(&v, r)
	}
	w.judgeLedger(&v)
	w.judgeFates(&v)
	w.judgeOrder(&v)
	w.judgeFaults(&v)
	if strings.Contains(w.logs.text(), "-"+mark) {
		v.add("a log line holds a personal field")
	}
	return errors.Join(v...)
}

// judgeTap makes sure that what the tap believed was written is what the topics have.
func (w *world) judgeTap(v *verdict) {
	for at, n := range w.tap.ends() {
		if got := w.platform.Cluster().PartitionInfo(at.topic, at.partition).HighWatermark; got != n {
			v.add("%s-%d ends at %d, and the tap has seen %d records: the oracles are blind", at.topic, at.partition, got, n)
		}
	}
}

// judgeDeadLetters reads the dead-letter topic back.
func (w *world) judgeDeadLetters(v *verdict) {
	seen := w.tap.written(true)
	read, err := w.readBack(len(seen))
	if err != nil {
		v.add("reading the dead letters back: %w", err)
		return
	}
	byPlace := map[place]*kgo.Record{}
	for _, r := range read {
		byPlace[place{r.Topic, r.Partition, r.Offset}] = r
		w.judgeDead(v, r)
	}
	for _, r := range seen {
		if got := byPlace[place{r.Topic, r.Partition, r.Offset}]; got == nil || !bytes.Equal(got.Value, r.Value) {
			v.add("the tap has seen another dead letter at %s-%d-%d", r.Topic, r.Partition, r.Offset)
		}
	}
}

func (w *world) readBack(n int) ([]*kgo.Record, error) {
	from := map[int32]kgo.Offset{}
	for p := range w.parts {
		from[int32(p)] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.platform.Brokers()...), kgo.Dialer(w.platform.Dial), kgo.DisableClientMetrics(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.deadTopic(): from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), vendorTimeout)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("%d of %d: %w", len(out), n, err)
		}
		out = append(out, fetches.Records()...)
	}
	return out, nil
}

// judgeLedger: produced = delivered + dead + skipped, since a run ends with nothing in retry.
func (w *world) judgeLedger(v *verdict) {
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	r := w.books.ledger.Report()
	for what, origins := range map[string][]string{"lost": r.Lost, "spurious": r.Spurious, "changed on the way": r.Corrupted} {
		if len(origins) > 0 {
			v.add("%d of %d records are %s: %v", len(origins), r.Produced, what, origins[:min(len(origins), 10)])
		}
	}
	if r.Produced != w.scenario.records || r.Produced == 0 {
		v.add("%d records were produced, the scenario has %d", r.Produced, w.scenario.records)
	}
	for _, f := range w.books.faults {
		v.add("%s", f)
	}
	extra, again := 0, w.again()
	for _, id := range r.Duplicated {
		extra += max(0, w.books.delivered[id]-1)
		w.judgeDuplicate(v, id, again)
	}
	if counted := w.metric("sluice_possible_duplicates_total"); !w.line.repeatable && float64(extra) > counted {
		v.add("the vendor has %d duplicates, and only %v were counted as possible", extra, counted)
	}
}

// repeats is what the vendor knows of items that it accepted: by origin, how often without need, and whether it has told its client of one.
type repeats struct {
	needless map[string]int
	told     map[string]bool
}

func (w *world) again() repeats {
	r := repeats{needless: map[string]int{}, told: map[string]bool{}}
	for _, e := range w.vendors.Ledger().Unexplained(w.line.operation) {
		if p := w.books.of(e); p != nil {
			r.needless[p.origin.ID()]++
		}
	}
	for e := range w.vendors.Ledger().AllEntries(w.line.operation) {
		if p := w.books.of(e); p != nil && e.Confirmed {
			r.told[p.origin.ID()] = true
		}
	}
	return r
}

// judgeDuplicate: what is twice at the vendor was not answered the first time, or was being sent at a crash; what was open then may be twice in the
// dead-letter topic. Nothing else is anywhere twice.
func (w *world) judgeDuplicate(v *verdict, id string, r repeats) {
	delivered, dead := w.books.delivered[id], w.books.dead[id]
	if r.needless[id] > 0 && !w.sent[id] && (!w.line.repeatable || !w.open[id]) {
		v.add("%s is %d times at the vendor, and %d times without need", id, delivered, r.needless[id])
	}
	if dead > 1 && !w.open[id] {
		v.add("%s is %d times dead, and was not open at a crash", id, dead)
	}
	if delivered > 0 && dead > 0 && r.told[id] && !w.sent[id] {
		v.add("%s is dead, and the vendor has said that it has it", id)
	}
}

// metric sums a counter over all members.
func (w *world) metric(name string) float64 {
	sum := 0.0
	for _, m := range w.members {
		families, err := m.metrics.Gather()
		w.must(err)
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, one := range f.GetMetric() {
				sum += one.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// judgeFates: each record ended as its kind must, and the vendor has at least as many as were to be delivered.
func (w *world) judgeFates(v *verdict) {
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	due, reached := 0, 0
	for id, p := range w.books.records {
		delivered, dead := w.books.delivered[id], w.books.dead[id]
		reached += delivered
		_, dies := causes[p.kind]
		skipped := w.skipping() && (p.kind == tombstone || p.kind == unmapped)
		switch {
		case skipped:
			if delivered+dead > 0 {
				v.add("%s (%s) was to be skipped: delivered %d, dead %d", id, p.kind, delivered, dead)
			}
		case dies:
			if dead == 0 || delivered > 0 {
				v.add("%s (%s) was to die: delivered %d, dead %d", id, p.kind, delivered, dead)
			}
		default:
			if dead == 0 {
				due++
			}
			if dead > 0 && len(w.scenario.may) == 0 && !w.sent[id] {
				v.add("%s (%s) was to be delivered, and is dead", id, p.kind)
			}
		}
	}
	if reached < due {
		v.add("%d records reached the vendor, %d were due", reached, due)
	}
}

// judgeOrder: the vendor has each customer's changes in the order produced. After each crash those that were open may come again.
func (w *world) judgeOrder(v *verdict) {
	if !w.line.ordered {
		return
	}
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	for customer, seqs := range w.books.versions {
		back := 0
		for i := 1; i < len(seqs); i++ {
			if seqs[i] < seqs[i-1] {
				back++
			}
		}
		if back > w.crashes {
			v.add("the changes of %s went back %d times in %d crashes: %v", customer, back, w.crashes, seqs)
		}
		if n := len(seqs); seqs[n-1] != slices.Max(seqs) {
			v.add("the last change of %s that the vendor has is %d of %v", customer, seqs[n-1], seqs)
		}
	}
}

// judgeFaults: a fault that did not strike proves nothing.
func (w *world) judgeFaults(v *verdict) {
	for name, times := range w.vendors.Faults() {
		if times == 0 {
			v.add("the vendor's fault %q did not strike", name)
		}
	}
	for name, times := range w.fired {
		if times() == 0 {
			v.add("the fault %q did not strike", name)
		}
	}
	if w.line.vendor == "crmcom" && w.scenario.mix[later]+w.scenario.mix[never] > 0 && w.accounts.refused == 0 {
		v.add("no account was missing")
	}
}

// mayDieOf tells whether a dead letter of the kind may have the cause.
func (w *world) mayDieOf(k kind, cause record.Cause) bool {
	return causes[k] == cause || slices.Contains(w.scenario.may, cause) ||
		cause == record.CauseUnknown && w.crashes > 0 // judgeFates holds it against what was sent
}
