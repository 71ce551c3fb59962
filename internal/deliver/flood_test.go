package deliver

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/guard"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// guarded has the lanes ask a guard, which trips at over a half of 200 from 20 on.
func guarded(change func(*Config)) (*guard.Guard, func(*Config)) {
	g := guard.NewGuard(guard.Config{MaxRatio: 0.5, Window: 200})
	return g, func(c *Config) {
		c.Guard = g
		if change != nil {
			change(c)
		}
	}
}

// refuser refuses each item until it is mended.
type refuser struct {
	class  sink.ResultClass
	mended bool
}

func (v *refuser) answer(_ int, items []sink.Item) sink.Response {
	return each(items, func(sink.Item) sink.ResultClass {
		if v.mended {
			return sink.Delivered
		}
		return v.class
	})
}

// wantFlood fails the test where the operation is not held by the guard.
func (r *rig) wantFlood() {
	r.t.Helper()
	synctest.Wait()
	if held := r.held(); held != "flood" {
		r.t.Fatalf("it is held by %q", held)
	}
}

func TestAVendorThatRefusesEverythingCostsFewRecordsUntilItIsMended(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Retryable} {
		for _, lanes := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v in %d lanes", class, lanes), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					v := &refuser{class: class}
					_, change := guarded(func(c *Config) { c.Concurrency = lanes })
					r := start(t, v.answer, change)
					r.dispatch(500, nil)
					testkit.AdvanceClock(24 * time.Hour)
					r.wantFlood()
					gone := len(r.kinds())
					for _, n := range r.kinds() {
						gone += n - 1
					}
					if gone == 0 || gone >= 20 {
						t.Errorf("%v have left", r.kinds())
					}
					if n := r.vendor.count(); n > 2*24*12+20 {
						t.Errorf("%d calls in a day", n)
					}
					v.mended = true
					r.finish()
					if got := r.kinds()["delivered"]; got != 500-gone {
						t.Errorf("%v in the end", r.kinds())
					}
				})
			})
		}
	}
}

func TestTheProbesOfAFloodAreSingleAndComeLessAndLessOften(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &refuser{class: sink.Rejected}
		_, change := guarded(nil)
		r := start(t, v.answer, change)
		r.dispatch(100, nil)
		testkit.AdvanceClock(time.Hour)
		sizes, at := r.vendor.sizes(), r.vendor.at
		if sent, ended := len(r.border.standing), len(r.border.outcomes); sent != ended {
			t.Errorf("%d stand as sent, %d have ended: what is held was refused", sent, ended)
		}
		wait := 5 * time.Second
		for i := 3; i < 12; i++ {
			if gap := at[i].Sub(at[i-1]); sizes[i] != 1 || gap != wait {
				t.Errorf("probe %d of %d items came after %v, want %v", i-2, sizes[i], gap, wait)
			}
			wait = min(2*wait, 5*time.Minute)
		}
		probed := map[string]bool{}
		for i := 3; i < 12; i++ {
			probed[r.vendor.call(i)[0]] = true
		}
		if len(probed) != 9 {
			t.Errorf("nine probes were of %d records", len(probed))
		}
		v.mended = true
		before := len(sizes)
		r.finish()
		for i := before + 1; i < before+5; i++ {
			if gap := r.vendor.at[i].Sub(r.vendor.at[i-1]); gap != 0 {
				t.Errorf("probe %d followed an accepted one after %v", i-before+1, gap)
			}
		}
		if got := r.vendor.sizes()[before:]; len(got) < 6 || got[4] != 1 || got[5] != 8 {
			t.Errorf("after it was mended: calls of %v, want five of one and full ones then", got)
		}
	})
}

func TestAnOperatorsReleaseLetsWhatIsHeldTakeItsCourse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &refuser{class: sink.Rejected}
		g, change := guarded(nil)
		r := start(t, v.answer, change)
		r.dispatch(24, nil)
		testkit.AdvanceClock(time.Second)
		r.wantFlood()
		r.wantKinds(map[string]int{"dead rejected": 16})
		g.Release()
		testkit.AdvanceClock(time.Second)
		r.wantKinds(map[string]int{"dead rejected": 24})
		if held := r.held(); held != "" {
			t.Errorf("it is held by %q", held)
		}
		r.dispatch(24, nil)
		testkit.AdvanceClock(time.Second)
		r.wantFlood()
		r.wantKinds(map[string]int{"dead rejected": 24 + 16})
		r.kill()
	})
}

