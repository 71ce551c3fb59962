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

// chaos is a vendor that does anything that a class exists for, by a seed, and gets well in the end.
type chaos struct {
	rand    *rand.Rand
	until   time.Time
	seed    uint64
	check   func(items []sink.Item)
	acted   func(id string) // the vendor has acted, and does not say so
	unclear map[string]int  // answers of unknown outcome, by item
}

// lost answers with a call's class after acting on some of its items, or on none.
func (c *chaos) lost(items []sink.Item, a sink.Response) sink.Response {
	some := c.rand.IntN(len(items) + 1)
	for i, it := range items {
		if i < some && !c.bad(it.ID) {
			c.acted(it.ID)
		}
		if a.Class == sink.Unknown {
			c.unclear[it.ID]++
		}
	}
	return a
}

// equipped is the same with a token that can be had anew, mostly, and a harmless call.
type equipped struct {
	vendor
	chaos *chaos
}

func (v *equipped) RefreshToken(context.Context, uint64) error {
	if a := v.Probe(context.Background()); a.Class != sink.Delivered {
		return &sink.DependencyError{Action: "logging in", Response: a}
	}
	return nil
}

func (v *equipped) Probe(context.Context) sink.Response {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.chaos.until) && v.chaos.rand.IntN(2) == 0 {
		classes := []sink.ResultClass{sink.Unauthorized, sink.Misconfigured, sink.Throttled, sink.Unavailable, sink.Unknown}
		return answer(classes[v.chaos.rand.IntN(len(classes))], 0)
	}
	return answer(sink.Delivered, 200)
}

// bad records are refused for good, alone or by refusing their batch.
func (c *chaos) bad(id string) bool {
	h := fnv.New64a()
	fmt.Fprint(h, id, c.seed)
	return h.Sum64()%20 == 0
}

func (c *chaos) answer(_ int, items []sink.Item) sink.Response {
	c.check(items)
	if time.Now().Before(c.until) {
		switch c.rand.IntN(15) {
		case 0:
			return answer(sink.Unavailable, 503)
		case 1:
			a := answer(sink.Throttled, 429)
			a.RetryAfter = time.Duration(c.rand.IntN(20)) * time.Second
			return a
		case 2:
			return answer(sink.Unauthorized, 401)
		case 3:
			return answer(sink.Misconfigured, 404)
		case 4:
			if len(items) > 1 {
				return answer(sink.TooLarge, 413)
			}
		case 5:
			return answer(sink.Unavailable, 503)
		case 6:
			return c.lost(items, acted())
		case 7:
			return c.lost(items, answer(sink.Unknown, 504))
		}
	}
	for _, it := range items {
		if c.bad(it.ID) && c.rand.IntN(2) == 0 {
			return answer(sink.Rejected, 400)
		}
	}
	return each(items, func(it sink.Item) sink.ResultClass {
		switch {
		case c.bad(it.ID):
			return sink.Rejected
		case time.Now().Before(c.until) && c.rand.IntN(10) == 0:
			return sink.Retryable
		case time.Now().Before(c.until) && c.rand.IntN(20) == 0:
			c.lost([]sink.Item{it}, answer(sink.Unknown, 0))
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
			bubble(t, func(t *testing.T) { trips += simulate(t, uint64(seed), seed%2 == 0, seed%5 == 0) })
		})
	}
	if trips < seeds/3 {
		t.Errorf("the guard has tripped %d times in %d runs", trips, seeds)
	}
}

func simulate(t *testing.T, seed uint64, ordered, stop bool) (trips int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := &chaos{rand: rand.New(rand.NewPCG(seed, 2)), until: time.Now().Add(10 * time.Minute), seed: seed, unclear: map[string]int{}}
	g := guard.NewGuard(guard.Config{MaxRatio: []float64{1, 0.03, 0.2}[seed%3], Window: 20})
	g.Subscribe(func(s guard.Status) {
		if s.Tripped {
			trips++
		}
	})
	v := &equipped{chaos: c, vendor: vendor{spec: sink.OperationSpec{Repeatable: seed%4 >= 2}}}
	var op sink.Operation = v
	if seed%8 < 4 {
		op = &v.vendor
	}
	r := newRig(t, op, &v.vendor, func(cfg *Config) {
		cfg.Guard = g
		cfg.Concurrency, cfg.RetryInPlace, cfg.Rand, cfg.MaxAge = 1+rnd.IntN(3), ordered, rand.NewPCG(seed, 3), 0
		cfg.RetryDelays = []time.Duration{time.Second, 10 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute}
	})
	r.vendor.took = time.Duration(rnd.IntN(3)) * time.Second
	keyOf, ownerOf := map[string]string{}, map[string]int{}
	c.check = r.checkSent
	c.acted = func(id string) { r.vendor.accepted[id]++ }
	r.vendor.script = func(n int, items []sink.Item) sink.Response {
		r.vendor.mu.Lock()
		defer r.vendor.mu.Unlock()
		return c.answer(n, items)
	}
	r.border.onSent = func() { // assignments end meanwhile
		r.vendor.mu.Lock()
		took := time.Duration(c.rand.IntN(5)) * time.Second
		r.vendor.mu.Unlock()
		<-time.After(took)
	}
	owners, standing := r.comeAndGo(rnd, seed, ordered, keyOf, ownerOf)
	if stop {
		r.kill()
	} else {
		r.finishReleasing(g)
	}
	for _, o := range owners {
		<-o.Idle()
	}
	r.judge(c, keyOf, ownerOf)
	for name, a := range ownerOf {
		if _, ended := r.border.outcomes[name]; !ended && !stop && slices.Contains(standing, a) {
			t.Errorf("%s has no outcome, and its assignment stood to the end", name)
		}
	}
	return trips
}

