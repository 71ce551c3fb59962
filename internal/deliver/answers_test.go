package deliver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func TestRepeatableOperationsNeitherAnnounceNorFearATimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &vendor{spec: sink.OperationSpec{Repeatable: true}, script: first(answer(sink.Unknown, 504))}
		r := newRig(t, v, v, nil)
		r.dispatch(8, func(j *Delivery) { j.Record.OutcomeUnknown = true })
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		r.wantSizes(8, 8)
		if n := r.obs.Snapshot().PossibleDuplicates; r.border.sent != 0 || n != 0 {
			t.Errorf("%d records were announced, %d counted as possible duplicates", r.border.sent, n)
		}
	})
}

func TestWhatIsSentWasAnnouncedBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *rig
		check := func(n int, items []sink.Item) sink.Response {
			if len(r.border.marked) < len(items) {
				t.Errorf("call %d carries %d items, %d are announced", n, len(items), len(r.border.marked))
			}
			switch n {
			case 1:
				return answer(sink.Unavailable, 503)
			case 2:
				return answer(sink.Rejected, 400)
			}
			return accept(n, items)
		}
		r = start(t, check, nil)
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
	})
}

// A member that lost its partitions without having heard of it learns so by the commit before the call, and not by an old state that the vendor takes.
func TestWhereOrderIsKeptEachCallOfAnUpsertIsAnnounced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *rig
		v := &vendor{spec: sink.OperationSpec{Repeatable: true}, script: func(n int, items []sink.Item) sink.Response {
			if len(r.border.marked) < len(items) {
				t.Errorf("call %d carries %d items, %d are announced", n, len(items), len(r.border.marked))
			}
			switch n {
			case 1:
				return answer(sink.Unavailable, 503)
			case 2:
				return answer(sink.Unknown, 504)
			case 3:
				return each(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
			}
			return accept(n, items)
		}}
		r = newRig(t, v, v, func(c *Config) { c.RetryInPlace = true })
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		if calls := r.border.sent / 8; calls != 4 {
			t.Errorf("%d of 4 calls were announced", calls)
		}
	})
}

func TestAnAttemptIsOneThatWasAnsweredForTheRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		refuse := func(_ int, items []sink.Item) sink.Response {
			return each(items, func(sink.Item) sink.ResultClass { return sink.Rejected })
		}
		waits := []sink.Response{answer(sink.Unavailable, 503), answer(sink.Throttled, 429), answer(sink.Unauthorized, 401)}
		r := start(t, func(n int, items []sink.Item) sink.Response {
			if n <= len(waits) {
				return waits[n-1]
			}
			return refuse(n, items)
		}, nil)
		r.dispatch(1, func(j *Delivery) { j.Record.Attempt = 2 })
		r.finish()
		o := r.border.outcomes[id(0)]
		if o.Attempt != 3 || o.Cause != record.CauseRejected || o.Stage != record.StageDeliver || o.OperationName != "vendor.op" {
			t.Fatalf("outcome %+v, want attempt 3", o)
		}
		if !strings.Contains(o.Reason, "refused") {
			t.Fatalf("reason %q", o.Reason)
		}
	})
}

func TestTheAttemptOfAFormerOwnerCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, accept, deadLetter)
		r.dispatch(1, func(j *Delivery) { j.Record.OutcomeUnknown, j.Record.Attempt = true, 1 })
		r.finish()
		if o := r.border.outcomes[id(0)]; o.Attempt != 2 || o.Cause != record.CauseUnknown {
			t.Fatalf("outcome %+v, want attempt 2", o)
		}
	})
}

// Jitter spreads a wait over all of it: only many of them show that they grow.
func TestALaneThatFindsTheVendorUnavailableWaitsLongerEachTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		down := make([]sink.Response, 12)
		for i := range down {
			down[i] = answer(sink.Unavailable, 503)
		}
		r := start(t, first(down...), func(c *Config) { neverOpens(c); c.Backoff = Backoff{Min: time.Second, Max: time.Hour} })
		r.dispatch(1, nil)
		r.finish()
		at := r.vendor.at
		if took := at[12].Sub(at[0]); took < 5*time.Minute || took > (1<<12)*time.Second {
			t.Errorf("12 waits from a second on, each up to twice the last, took %v", took)
		}
	})
}

func TestTheAgeOfARecordLeavesOutHolds(t *testing.T) {
	slow := answer(sink.Throttled, 429)
	slow.RetryAfter = time.Hour
	for _, held := range []sink.Response{answer(sink.Unavailable, 503), answer(sink.Misconfigured, 404), answer(sink.Unauthorized, 401), slow} {
		t.Run(held.Class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				down := true
				r := start(t, func(_ int, items []sink.Item) sink.Response {
					if down {
						return held
					}
					return each(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
				}, nil)
				r.dispatch(1, func(j *Delivery) { j.Record.FirstFailed = time.Now().Add(-time.Minute) })
				testkit.AdvanceClock(3 * time.Hour)
				down = false
				r.finish()
				r.wantKinds(map[string]int{"retried retryable": 1})
			})
		})
	}
}

