package deliver

import (
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func TestBreakerOpensAtFiveFailuresAndOneItemClosesIt(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, func(call int, items []sink.Item) sink.Response {
			if call <= 6 {
				return newResponse(sink.Unavailable, 503)
			}
			return acceptAll(call, items)
		}, nil)
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		// Five failed calls open it. The sixth call is a probe that fails, the seventh one that
		// passes.
		h.wantCallSizes(8, 8, 8, 8, 8, 1, 1, 7)
		h.wantOutcomes(map[string]int{"delivered": 8})
		at := h.vendor.calledAt
		for _, gap := range []time.Duration{at[5].Sub(at[4]), at[6].Sub(at[5])} {
			if gap < 15*time.Second || gap > 16*time.Second+30*time.Second {
				t.Errorf("got the breaker open for %v, want 15 s to 46 s", gap)
			}
		}
		if h.vendor.calls[5][0] == h.vendor.calls[6][0] {
			t.Error("got the item that failed as a probe as the next probe, want another one")
		}
		if got, want := h.loggedMessages(), []string{
			"operation held: unavailable", "operation resumed: unavailable",
		}; !slices.Equal(got, want) {
			t.Errorf("got log messages %v, want %v", got, want)
		}
	})
}

func TestTimeoutsLongerThanTheWindowOpenTheBreaker(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, nil, func(cfg *Config) {
			cfg.Timeout, cfg.Breaker.Window, cfg.UnknownPolicy = time.Minute, 10*time.Second, sink.UnknownDeadLetter
		})
		h.vendor.latency = time.Hour
		h.dispatchRecords(8*8, nil)
		testkit.AdvanceClock(5*time.Minute + 10*time.Minute)
		if reason := h.holdReason(); reason != "unavailable" {
			t.Errorf("after timeouts only: got hold reason %q, want unavailable", reason)
		}
		h.cancelAndWait()
	})
}

func TestOutageSettlesNothingAndLosesNothing(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, nil, func(cfg *Config) { cfg.Concurrency = 3 })
		h.vendor.script = func(call int, items []sink.Item) sink.Response {
			if time.Since(h.began) < 10*time.Minute {
				return newResponse(sink.Unavailable, 503)
			}
			return acceptAll(call, items)
		}
		h.dispatchRecords(100, nil)
		testkit.AdvanceClock(9 * time.Minute)
		h.dispatchRecords(100, nil)
		if got := h.countOutcomes(); len(got) != 0 {
			t.Errorf("got outcomes %v during the outage, want none", got)
		}
		calls := h.vendor.callCount()
		if calls > 3*6+9*4 {
			t.Errorf("got %d calls in nine minutes of outage, want at most %d", calls, 3*6+9*4)
		}
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 200})
		for id, n := range h.vendor.accepted {
			if n != 1 {
				t.Errorf("got %s accepted %d times, want once", id, n)
			}
		}
		if end := time.Since(h.began); end > 11*time.Minute {
			t.Errorf("got everything delivered %v after the outage, want at most a minute", end-10*time.Minute)
		}
		if n := len(h.vendor.calls) - calls; n > 100 {
			t.Errorf("got %d calls for 200 records after the outage, want at most 100", n)
		}
	})
}

func TestProbeOfAHalfOpenBreakerComesFromAnotherLane(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, func(_ int, items []sink.Item) sink.Response {
			for _, item := range items {
				if item.EntityKey == "bad" {
					return newResponse(sink.Unavailable, 503)
				}
			}
			return acceptAll(0, items)
		}, func(cfg *Config) { cfg.Concurrency = 2; cfg.Breaker.Failures = 2; cfg.Linger = 0 })
		h.dispatchRecords(1, func(delivery *Delivery) { delivery.Item.EntityKey = "bad" })
		testkit.AdvanceClock(5 * time.Second) // two failures open the breaker
		bad := h.dispatcher.laneFor(&Delivery{Item: sink.Item{EntityKey: "bad"}})
		other := "a"
		for h.dispatcher.laneFor(&Delivery{Item: sink.Item{EntityKey: other}}) == bad {
			other += "a"
		}
		h.dispatchRecords(1, func(delivery *Delivery) { delivery.Item.EntityKey = other })
		before := h.vendor.callCount()
		testkit.AdvanceClock(16 * time.Second)
		if got := h.vendor.callItems(before); !slices.Equal(got, []string{recordID(1)}) {
			t.Errorf("got a probe of %v, want the other lane's item", got)
		}
		if got := h.countOutcomes()["delivered"]; got != 1 {
			t.Errorf("got %d delivered, want 1", got)
		}
		h.cancelAndWait()
	})
}

// probeVendor is a fake vendor with a harmless call.
type probeVendor struct {
	fakeVendor
	probeResponse func(n int) sink.Response
	probes        int
}

func (vendor *probeVendor) Probe(context.Context) sink.Response {
	vendor.probes++
	return vendor.probeResponse(vendor.probes)
}

func TestHarmlessCallMustPassBeforeAnItemIsSent(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		vendor := &probeVendor{probeResponse: func(call int) sink.Response {
			if call <= 3 {
				return newResponse(sink.Unavailable, 503)
			}
			return newResponse(sink.Delivered, 200)
		}}
		down := newResponse(sink.Unavailable, 503)
		vendor.script = respondFirst(down, down, down, down, down)
		h := newHarness(t, vendor, &vendor.fakeVendor, nil)
		h.dispatchRecords(8, nil)
		h.closeAndWait()
		h.wantCallSizes(8, 8, 8, 8, 8, 1, 7)
		if vendor.probes != 4 {
			t.Errorf("got %d harmless calls, want 4", vendor.probes)
		}
		h.wantOutcomes(map[string]int{"delivered": 8})
	})
}

