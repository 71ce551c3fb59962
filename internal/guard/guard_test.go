package guard_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"sluice/internal/guard"
	"sluice/internal/record"
	"sluice/internal/sink"
)

const operationName = "vendor.op"

func recordWithKey(key string) *record.Record {
	return &record.Record{Raw: &kgo.Record{Key: []byte(key)}}
}

// recordAtOffset returns a record without a key.
func recordAtOffset(offset int) *record.Record {
	return &record.Record{Raw: &kgo.Record{}, Origin: sink.Origin{Offset: int64(offset)}}
}

func acceptedResult(rec *record.Record) guard.Result { return guard.Result{Record: rec} }

func refusedResult(rec *record.Record) guard.Result {
	return guard.Result{Record: rec, Cause: record.CauseRejected, Code: "E1"}
}

// recordOneByOne reports the results of n records without a key, starting at an offset.
func recordOneByOne(floodGuard *guard.Guard, from, n int, result func(*record.Record) guard.Result) {
	for i := range n {
		floodGuard.RecordResults(operationName, []guard.Result{result(recordAtOffset(from + i))})
	}
}

func newTrippedGuard() *guard.Guard {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	recordOneByOne(floodGuard, 0, 20, refusedResult)
	return floodGuard
}

// The model is a list with the latest result of each key, oldest first, whose last elements are the
// window.
func TestGuardTripsOnlyWhenTheRefusedRatioExceedsTheMaximum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(20, 40).Draw(t, "window")
		ratio := rapid.SampledFrom([]float64{0.01, 0.29, 0.5, 0.9}).Draw(t, "ratio")
		floodGuard := guard.NewGuard(guard.Config{MaxRatio: ratio, Window: window})
		type result struct {
			key     string
			refused bool
		}
		var model []result
		for i := range rapid.IntRange(1, 120).Draw(t, "records") {
			key, bad := "", rapid.Float64Range(0, 1).Draw(t, "luck") < 0.4
			rec := recordAtOffset(i)
			if rapid.Bool().Draw(t, "keyed") {
				key = fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))
				rec = recordWithKey(key)
				model = slices.DeleteFunc(model, func(r result) bool { return r.key == key })
			}
			model = append(model, result{key, bad})
			model = model[max(0, len(model)-window):]
			refused := 0
			for _, s := range model {
				if s.refused {
					refused++
				}
			}
			want := len(model) >= 20 && float64(refused)/float64(len(model)) > ratio
			result := acceptedResult(rec)
			if bad {
				result = refusedResult(rec)
			}
			if got := floodGuard.RecordResults(operationName, []guard.Result{result}); got != want {
				t.Fatalf("after %d records, %d of the last %d refused: got tripped %v, want %v at ratio %v",
					i+1, refused, len(model), got, want, ratio)
			}
			if want {
				return
			}
		}
	})
}

func TestRecordThatIsRefusedRepeatedlyCountsOnce(t *testing.T) {
	for name, rec := range map[string]*record.Record{
		"by its key": recordWithKey("k"), "by its origin": recordAtOffset(7),
	} {
		t.Run(name, func(t *testing.T) {
			floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.01, Window: 200})
			for range 1000 {
				if floodGuard.RecordResults(operationName, []guard.Result{refusedResult(rec)}) {
					t.Fatal("got the guard tripped by one record, want it clear")
				}
			}
		})
	}
}

func TestEmptyKeyCountsAsAKey(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.01, Window: 200})
	for i := range 1000 {
		rec := recordAtOffset(i)
		rec.Raw.Key = []byte{}
		if floodGuard.RecordResults(operationName, []guard.Result{refusedResult(rec)}) {
			t.Fatal("got the guard tripped by records of one key, want it clear")
		}
	}
}

func TestResultsOfACallAreCountedTogether(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	var call []guard.Result
	for i := range 100 {
		call = append(call, refusedResult(recordAtOffset(i)))
	}
	if !floodGuard.RecordResults(operationName, call) {
		t.Error("got not tripped after a call of 100 refusals, want tripped")
	}
}

func TestGuardIsNotTripped(t *testing.T) {
	for name, floodGuard := range map[string]*guard.Guard{
		"no guard":                  nil,
		"maximum ratio of 1":        guard.NewGuard(guard.Config{MaxRatio: 1, Window: 20}),
		"no window":                 guard.NewGuard(guard.Config{MaxRatio: 0.5}),
		"exactly the maximum ratio": newGuardAtRatio(),
		"fewer than 20 records":     newGuardBelowMinimum(),
		"records before a release":  newReleasedGuard(),
	} {
		t.Run(name, func(t *testing.T) {
			if floodGuard.Tripped() {
				t.Error("got tripped, want not")
			}
		})
	}
	for name, floodGuard := range map[string]*guard.Guard{
		"nil": nil, "ratio of 1": guard.NewGuard(guard.Config{MaxRatio: 1, Window: 20}),
	} {
		t.Run(name, func(t *testing.T) {
			recordOneByOne(floodGuard, 0, 500, refusedResult)
			floodGuard.Trip(operationName, []guard.Result{refusedResult(recordAtOffset(1))})
			floodGuard.Release()
			if floodGuard.Tripped() {
				t.Error("got tripped, want not")
			}
		})
	}
}

func newGuardAtRatio() *guard.Guard {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	for i := range 500 {
		recordOneByOne(floodGuard, 2*i, 1, acceptedResult)
		recordOneByOne(floodGuard, 2*i+1, 1, refusedResult)
	}
	return floodGuard
}

