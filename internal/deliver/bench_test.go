package deliver

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// instantVendor is an operation that accepts everything without delay.
type instantVendor struct {
	fakeVendor
	results []sink.Result
}

func (vendor *instantVendor) Send(_ context.Context, items []sink.Item) sink.Response {
	return sink.Response{
		Result: sink.Result{Class: sink.Delivered, Status: 200}, ItemResults: vendor.results[:len(items)],
	}
}

// settleCounter is an IntentLog and a Settler that only counts.
type settleCounter struct{ settled chan int }

func (counter *settleCounter) LogIntent(context.Context, []record.Intent) error { return nil }
func (counter *settleCounter) ClearIntent([]record.Intent)                      {}
func (counter *settleCounter) Settle(_ context.Context, outcomes []record.Outcome) error {
	counter.settled <- len(outcomes)
	return nil
}

// BenchmarkLane measures one item from Dispatch to Settle, with at most 10,000 in flight.
func BenchmarkLane(b *testing.B) {
	b.Run("unordered", func(b *testing.B) { benchmarkLane(b, nil) })
	keys := make([][]byte, 20_000)
	for i := range keys {
		keys[i] = []byte(strconv.Itoa(i))
	}
	b.Run("keyed", func(b *testing.B) { benchmarkLane(b, keys) })
}

func benchmarkLane(b *testing.B, keys [][]byte) {
	op := &instantVendor{results: make([]sink.Result, 1000)}
	for i := range op.results {
		op.results[i].Class = sink.Delivered
	}
	cfg := testConfig()
	cfg.MaxItems, cfg.Linger, cfg.Rand = 1000, time.Millisecond, rand.NewPCG(1, 1)
	counter := &settleCounter{settled: make(chan int, 16)}
	dispatcher := NewDispatcher(op, cfg, counter, counter, nil, zap.NewNop())
	ended := make(chan error, 1)
	go func() { ended <- dispatcher.Run(b.Context()) }()

	rec := &record.Record{Raw: &kgo.Record{}}
	offset.NewTracker([16]byte{}, 0, nil).Track(&rec.Entry, 0, 0, time.Now())
	delivery := Delivery{Record: rec, Item: sink.Item{ID: "id", Body: make([]byte, 200)}}
	b.ReportAllocs()
	b.ResetTimer()
	inFlight := 0
	for i := range b.N {
		if keys != nil {
			delivery.OrderKey = keys[i%len(keys)]
		}
		for inFlight >= 10_000 {
			inFlight -= <-counter.settled
		}
		dispatcher.Dispatch(delivery)
		inFlight++
	}
	for inFlight > 0 {
		inFlight -= <-counter.settled
	}
	b.StopTimer()
	dispatcher.Close()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
