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

// chaosVendor is a vendor that does anything that a class exists for, by a seed, and gets well in the end.
type chaosVendor struct {
	rand      *rand.Rand
	until     time.Time
	seed      uint64
	checkCall func(items []sink.Item)
	onActed   func(id string) // the vendor has acted, and does not say so
	unknowns  map[string]int  // answers of unknown outcome, by item
}

// actOnSome answers with a call's class after acting on some of its items, or on none.
func (c *chaosVendor) actOnSome(items []sink.Item, a sink.Response) sink.Response {
	some := c.rand.IntN(len(items) + 1)
	for i, it := range items {
		if i < some && !c.isOffender(it.ID) {
			c.onActed(it.ID)
		}
		if a.Class == sink.Unknown {
			c.unknowns[it.ID]++
		}
	}
	return a
}

// tokenChaosVendor is the same with a token that can be had anew, mostly, and a harmless call.
type tokenChaosVendor struct {
	fakeVendor
	chaos *chaosVendor
}

func (v *tokenChaosVendor) RefreshToken(context.Context, uint64) error {
	if a := v.Probe(context.Background()); a.Class != sink.Delivered {
		return &sink.DependencyError{Action: "logging in", Response: a}
	}
	return nil
}

func (v *tokenChaosVendor) Probe(context.Context) sink.Response {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.chaos.until) && v.chaos.rand.IntN(2) == 0 {
		classes := []sink.ResultClass{sink.Unauthorized, sink.Misconfigured, sink.Throttled, sink.Unavailable, sink.Unknown}
		return newResponse(classes[v.chaos.rand.IntN(len(classes))], 0)
	}
	return newResponse(sink.Delivered, 200)
}

// isOffender records are refused for good, alone or by refusing their batch.
func (c *chaosVendor) isOffender(id string) bool {
	h := fnv.New64a()
	fmt.Fprint(h, id, c.seed)
	return h.Sum64()%20 == 0
}

func (c *chaosVendor) respond(_ int, items []sink.Item) sink.Response {
	c.checkCall(items)
	if time.Now().Before(c.until) {
		switch c.rand.IntN(15) {
		case 0:
			return newResponse(sink.Unavailable, 503)
		case 1:
			a := newResponse(sink.Throttled, 429)
			a.RetryAfter = time.Duration(c.rand.IntN(20)) * time.Second
			return a
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
			return c.actOnSome(items, receivedServerError())
		case 7:
			return c.actOnSome(items, newResponse(sink.Unknown, 504))
		}
	}
	for _, it := range items {
		if c.isOffender(it.ID) && c.rand.IntN(2) == 0 {
			return newResponse(sink.Rejected, 400)
		}
	}
	return respondPerItem(items, func(it sink.Item) sink.ResultClass {
		switch {
		case c.isOffender(it.ID):
			return sink.Rejected
		case time.Now().Before(c.until) && c.rand.IntN(10) == 0:
			return sink.Retryable
		case time.Now().Before(c.until) && c.rand.IntN(20) == 0:
			c.actOnSome([]sink.Item{it}, newResponse(sink.Unknown, 0))
			return sink.Unknown
		}
		return sink.Delivered
	})
}

// Whatever a vendor answers, however assignments come and go, and with a guard that trips too easily: each record has one outcome or is dropped (the tracker panics on two ends, the border on
// two outcomes), only bad ones are refused, what is sent is announced, duplicates are counted, and order per key holds within an assignment.
func TestWhateverHappensEachRecordEndsOnce(t *testing.T) {
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
		t.Errorf("the guard has tripped %d times in %d runs", trips, seeds)
	}
}

func runChaos(t *testing.T, seed uint64, ordered, stop bool) (trips int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := &chaosVendor{rand: rand.New(rand.NewPCG(seed, 2)), until: time.Now().Add(10 * time.Minute), seed: seed, unknowns: map[string]int{}}
	g := guard.NewGuard(guard.Config{MaxRatio: []float64{1, 0.03, 0.2}[seed%3], Window: 20})
	g.Subscribe(func(s guard.Status) {
		if s.Tripped {
			trips++
		}
	})
	v := &tokenChaosVendor{chaos: c, fakeVendor: fakeVendor{spec: sink.OperationSpec{Repeatable: seed%4 >= 2}}}
	var op sink.Operation = v
	if seed%8 < 4 {
		op = &v.fakeVendor
	}
	r := newHarness(t, op, &v.fakeVendor, func(cfg *Config) {
		cfg.Guard = g
		cfg.Concurrency, cfg.RetryInPlace, cfg.Rand, cfg.MaxAge = 1+rnd.IntN(3), ordered, rand.NewPCG(seed, 3), 0
		cfg.RetryDelays = []time.Duration{time.Second, 10 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute}
	})
	r.vendor.latency = time.Duration(rnd.IntN(3)) * time.Second
	keyOf, ownerOf := map[string]string{}, map[string]int{}
	c.checkCall = r.checkSent
	c.onActed = func(id string) { r.vendor.accepted[id]++ }
	r.vendor.script = func(n int, items []sink.Item) sink.Response {
		r.vendor.mu.Lock()
		defer r.vendor.mu.Unlock()
		return c.respond(n, items)
	}
	r.ledger.onLogIntent = func() { // assignments end meanwhile
		r.vendor.mu.Lock()
		took := time.Duration(c.rand.IntN(5)) * time.Second
		r.vendor.mu.Unlock()
		<-time.After(took)
	}
	owners, standing := r.dispatchAcrossAssignments(rnd, seed, ordered, keyOf, ownerOf)
	if stop {
		r.cancelAndWait()
	} else {
		r.closeWithOperator(g)
	}
	for _, o := range owners {
		<-o.Idle()
	}
	r.checkLedger(c, keyOf, ownerOf)
	for name, a := range ownerOf {
		if _, ended := r.ledger.outcomes[name]; !ended && !stop && slices.Contains(standing, a) {
			t.Errorf("%s has no outcome, and its assignment stood to the end", name)
		}
	}
	return trips
}

