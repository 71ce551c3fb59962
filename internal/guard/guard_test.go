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

// recordWithKey is a record of a key; unkeyed one without, told apart by its offset.
func recordWithKey(key string) *record.Record {
	return &record.Record{Raw: &kgo.Record{Key: []byte(key)}}
}

func recordAtOffset(offset int) *record.Record {
	return &record.Record{Raw: &kgo.Record{}, Origin: sink.Origin{Offset: int64(offset)}}
}

func acceptedResult(rec *record.Record) guard.Result { return guard.Result{Record: rec} }

func rejectedResult(rec *record.Record) guard.Result {
	return guard.Result{Record: rec, Cause: record.CauseRejected, Code: "E1"}
}

// recordOneByOne counts so many unkeyed records from an offset on, one by one.
func recordOneByOne(floodGuard *guard.Guard, from, n int, result func(*record.Record) guard.Result) {
	for i := range n {
		floodGuard.RecordResults(operationName, []guard.Result{result(recordAtOffset(from + i))})
	}
}

func newTrippedGuard() *guard.Guard {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	recordOneByOne(floodGuard, 0, 20, rejectedResult)
	return floodGuard
}

// The model is a list of the latest result of each key, the oldest first, of which the last ones count.
func TestItTripsWhenTheShareOfTheLastKeysIsOverTheRatioAndNeverBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window, ratio := rapid.IntRange(20, 40).Draw(t, "window"), rapid.SampledFrom([]float64{0.01, 0.29, 0.5, 0.9}).Draw(t, "ratio")
		floodGuard := guard.NewGuard(guard.Config{MaxRatio: ratio, Window: window})
		type seat struct {
			key     string
			refused bool
		}
		var model []seat
		for i := range rapid.IntRange(1, 120).Draw(t, "records") {
			key, bad := "", rapid.Float64Range(0, 1).Draw(t, "luck") < 0.4
			rec := recordAtOffset(i)
			if rapid.Bool().Draw(t, "keyed") {
				key = fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))
				rec = recordWithKey(key)
				model = slices.DeleteFunc(model, func(s seat) bool { return s.key == key })
			}
			model = append(model, seat{key, bad})
			model = model[max(0, len(model)-window):]
			over := 0
			for _, s := range model {
				if s.refused {
					over++
				}
			}
			want := len(model) >= 20 && float64(over)/float64(len(model)) > ratio
			result := acceptedResult(rec)
			if bad {
				result = rejectedResult(rec)
			}
			if got := floodGuard.RecordResults(operationName, []guard.Result{result}); got != want {
				t.Fatalf("after %d records tripped is %v, want %v: %d of %d were refused, at most %v", i+1, got, want, over, len(model), ratio)
			}
			if want {
				return
			}
		}
	})
}

func TestARecordRefusedManyTimesCountsOnce(t *testing.T) {
	for name, rec := range map[string]*record.Record{"by its key": recordWithKey("k"), "by its origin": recordAtOffset(7)} {
		t.Run(name, func(t *testing.T) {
			floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.01, Window: 200})
			for range 1000 {
				if floodGuard.RecordResults(operationName, []guard.Result{rejectedResult(rec)}) {
					t.Fatal("one record tripped it")
				}
			}
		})
	}
}

func TestAnEmptyKeyIsAKey(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.01, Window: 200})
	for i := range 1000 {
		rec := recordAtOffset(i)
		rec.Raw.Key = []byte{}
		if floodGuard.RecordResults(operationName, []guard.Result{rejectedResult(rec)}) {
			t.Fatal("records of one key tripped it")
		}
	}
}

func TestACallIsJudgedAsAWhole(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	var call []guard.Result
	for i := range 100 {
		call = append(call, rejectedResult(recordAtOffset(i)))
	}
	if !floodGuard.RecordResults(operationName, call) {
		t.Error("a call of 100 refusals does not trip it before they are given up")
	}
}

func TestItIsNeverTripped(t *testing.T) {
	for name, floodGuard := range map[string]*guard.Guard{
		"where there is none":   nil,
		"where max_ratio is 1":  guard.NewGuard(guard.Config{MaxRatio: 1, Window: 20}),
		"where no window is":    guard.NewGuard(guard.Config{MaxRatio: 0.5}),
		"by exactly max_ratio":  newGuardAtRatio(),
		"by fewer than 20":      newGuardBelowMinimum(),
		"by what it has let go": newReleasedGuard(),
	} {
		t.Run(name, func(t *testing.T) {
			if floodGuard.Tripped() {
				t.Error("it is tripped")
			}
		})
	}
	for name, floodGuard := range map[string]*guard.Guard{"nil": nil, "ratio of 1": guard.NewGuard(guard.Config{MaxRatio: 1, Window: 20})} {
		t.Run(name, func(t *testing.T) {
			recordOneByOne(floodGuard, 0, 500, rejectedResult)
			floodGuard.Trip(operationName, []guard.Result{rejectedResult(recordAtOffset(1))})
			floodGuard.Release()
			if floodGuard.Tripped() {
				t.Error("it is tripped")
			}
		})
	}
}