func TestADrainDropsWhatTheGuardHolds(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Unknown} {
		t.Run(class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := &refuser{class: class}
				_, change := guarded(func(c *Config) { c.UnknownPolicy = sink.UnknownDeadLetter })
				r := start(t, v.answer, change)
				r.dispatch(100, nil)
				testkit.AdvanceClock(time.Minute)
				r.wantFlood()
				began := time.Now()
				r.drain(time.Minute)
				<-r.tracker.Idle()
				if took := time.Since(began); took != 0 {
					t.Errorf("the drain took %v", took)
				}
				want := map[sink.ResultClass]int{sink.Rejected: 16, sink.Unknown: 0}[class]
				if class == sink.Unknown {
					for _, n := range r.vendor.sizes() {
						want += n
					}
				}
				if n := len(r.border.standing); n != want {
					t.Errorf("%d stand as sent, want %d", n, want)
				}
				r.finish()
				r.wantKinds(map[string]int{"dead " + class.String(): 16})
			})
		})
	}
}

func TestAHalfThatIsRefusedByRuleOfTheDataNeverTrips(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, change := guarded(nil)
		tripped := false
		g.Subscribe(func(s guard.Status) { tripped = true })
		r := start(t, func(_ int, items []sink.Item) sink.Response {
			return each(items, func(it sink.Item) sink.ResultClass {
				if (it.ID[len(it.ID)-1]-'0')%2 == 0 {
					return sink.Rejected
				}
				return sink.Delivered
			})
		}, change)
		r.dispatch(1000, nil)
		r.finish()
		if tripped {
			t.Error("the guard has tripped")
		}
		r.wantKinds(map[string]int{"dead rejected": 500, "delivered": 500})
	})
}

// A second survey mail is worse than a record that waits.
func TestWhatTheVendorMayHaveActedOnIsNotSentAgainByTheGuard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &refuser{class: sink.Unknown}
		g, change := guarded(func(c *Config) { c.UnknownPolicy = sink.UnknownDeadLetter })
		r := start(t, v.answer, change)
		r.dispatch(40, nil)
		testkit.AdvanceClock(24 * time.Hour)
		r.wantFlood()
		r.wantKinds(map[string]int{"dead unknown": 16})
		if n := len(r.border.standing); n != 40 {
			t.Errorf("%d stand as sent, want all", n)
		}
		g.Release()
		r.finish()
		r.wantKinds(map[string]int{"dead unknown": 40})
		sent := 0
		for _, n := range r.vendor.sizes() {
			sent += n
		}
		if sent != 40 {
			t.Errorf("40 records were sent %d times", sent)
		}
	})
}

func TestAnItemRefusedAfterALostAnswerIsNotSentAgainByTheGuard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, change := guarded(func(c *Config) { c.MaxItems = 32 })
		r := start(t, func(n int, items []sink.Item) sink.Response {
			if n == 1 {
				return answer(sink.Unavailable, 503)
			}
			if n == 2 {
				return acted()
			}
			return each(items, func(sink.Item) sink.ResultClass { return sink.Rejected })
		}, change)
		r.dispatch(32, nil)
		testkit.AdvanceClock(24 * time.Hour)
		r.wantFlood()
		r.wantSizes(32, 32, 32)
		g.Release()
		r.finish()
		r.wantKinds(map[string]int{"dead rejected": 32})
	})
}

// whole refuses a batch that has one of the bad, and names nobody.
func whole(bad func(id string) bool) script {
	return func(n int, items []sink.Item) sink.Response {
		for _, it := range items {
			if bad(it.ID) {
				return answer(sink.Rejected, 400)
			}
		}
		return accept(n, items)
	}
}

func TestNothingOfABatchDiesWhereOverAQuarterOfItIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := true
		_, change := guarded(func(c *Config) { c.MaxItems = 128 })
		r := start(t, whole(func(string) bool { return broken }), change)
		r.dispatch(128, nil)
		testkit.AdvanceClock(time.Minute)
		r.wantFlood()
		r.wantKinds(map[string]int{})
		if n := r.vendor.count(); n > 16*(7+2)+6 {
			t.Errorf("%d calls until it was held", n)
		}
		broken = false
		r.finish()
		r.wantKinds(map[string]int{"delivered": 128})
	})
}

