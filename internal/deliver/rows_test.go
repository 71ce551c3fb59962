package deliver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/testkit"
)

// The vendors of the rows.

// byID answers the items named with a class, all others with delivered.
func byID(class map[string]sink.Class) script {
	return func(_ int, items []sink.Item) sink.Answer {
		return each(items, func(it sink.Item) sink.Class {
			if c, ok := class[it.ID]; ok {
				return c
			}
			return sink.Delivered
		})
	}
}

// refusing refuses a batch that holds one of the items.
func refusing(bad ...string) script {
	return func(n int, items []sink.Item) sink.Answer {
		if slices.ContainsFunc(items, func(it sink.Item) bool { return slices.Contains(bad, it.ID) }) {
			return answer(sink.Rejected, 400)
		}
		return accept(n, items)
	}
}

// naming refuses as refusing does, and says for which items.
func naming(bad ...string) script {
	return func(n int, items []sink.Item) sink.Answer {
		a := refusing(bad...)(n, items)
		for i, it := range items {
			if a.Class == sink.Rejected && slices.Contains(bad, it.ID) {
				a.Named = append(a.Named, sink.Named{Index: i, Result: sink.Result{Class: sink.Rejected, Code: "Invalid"}})
			}
		}
		return a
	}
}

// short forgets the first item's result.
func short(n int, items []sink.Item) sink.Answer {
	a := accept(n, items)
	a.Items = a.Items[1:]
	return a
}

func always(a sink.Answer) script { return func(int, []sink.Item) sink.Answer { return a } }

// upTo takes calls of so many items.
func upTo(most int) script {
	return func(n int, items []sink.Item) sink.Answer {
		if len(items) > most {
			return answer(sink.TooLarge, 413)
		}
		return accept(n, items)
	}
}

// acted is a 500: the vendor had the request.
func acted() sink.Answer {
	a := answer(sink.Unavailable, 500)
	a.MayHaveActed = true
	return a
}

func deadLetter(c *Config) { c.Unknown = sink.UnknownDeadLetter }
func neverOpens(c *Config) { c.Breaker.Failures, c.Breaker.Ratio = 1000, 2 }
func takenOver(j *Job)     { j.Record.Unknown = true }
func kinds(pairs ...any) map[string]int {
	out := map[string]int{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1].(int)
	}
	return out
}

// row is a row of the outcome table, through a lane from Dispatch to the settler.
type row struct {
	name    string
	script  script
	change  func(*Config)
	job     func(*Job)
	n       int
	kinds   map[string]int
	sizes   []int // of the calls
	unsent  int   // taken back as not sent
	doubles int   // counted as possible duplicates
}

