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

// oracles checks a completed run against the guarantees, from outside the code under test.
type oracles struct {
	*harness
	violations []error
}

// checkRun returns the violations that the oracles find in a completed run.
func (h *harness) checkRun() error {
	o := &oracles{harness: h}
	if err := o.commits.Check(); err != nil {
		o.violations = append(o.violations, err)
	}
	o.checkTap()
	o.checkDeadLetters()
	for _, r := range o.tap.writtenRecords(false) {
		o.checkRetry(r)
	}
	o.checkLedger()
	o.checkSends()
	o.checkOutcomes()
	o.checkOrder()
	o.checkFaults()
	if strings.Contains(o.logs.contents(), "-"+personalMark) {
		o.addViolation("a log line contains a personal field")
	}
	return errors.Join(o.violations...)
}

func (o *oracles) addViolation(format string, args ...any) {
	const limit = 25
	if len(o.violations) < limit {
		o.violations = append(o.violations, fmt.Errorf(format, args...))
	}
}

// checkTap checks that the topics contain exactly what the tap has seen.
func (o *oracles) checkTap() {
	for position, n := range o.tap.endOffsets() {
		if got := o.platform.Cluster().PartitionInfo(position.topic, position.partition).HighWatermark; got != n {
			o.addViolation(
				"%s-%d: got end offset %d, but the tap has seen %d records", position.topic, position.partition, got, n,
			)
		}
	}
}

// checkDeadLetters reads and checks the dead-letter topic.
func (o *oracles) checkDeadLetters() {
	seen := o.tap.writtenRecords(true)
	read, err := o.readDeadLetters(len(seen))
	if err != nil {
		o.addViolation("reading the dead letters back: %w", err)
		return
	}
	byPosition := map[recordPosition]*kgo.Record{}
	for _, r := range read {
		byPosition[recordPosition{r.Topic, r.Partition, r.Offset}] = r
		o.checkDeadLetter(r)
	}
	for _, r := range seen {
		if got := byPosition[recordPosition{r.Topic, r.Partition, r.Offset}]; got == nil ||
			!bytes.Equal(got.Value, r.Value) {
			o.addViolation(
				"%s-%d-%d: the dead letter differs from the one that the tap has seen", r.Topic, r.Partition, r.Offset,
			)
		}
	}
}

func (o *oracles) readDeadLetters(count int) ([]*kgo.Record, error) {
	from := map[int32]kgo.Offset{}
	for p := range o.partitions {
		from[int32(p)] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.platform.Brokers()...), kgo.Dialer(o.platform.DialContext), kgo.DisableClientMetrics(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.deadLetterTopic(): from}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(o.Context(), vendorTimeout)
	defer cancel()
	var out []*kgo.Record
	for len(out) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("after %d of %d records: %w", len(out), count, err)
		}
		out = append(out, fetches.Records()...)
	}
	return out, nil
}

// checkLedger checks that produced = delivered + dead + skipped, since a run ends without pending
// retries.
func (o *oracles) checkLedger() {
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	report := o.ledger.outcomes.BuildReport()
	for what, origins := range map[string][]string{
		"lost": report.Lost, "spurious": report.Spurious, "corrupted": report.Corrupted,
	} {
		if len(origins) > 0 {
			o.addViolation(
				"%d of %d records are %s: %v", len(origins), report.Produced, what, origins[:min(len(origins), 10)],
			)
		}
	}
	if report.Produced != o.scenario.records || report.Produced == 0 {
		o.addViolation("produced: got %d records, want %d", report.Produced, o.scenario.records)
	}
	for _, violation := range o.ledger.violations {
		o.addViolation("%s", violation)
	}
	duplicates, repeats := 0, o.countRepeats()
	for _, id := range report.Duplicated {
		duplicates += max(0, o.ledger.delivered[id]-1)
		o.checkDuplicate(id, repeats)
	}
	if counted := o.sumMetric("sluice_possible_duplicates_total"); !o.pipeline.repeatable && float64(duplicates) > counted {
		o.addViolation(
			"duplicates: got %d at the vendor, want at most %v, the number counted as possible", duplicates, counted,
		)
	}
}

// vendorRepeats is what the vendor's ledger has about accepted items, by origin: how many
// acceptances are unexplained, and whether one was confirmed.
type vendorRepeats struct {
	unexplained map[string]int
	confirmed   map[string]bool
}

func (o *oracles) countRepeats() vendorRepeats {
	repeats := vendorRepeats{unexplained: map[string]int{}, confirmed: map[string]bool{}}
	for _, entry := range o.vendors.Ledger().Unexplained(o.pipeline.operation) {
		if original := o.ledger.findEntry(entry); original != nil {
			repeats.unexplained[original.origin.ID()]++
		}
	}
	for entry := range o.vendors.Ledger().AllEntries(o.pipeline.operation) {
		if original := o.ledger.findEntry(entry); original != nil && entry.Confirmed {
			repeats.confirmed[original.origin.ID()] = true
		}
	}
	return repeats
}

