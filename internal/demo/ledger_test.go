package demo

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/sink"
)

var testTime = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// testRecord is a purchase at offset 5 of partition 0.
var testRecord = producedRecord{origin: sink.Origin{Topic: purchases, Offset: 5, Timestamp: testTime}, pipeline: purchases, operation: "crmcom.purchases"}

const (
	testRecordID   = "purchases-0-5"
	testRetryTopic = "sluice.purchases.retry.1s"
	testOperation  = "crmcom.purchases"
	otherRecordID  = "purchases-0-6"
	commitAfter    = 6 // a commit past the record
	commitBefore   = 5 // a commit that is not
)

// Each row is one record and where it is found. The rows of a record that is nowhere are what a connector that commits too early leaves behind.
func TestARecordIsCountedWhereItIs(t *testing.T) {
	skip, dead := testRecord, testRecord
	skip.expected, dead.expected = expectSkipped, expectDead
	accepted := func(times int) func(*findings) {
		return func(p *findings) {
			p.accepted[vendorItem{testOperation, testRecordID}] = acceptance{times, testTime.Add(time.Second)}
		}
	}
	died := func(copies int) func(*findings) { return func(p *findings) { p.dead[testRecordID] = copies } }
	waits := func(committed int64) func(*findings) {
		return func(p *findings) {
			p.retries[testRecordID] = []recordPosition{{testRetryTopic, 0, 2}}
			p.commits[testRetryTopic] = map[int32]int64{0: committed}
		}
	}
	for _, tt := range []struct {
		name   string
		record producedRecord
		commit int64
		put    []func(*findings)
		want   Figures
		wrong  int
	}{
		{"accepted", testRecord, commitAfter, listOfSetups(accepted(1)), Figures{Delivered: 1}, 0},
		{"accepted and not committed", testRecord, commitBefore, listOfSetups(accepted(1)), Figures{Delivered: 1}, 0},
		{"accepted twice", testRecord, commitAfter, listOfSetups(accepted(2)), Figures{Delivered: 1, Duplicates: 1}, 0},
		{"accepted under another's name", testRecord, commitAfter, listOfSetups(func(p *findings) { p.accepted[vendorItem{testOperation, otherRecordID}] = acceptance{times: 1} }), Figures{Lost: 1}, 0},
		{"accepted for another operation", testRecord, commitAfter, listOfSetups(func(p *findings) { p.accepted[vendorItem{"crmcom.web", testRecordID}] = acceptance{times: 1} }), Figures{Lost: 1}, 0},
		{"dead", dead, commitAfter, listOfSetups(died(1)), Figures{Dead: 1}, 0},
		{"dead twice", dead, commitAfter, listOfSetups(died(2)), Figures{Dead: 1, Duplicates: 1}, 0},
		{"dead without a fault of its own", testRecord, commitAfter, listOfSetups(died(1)), Figures{Dead: 1}, 1},
		{"delivered though refused", dead, commitAfter, listOfSetups(accepted(1)), Figures{Delivered: 1}, 1},
		{"delivered and dead", testRecord, commitAfter, listOfSetups(accepted(1), died(1)), Figures{Delivered: 1, Duplicates: 1}, 1},
		{"in a tier", testRecord, commitAfter, listOfSetups(waits(2)), Figures{Retrying: 1}, 0},
		{"in a tier that was never committed", testRecord, commitAfter, listOfSetups(func(p *findings) { p.retries[testRecordID] = []recordPosition{{testRetryTopic, 0, 0}} }), Figures{Retrying: 1}, 0},
		{"gone from a tier", testRecord, commitAfter, listOfSetups(waits(3)), Figures{Lost: 1}, 0},
		{"delivered from a tier that is not committed", testRecord, commitAfter, listOfSetups(waits(2), accepted(1)), Figures{Delivered: 1}, 0},
		{"skipped", skip, commitAfter, nil, Figures{Skipped: 1}, 0},
		{"to be skipped and not reached", skip, commitBefore, nil, Figures{Unsettled: 1}, 0},
		{"to be skipped and delivered", skip, commitAfter, listOfSetups(accepted(1)), Figures{Delivered: 1}, 1},
		{"not settled", testRecord, commitBefore, nil, Figures{Unsettled: 1}, 0},
		{"nowhere", testRecord, commitAfter, nil, Figures{Lost: 1}, 0},
		{"nowhere, to be dead", dead, commitAfter, nil, Figures{Lost: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := newFindings()
			found.commits[purchases] = map[int32]int64{0: tt.commit}
			for _, put := range tt.put {
				put(&found)
			}
			sums := computeTotals([]producedRecord{tt.record}, found, map[string][]string{purchases: {testOperation}})
			tt.want.Produced = 1
			if tt.want.Delivered > 0 {
				tt.want.DelayP50, tt.want.DelayP99 = 1000, 1000
			}
			for where, b := range map[string]*balance{"pipeline": sums.pipelines[purchases], "operation": sums.operations[testOperation], "total": &sums.total} {
				if got := b.computeFigures(); got != tt.want || b.unexpected != tt.wrong {
					t.Errorf("%s: %+v with %d wrong, want %+v with %d", where, got, b.unexpected, tt.want, tt.wrong)
				}
			}
		})
	}
}

