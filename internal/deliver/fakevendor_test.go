package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/internal/sink"
)

// script returns the response to a call of a fake vendor. The first call is call 1.
type script func(n int, items []sink.Item) sink.Response

// fakeVendor is an operation whose responses come from a script.
type fakeVendor struct {
	spec    sink.OperationSpec
	script  script
	latency time.Duration // of each call

	mu       sync.Mutex
	calls    [][]string // the item IDs of each call
	calledAt []time.Time
	accepted map[string]int
}

func (vendor *fakeVendor) Spec() sink.OperationSpec { return vendor.spec }

func (vendor *fakeVendor) Encode(context.Context, any, sink.Origin) (sink.Item, error) {
	return sink.Item{}, errors.New("encoding: not used by this harness")
}

func (vendor *fakeVendor) EnvelopeSize(string) int { return 20 }

func (vendor *fakeVendor) Send(ctx context.Context, items []sink.Item) sink.Response {
	vendor.mu.Lock()
	var ids []string
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	vendor.calls, vendor.calledAt = append(vendor.calls, ids), append(vendor.calledAt, time.Now())
	n := len(vendor.calls)
	vendor.mu.Unlock()
	if vendor.latency > 0 {
		select {
		case <-time.After(vendor.latency):
		case <-ctx.Done():
			return sink.Response{Result: sink.Result{Class: sink.Unknown}, Err: fmt.Errorf("sending: %w", ctx.Err())}
		}
	}
	response := vendor.script(n, items)
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	for i, r := range response.ItemResults {
		if r.Class == sink.Delivered && i < len(ids) {
			vendor.accepted[ids[i]]++
		}
	}
	return response
}

// callCount returns the number of calls made.
func (vendor *fakeVendor) callCount() int {
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	return len(vendor.calls)
}

// callItems returns the item IDs of a call. The first call is call 0.
func (vendor *fakeVendor) callItems(n int) []string {
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	return vendor.calls[n]
}

// callSizes returns the number of items of each call.
func (vendor *fakeVendor) callSizes() []int {
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	var out []int
	for _, c := range vendor.calls {
		out = append(out, len(c))
	}
	return out
}

func newResponse(class sink.ResultClass, status int) sink.Response {
	return sink.Response{Result: sink.Result{Class: class, Status: status}}
}

// respondPerItem responds with a result for each item.
func respondPerItem(items []sink.Item, class func(sink.Item) sink.ResultClass) sink.Response {
	response := newResponse(sink.Delivered, 200)
	for _, item := range items {
		response.ItemResults = append(response.ItemResults, sink.Result{Class: class(item)})
	}
	return response
}

func acceptAll(_ int, items []sink.Item) sink.Response {
	return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Delivered })
}

// respondFirst returns the given responses to the first calls, and accepts all later ones.
func respondFirst(responses ...sink.Response) script {
	return func(call int, items []sink.Item) sink.Response {
		if call <= len(responses) {
			return responses[call-1]
		}
		return acceptAll(call, items)
	}
}