// dispatchAcrossAssignments dispatches records while assignments come and go. It gives all of these, and which stand at the end.
func (r *harness) dispatchAcrossAssignments(rnd *rand.Rand, seed uint64, ordered bool, keyOf map[string]string, ownerOf map[string]int) (owners []*offset.Tracker, standing []int) {
	// Two partitions, whose records share calls.
	owners = []*offset.Tracker{r.newAssignment(), r.newAssignment()}
	standing = []int{0, 1}
	for range 10 {
		for range rnd.IntN(30) {
			p := rnd.IntN(2)
			r.tracker = owners[standing[p]]
			r.dispatchRecords(1, func(j *Delivery) {
				if seed%3 == 0 {
					j.Item.EntityKey = fmt.Sprint(p, rnd.IntN(5))
				}
				if ordered {
					keyOf[j.Item.ID] = fmt.Sprint(p, rnd.IntN(3))
					j.OrderKey = []byte(keyOf[j.Item.ID])
				}
				ownerOf[j.Item.ID] = standing[p]
			})
		}
		testkit.AdvanceClock(time.Duration(rnd.IntN(60)) * time.Second)
		p := rnd.IntN(2)
		r.tracker = owners[standing[p]]
		switch rnd.IntN(4) {
		case 0:
			r.startDraining(time.Duration(rnd.IntN(90)) * time.Second)
		case 1:
			r.tracker.Fence()
			r.dispatcher.NotifyDraining()
		default:
			continue
		}
		if rnd.IntN(2) == 0 {
			<-r.tracker.Idle()
		}
		standing[p], owners = len(owners), append(owners, r.newAssignment())
	}
	return owners, standing
}

// checkSent fails where an item is sent that has its outcome, or does not stand as sent.
func (r *harness) checkSent(items []sink.Item) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	entities := map[string]bool{}
	for _, it := range items {
		if it.EntityKey != "" && entities[it.EntityKey] {
			r.t.Errorf("%s was sent with another item of entity %s", it.ID, it.EntityKey)
		}
		entities[it.EntityKey] = true
		if _, ended := r.ledger.outcomes[it.ID]; ended {
			r.t.Errorf("%s was sent after it had an outcome", it.ID)
		}
		if !r.vendor.spec.Repeatable && !r.ledger.intentIDs[it.ID] {
			r.t.Errorf("%s was sent and does not stand as sent", it.ID)
		}
	}
}

// closeWithOperator is finish with an operator who looks every ten minutes.
func (r *harness) closeWithOperator(g *guard.Guard) {
	r.t.Helper()
	over, operator := make(chan struct{}), sync.WaitGroup{}
	operator.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Minute):
				g.Release()
			}
		}
	})
	r.closeAndWait()
	close(over)
	operator.Wait()
}

// checkLedger looks at the ledger after the end.
func (r *harness) checkLedger(c *chaosVendor, keyOf map[string]string, ownerOf map[string]int) {
	last := map[string]int{}
	for _, name := range r.ledger.order {
		o := r.ledger.outcomes[name]
		unclear := o.Cause == record.CauseUnknown && c.unknowns[name] == 1+testConfig().MaxResends
		if o.Disposition == record.DispositionDead && !c.isOffender(name) && !unclear || o.Disposition == record.DispositionDelivered && c.isOffender(name) {
			r.t.Errorf("%s, bad %v, %d times unclear, ended as %v %v", name, c.isOffender(name), c.unknowns[name], o.Disposition, o.Cause)
		}
		if k, ok := keyOf[name]; ok {
			k = fmt.Sprintf("%s of assignment %d", k, ownerOf[name])
			n := int(o.Record.Origin.Offset)
			if n < last[k] {
				r.t.Errorf("%d of key %s came after %d", n, k, last[k])
			}
			last[k] = n
		}
	}
	twice := 0
	for _, n := range r.vendor.accepted {
		twice += n - 1
	}
	if r.vendor.spec.Repeatable {
		return // it does no harm, and is not counted
	}
	if counted := r.obs.Snapshot().PossibleDuplicates; twice > int(counted) {
		r.t.Errorf("the vendor accepted %d twice, %d possible duplicates were counted", twice, counted)
	}
}

func TestABisectThroughALaneKillsExactlyTheCulprits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 64).Draw(rt, "items")
		bad := map[string]bool{}
		for range rapid.IntRange(0, min(n, 5)).Draw(rt, "culprits") {
			bad[recordID(rapid.IntRange(0, n-1).Draw(rt, "culprit"))] = true
		}
		runInBubble(t, func(t *testing.T) {
			r := startHarness(t, func(call int, items []sink.Item) sink.Response {
				for _, it := range items {
					if bad[it.ID] {
						return newResponse(sink.Rejected, 400)
					}
				}
				return acceptAll(call, items)
			}, func(c *Config) { c.MaxItems = n })
			r.dispatchRecords(n, nil)
			r.closeAndWait()
			for i := range n {
				o := r.ledger.outcomes[recordID(i)]
				if bad[recordID(i)] != (o.Disposition == record.DispositionDead) || !bad[recordID(i)] && r.vendor.accepted[recordID(i)] != 1 {
					t.Errorf("item %d, culprit %v: %v, accepted %d times", i, bad[recordID(i)], o.Disposition, r.vendor.accepted[recordID(i)])
				}
			}
		})
	})
}