func listOfSetups(each ...func(*findings)) []func(*findings) { return each }

// A group that has committed nothing has passed nothing.
func TestWithoutACommitNothingIsLost(t *testing.T) {
	sums := computeTotals([]producedRecord{testRecord}, newFindings(), map[string][]string{purchases: {testOperation}})
	if got := sums.total.computeFigures(); got.Unsettled != 1 || got.Lost != 0 {
		t.Errorf("%+v, want one record not settled", got)
	}
}

func TestCallsAndDelaysAreTakenOverAllOperationsOfAPipeline(t *testing.T) {
	found := newFindings()
	found.calls = map[string]callCount{"expoints.add": {3, 7}, "expoints.addlock": {5, 5}, "crmcom.web": {9, 9}}
	found.commits[feedback] = map[int32]int64{0: 100}
	var records []producedRecord
	for i := range 100 {
		record := producedRecord{origin: sink.Origin{Topic: feedback, Offset: int64(i), Timestamp: testTime}, pipeline: feedback, operation: "expoints.add", vendorID: string(rune('a' + i))}
		found.accepted[vendorItem{record.operation, record.vendorID}] = acceptance{1, testTime.Add(time.Duration(i+1) * time.Millisecond)}
		records = append(records, record)
	}
	sums := computeTotals(records, found, map[string][]string{feedback: {"expoints.add", "expoints.addlock"}})
	want := Figures{Produced: 100, Delivered: 100, Calls: 8, RecordsPerCall: 1.5, DelayP50: 51, DelayP99: 100}
	if got := sums.pipelines[feedback].computeFigures(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := sums.operations["expoints.addlock"].computeFigures(); got != (Figures{Calls: 5, RecordsPerCall: 1}) {
		t.Errorf("an operation without records: %+v", got)
	}
}

func TestAClassCountsWhatWasProducedAndWhatIsDead(t *testing.T) {
	bad := testRecord
	bad.class, bad.expected, bad.operation = classPoison, expectDead, ""
	lost := bad
	lost.origin.Offset = 4
	found := newFindings()
	found.commits[purchases] = map[int32]int64{0: commitAfter}
	found.dead[testRecordID] = 2
	sums := computeTotals([]producedRecord{bad, lost}, found, map[string][]string{purchases: {testOperation}})
	if got := sums.classes[classPoison]; got != (classCount{produced: 2, dead: 1}) {
		t.Errorf("%+v, want 2 produced and 1 dead: a second copy is no second record", got)
	}
}

// What is twice at the vendor has a reason or none, and the vendor knows; twice in a dead-letter topic it never has.
func TestADoubleWithoutAReasonFailsTheRun(t *testing.T) {
	routes := map[string][]string{purchases: {testOperation}}
	dead := testRecord
	dead.expected = expectDead
	for name, tt := range map[string]struct {
		record  producedRecord
		put     func(*findings)
		failure string
	}{
		"accepted twice after a lost answer": {testRecord, func(p *findings) { p.accepted[vendorItem{testOperation, testRecordID}] = acceptance{2, testTime} }, ""},
		"accepted twice": {testRecord, func(p *findings) {
			p.accepted[vendorItem{testOperation, testRecordID}], p.unexplained[testOperation] = acceptance{2, testTime}, 1
		}, "pipeline purchases: 1 records are double"},
		"dead twice": {dead, func(p *findings) { p.dead[testRecordID] = 2 }, "pipeline purchases: 1 records are double"},
		"another's item at the vendor": {testRecord, func(p *findings) {
			p.accepted[vendorItem{testOperation, testRecordID}], p.accepted[vendorItem{testOperation, otherRecordID}] = acceptance{1, testTime}, acceptance{1, testTime}
		}, "1 items at the vendors or dead letters are of no record"},
		"another's dead letter": {dead, func(p *findings) { p.dead[testRecordID], p.dead[otherRecordID] = 1, 1 }, "1 items at the vendors or dead letters are of no record"},
	} {
		t.Run(name, func(t *testing.T) {
			found := newFindings()
			found.commits[purchases] = map[int32]int64{0: commitAfter}
			tt.put(&found)
			got := newReport(computeTotals([]producedRecord{tt.record}, found, routes), map[string]int{}, script{}, false).Failures
			if len(got) > 1 || !strings.Contains(strings.Join(got, ""), tt.failure) || (tt.failure == "") != (len(got) == 0) {
				t.Errorf("the failures are %q, want %q", got, tt.failure)
			}
		})
	}
}