// The operation forgets an item in each answer: a lane that matched results to items by what is there would deliver one too many.
func TestAForgottenItemIsNeverDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(n int, items []sink.Item) sink.Response {
			a := accept(n, items)
			a.ItemResults = a.ItemResults[:len(a.ItemResults)-1]
			return a
		}, nil)
		r.dispatch(20, nil)
		r.finish()
		r.wantKinds(map[string]int{"dead unknown": 20})
	})
}

func TestRetryAfterIsHonouredUpToTheCap(t *testing.T) {
	cases := []struct {
		class              sink.ResultClass
		asked, least, most time.Duration
	}{
		{sink.Throttled, 30 * time.Second, 30 * time.Second, 31 * time.Second},
		{sink.Throttled, 24 * time.Hour, 15 * time.Minute, 15*time.Minute + time.Second},
		{sink.Throttled, 0, 0, time.Second},
		{sink.Unavailable, 30 * time.Second, 30 * time.Second, 31 * time.Second},
		{sink.Unavailable, 24 * time.Hour, 15 * time.Minute, 15*time.Minute + time.Second},
	}
	for _, c := range cases {
		t.Run(c.class.String()+" "+c.asked.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := answer(c.class, 0)
				a.RetryAfter = c.asked
				r := start(t, first(a), nil)
				r.dispatch(8, nil)
				r.finish()
				if wait := r.vendor.at[1].Sub(r.vendor.at[0]); wait < c.least || wait > c.most {
					t.Fatalf("waited %v, want %v to %v", wait, c.least, c.most)
				}
			})
		})
	}
}

func TestAThrottleLowersThePaceOfAllLanesForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, first(answer(sink.Throttled, 429)), func(c *Config) { c.Concurrency = 2 })
		r.dispatch(8*60, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8 * 60})
		at := r.vendor.at
		if gap := at[3].Sub(at[2]); gap < 50*time.Millisecond {
			t.Fatalf("the second call after the throttle followed %v after the first", gap)
		}
		if gap := at[len(at)-1].Sub(at[len(at)-2]); gap != 0 {
			t.Fatalf("after many successes calls are still %v apart", gap)
		}
	})
}

// However it fails: a record that the vendor never answers would else keep its lane, and all behind it, for ever.
func TestABatchOnWhichAloneTheVendorFailsIsSearched(t *testing.T) {
	coded := answer(sink.Unavailable, 200)
	coded.MayHaveActed = true
	for _, c := range []struct {
		name       string
		lanes      int
		repeatable bool
		failing    sink.Response
	}{
		{"500", 2, false, answer(sink.Unavailable, 500)},
		{"500, in the only lane", 1, false, answer(sink.Unavailable, 500)},
		{"a code that means the same", 2, false, coded},
		{"504", 2, true, answer(sink.Unknown, 504)},
		{"timeout after the request was written", 2, true, answer(sink.Unknown, 0)},
		{"unreadable answer", 2, true, answer(sink.Unknown, 200)},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := &vendor{spec: sink.OperationSpec{Repeatable: c.repeatable}, script: func(n int, items []sink.Item) sink.Response {
					if slices.ContainsFunc(items, func(it sink.Item) bool { return it.ID == id(5) }) {
						return c.failing
					}
					return accept(n, items)
				}}
				r := newRig(t, v, v, func(cfg *Config) { cfg.Concurrency = c.lanes; cfg.Linger = 0 })
				r.dispatch(64, nil)
				for range 40 {
					testkit.AdvanceClock(10 * time.Second)
					r.dispatch(4, nil)
				}
				r.finish()
				r.wantKinds(map[string]int{"delivered": 64 + 160 - 1, "retried retryable": 1})
				if o := r.border.outcomes[id(5)]; o.Disposition != record.DispositionRetry {
					t.Fatalf("the poison item ended as %+v", o)
				}
			})
		})
	}
}

func TestACallNeverPassesTheVendorsCap(t *testing.T) {
	cases := []struct {
		name       string
		spec       sink.OperationSpec
		configured int
		want       int
	}{
		{"configured", sink.OperationSpec{MaxItems: 100, DefaultItems: 50}, 20, 20},
		{"configured beyond the cap", sink.OperationSpec{MaxItems: 10}, 20, 10},
		{"not configured", sink.OperationSpec{MaxItems: 100, DefaultItems: 50}, 0, 50},
		{"not configured, no default", sink.OperationSpec{MaxItems: 40}, 0, 40},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := &vendor{spec: c.spec, script: accept}
				r := newRig(t, v, v, func(cfg *Config) { cfg.MaxItems = c.configured })
				r.dispatch(100, nil)
				r.finish()
				if got := slices.Max(v.sizes()); got != c.want {
					t.Errorf("the largest call has %d items, want %d", got, c.want)
				}
			})
		})
	}
}