// checkDuplicate allows a repeated delivery only if the first response was lost or the record had
// an intent at a crash, and a repeated dead letter only if the record was unsettled at a crash.
func (o *oracles) checkDuplicate(id string, repeats vendorRepeats) {
	delivered, dead := o.ledger.delivered[id], o.ledger.dead[id]
	if repeats.unexplained[id] > 0 && !o.intentAtCrash[id] && (!o.pipeline.repeatable || !o.unsettledAtCrash[id]) {
		o.addViolation("%s was delivered %d times, of which %d are unexplained", id, delivered, repeats.unexplained[id])
	}
	if dead > 1 && !o.unsettledAtCrash[id] {
		o.addViolation("%s has %d dead letters, but was not unsettled at a crash", id, dead)
	}
	if delivered > 0 && dead > 0 && repeats.confirmed[id] && !o.intentAtCrash[id] {
		o.addViolation("%s is dead, but the vendor had confirmed it", id)
	}
}

// sumMetric sums a counter over all members.
func (o *oracles) sumMetric(name string) float64 {
	sum := 0.0
	for _, member := range o.members {
		families, err := member.metrics.Gather()
		o.requireNoError(err)
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, metric := range f.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// checkOutcomes checks that each record has the outcome that its kind requires, and that the vendor
// has accepted at least as many items as there are records to be delivered.
func (o *oracles) checkOutcomes() {
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	wantDeliveries, gotDeliveries := 0, 0
	for id, original := range o.ledger.records {
		delivered, dead := o.ledger.delivered[id], o.ledger.dead[id]
		gotDeliveries += delivered
		_, wantDead := causes[original.kind]
		skipped := o.skipsUnhandled() && (original.kind == tombstone || original.kind == unmapped)
		switch {
		case skipped:
			if delivered+dead > 0 {
				o.addViolation(
					"%s (%s): got %d deliveries and %d dead letters, want it skipped", id, original.kind, delivered,
					dead,
				)
			}
		case wantDead:
			if dead == 0 || delivered > 0 {
				o.addViolation(
					"%s (%s): got %d deliveries and %d dead letters, want it dead", id, original.kind, delivered, dead,
				)
			}
		default:
			if dead == 0 {
				wantDeliveries++
			}
			if dead > 0 && len(o.scenario.allowedCauses) == 0 && !o.intentAtCrash[id] {
				o.addViolation("%s (%s) is dead, want it delivered", id, original.kind)
			}
		}
	}
	if gotDeliveries < wantDeliveries {
		o.addViolation("deliveries: got %d, want at least %d", gotDeliveries, wantDeliveries)
	}
}

// checkOrder checks that the vendor received each customer's changes in the order of production.
// Each crash may make the order go backwards once, because unsettled changes are sent again.
func (o *oracles) checkOrder() {
	if !o.pipeline.ordered {
		return
	}
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	for customer, seqs := range o.ledger.versions {
		backwards := 0
		for i := 1; i < len(seqs); i++ {
			if seqs[i] < seqs[i-1] {
				backwards++
			}
		}
		if backwards > o.crashes {
			o.addViolation("changes of %s: order broken %d times in %d crashes: %v", customer, backwards, o.crashes, seqs)
		}
		if count := len(seqs); seqs[count-1] != slices.Max(seqs) {
			o.addViolation("changes of %s: the vendor received %d last of %v", customer, seqs[count-1], seqs)
		}
	}
}

// checkFaults checks that every fault has occurred, because a run without its faults proves
// nothing.
func (o *oracles) checkFaults() {
	for name, times := range o.vendors.Faults() {
		if times == 0 {
			o.addViolation("vendor fault %q did not occur", name)
		}
	}
	for name, times := range o.faultCounts {
		if times() == 0 {
			o.addViolation("fault %q did not occur", name)
		}
	}
	if o.pipeline.vendor == "crmcom" && o.scenario.mix[later]+o.scenario.mix[never] > 0 && o.accounts.refused == 0 {
		o.addViolation("no account was found missing")
	}
}

// isAllowedCause reports whether a dead letter of a record of the kind may have the cause.
func (o *oracles) isAllowedCause(recordKind kind, cause record.Cause) bool {
	return causes[recordKind] == cause || slices.Contains(o.scenario.allowedCauses, cause) ||
		cause == record.CauseUnknown && o.crashes > 0 // checkOutcomes compares it with the intents
}