var rows = []row{
	{name: "delivered", script: accept, n: 8, kinds: kinds("delivered", 8), sizes: []int{8}},
	{name: "rejected", script: byID(map[string]sink.Class{id(2): sink.Rejected}), n: 8, kinds: kinds("delivered", 7, "dead rejected", 1), sizes: []int{8}},
	{name: "retryable", script: byID(map[string]sink.Class{id(2): sink.Retryable}), n: 8, kinds: kinds("delivered", 7, "retried retryable", 1), sizes: []int{8}},
	{
		name: "retryable, in place", change: func(c *Config) { c.InPlace = true },
		script: func(n int, items []sink.Item) sink.Answer {
			if n == 1 {
				return byID(map[string]sink.Class{id(2): sink.Retryable})(n, items)
			}
			return accept(n, items)
		},
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1}, unsent: 1,
	},
	{
		name: "exhausted", script: byID(map[string]sink.Class{id(2): sink.Retryable}), job: func(j *Job) { j.Record.Delay = time.Minute },
		n: 8, kinds: kinds("delivered", 7, "dead exhausted", 1), sizes: []int{8},
	},
	{
		name: "expired", script: byID(map[string]sink.Class{id(2): sink.Retryable}), job: func(j *Job) { j.Record.FirstFailed = time.Now().Add(-2 * time.Hour) },
		n: 8, kinds: kinds("delivered", 7, "dead expired", 1), sizes: []int{8},
	},
	{
		name: "an item without a sure result is sent again alone",
		script: func(n int, items []sink.Item) sink.Answer {
			if n == 1 {
				return byID(map[string]sink.Class{id(2): sink.Unknown})(n, items)
			}
			return accept(n, items)
		},
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1}, doubles: 1,
	},
	{
		name: "an item without a sure result is dead by policy", script: byID(map[string]sink.Class{id(2): sink.Unknown}), change: deadLetter,
		n: 8, kinds: kinds("delivered", 7, "dead unknown", 1), sizes: []int{8},
	},
	{name: "fewer results than items: none is delivered", script: short, change: deadLetter, n: 8, kinds: kinds("dead unknown", 8), sizes: []int{8}},
	{name: "batch refused, items named", script: naming(id(3), id(5)), n: 8, kinds: kinds("delivered", 6, "dead rejected", 2), sizes: []int{8, 6}},
	{name: "batch refused, nobody named", script: refusing(id(7)), n: 8, kinds: kinds("delivered", 7, "dead rejected", 1), sizes: []int{8, 4, 2, 1, 1}, unsent: 4},
	{name: "too large: halved, and the smaller cap is remembered", script: upTo(4), n: 16, kinds: kinds("delivered", 16), sizes: []int{8, 4, 4, 4, 4}, unsent: 4},
	{name: "too large alone", script: upTo(0), n: 2, kinds: kinds("dead too_large", 2), sizes: []int{2, 1, 1}, unsent: 1},
	{name: "throttled", script: first(answer(sink.Throttled, 429)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 8}, unsent: 8},
	{
		name: "misconfigured: held, then one item, nothing dead", script: first(answer(sink.Misconfigured, 404)),
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1, 7}, unsent: 8,
	},
	{
		name: "unauthorized without a token to renew: held, nothing dead", script: first(answer(sink.Unauthorized, 401)),
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1, 7}, unsent: 8,
	},
	{name: "unavailable: the same again", script: first(answer(sink.Unavailable, 503)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 8}, unsent: 8},
	{
		name: "unavailable, may have acted: stays announced, and counts as possible duplicates", script: first(acted(), acted()),
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 8, 8}, doubles: 16,
	},
	{
		name: "unknown call: halved, each at most twice", script: always(answer(sink.Unknown, 504)), change: neverOpens,
		n: 8, kinds: kinds("dead unknown", 8), sizes: []int{8, 4, 2, 2, 4, 2, 2}, doubles: 16,
	},
	{name: "unknown call: dead by policy", script: always(answer(sink.Unknown, 504)), change: deadLetter, n: 8, kinds: kinds("dead unknown", 8), sizes: []int{8}},
	{name: "unknown call, then all is well", script: first(answer(sink.Unknown, 0)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 4, 4}, doubles: 8},
	{
		name:   "unknown, then refused before it was read: an earlier call may still have reached the vendor",
		script: first(answer(sink.Unknown, 0), answer(sink.Unavailable, 503)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 4, 4, 4}, doubles: 12,
	},
	{name: "sent at take-over, by retry", script: accept, job: takenOver, n: 2, kinds: kinds("delivered", 2), sizes: []int{2}, doubles: 2},
	{
		name: "sent at take-over, by retry: one resend is used up", script: always(answer(sink.Unknown, 504)), change: neverOpens, job: takenOver,
		n: 1, kinds: kinds("dead unknown", 1), sizes: []int{1, 1}, doubles: 2,
	},
	{name: "sent at take-over, by dead letter", script: accept, change: deadLetter, job: takenOver, n: 2, kinds: kinds("dead unknown", 2)},
}

func TestRowsThroughALane(t *testing.T) {
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, c.script, c.change)
				r.dispatch(c.n, c.job)
				r.finish()
				r.wantKinds(c.kinds)
				r.wantSizes(c.sizes...)
				if r.border.unsent != c.unsent {
					t.Errorf("%d were taken back as not sent, want %d", r.border.unsent, c.unsent)
				}
				if got := r.obs.Snapshot().PossibleDuplicates; got != uint64(c.doubles) {
					t.Errorf("%d possible duplicates, want %d", got, c.doubles)
				}
			})
		})
	}
}

func TestRepeatableOperationsNeitherAnnounceNorFearATimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := &vendor{spec: sink.Spec{Repeatable: true}, script: first(answer(sink.Unknown, 504))}
		r := newRig(t, v, v, nil)
		r.dispatch(8, func(j *Job) { j.Record.Unknown = true })
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		r.wantSizes(8, 8)
		if r.border.sent != 0 {
			t.Errorf("%d records were announced", r.border.sent)
		}
	})
}

func TestWhatIsSentWasAnnouncedBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *rig
		check := func(n int, items []sink.Item) sink.Answer {
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

func TestAnAttemptIsOneThatWasAnsweredForTheRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		refuse := func(_ int, items []sink.Item) sink.Answer {
			return each(items, func(sink.Item) sink.Class { return sink.Rejected })
		}
		waits := []sink.Answer{answer(sink.Unavailable, 503), answer(sink.Throttled, 429), answer(sink.Unauthorized, 401)}
		r := start(t, func(n int, items []sink.Item) sink.Answer {
			if n <= len(waits) {
				return waits[n-1]
			}
			return refuse(n, items)
		}, nil)
		r.dispatch(1, func(j *Job) { j.Record.Attempt = 2 })
		r.finish()
		o := r.border.outcomes[id(0)]
		if o.Attempt != 3 || o.Cause != record.CauseRejected || o.Stage != record.StageDeliver || o.Operation != "vendor.op" {
			t.Fatalf("outcome %+v, want attempt 3", o)
		}
		if !strings.Contains(o.Reason, "refused") {
			t.Fatalf("reason %q", o.Reason)
		}
	})
}

