package demo

import (
	"strings"
	"testing"
	"time"

	"sluice/internal/sink"
)

var testTime = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// testRecord is a purchase at offset 5 of partition 0.
var testRecord = producedRecord{
	origin: sink.Origin{Topic: purchases, Offset: 5, Timestamp: testTime}, pipeline: purchases,
	operation: "crmcom.purchases",
}

const (
	testRecordID   = "purchases-0-5"
	testRetryTopic = "sluice.purchases.retry.1s"
	testOperation  = "crmcom.purchases"
	otherRecordID  = "purchases-0-6"
	commitAfter    = 6 // a committed offset beyond testRecord
	commitBefore   = 5 // a committed offset at testRecord
)

// Each row is one record and where it is found. A record found nowhere is what a connector that
// commits too early leaves behind.
func TestRecordIsCountedWhereItIsFound(t *testing.T) {
	skip, dead := testRecord, testRecord
	skip.expected, dead.expected = expectSkipped, expectDead
	for _, tt := range []struct {
		name       string
		record     producedRecord
		commit     int64
		put        []func(*findings)
		want       Figures
		unexpected int
	}{
		{"accepted", testRecord, commitAfter, setups(withAcceptances(1)), Figures{Delivered: 1}, 0},
		{"accepted and not committed", testRecord, commitBefore, setups(withAcceptances(1)), Figures{Delivered: 1}, 0},
		{"accepted twice", testRecord, commitAfter, setups(withAcceptances(2)), Figures{Delivered: 1, Duplicates: 1}, 0},
		{
			"accepted under another id", testRecord, commitAfter,
			setups(func(found *findings) {
				found.accepted[vendorItem{testOperation, otherRecordID}] = acceptance{times: 1}
			}),
			Figures{Lost: 1}, 0,
		},
		{
			"accepted for another operation", testRecord, commitAfter,
			setups(func(found *findings) { found.accepted[vendorItem{"crmcom.web", testRecordID}] = acceptance{times: 1} }),
			Figures{Lost: 1}, 0,
		},
		{"dead", dead, commitAfter, setups(withDeadLetters(1)), Figures{Dead: 1}, 0},
		{"dead twice", dead, commitAfter, setups(withDeadLetters(2)), Figures{Dead: 1, Duplicates: 1}, 0},
		{"dead, to be delivered", testRecord, commitAfter, setups(withDeadLetters(1)), Figures{Dead: 1}, 1},
		{"delivered, to be dead", dead, commitAfter, setups(withAcceptances(1)), Figures{Delivered: 1}, 1},
		{
			"delivered and dead", testRecord, commitAfter, setups(withAcceptances(1), withDeadLetters(1)),
			Figures{Delivered: 1, Duplicates: 1}, 1,
		},
		{"in a retry topic", testRecord, commitAfter, setups(withRetryRecord(2)), Figures{Retrying: 1}, 0},
		{
			"in a retry topic without a commit", testRecord, commitAfter,
			setups(func(found *findings) { found.retries[testRecordID] = []recordPosition{{testRetryTopic, 0, 0}} }),
			Figures{Retrying: 1}, 0,
		},
		{"committed in a retry topic", testRecord, commitAfter, setups(withRetryRecord(3)), Figures{Lost: 1}, 0},
		{
			"delivered from a retry topic, not committed there", testRecord, commitAfter,
			setups(withRetryRecord(2), withAcceptances(1)),
			Figures{Delivered: 1}, 0,
		},
		{"skipped", skip, commitAfter, nil, Figures{Skipped: 1}, 0},
		{"not settled, to be skipped", skip, commitBefore, nil, Figures{Unsettled: 1}, 0},
		{"delivered, to be skipped", skip, commitAfter, setups(withAcceptances(1)), Figures{Delivered: 1}, 1},
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
			tt.want.Produced = 1
			if tt.want.Delivered > 0 {
				tt.want.DelayP50, tt.want.DelayP99 = 1000, 1000
			}
			checkTotals(t, tt.record, found, tt.want, tt.unexpected)
		})
	}
}

// checkTotals checks that the record is counted for its pipeline, for its operation and in total.
func checkTotals(t *testing.T, produced producedRecord, found findings, want Figures, unexpected int) {
	t.Helper()
	sums := computeTotals([]producedRecord{produced}, found, map[string][]string{purchases: {testOperation}})
	for where, sum := range map[string]*balance{
		"pipeline": sums.pipelines[purchases], "operation": sums.operations[testOperation], "total": &sums.total,
	} {
		if got := sum.computeFigures(); got != want || sum.unexpected != unexpected {
			t.Errorf("%s: got %+v with %d unexpected, want %+v with %d", where, got, sum.unexpected, want, unexpected)
		}
	}
}

func withAcceptances(times int) func(*findings) {
	return func(found *findings) {
		found.accepted[vendorItem{testOperation, testRecordID}] = acceptance{times, testTime.Add(time.Second)}
	}
}

