package deliver

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/guard"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// chaosVendor returns every result class at random until it recovers.
type chaosVendor struct {
	rand      *rand.Rand
	until     time.Time
	seed      uint64
	checkCall func(items []sink.Item)
	onActed   func(id string) // called when the vendor acts without reporting it
	unknowns  map[string]int  // calls on which the vendor may have acted without reporting it, by item
}

// actOnSome acts on a random number of the items, and returns the response.
func (chaos *chaosVendor) actOnSome(items []sink.Item, response sink.Response) sink.Response {
	some := chaos.rand.IntN(len(items) + 1)
	for i, item := range items {
		if i < some && !chaos.isOffender(item.ID) {
			chaos.onActed(item.ID)
		}
		if response.Class == sink.Unknown || response.MayHaveActed {
			chaos.unknowns[item.ID]++
		}
	}
	return response
}

// tokenChaosVendor is a chaosVendor with a token and a harmless call.
type tokenChaosVendor struct {
	fakeVendor
	chaos *chaosVendor
}

func (vendor *tokenChaosVendor) RefreshToken(context.Context, uint64) error {
	if response := vendor.Probe(context.Background()); response.Class != sink.Delivered {
		return &sink.DependencyError{Action: "logging in", Response: response}
	}
	return nil
}

func (vendor *tokenChaosVendor) Probe(context.Context) sink.Response {
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	if time.Now().Before(vendor.chaos.until) && vendor.chaos.rand.IntN(2) == 0 {
		classes := []sink.ResultClass{
			sink.Unauthorized, sink.Misconfigured, sink.Throttled, sink.Unavailable, sink.Unknown,
		}
		return newResponse(classes[vendor.chaos.rand.IntN(len(classes))], 0)
	}
	return newResponse(sink.Delivered, 200)
}

// isOffender reports whether the record is rejected, alone or with its batch.
func (chaos *chaosVendor) isOffender(id string) bool {
	h := fnv.New64a()
	fmt.Fprint(h, id, chaos.seed)
	return h.Sum64()%20 == 0
}

func (chaos *chaosVendor) respond(_ int, items []sink.Item) sink.Response {
	chaos.checkCall(items)
	if time.Now().Before(chaos.until) {
		switch chaos.rand.IntN(15) {
		case 0:
			return newResponse(sink.Unavailable, 503)
		case 1:
			response := newResponse(sink.Throttled, 429)
			response.RetryAfter = time.Duration(chaos.rand.IntN(20)) * time.Second
			return response
		case 2:
			return newResponse(sink.Unauthorized, 401)
		case 3:
			return newResponse(sink.Misconfigured, 404)
		case 4:
			if len(items) > 1 {
				return newResponse(sink.TooLarge, 413)
			}
		case 5:
			return newResponse(sink.Unavailable, 503)
		case 6:
			return chaos.actOnSome(items, receivedServerError())
		case 7:
			return chaos.actOnSome(items, newResponse(sink.Unknown, 504))
		}
	}
	for _, item := range items {
		if chaos.isOffender(item.ID) && chaos.rand.IntN(2) == 0 {
			return newResponse(sink.Rejected, 400)
		}
	}
	return respondPerItem(items, func(item sink.Item) sink.ResultClass {
		switch {
		case chaos.isOffender(item.ID):
			return sink.Rejected
		case time.Now().Before(chaos.until) && chaos.rand.IntN(10) == 0:
			return sink.Retryable
		case time.Now().Before(chaos.until) && chaos.rand.IntN(20) == 0:
			chaos.actOnSome([]sink.Item{item}, newResponse(sink.Unknown, 0))
			return sink.Unknown
		}
		return sink.Delivered
	})
}

// The vendor responds at random, assignments start and end, and the flood guard trips far too
// easily. Each record must have one outcome or be released (the tracker panics on a second end, the
// ledger on a second outcome), only offenders may be rejected, intents must precede calls,
// duplicates must be counted, and each key must keep its order within an assignment.
func TestEachRecordEndsOnceUnderChaos(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 10
	}
	trips := 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) { trips += runChaos(t, uint64(seed), seed%2 == 0, seed%5 == 0) })
		})
	}
	if trips < seeds/3 {
		t.Errorf("got %d trips of the guard in %d runs, want at least %d", trips, seeds, seeds/3)
	}
}