func newGuardBelowMinimum() *guard.Guard {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	recordOneByOne(floodGuard, 0, 19, refusedResult)
	return floodGuard
}

func newReleasedGuard() *guard.Guard {
	floodGuard := newTrippedGuard()
	floodGuard.Release()
	recordOneByOne(floodGuard, 100, 19, refusedResult) // would trip it if the window had been kept
	return floodGuard
}

func TestFiveConsecutiveAcceptedRecordsClearTheGuard(t *testing.T) {
	floodGuard := newTrippedGuard()
	recordOneByOne(floodGuard, 100, 4, acceptedResult)
	recordOneByOne(floodGuard, 200, 1, refusedResult)
	recordOneByOne(floodGuard, 300, 4, acceptedResult)
	if !floodGuard.Tripped() {
		t.Fatal("got cleared by four in a row, want tripped")
	}
	recordOneByOne(floodGuard, 400, 1, acceptedResult)
	if floodGuard.Tripped() {
		t.Fatal("got tripped after five in a row, want cleared")
	}
	recordOneByOne(floodGuard, 500, 19, refusedResult)
	if floodGuard.Tripped() {
		t.Error("got tripped again by 19 records, want an empty window")
	}
}

func TestRefusalInTheSameCallRestartsTheCount(t *testing.T) {
	floodGuard := newTrippedGuard()
	recordOneByOne(floodGuard, 100, 4, acceptedResult)
	floodGuard.RecordResults(
		operationName, []guard.Result{acceptedResult(recordAtOffset(200)), refusedResult(recordAtOffset(201))},
	)
	if !floodGuard.Tripped() {
		t.Error("got cleared by a call with a refusal, want tripped")
	}
}

// Otherwise, if everything of one operation is refused, the probes of another one would clear the
// guard each time, and the topic would end up in the dead-letter topic.
func TestAnotherOperationClearsTheGuardOnlyByTheRatio(t *testing.T) {
	floodGuard := newTrippedGuard()
	for i := range 19 {
		floodGuard.RecordResults("vendor.other", []guard.Result{acceptedResult(recordAtOffset(100 + i))})
		if !floodGuard.Tripped() {
			t.Fatalf("got cleared by %d of another operation, want tripped", i+1)
		}
	}
	if floodGuard.RecordResults("vendor.other", []guard.Result{acceptedResult(recordAtOffset(200))}) {
		t.Error("got tripped with 20 of 40 refused, want cleared")
	}
}

func TestLatestResultOfARecordCounts(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.9, Window: 200})
	recordOneByOne(floodGuard, 0, 20, refusedResult)
	recordOneByOne(floodGuard, 0, 1, acceptedResult)
	if !floodGuard.Tripped() {
		t.Fatal("got cleared with 19 of 20 refused, want tripped")
	}
	recordOneByOne(floodGuard, 1, 1, acceptedResult)
	if floodGuard.Tripped() {
		t.Error("got tripped with 18 of 20 refused, want cleared")
	}
}

func TestForcedTripIsNotClearedByTheRatio(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	recordOneByOne(floodGuard, 0, 100, acceptedResult)
	floodGuard.Trip(operationName, []guard.Result{refusedResult(recordAtOffset(200))})
	recordOneByOne(floodGuard, 300, 4, acceptedResult)
	if !floodGuard.Tripped() {
		t.Fatal("got cleared by the share, want tripped")
	}
	recordOneByOne(floodGuard, 400, 1, acceptedResult)
	if floodGuard.Tripped() {
		t.Error("got tripped after five in a row, want cleared")
	}
}

func TestSubscribersAreNotifiedOnceOfEachChangeWithTheMostFrequentRefusal(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	var notified []guard.Status
	floodGuard.Subscribe(func(status guard.Status) { notified = append(notified, status) })
	recordOneByOne(floodGuard, 0, 5, acceptedResult)
	floodGuard.RecordResults("", []guard.Result{{Record: recordAtOffset(50), Cause: record.CausePoison}})
	recordOneByOne(floodGuard, 100, 30, refusedResult)
	floodGuard.Release()
	if len(notified) != 2 || notified[1].Tripped {
		t.Fatalf("got %+v, want tripped and cleared", notified)
	}
	want := guard.Status{
		Tripped: true, RefusedRatio: 0.75, WindowRecords: 20, Operation: operationName, Cause: record.CauseRejected,
		Code: "E1",
	}
	if notified[0] != want {
		t.Errorf("got %+v, want %+v", notified[0], want)
	}
}

func TestOnlyOperatorReleasesAreCounted(t *testing.T) {
	floodGuard := newTrippedGuard()
	recordOneByOne(floodGuard, 100, 5, acceptedResult)
	if n := floodGuard.ReleaseCount(); n != 0 || floodGuard.Tripped() {
		t.Fatalf("got %d releases and tripped %v, want 0 and false", n, floodGuard.Tripped())
	}
	floodGuard.Release()
	if n := floodGuard.ReleaseCount(); n != 1 {
		t.Errorf("got %d releases, want 1", n)
	}
}

func BenchmarkRecordResults(b *testing.B) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	call := make([]guard.Result, 1000)
	for i := range call {
		call[i] = acceptedResult(recordWithKey(fmt.Sprint("customer-", i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		floodGuard.RecordResults(operationName, call)
	}
}