func TestTheAgeOfARecordLeavesOutHolds(t *testing.T) {
	slow := answer(sink.Throttled, 429)
	slow.RetryAfter = time.Hour
	for _, held := range []sink.Answer{answer(sink.Unavailable, 503), answer(sink.Misconfigured, 404), answer(sink.Unauthorized, 401), slow} {
		t.Run(held.Class.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				down := true
				r := start(t, func(_ int, items []sink.Item) sink.Answer {
					if down {
						return held
					}
					return each(items, func(sink.Item) sink.Class { return sink.Retryable })
				}, nil)
				r.dispatch(1, func(j *Job) { j.Record.FirstFailed = time.Now().Add(-time.Minute) })
				testkit.Advance(3 * time.Hour)
				down = false
				r.finish()
				r.wantKinds(map[string]int{"retried retryable": 1})
			})
		})
	}
}

// renewable is a vendor whose calls carry a token.
type renewable struct {
	vendor
	renew func(n int) error
	used  []uint64
}

func (v *renewable) Renew(_ context.Context, used uint64) error {
	v.used = append(v.used, used)
	return v.renew(len(v.used))
}

func TestAnExpiredTokenIsRenewedOnceAndNobodyNotices(t *testing.T) {
	bubble(t, func(t *testing.T) {
		expired := answer(sink.Unauthorized, 401)
		expired.Token = 7
		v := &renewable{vendor: vendor{script: first(expired)}, renew: func(int) error { return nil }}
		r := newRig(t, v, &v.vendor, nil)
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		r.wantSizes(8, 8)
		if !slices.Equal(v.used, []uint64{7}) || r.border.unsent != 0 || len(r.logged()) != 0 {
			t.Fatalf("renewed for %v, %d taken back, logged %v", v.used, r.border.unsent, r.logged())
		}
	})
}

func TestANewTokenThatIsRefusedTooHoldsTheOperation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		no := answer(sink.Unauthorized, 403)
		v := &renewable{vendor: vendor{script: first(no, no, no, no)}, renew: func(int) error { return nil }}
		r := newRig(t, v, &v.vendor, nil)
		r.dispatch(8, nil)
		r.finish()
		r.wantKinds(map[string]int{"delivered": 8})
		// Refused, refused with a new token; after 5 s the same with one item; after 10 s it passes.
		r.wantSizes(8, 8, 1, 1, 1, 7)
		if len(v.used) != 2 || time.Since(r.began).Truncate(time.Second) != 15*time.Second {
			t.Errorf("%d renewals in %v", len(v.used), time.Since(r.began))
		}
	})
}

func TestAFailedRenewHoldsByItsClass(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		reason string
	}{
		{"login refused", &sink.Unready{Doing: "logging in", Answer: answer(sink.Unauthorized, 401)}, "unauthorized"},
		{"login endpoint wrong", &sink.Unready{Doing: "logging in", Answer: answer(sink.Misconfigured, 404)}, "misconfigured"},
		{"login endpoint down", &sink.Unready{Doing: "logging in", Answer: answer(sink.Unavailable, 503)}, "unavailable"},
		{"login throttled", &sink.Unready{Doing: "logging in", Answer: answer(sink.Throttled, 429)}, "throttled"},
		{"no token in time", errors.New("waiting for the token"), "unavailable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := &renewable{renew: func(n int) error {
					if n <= 3 {
						return c.err
					}
					return nil
				}}
				v.script = func(n int, items []sink.Item) sink.Answer {
					if len(v.used) <= 3 {
						return answer(sink.Unauthorized, 401)
					}
					return accept(n, items)
				}
				r := newRig(t, v, &v.vendor, nil)
				r.dispatch(8, nil)
				r.finish()
				r.wantKinds(map[string]int{"delivered": 8})
				if got, want := r.logged(), []string{"operation is held: " + c.reason, "operation goes on: " + c.reason}; !slices.Equal(got, want) {
					t.Fatalf("logged %v, want %v", got, want)
				}
				// Probes after 5, 10 and 20 seconds.
				if got := time.Since(r.began).Truncate(time.Second); got != 35*time.Second {
					t.Fatalf("it took %v", got)
				}
			})
		})
	}
}

// The operation forgets an item in each answer: a lane that matched results to items by what is there would deliver one too many.
func TestAForgottenItemIsNeverDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(n int, items []sink.Item) sink.Answer {
			a := accept(n, items)
			a.Items = a.Items[:len(a.Items)-1]
			return a
		}, nil)
		r.dispatch(20, nil)
		r.finish()
		r.wantKinds(map[string]int{"dead unknown": 20})
	})
}

func TestRetryAfterIsHonouredUpToTheCap(t *testing.T) {
	cases := []struct {
		class              sink.Class
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

func TestABatchOnWhichAloneTheVendorFailsIsSearched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(n int, items []sink.Item) sink.Answer {
			for _, it := range items {
				if it.ID == id(5) {
					return answer(sink.Unavailable, 500)
				}
			}
			return accept(n, items)
		}, func(c *Config) { c.Concurrency = 2; c.Linger = 0 })
		r.dispatch(64, nil)
		for range 40 {
			testkit.Advance(10 * time.Second)
			r.dispatch(4, nil)
		}
		r.finish()
		r.wantKinds(map[string]int{"delivered": 64 + 160 - 1, "retried retryable": 1})
		if o := r.border.outcomes[id(5)]; o.Kind != record.Retry {
			t.Fatalf("the poison item ended as %+v", o)
		}
	})
}