func runChaos(t *testing.T, seed uint64, ordered, stop bool) (trips int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	chaos := &chaosVendor{
		rand: rand.New(rand.NewPCG(seed, 2)), until: time.Now().Add(10 * time.Minute), seed: seed,
		unknowns: map[string]int{},
	}
	floodGuard := guard.NewGuard(guard.Config{MaxRatio: []float64{1, 0.03, 0.2}[seed%3], Window: 20})
	floodGuard.Subscribe(func(status guard.Status) {
		if status.Tripped {
			trips++
		}
	})
	vendor := &tokenChaosVendor{
		chaos: chaos, fakeVendor: fakeVendor{spec: sink.OperationSpec{Repeatable: seed%4 >= 2}},
	}
	var op sink.Operation = vendor
	if seed%8 < 4 {
		op = &vendor.fakeVendor
	}
	h := newHarness(t, op, &vendor.fakeVendor, func(cfg *Config) {
		cfg.Guard = floodGuard
		cfg.Concurrency, cfg.RetryInPlace, cfg.Rand, cfg.MaxAge = 1+rnd.IntN(3), ordered, rand.NewPCG(seed, 3), 0
		cfg.RetryDelays = []time.Duration{
			time.Second, 10 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute,
			16 * time.Minute,
		}
	})
	h.vendor.latency = time.Duration(rnd.IntN(3)) * time.Second
	keyOf, ownerOf := map[string]string{}, map[string]int{}
	chaos.checkCall = h.checkSent
	chaos.onActed = func(id string) { h.vendor.accepted[id]++ }
	h.vendor.script = func(call int, items []sink.Item) sink.Response {
		h.vendor.mu.Lock()
		defer h.vendor.mu.Unlock()
		return chaos.respond(call, items)
	}
	h.ledger.onLogIntent = func() { // gives assignments time to end
		h.vendor.mu.Lock()
		took := time.Duration(chaos.rand.IntN(5)) * time.Second
		h.vendor.mu.Unlock()
		<-time.After(took)
	}
	owners, current := h.dispatchAcrossAssignments(rnd, seed, ordered, keyOf, ownerOf)
	if stop {
		h.cancelAndWait()
	} else {
		h.closeWithOperator(floodGuard)
	}
	for _, tracker := range owners {
		<-tracker.Idle()
	}
	h.checkLedger(chaos, keyOf, ownerOf)
	for name, a := range ownerOf {
		if _, ended := h.ledger.outcomes[name]; !ended && !stop && slices.Contains(current, a) {
			t.Errorf("got no outcome for %s, whose assignment did not end", name)
		}
	}
	return trips
}

// dispatchAcrossAssignments dispatches records while assignments start and end. It returns all
// assignments, and the indices of those that did not end.
func (h *harness) dispatchAcrossAssignments(
	rnd *rand.Rand, seed uint64, ordered bool, keyOf map[string]string, ownerOf map[string]int,
) (owners []*offset.Tracker, current []int) {
	// Two partitions whose records share calls.
	owners = []*offset.Tracker{h.newAssignment(), h.newAssignment()}
	current = []int{0, 1}
	for range 10 {
		for range rnd.IntN(30) {
			p := rnd.IntN(2)
			h.tracker = owners[current[p]]
			h.dispatchRecords(1, func(delivery *Delivery) {
				if seed%3 == 0 {
					delivery.Item.EntityKey = fmt.Sprint(p, rnd.IntN(5))
				}
				if ordered {
					keyOf[delivery.Item.ID] = fmt.Sprint(p, rnd.IntN(3))
					delivery.OrderKey = []byte(keyOf[delivery.Item.ID])
				}
				ownerOf[delivery.Item.ID] = current[p]
			})
		}
		testkit.AdvanceClock(time.Duration(rnd.IntN(60)) * time.Second)
		p := rnd.IntN(2)
		h.tracker = owners[current[p]]
		switch rnd.IntN(4) {
		case 0:
			h.startDraining(time.Duration(rnd.IntN(90)) * time.Second)
		case 1:
			h.tracker.Fence()
			h.dispatcher.NotifyDraining()
		default:
			continue
		}
		if rnd.IntN(2) == 0 {
			<-h.tracker.Idle()
		}
		current[p], owners = len(owners), append(owners, h.newAssignment())
	}
	return owners, current
}

