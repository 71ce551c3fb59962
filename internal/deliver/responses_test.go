package deliver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/backoff"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func TestRepeatableOperationsNeitherAnnounceNorFearATimeout(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		v := &fakeVendor{spec: sink.OperationSpec{Repeatable: true}, script: respondFirst(newResponse(sink.Unknown, 504))}
		r := newHarness(t, v, v, nil)
		r.dispatchRecords(8, func(j *Delivery) { j.Record.OutcomeUnknown = true })
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8})
		r.wantCallSizes(8, 8)
		if n := r.obs.Snapshot().PossibleDuplicates; r.ledger.intentsLogged != 0 || n != 0 {
			t.Errorf("%d records were announced, %d counted as possible duplicates", r.ledger.intentsLogged, n)
		}
	})
}

func TestWhatIsSentWasAnnouncedBefore(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		var r *harness
		check := func(n int, items []sink.Item) sink.Response {
			if len(r.ledger.intents) < len(items) {
				t.Errorf("call %d carries %d items, %d are announced", n, len(items), len(r.ledger.intents))
			}
			switch n {
			case 1:
				return newResponse(sink.Unavailable, 503)
			case 2:
				return newResponse(sink.Rejected, 400)
			}
			return acceptAll(n, items)
		}
		r = startHarness(t, check, nil)
		r.dispatchRecords(8, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8})
	})
}

// A member that lost its partitions without having heard of it learns so by the commit before the call, and not by an old state that the vendor takes.
func TestWhereOrderIsKeptEachCallOfAnUpsertIsAnnounced(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		var r *harness
		v := &fakeVendor{spec: sink.OperationSpec{Repeatable: true}, script: func(n int, items []sink.Item) sink.Response {
			if len(r.ledger.intents) < len(items) {
				t.Errorf("call %d carries %d items, %d are announced", n, len(items), len(r.ledger.intents))
			}
			switch n {
			case 1:
				return newResponse(sink.Unavailable, 503)
			case 2:
				return newResponse(sink.Unknown, 504)
			case 3:
				return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
			}
			return acceptAll(n, items)
		}}
		r = newHarness(t, v, v, func(c *Config) { c.RetryInPlace = true })
		r.dispatchRecords(8, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8})
		if calls := r.ledger.intentsLogged / 8; calls != 4 {
			t.Errorf("%d of 4 calls were announced", calls)
		}
	})
}

func TestAnAttemptIsOneThatWasAnsweredForTheRecord(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		refuse := func(_ int, items []sink.Item) sink.Response {
			return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Rejected })
		}
		waits := []sink.Response{newResponse(sink.Unavailable, 503), newResponse(sink.Throttled, 429), newResponse(sink.Unauthorized, 401)}
		r := startHarness(t, func(n int, items []sink.Item) sink.Response {
			if n <= len(waits) {
				return waits[n-1]
			}
			return refuse(n, items)
		}, nil)
		r.dispatchRecords(1, func(j *Delivery) { j.Record.Attempt = 2 })
		r.closeAndWait()
		o := r.ledger.outcomes[recordID(0)]
		if o.Attempt != 3 || o.Cause != record.CauseRejected || o.Stage != record.StageDeliver || o.OperationName != "vendor.op" {
			t.Fatalf("outcome %+v, want attempt 3", o)
		}
		if !strings.Contains(o.Reason, "refused") {
			t.Fatalf("reason %q", o.Reason)
		}
	})
}

func TestTheAttemptOfAFormerOwnerCounts(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, acceptAll, deadLetterUnknown)
		r.dispatchRecords(1, func(j *Delivery) { j.Record.OutcomeUnknown, j.Record.Attempt = true, 1 })
		r.closeAndWait()
		if o := r.ledger.outcomes[recordID(0)]; o.Attempt != 2 || o.Cause != record.CauseUnknown {
			t.Fatalf("outcome %+v, want attempt 2", o)
		}
	})
}

// Jitter spreads a wait over all of it: only many of them show that they grow.
func TestALaneThatFindsTheVendorUnavailableWaitsLongerEachTime(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		down := make([]sink.Response, 12)
		for i := range down {
			down[i] = newResponse(sink.Unavailable, 503)
		}
		r := startHarness(t, respondFirst(down...), func(c *Config) { disableBreaker(c); c.Backoff = backoff.Policy{Min: time.Second, Max: time.Hour} })
		r.dispatchRecords(1, nil)
		r.closeAndWait()
		at := r.vendor.calledAt
		if took := at[12].Sub(at[0]); took < 5*time.Minute || took > (1<<12)*time.Second {
			t.Errorf("12 waits from a second on, each up to twice the last, took %v", took)
		}
	})
}

