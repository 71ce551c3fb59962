package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/internal/sink"
)

// script answers the n-th call (from 1) of a vendor.
type script func(n int, items []sink.Item) sink.Response

// fakeVendor is an operation at whose other end a script stands.
type fakeVendor struct {
	spec    sink.OperationSpec
	script  script
	latency time.Duration // of each call

	mu       sync.Mutex
	calls    [][]string // the ids of each call
	calledAt []time.Time
	accepted map[string]int
}

func (v *fakeVendor) Spec() sink.OperationSpec { return v.spec }

func (v *fakeVendor) Encode(context.Context, any, sink.Origin) (sink.Item, error) {
	return sink.Item{}, errors.New("encoding: not at this border")
}

func (v *fakeVendor) EnvelopeSize(string) int { return 20 }

func (v *fakeVendor) Send(ctx context.Context, items []sink.Item) sink.Response {
	v.mu.Lock()
	var ids []string
	for _, it := range items {
		ids = append(ids, it.ID)
	}
	v.calls, v.calledAt = append(v.calls, ids), append(v.calledAt, time.Now())
	n := len(v.calls)
	v.mu.Unlock()
	if v.latency > 0 {
		select {
		case <-time.After(v.latency):
		case <-ctx.Done():
			return sink.Response{Result: sink.Result{Class: sink.Unknown}, Err: fmt.Errorf("sending: %w", ctx.Err())}
		}
	}
	a := v.script(n, items)
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, r := range a.ItemResults {
		if r.Class == sink.Delivered && i < len(ids) {
			v.accepted[ids[i]]++
		}
	}
	return a
}

// callCount is how many calls were made.
func (v *fakeVendor) callCount() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.calls)
}

// callItems gives the ids of a call, from 0.
func (v *fakeVendor) callItems(n int) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[n]
}

// callSizes are the items of each call.
func (v *fakeVendor) callSizes() []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []int
	for _, c := range v.calls {
		out = append(out, len(c))
	}
	return out
}

func newResponse(class sink.ResultClass, status int) sink.Response {
	return sink.Response{Result: sink.Result{Class: class, Status: status}}
}

// respondPerItem answers item by item.
func respondPerItem(items []sink.Item, class func(sink.Item) sink.ResultClass) sink.Response {
	a := newResponse(sink.Delivered, 200)
	for _, it := range items {
		a.ItemResults = append(a.ItemResults, sink.Result{Class: class(it)})
	}
	return a
}

func acceptAll(_ int, items []sink.Item) sink.Response {
	return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Delivered })
}

// respondFirst answers the first calls as given, and accepts after them.
func respondFirst(answers ...sink.Response) script {
	return func(n int, items []sink.Item) sink.Response {
		if n <= len(answers) {
			return answers[n-1]
		}
		return acceptAll(n, items)
	}
}