// checkSent fails the test if an item is sent after it had an outcome, without a logged intent, or
// together with another item of its entity.
func (h *harness) checkSent(items []sink.Item) {
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	entities := map[string]bool{}
	for _, item := range items {
		if item.EntityKey != "" && entities[item.EntityKey] {
			h.t.Errorf("got %s sent together with another item of entity %s", item.ID, item.EntityKey)
		}
		entities[item.EntityKey] = true
		if _, ended := h.ledger.outcomes[item.ID]; ended {
			h.t.Errorf("got %s sent after it had an outcome", item.ID)
		}
		if !h.vendor.spec.Repeatable && !h.ledger.intentIDs[item.ID] {
			h.t.Errorf("got %s sent without an intent", item.ID)
		}
	}
}

// closeWithOperator is closeAndWait while an operator releases the guard every ten minutes.
func (h *harness) closeWithOperator(floodGuard *guard.Guard) {
	h.t.Helper()
	done, operator := make(chan struct{}), sync.WaitGroup{}
	operator.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Minute):
				floodGuard.Release()
			}
		}
	})
	h.closeAndWait()
	close(done)
	operator.Wait()
}

// checkLedger checks the ledger after all records have ended.
func (h *harness) checkLedger(chaos *chaosVendor, keyOf map[string]string, ownerOf map[string]int) {
	last := map[string]int{}
	for name, n := range chaos.unknowns {
		if n > 1+testConfig().MaxResends && !h.vendor.spec.Repeatable {
			h.t.Errorf("got %s sent %d times with an unknown outcome, want at most %d",
				name, n, 1+testConfig().MaxResends)
		}
	}
	for _, name := range h.ledger.order {
		outcome := h.ledger.outcomes[name]
		unknown := outcome.Cause == record.CauseUnknown && chaos.unknowns[name] == 1+testConfig().MaxResends
		if outcome.Disposition == record.DispositionDead && !chaos.isOffender(name) && !unknown ||
			outcome.Disposition == record.DispositionDelivered && chaos.isOffender(name) {
			h.t.Errorf("%s (offender %v, %d unknown outcomes): got %v %v",
				name, chaos.isOffender(name), chaos.unknowns[name], outcome.Disposition, outcome.Cause)
		}
		if k, ok := keyOf[name]; ok {
			k = fmt.Sprintf("%s of assignment %d", k, ownerOf[name])
			n := int(outcome.Record.Origin.Offset)
			if n < last[k] {
				h.t.Errorf("got %d of key %s settled after %d", n, k, last[k])
			}
			last[k] = n
		}
	}
	duplicates := 0
	for _, n := range h.vendor.accepted {
		duplicates += n - 1
	}
	if h.vendor.spec.Repeatable {
		return // sending twice is harmless and not counted
	}
	if counted := h.obs.Snapshot().PossibleDuplicates; duplicates > int(counted) {
		h.t.Errorf("got %d possible duplicates counted, want at least the %d that the vendor accepted twice",
			counted, duplicates)
	}
}

func TestLaneRejectsExactlyTheOffendersOfABatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 64).Draw(rt, "items")
		bad := map[string]bool{}
		for range rapid.IntRange(0, min(n, 5)).Draw(rt, "offenders") {
			bad[recordID(rapid.IntRange(0, n-1).Draw(rt, "offender"))] = true
		}
		runInBubble(t, func(t *testing.T) {
			h := startHarness(t, func(call int, items []sink.Item) sink.Response {
				for _, item := range items {
					if bad[item.ID] {
						return newResponse(sink.Rejected, 400)
					}
				}
				return acceptAll(call, items)
			}, func(cfg *Config) { cfg.MaxItems = n })
			h.dispatchRecords(n, nil)
			h.closeAndWait()
			for i := range n {
				outcome := h.ledger.outcomes[recordID(i)]
				if bad[recordID(i)] != (outcome.Disposition == record.DispositionDead) ||
					!bad[recordID(i)] && h.vendor.accepted[recordID(i)] != 1 {
					t.Errorf("item %d, offender %v: got %v, accepted %d times",
						i, bad[recordID(i)], outcome.Disposition, h.vendor.accepted[recordID(i)])
				}
			}
		})
	})
}
