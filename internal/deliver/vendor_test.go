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

// vendor is an operation at whose other end a script stands.
type vendor struct {
	spec   sink.OperationSpec
	script script
	took   time.Duration // of each call

	mu       sync.Mutex
	calls    [][]string // the ids of each call
	at       []time.Time
	accepted map[string]int
}

func (v *vendor) Spec() sink.OperationSpec { return v.spec }

func (v *vendor) Encode(context.Context, any, sink.Origin) (sink.Item, error) {
	return sink.Item{}, errors.New("encoding: not at this border")
}

func (v *vendor) EnvelopeSize(string) int { return 20 }

func (v *vendor) Send(ctx context.Context, items []sink.Item) sink.Response {
	v.mu.Lock()
	var ids []string
	for _, it := range items {
		ids = append(ids, it.ID)
	}
	v.calls, v.at = append(v.calls, ids), append(v.at, time.Now())
	n := len(v.calls)
	v.mu.Unlock()
	if v.took > 0 {
		select {
		case <-time.After(v.took):
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

// count is how many calls were made.
func (v *vendor) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.calls)
}

// call gives the ids of a call, from 0.
func (v *vendor) call(n int) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[n]
}

// sizes are the items of each call.
func (v *vendor) sizes() []int {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []int
	for _, c := range v.calls {
		out = append(out, len(c))
	}
	return out
}

func answer(class sink.ResultClass, status int) sink.Response {
	return sink.Response{Result: sink.Result{Class: class, Status: status}}
}

// each answers item by item.
func each(items []sink.Item, class func(sink.Item) sink.ResultClass) sink.Response {
	a := answer(sink.Delivered, 200)
	for _, it := range items {
		a.ItemResults = append(a.ItemResults, sink.Result{Class: class(it)})
	}
	return a
}

func accept(_ int, items []sink.Item) sink.Response {
	return each(items, func(sink.Item) sink.ResultClass { return sink.Delivered })
}

// first answers the first calls as given, and accepts after them.
func first(answers ...sink.Response) script {
	return func(n int, items []sink.Item) sink.Response {
		if n <= len(answers) {
			return answers[n-1]
		}
		return accept(n, items)
	}
}