func TestTheCulpritsOfABatchDieWhereTheyAreFew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bad := map[string]bool{}
		for n := range 12 {
			bad[id(n)] = true // all of them in front, which is how the fewest have passed when the last is found
		}
		_, change := guarded(func(c *Config) { c.MaxItems = 128 })
		r := start(t, whole(func(id string) bool { return bad[id] }), change)
		r.dispatch(128, nil)
		r.finish()
		r.wantKinds(map[string]int{"dead rejected": 12, "delivered": 116})
		if len(r.logs.All()) != 0 {
			t.Errorf("it was held: %v", r.logged())
		}
	})
}

func TestASmallBatchIsJudgedAtTheEndOfItsSearch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g, change := guarded(nil)
		r := start(t, whole(func(string) bool { return true }), change)
		r.dispatch(8, nil)
		testkit.AdvanceClock(time.Second)
		r.wantFlood()
		r.wantKinds(map[string]int{})
		g.Release()
		r.finish()
		r.wantKinds(map[string]int{"dead rejected": 8})
	})
}

func TestAFloodKeepsTheOrderOfEachKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &refuser{class: sink.Rejected}
		_, change := guarded(func(c *Config) { c.Concurrency, c.RetryInPlace = 2, true })
		r := start(t, v.answer, change)
		var keys []string
		for n := range 300 {
			keys = append(keys, fmt.Sprint(n%60))
			r.dispatch(1, func(j *Delivery) { j.OrderKey = []byte(keys[n]) })
		}
		testkit.AdvanceClock(time.Hour)
		r.wantFlood()
		v.mended = true
		r.finish()
		last := map[string]int64{}
		for _, name := range r.border.order {
			o := r.border.outcomes[name]
			key := keys[o.Record.Origin.Offset]
			if o.Record.Origin.Offset < last[key] {
				t.Errorf("%d of key %s came after %d", o.Record.Origin.Offset, key, last[key])
			}
			last[key] = o.Record.Origin.Offset
		}
	})
}

func TestTheHardStopDropsWhatTheGuardHolds(t *testing.T) {
	for _, class := range []sink.ResultClass{sink.Rejected, sink.Unknown} {
		t.Run(class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := &refuser{class: class}
				_, change := guarded(func(c *Config) { c.UnknownPolicy = sink.UnknownDeadLetter })
				r := start(t, v.answer, change)
				r.dispatch(100, nil)
				testkit.AdvanceClock(time.Minute)
				r.wantFlood()
				r.kill()
			})
		})
	}
}

func TestTheTimeInAFloodDoesNotAgeARecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &refuser{class: sink.Retryable}
		g, change := guarded(func(c *Config) { c.RetryInPlace, c.MaxAge = true, time.Hour })
		r := start(t, v.answer, change)
		r.dispatch(24, nil)
		testkit.AdvanceClock(24 * time.Hour)
		r.wantFlood()
		g.Release()
		testkit.AdvanceClock(time.Second)
		for id, o := range r.border.outcomes {
			if o.Cause == record.CauseExpired {
				t.Fatalf("%s has expired", id)
			}
		}
		v.mended = true
		r.finish()
		if r.kinds()["dead expired"] != 0 || r.kinds()["delivered"] == 0 {
			t.Errorf("outcomes %v", r.kinds())
		}
	})
}

// A lane that looks for the end only before its turn would wait for ever.
func TestALaneEndsWithTheLastOfWhatItHolds(t *testing.T) {
	t.Run("culprits of a search that ends after the close", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			throttled := answer(sink.Throttled, 429)
			throttled.RetryAfter = time.Minute
			_, change := guarded(nil)
			r := start(t, func(n int, items []sink.Item) sink.Response {
				if n == 3 {
					return throttled
				}
				return answer(sink.Rejected, 400)
			}, change)
			r.dispatch(2, nil)
			testkit.AdvanceClock(time.Second) // one of the two is found, the other waits
			r.finish()
			r.wantKinds(map[string]int{"dead rejected": 2})
		})
	})
	t.Run("records of an assignment that was fenced", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			v := &refuser{class: sink.Rejected}
			_, change := guarded(nil)
			r := start(t, v.answer, change)
			r.dispatch(24, nil)
			testkit.AdvanceClock(time.Second)
			r.wantFlood()
			r.tracker.Fence()
			r.finish()
			r.wantKinds(map[string]int{"dead rejected": 16})
		})
	})
}