func TestTheAgeOfARecordLeavesOutHolds(t *testing.T) {
	slow := newResponse(sink.Throttled, 429)
	slow.RetryAfter = time.Hour
	for _, held := range []sink.Response{newResponse(sink.Unavailable, 503), newResponse(sink.Misconfigured, 404), newResponse(sink.Unauthorized, 401), slow} {
		t.Run(held.Class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				down := true
				r := startHarness(t, func(_ int, items []sink.Item) sink.Response {
					if down {
						return held
					}
					return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
				}, nil)
				r.dispatchRecords(1, func(j *Delivery) { j.Record.FirstFailed = time.Now().Add(-time.Minute) })
				testkit.AdvanceClock(3 * time.Hour)
				down = false
				r.closeAndWait()
				r.wantOutcomes(map[string]int{"retried retryable": 1})
			})
		})
	}
}

// The operation forgets an item in each answer: a lane that matched results to items by what is there would deliver one too many.
func TestAForgottenItemIsNeverDelivered(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, func(n int, items []sink.Item) sink.Response {
			a := acceptAll(n, items)
			a.ItemResults = a.ItemResults[:len(a.ItemResults)-1]
			return a
		}, nil)
		r.dispatchRecords(20, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"dead unknown": 20})
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
			runInBubble(t, func(t *testing.T) {
				a := newResponse(c.class, 0)
				a.RetryAfter = c.asked
				r := startHarness(t, respondFirst(a), nil)
				r.dispatchRecords(8, nil)
				r.closeAndWait()
				if wait := r.vendor.calledAt[1].Sub(r.vendor.calledAt[0]); wait < c.least || wait > c.most {
					t.Fatalf("waited %v, want %v to %v", wait, c.least, c.most)
				}
			})
		})
	}
}

func TestAThrottleLowersThePaceOfAllLanesForAWhile(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		r := startHarness(t, respondFirst(newResponse(sink.Throttled, 429)), func(c *Config) { c.Concurrency = 2 })
		r.dispatchRecords(8*60, nil)
		r.closeAndWait()
		r.wantOutcomes(map[string]int{"delivered": 8 * 60})
		at := r.vendor.calledAt
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
	coded := newResponse(sink.Unavailable, 200)
	coded.MayHaveActed = true
	for _, c := range []struct {
		name       string
		lanes      int
		repeatable bool
		failing    sink.Response
	}{
		{"500", 2, false, newResponse(sink.Unavailable, 500)},
		{"500, in the only lane", 1, false, newResponse(sink.Unavailable, 500)},
		{"a code that means the same", 2, false, coded},
		{"504", 2, true, newResponse(sink.Unknown, 504)},
		{"timeout after the request was written", 2, true, newResponse(sink.Unknown, 0)},
		{"unreadable answer", 2, true, newResponse(sink.Unknown, 200)},
	} {
		t.Run(c.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				v := &fakeVendor{spec: sink.OperationSpec{Repeatable: c.repeatable}, script: func(n int, items []sink.Item) sink.Response {
					if slices.ContainsFunc(items, func(it sink.Item) bool { return it.ID == recordID(5) }) {
						return c.failing
					}
					return acceptAll(n, items)
				}}
				r := newHarness(t, v, v, func(cfg *Config) { cfg.Concurrency = c.lanes; cfg.Linger = 0 })
				r.dispatchRecords(64, nil)
				for range 40 {
					testkit.AdvanceClock(10 * time.Second)
					r.dispatchRecords(4, nil)
				}
				r.closeAndWait()
				r.wantOutcomes(map[string]int{"delivered": 64 + 160 - 1, "retried retryable": 1})
				if o := r.ledger.outcomes[recordID(5)]; o.Disposition != record.DispositionRetry {
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
			runInBubble(t, func(t *testing.T) {
				v := &fakeVendor{spec: c.spec, script: acceptAll}
				r := newHarness(t, v, v, func(cfg *Config) { cfg.MaxItems = c.configured })
				r.dispatchRecords(100, nil)
				r.closeAndWait()
				if got := slices.Max(v.callSizes()); got != c.want {
					t.Errorf("the largest call has %d items, want %d", got, c.want)
				}
			})
		})
	}
}
