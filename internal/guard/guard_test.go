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

const op = "vendor.op"

// keyed is a record of a key; unkeyed one without, told apart by its offset.
func keyed(key string) *record.Record { return &record.Record{Raw: &kgo.Record{Key: []byte(key)}} }

func unkeyed(offset int) *record.Record {
	return &record.Record{Raw: &kgo.Record{}, Origin: sink.Origin{Offset: int64(offset)}}
}

func accepted(r *record.Record) guard.Result { return guard.Result{Record: r} }

func refused(r *record.Record) guard.Result {
	return guard.Result{Record: r, Cause: record.CauseRejected, Code: "E1"}
}

// judge counts so many unkeyed records from an offset on, one by one.
func judge(g *guard.Guard, from, n int, result func(*record.Record) guard.Result) {
	for i := range n {
		g.RecordResults(op, []guard.Result{result(unkeyed(from + i))})
	}
}

func tripped() *guard.Guard {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	judge(g, 0, 20, refused)
	return g
}

// The model is a list of the latest result of each key, the oldest first, of which the last ones count.
func TestItTripsWhenTheShareOfTheLastKeysIsOverTheRatioAndNeverBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window, ratio := rapid.IntRange(20, 40).Draw(t, "window"), rapid.SampledFrom([]float64{0.01, 0.29, 0.5, 0.9}).Draw(t, "ratio")
		g := guard.NewGuard(guard.Config{MaxRatio: ratio, Window: window})
		type seat struct {
			key     string
			refused bool
		}
		var model []seat
		for i := range rapid.IntRange(1, 120).Draw(t, "records") {
			key, bad := "", rapid.Float64Range(0, 1).Draw(t, "luck") < 0.4
			rec := unkeyed(i)
			if rapid.Bool().Draw(t, "keyed") {
				key = fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))
				rec = keyed(key)
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
			result := accepted(rec)
			if bad {
				result = refused(rec)
			}
			if got := g.RecordResults(op, []guard.Result{result}); got != want {
				t.Fatalf("after %d records tripped is %v, want %v: %d of %d were refused, at most %v", i+1, got, want, over, len(model), ratio)
			}
			if want {
				return
			}
		}
	})
}

func TestARecordRefusedManyTimesCountsOnce(t *testing.T) {
	for name, rec := range map[string]*record.Record{"by its key": keyed("k"), "by its origin": unkeyed(7)} {
		t.Run(name, func(t *testing.T) {
			g := guard.NewGuard(guard.Config{MaxRatio: 0.01, Window: 200})
			for range 1000 {
				if g.RecordResults(op, []guard.Result{refused(rec)}) {
					t.Fatal("one record tripped it")
				}
			}
		})
	}
}

func TestAnEmptyKeyIsAKey(t *testing.T) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.01, Window: 200})
	for i := range 1000 {
		r := unkeyed(i)
		r.Raw.Key = []byte{}
		if g.RecordResults(op, []guard.Result{refused(r)}) {
			t.Fatal("records of one key tripped it")
		}
	}
}

func TestACallIsJudgedAsAWhole(t *testing.T) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	var call []guard.Result
	for i := range 100 {
		call = append(call, refused(unkeyed(i)))
	}
	if !g.RecordResults(op, call) {
		t.Error("a call of 100 refusals does not trip it before they are given up")
	}
}

func TestItIsNeverTripped(t *testing.T) {
	for name, g := range map[string]*guard.Guard{
		"where there is none":   nil,
		"where max_ratio is 1":  guard.NewGuard(guard.Config{MaxRatio: 1, Window: 20}),
		"where no window is":    guard.NewGuard(guard.Config{MaxRatio: 0.5}),
		"by exactly max_ratio":  half(),
		"by fewer than 20":      few(),
		"by what it has let go": released(),
	} {
		t.Run(name, func(t *testing.T) {
			if g.Tripped() {
				t.Error("it is tripped")
			}
		})
	}
	for name, g := range map[string]*guard.Guard{"nil": nil, "ratio of 1": guard.NewGuard(guard.Config{MaxRatio: 1, Window: 20})} {
		t.Run(name, func(t *testing.T) {
			judge(g, 0, 500, refused)
			g.Trip(op, []guard.Result{refused(unkeyed(1))})
			g.Release()
			if g.Tripped() {
				t.Error("it is tripped")
			}
		})
	}
}