func TestHeldOperationIsProbedWithOneItemAtGrowingIntervalsAndLogsOnce(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(
			t, nil, func(cfg *Config) { cfg.Concurrency = 2; cfg.Breaker.Failures = 1000; cfg.Breaker.Ratio = 2 },
		)
		h.vendor.script = func(call int, items []sink.Item) sink.Response {
			if call <= 12 {
				return newResponse(sink.Misconfigured, 404)
			}
			return acceptAll(call, items)
		}
		h.vendor.latency = 10 * time.Millisecond
		h.dispatchRecords(64, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 64})
		sizes := h.vendor.callSizes()
		if !slices.Equal(sizes[:3], []int{8, 8, 1}) {
			t.Errorf("got calls of %v items, want 8, 8 and 1 first", sizes)
		}
		wait := 5 * time.Second
		for i := 2; i < 12; i++ {
			if got := h.vendor.calledAt[i].Sub(h.vendor.calledAt[i-1]) - h.vendor.latency; got != wait {
				t.Errorf("probe %d: got an interval of %v, want %v", i-1, got, wait)
			}
			wait = min(2*wait, 5*time.Minute)
		}
		if got, want := h.loggedMessages(), []string{
			"operation held: misconfigured", "operation resumed: misconfigured",
		}; !slices.Equal(got, want) {
			t.Errorf("got log messages %v, want %v", got, want)
		}
	})
}

func TestProbeNowProbesAHeldOperationAtOnce(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, nil, nil)
		fixed := false
		h.vendor.script = func(call int, items []sink.Item) sink.Response {
			if !fixed {
				return newResponse(sink.Unauthorized, 403)
			}
			return acceptAll(call, items)
		}
		h.dispatchRecords(8, nil)
		testkit.AdvanceClock(time.Hour)
		if reason := h.holdReason(); reason != "unauthorized" {
			t.Errorf("got hold reason %q, want unauthorized", reason)
		}
		fixed = true
		h.dispatcher.ProbeNow()
		asked := time.Now()
		h.closeAndWait()
		if took := time.Since(asked); took != 0 {
			t.Errorf("got everything delivered after %v, want at once", took)
		}
	})
}

func TestRateLimitBoundsTheCallsOfAllLanes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(
			t, acceptAll, func(cfg *Config) { cfg.Concurrency = 4; cfg.Limiter = rate.NewLimiter(2, 1) },
		)
		h.dispatchRecords(8*20, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"delivered": 160})
		at := h.vendor.calledAt
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 499*time.Millisecond {
				t.Fatalf("call %d: got %v after the previous one, want 500 ms", i, gap)
			}
		}
		if took := at[19].Sub(at[0]); took > 10*time.Second {
			t.Errorf("got 20 full calls in %v, want at most 10 s", took)
		}
	})
}

func TestReducedCallSizeGrowsBackSlowly(t *testing.T) {
	for _, response := range []sink.Response{
		newResponse(sink.TooLarge, 413), newResponse(sink.Unknown, 504), newResponse(sink.Unknown, 200),
	} {
		t.Run(response.Class.String(), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, respondFirst(response), nil)
				h.dispatchRecords(8*60, nil)
				h.closeAndWait()
				sizes := h.vendor.callSizes()
				if !slices.Equal(sizes[:18], []int{8, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5}) {
					t.Errorf("got calls of %v items, want 8, then sixteen times 4, then 5", sizes)
				}
				if !slices.Contains(sizes[1:], 8) {
					t.Errorf("got calls of %v items, want one of 8 again", sizes)
				}
			})
		})
	}
}

// A probe of one item whose outcome is unknown shows nothing about larger calls.
func TestCallOfOneItemDoesNotReduceTheCallSize(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		gate := newTestGate(nil)
		permit := mustAdmit(t, gate, 0)
		permit.reportVerdict(
			verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true},
			newResponse(sink.Unknown, 504), 1,
		)
		if most, _ := gate.callLimits(); most != 8 {
			t.Errorf("got a limit of %d items, want 8", most)
		}
	})
}

func TestOverlappingStalledSpansCountOnce(t *testing.T) {
	var s stalledSpans
	at := func(sec int) time.Time { return time.Unix(int64(sec), 0) }
	s.addSpan(at(10), at(20))
	s.setStalled(true, at(15))
	s.addSpan(at(30), at(40)) // throttled while held
	s.setStalled(false, at(50))
	s.addSpan(at(60), at(90)) // ends after now
	s.setStalled(true, at(65))
	if got := s.stalledSince(at(12), at(70)); got != 48*time.Second {
		t.Fatalf("got %v stalled, want 48 s", got)
	}
	for i := range 3 * maxStalledSpans {
		s.setStalled(false, at(100+10*i))
		s.setStalled(true, at(105+10*i))
	}
	if len(s.ended) > maxStalledSpans {
		t.Fatalf("got %d spans, want at most %d", len(s.ended), maxStalledSpans)
	}
	if got := s.stalledSince(at(0), at(100+10*3*maxStalledSpans)); got < 3*maxStalledSpans*5*time.Second {
		t.Fatalf("got %v stalled: forgetting spans made records older", got)
	}
}
