package deliver

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// The vendor acts, and then fails to say so.
func TestARecordThatAlwaysMeetsAServerErrorIsSentAsOftenAsItsPolicyAllows(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		calls  int
	}{
		{"retry", nil, 3},
		{"retry, one resend", func(cfg *Config) { cfg.MaxResends = 1 }, 2},
		{"dead letter", deadLetterUnknown, 1},
		{"retry, in place", func(cfg *Config) { cfg.RetryInPlace = true }, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, alwaysRespond(receivedServerError()), tc.change)
				h.dispatchRecords(1, nil)
				testkit.AdvanceClock(24 * time.Hour)
				if calls := h.vendor.callCount(); calls != tc.calls {
					t.Errorf("got %d calls in 24 h, want %d", calls, tc.calls)
				}
				h.wantOutcomes(map[string]int{"dead unknown": 1})
				h.closeAndWait()
			})
		})
	}
}

// The breaker opens as in any outage. Then each probe uses up one send of one record, and no batch
// is lost as a whole.
func TestAnOutageWithServerErrorsUsesUpTheSendsOfSingleProbes(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, nil, nil)
		h.vendor.script = func(call int, items []sink.Item) sink.Response {
			if time.Since(h.began) < 10*time.Minute {
				return receivedServerError()
			}
			return acceptAll(call, items)
		}
		h.dispatchRecords(200, nil)
		testkit.AdvanceClock(9 * time.Minute)
		sizes := h.vendor.callSizes()
		if got := sizes[:2]; got[0] != 8 || got[1] != 4 {
			t.Errorf("got first calls of %v items, want 8 and 4", got)
		}
		for i, size := range sizes[5:] {
			if size != 1 {
				t.Errorf("got %d items in call %d of an outage, want a probe of one", size, i+5)
			}
		}
		if calls := len(sizes); calls > 5+9*4 {
			t.Errorf("got %d calls in nine minutes of outage, want at most %d", calls, 5+9*4)
		}
		sent := 0
		for _, size := range sizes {
			sent += size
		}
		if got := h.countOutcomes(); got["dead unknown"] > sent/3 {
			t.Errorf("got outcomes %v after %d sends in the outage, want one for every third send at most", got, sent)
		}
		h.closeAndWait()
		if got := h.countOutcomes(); got["delivered"]+got["dead unknown"] != 200 {
			t.Errorf("got outcomes %v, want 200 delivered or unknown", got)
		}
	})
}

func TestACopyInARetryTopicKeepsTheCountOfItsSends(t *testing.T) {
	refuseSecond := func(call int, items []sink.Item) sink.Response {
		if call == 1 {
			return receivedServerError()
		}
		return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
	}
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, refuseSecond, nil)
		h.dispatchRecords(1, nil)
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"retried retryable": 1})
		if sends := h.ledger.outcomes[recordID(0)].Sends; sends != 1 {
			t.Errorf("got %d sends in the outcome, want the one on which the vendor may have acted", sends)
		}
	})
	for sends, calls := range map[int]int{0: 3, 1: 2, 2: 1, 3: 0, math.MaxInt: 0} {
		t.Run(fmt.Sprint(sends, " sends"), func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, alwaysRespond(newResponse(sink.Unknown, 504)), disableBreaker)
				h.dispatchRecords(1, func(delivery *Delivery) {
					delivery.Record.Sends, delivery.Record.OutcomeUnknown = sends, sends == math.MaxInt
				})
				h.closeAndWait()
				h.wantOutcomes(map[string]int{"dead unknown": 1})
				if got := h.vendor.callCount(); got != calls {
					t.Errorf("got %d calls, want %d", got, calls)
				}
			})
		})
	}
}

func TestARecordWithAResendIntentIsNotSentAgain(t *testing.T) {
	runInBubble(t, func(t *testing.T) {
		h := startHarness(t, acceptAll, func(cfg *Config) { cfg.MaxResends = 10 })
		h.dispatchRecords(2, func(delivery *Delivery) {
			delivery.Record.NotePriorState(offset.PriorResendIntent)
		})
		h.closeAndWait()
		h.wantOutcomes(map[string]int{"dead unknown": 2})
		h.wantCallSizes()
	})
}

func TestARepeatableOperationIsSentAfterAnyPriorState(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		runInBubble(t, func(t *testing.T) {
			vendor := &fakeVendor{spec: sink.OperationSpec{Repeatable: true}}
			vendor.script = func(call int, items []sink.Item) sink.Response {
				if call <= 20 {
					return receivedServerError()
				}
				return acceptAll(call, items)
			}
			h := newHarness(t, vendor, vendor, func(cfg *Config) { cfg.RetryInPlace = inPlace })
			h.dispatchRecords(1, func(delivery *Delivery) {
				delivery.Record.Sends = 5
				delivery.Record.NotePriorState(offset.PriorResendIntent)
			})
			h.closeAndWait()
			h.wantOutcomes(map[string]int{"delivered": 1})
			if outcome := h.ledger.outcomes[recordID(0)]; outcome.Sends != 0 {
				t.Errorf("got %d sends counted for a repeatable operation, want 0", outcome.Sends)
			}
			if logged := h.ledger.intentsLogged; inPlace != (logged == 21) {
				t.Errorf("in place %v: got %d intents logged in 21 calls, want one for each call in place", inPlace, logged)
			}
		})
	}
}