func withDeadLetters(copies int) func(*findings) {
	return func(found *findings) { found.dead[testRecordID] = copies }
}

func withRetryRecord(committed int64) func(*findings) {
	return func(found *findings) {
		found.retries[testRecordID] = []recordPosition{{testRetryTopic, 0, 2}}
		found.commits[testRetryTopic] = map[int32]int64{0: committed}
	}
}

func setups(each ...func(*findings)) []func(*findings) { return each }

func TestNothingIsLostWithoutACommit(t *testing.T) {
	sums := computeTotals([]producedRecord{testRecord}, newFindings(), map[string][]string{purchases: {testOperation}})
	if got := sums.total.computeFigures(); got.Unsettled != 1 || got.Lost != 0 {
		t.Errorf("got %+v, want one unsettled record", got)
	}
}

func TestPipelineFiguresCoverAllItsOperations(t *testing.T) {
	found := newFindings()
	found.calls = map[string]callCount{"expoints.add": {3, 7}, "expoints.addlock": {5, 5}, "crmcom.web": {9, 9}}
	found.commits[feedback] = map[int32]int64{0: 100}
	var records []producedRecord
	for i := range 100 {
		record := producedRecord{
			origin: sink.Origin{Topic: feedback, Offset: int64(i), Timestamp: testTime}, pipeline: feedback,
			operation: "expoints.add", vendorID: string(rune('a' + i)),
		}
		found.accepted[vendorItem{record.operation, record.vendorID}] = acceptance{
			1, testTime.Add(time.Duration(i+1) * time.Millisecond),
		}
		records = append(records, record)
	}
	sums := computeTotals(records, found, map[string][]string{feedback: {"expoints.add", "expoints.addlock"}})
	want := Figures{Produced: 100, Delivered: 100, Calls: 8, RecordsPerCall: 1.5, DelayP50: 51, DelayP99: 100}
	if got := sums.pipelines[feedback].computeFigures(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := sums.operations["expoints.addlock"].computeFigures(); got != (Figures{Calls: 5, RecordsPerCall: 1}) {
		t.Errorf("operation without records: got %+v, want only its calls", got)
	}
}

func TestClassCountsProducedRecordsAndDeadLetters(t *testing.T) {
	bad := testRecord
	bad.category, bad.expected, bad.operation = categoryPoison, expectDead, ""
	lost := bad
	lost.origin.Offset = 4
	found := newFindings()
	found.commits[purchases] = map[int32]int64{0: commitAfter}
	found.dead[testRecordID] = 2
	sums := computeTotals([]producedRecord{bad, lost}, found, map[string][]string{purchases: {testOperation}})
	if got := sums.categories[categoryPoison]; got != (categoryCount{produced: 2, dead: 1}) {
		t.Errorf("got %+v, want 2 produced and 1 dead, since a second copy is not a second record", got)
	}
}

// The vendor's ledger knows whether a repeated acceptance has a reason. A second dead letter never
// has one.
func TestUnexplainedDuplicateFailsTheRun(t *testing.T) {
	routes := map[string][]string{purchases: {testOperation}}
	dead := testRecord
	dead.expected = expectDead
	for name, tt := range map[string]struct {
		record  producedRecord
		put     func(*findings)
		failure string
	}{
		"accepted twice after a lost response": {
			testRecord,
			func(found *findings) {
				found.accepted[vendorItem{testOperation, testRecordID}] = acceptance{2, testTime}
			}, "",
		},
		"accepted twice": {testRecord, func(found *findings) {
			found.accepted[vendorItem{testOperation, testRecordID}] = acceptance{2, testTime}
			found.unexplained[testOperation] = 1
		}, "pipeline purchases: 1 records duplicated"},
		"dead twice": {
			dead, func(found *findings) { found.dead[testRecordID] = 2 }, "pipeline purchases: 1 records duplicated",
		},
		"unknown item at the vendor": {testRecord, func(found *findings) {
			found.accepted[vendorItem{testOperation, testRecordID}] = acceptance{1, testTime}
			found.accepted[vendorItem{testOperation, otherRecordID}] = acceptance{1, testTime}
		}, "1 items at the vendors or dead letters belong to no produced record"},
		"unknown dead letter": {
			dead, func(found *findings) { found.dead[testRecordID], found.dead[otherRecordID] = 1, 1 },
			"1 items at the vendors or dead letters belong to no produced record",
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := newFindings()
			found.commits[purchases] = map[int32]int64{0: commitAfter}
			tt.put(&found)
			got := newReport(
				computeTotals([]producedRecord{tt.record}, found, routes), map[string]int{}, script{}, false,
			).Failures
			if len(got) > 1 || !strings.Contains(strings.Join(got, ""), tt.failure) ||
				(tt.failure == "") != (len(got) == 0) {
				t.Errorf("failures: got %q, want %q", got, tt.failure)
			}
		})
	}
}