func half() *guard.Guard {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	for i := range 500 {
		judge(g, 2*i, 1, accepted)
		judge(g, 2*i+1, 1, refused)
	}
	return g
}

func few() *guard.Guard {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	judge(g, 0, 19, refused)
	return g
}

func released() *guard.Guard {
	g := tripped()
	g.Release()
	judge(g, 100, 19, refused) // a window that was kept would trip it
	return g
}

func TestFiveAcceptedInARowEndIt(t *testing.T) {
	g := tripped()
	judge(g, 100, 4, accepted)
	judge(g, 200, 1, refused)
	judge(g, 300, 4, accepted)
	if !g.Tripped() {
		t.Fatal("four in a row ended it")
	}
	judge(g, 400, 1, accepted)
	if g.Tripped() {
		t.Fatal("five in a row did not end it")
	}
	judge(g, 500, 19, refused)
	if g.Tripped() {
		t.Error("its window was not cleared")
	}
}

func TestARefusalInTheCallBreaksTheRow(t *testing.T) {
	g := tripped()
	judge(g, 100, 4, accepted)
	g.RecordResults(op, []guard.Result{accepted(unkeyed(200)), refused(unkeyed(201))})
	if !g.Tripped() {
		t.Error("a call with a refusal ended it")
	}
}

// Where one of two operations is refused everything, the other's probes would end the hold each time, and the topic would end in the dead-letter topic.
func TestWhatAnotherOperationAcceptsEndsItByTheShareAlone(t *testing.T) {
	g := tripped()
	for i := range 19 {
		if g.RecordResults("vendor.other", []guard.Result{accepted(unkeyed(100 + i))}); !g.Tripped() {
			t.Fatalf("%d of another operation ended it", i+1)
		}
	}
	if g.RecordResults("vendor.other", []guard.Result{accepted(unkeyed(200))}) {
		t.Error("20 of 40 is not over a half")
	}
}

func TestTheRecordThatWasRefusedCountsAsAcceptedOnceItIs(t *testing.T) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.9, Window: 200})
	judge(g, 0, 20, refused)
	judge(g, 0, 1, accepted)
	if !g.Tripped() {
		t.Fatal("19 of 20 is over nine tenths")
	}
	judge(g, 1, 1, accepted)
	if g.Tripped() {
		t.Error("18 of 20 is not over nine tenths")
	}
}

func TestATripIsNotEndedByTheShare(t *testing.T) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	judge(g, 0, 100, accepted)
	g.Trip(op, []guard.Result{refused(unkeyed(200))})
	judge(g, 300, 4, accepted)
	if !g.Tripped() {
		t.Fatal("the share ended it")
	}
	judge(g, 400, 1, accepted)
	if g.Tripped() {
		t.Error("five in a row did not end it")
	}
}

func TestWatchersAreToldOnceOfEachChangeWithTheCommonestRefusal(t *testing.T) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	var told []guard.Status
	g.Subscribe(func(s guard.Status) { told = append(told, s) })
	judge(g, 0, 5, accepted)
	g.RecordResults("", []guard.Result{{Record: unkeyed(50), Cause: record.CausePoison}})
	judge(g, 100, 30, refused)
	g.Release()
	if len(told) != 2 || told[1].Tripped {
		t.Fatalf("told %+v", told)
	}
	want := guard.Status{Tripped: true, RejectedShare: 0.75, WindowRecords: 20, Operation: op, Cause: record.CauseRejected, Code: "E1"}
	if told[0] != want {
		t.Errorf("told %+v, want %+v", told[0], want)
	}
}

func TestOnlyAnOperatorsReleasesCount(t *testing.T) {
	g := tripped()
	judge(g, 100, 5, accepted)
	if n := g.ReleaseCount(); n != 0 || g.Tripped() {
		t.Fatalf("%d releases, tripped %v", n, g.Tripped())
	}
	g.Release()
	if n := g.ReleaseCount(); n != 1 {
		t.Errorf("%d releases, want 1", n)
	}
}

func BenchmarkJudge(b *testing.B) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	call := make([]guard.Result, 1000)
	for i := range call {
		call[i] = accepted(keyed(fmt.Sprint("customer-", i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		g.RecordResults(op, call)
	}
}