// comeAndGo dispatches records while assignments come and go. It gives all of these, and which stand at the end.
func (r *rig) comeAndGo(rnd *rand.Rand, seed uint64, ordered bool, keyOf map[string]string, ownerOf map[string]int) (owners []*offset.Tracker, standing []int) {
	// Two partitions, whose records share calls.
	owners = []*offset.Tracker{r.assign(), r.assign()}
	standing = []int{0, 1}
	for range 10 {
		for range rnd.IntN(30) {
			p := rnd.IntN(2)
			r.tracker = owners[standing[p]]
			r.dispatch(1, func(j *Delivery) {
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
			r.drain(time.Duration(rnd.IntN(90)) * time.Second)
		case 1:
			r.tracker.Fence()
			r.lanes.NotifyDraining()
		default:
			continue
		}
		if rnd.IntN(2) == 0 {
			<-r.tracker.Idle()
		}
		standing[p], owners = len(owners), append(owners, r.assign())
	}
	return owners, standing
}

// checkSent fails where an item is sent that has its outcome, or does not stand as sent.
func (r *rig) checkSent(items []sink.Item) {
	r.border.mu.Lock()
	defer r.border.mu.Unlock()
	entities := map[string]bool{}
	for _, it := range items {
		if it.EntityKey != "" && entities[it.EntityKey] {
			r.t.Errorf("%s was sent with another item of entity %s", it.ID, it.EntityKey)
		}
		entities[it.EntityKey] = true
		if _, ended := r.border.outcomes[it.ID]; ended {
			r.t.Errorf("%s was sent after it had an outcome", it.ID)
		}
		if !r.vendor.spec.Repeatable && !r.border.standing[it.ID] {
			r.t.Errorf("%s was sent and does not stand as sent", it.ID)
		}
	}
}

// finishReleasing is finish with an operator who looks every ten minutes.
func (r *rig) finishReleasing(g *guard.Guard) {
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
	r.finish()
	close(over)
	operator.Wait()
}

// judge looks at the ledger after the end.
func (r *rig) judge(c *chaos, keyOf map[string]string, ownerOf map[string]int) {
	last := map[string]int{}
	for _, name := range r.border.order {
		o := r.border.outcomes[name]
		unclear := o.Cause == record.CauseUnknown && c.unclear[name] == 1+testConfig().MaxResends
		if o.Disposition == record.DispositionDead && !c.bad(name) && !unclear || o.Disposition == record.DispositionDelivered && c.bad(name) {
			r.t.Errorf("%s, bad %v, %d times unclear, ended as %v %v", name, c.bad(name), c.unclear[name], o.Disposition, o.Cause)
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
			bad[id(rapid.IntRange(0, n-1).Draw(rt, "culprit"))] = true
		}
		bubble(t, func(t *testing.T) {
			r := start(t, func(call int, items []sink.Item) sink.Response {
				for _, it := range items {
					if bad[it.ID] {
						return answer(sink.Rejected, 400)
					}
				}
				return accept(call, items)
			}, func(c *Config) { c.MaxItems = n })
			r.dispatch(n, nil)
			r.finish()
			for i := range n {
				o := r.border.outcomes[id(i)]
				if bad[id(i)] != (o.Disposition == record.DispositionDead) || !bad[id(i)] && r.vendor.accepted[id(i)] != 1 {
					t.Errorf("item %d, culprit %v: %v, accepted %d times", i, bad[id(i)], o.Disposition, r.vendor.accepted[id(i)])
				}
			}
		})
	})
}