// crashModel sends one record through owners that crash, and through retry topics.
type crashModel struct {
	rand    *rand.Rand
	cfg     func(*Config)
	acted   int // calls on which the vendor may have acted
	limit   int
	state   offset.PriorState
	outcome *record.Outcome
	raw     record.Record // what the next owner reads
}

// crashResponses are responses, and whether the vendor may have acted.
var crashResponses = []struct {
	acted   bool
	respond func([]sink.Item) sink.Response
}{
	{true, func([]sink.Item) sink.Response { return receivedServerError() }},
	{true, func([]sink.Item) sink.Response { return newResponse(sink.Unknown, 504) }},
	{false, func([]sink.Item) sink.Response { return newResponse(sink.Unavailable, 503) }},
	{false, func([]sink.Item) sink.Response { return newResponse(sink.Throttled, 429) }},
	{false, func([]sink.Item) sink.Response { return newResponse(sink.Unauthorized, 401) }},
	{true, func(items []sink.Item) sink.Response {
		return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Unknown })
	}},
	{false, func(items []sink.Item) sink.Response {
		return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Retryable })
	}},
}

// runOwner lets one owner handle the record until it has an outcome, or until the owner crashes.
func (m *crashModel) runOwner(t *testing.T) {
	crashAfter := 1 + m.rand.IntN(4)
	h := startHarness(t, nil, m.cfg)
	crashed := make(chan struct{})
	h.vendor.script = func(call int, items []sink.Item) sink.Response {
		if call == crashAfter {
			m.acted++
			close(crashed)
			<-time.After(time.Hour) // the owner does not live to see the response
			return newResponse(sink.Unknown, 0)
		}
		chosen := crashResponses[m.rand.IntN(len(crashResponses))]
		if chosen.acted {
			m.acted++
		}
		return chosen.respond(items)
	}
	h.dispatchRecords(1, func(delivery *Delivery) {
		delivery.Record.Sends, delivery.Record.TierDelay = m.raw.Sends, m.raw.TierDelay
		m.restore(h, delivery.Record)
	})
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		<-h.tracker.Idle()
	}()
	select {
	case <-settled:
		h.closeAndWait()
		outcome := h.ledger.outcomes[recordID(0)]
		m.outcome, m.state = &outcome, offset.PriorNone
		m.raw.Sends, m.raw.TierDelay = outcome.Sends, outcome.Delay
	case <-crashed:
		m.state = committedState(h)
		h.cancelAndWait()
		<-settled
	}
}

// restore gives the record the state that the previous owner has committed.
func (m *crashModel) restore(h *harness, rec *record.Record) {
	rec.NotePriorState(m.state)
	switch m.state {
	case offset.PriorIntent:
		rec.Entry.MarkIntent()
	case offset.PriorResendIntent:
		rec.Entry.MarkResendIntent()
	case offset.PriorNone, offset.PriorSettled, offset.PriorSeen:
	}
}

// committedState returns what the next owner learns of the record.
func committedState(h *harness) offset.PriorState {
	next := offset.NewTracker([16]byte{1}, 0, nil)
	commit, ok := h.tracker.PendingCommit()
	if !ok {
		return offset.PriorNone
	}
	if err := next.RestoreMetadata(commit.Metadata); err != nil {
		h.t.Fatal(err)
	}
	return next.Track(new(offset.Entry), 0, 0, time.Time{})
}

// Whatever the vendor responds, however often owners crash, and on whatever way through the retry
// topics: no more calls than the policy allows may have been acted on.
func TestSendsAreBoundedThroughResponsesCrashesAndRetryTopics(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		resends := rapid.IntRange(0, 4).Draw(rt, "resends")
		inPlace := rapid.Bool().Draw(rt, "in place")
		// The responses are not drawn by rapid, because calls run on other goroutines.
		m := &crashModel{rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), limit: 1 + resends}
		m.cfg = func(cfg *Config) {
			cfg.RetryInPlace, cfg.MaxResends = inPlace, resends
			if resends == 0 {
				cfg.UnknownPolicy = sink.UnknownDeadLetter
			}
		}
		for range 20 {
			runInBubble(t, m.runOwner)
			if m.acted > m.limit {
				rt.Fatalf("got %d calls on which the vendor may have acted, want at most %d", m.acted, m.limit)
			}
			if m.outcome != nil && m.outcome.Disposition != record.DispositionRetried {
				return
			}
		}
		rt.Fatalf("got no final outcome from 20 owners, want one")
	})
}