func newGuardAtRatio() *guard.Guard {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	for i := range 500 {
		recordOneByOne(floodGuard, 2*i, 1, acceptedResult)
		recordOneByOne(floodGuard, 2*i+1, 1, rejectedResult)
	}
	return floodGuard
}

func newGuardBelowMinimum() *guard.Guard {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	recordOneByOne(floodGuard, 0, 19, rejectedResult)
	return floodGuard
}

func newReleasedGuard() *guard.Guard {
	floodGuard := newTrippedGuard()
	floodGuard.Release()
	recordOneByOne(floodGuard, 100, 19, rejectedResult) // a window that was kept would trip it
	return floodGuard
}

func TestFiveAcceptedInARowEndIt(t *testing.T) {
	floodGuard := newTrippedGuard()
	recordOneByOne(floodGuard, 100, 4, acceptedResult)
	recordOneByOne(floodGuard, 200, 1, rejectedResult)
	recordOneByOne(floodGuard, 300, 4, acceptedResult)
	if !floodGuard.Tripped() {
		t.Fatal("four in a row ended it")
	}
	recordOneByOne(floodGuard, 400, 1, acceptedResult)
	if floodGuard.Tripped() {
		t.Fatal("five in a row did not end it")
	}
	recordOneByOne(floodGuard, 500, 19, rejectedResult)
	if floodGuard.Tripped() {
		t.Error("its window was not cleared")
	}
}

func TestARefusalInTheCallBreaksTheRow(t *testing.T) {
	floodGuard := newTrippedGuard()
	recordOneByOne(floodGuard, 100, 4, acceptedResult)
	floodGuard.RecordResults(operationName, []guard.Result{acceptedResult(recordAtOffset(200)), rejectedResult(recordAtOffset(201))})
	if !floodGuard.Tripped() {
		t.Error("a call with a refusal ended it")
	}
}

// Where one of two operations is refused everything, the other's probes would end the hold each time, and the topic would end in the dead-letter topic.
func TestWhatAnotherOperationAcceptsEndsItByTheShareAlone(t *testing.T) {
	floodGuard := newTrippedGuard()
	for i := range 19 {
		if floodGuard.RecordResults("vendor.other", []guard.Result{acceptedResult(recordAtOffset(100 + i))}); !floodGuard.Tripped() {
			t.Fatalf("%d of another operation ended it", i+1)
		}
	}
	if floodGuard.RecordResults("vendor.other", []guard.Result{acceptedResult(recordAtOffset(200))}) {
		t.Error("20 of 40 is not over a half")
	}
}

func TestTheRecordThatWasRefusedCountsAsAcceptedOnceItIs(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.9, Window: 200})
	recordOneByOne(floodGuard, 0, 20, rejectedResult)
	recordOneByOne(floodGuard, 0, 1, acceptedResult)
	if !floodGuard.Tripped() {
		t.Fatal("19 of 20 is over nine tenths")
	}
	recordOneByOne(floodGuard, 1, 1, acceptedResult)
	if floodGuard.Tripped() {
		t.Error("18 of 20 is not over nine tenths")
	}
}

func TestATripIsNotEndedByTheShare(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	recordOneByOne(floodGuard, 0, 100, acceptedResult)
	floodGuard.Trip(operationName, []guard.Result{rejectedResult(recordAtOffset(200))})
	recordOneByOne(floodGuard, 300, 4, acceptedResult)
	if !floodGuard.Tripped() {
		t.Fatal("the share ended it")
	}
	recordOneByOne(floodGuard, 400, 1, acceptedResult)
	if floodGuard.Tripped() {
		t.Error("five in a row did not end it")
	}
}

func TestWatchersAreToldOnceOfEachChangeWithTheCommonestRefusal(t *testing.T) {
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	var told []guard.Status
	floodGuard.Subscribe(func(status guard.Status) { told = append(told, status) })
	recordOneByOne(floodGuard, 0, 5, acceptedResult)
	floodGuard.RecordResults("", []guard.Result{{Record: recordAtOffset(50), Cause: record.CausePoison}})
	recordOneByOne(floodGuard, 100, 30, rejectedResult)
	floodGuard.Release()
	if len(told) != 2 || told[1].Tripped {
		t.Fatalf("told %+v", told)
	}
	want := guard.Status{Tripped: true, RejectedShare: 0.75, WindowRecords: 20, Operation: operationName, Cause: record.CauseRejected, Code: "E1"}
	if told[0] != want {
		t.Errorf("told %+v, want %+v", told[0], want)
	}
}

func TestOnlyAnOperatorsReleasesCount(t *testing.T) {
	floodGuard := newTrippedGuard()
	recordOneByOne(floodGuard, 100, 5, acceptedResult)
	if n := floodGuard.ReleaseCount(); n != 0 || floodGuard.Tripped() {
		t.Fatalf("%d releases, tripped %v", n, floodGuard.Tripped())
	}
	floodGuard.Release()
	if n := floodGuard.ReleaseCount(); n != 1 {
		t.Errorf("%d releases, want 1", n)
	}
}

func BenchmarkJudge(b *testing.B) {
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
