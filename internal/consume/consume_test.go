package consume_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

func TestEveryRecordIsDeliveredOnceAndCommitted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(300, alwaysOK)
		m := h.startMember(1, time.Second, nil)
		h.awaitCommitted(300)
		m.stopCleanly()
		h.produceRecords(30, alwaysOK)
		m = h.startMember(2, time.Second, nil)
		h.awaitCommitted(330)
		m.stopCleanly()
		h.checkDeliveries(330, 0)
	})
}

func TestRetryRecordsAreDeliveredWhenDue(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(30, func(i int) string { return []string{"ok", "retry once", "retry twice"}[i%3] })
		start := time.Now()
		m := h.startMember(1, 100*time.Millisecond, nil)
		h.awaitCommitted(30)
		h.awaitOffset(tier10s, 1, 10)
		h.awaitOffset(tier10s, 2, 10)
		h.awaitOffset(tier1m, 2, 10)
		m.stopCleanly()
		h.checkDeliveries(30, 0)
		for origin, times := range h.vendor.times {
			took := times[0].Sub(start)
			switch origin[:len(source)+2] {
			case source + "-1":
				if took < 10*time.Second || took > 14*time.Second {
					t.Errorf("%s: got delivery after %v, want 10s to 14s", origin, took)
				}
			case source + "-2":
				if took < 70*time.Second || took > 76*time.Second {
					t.Errorf("%s: got delivery after %v, want 70s to 76s", origin, took)
				}
			}
		}
	})
}

func TestRebalancesCauseNoDuplicates(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				protocol := withProtocol(seed%2 == 1)
				rng := rand.New(rand.NewPCG(seed, 0))
				plans := []string{"ok", "ok", "retry once", "dead"}
				h.produceRecords(600, func(int) string { return plans[rng.IntN(4)] })
				a := h.startMember(seed, 2*time.Second, protocol)
				testkit.AdvanceClock(time.Duration(rng.IntN(5000)) * time.Millisecond)
				b := h.startMember(seed+100, 2*time.Second, protocol)
				testkit.AdvanceClock(time.Duration(rng.IntN(20000)) * time.Millisecond)
				a.stopCleanly()
				h.awaitCommitted(600)
				testkit.AdvanceClock(time.Minute)
				b.stopCleanly()
				h.checkCommits()
				if _, duplicates := h.vendor.countDeliveries(); duplicates != 0 {
					t.Errorf("got %d duplicates, want none", duplicates)
				}
			})
		})
	}
}

func TestSettledRecordsHaveNoUnknownOutcomeAfterACrash(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(90, alwaysOK)
		first := func(r *record.Record) bool { return r.Origin.Offset == 0 }
		a := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) { s.logIntents, s.isStuck = true, first })
		testkit.AdvanceClock(20 * time.Second) // all but the stuck ones are settled and committed as metadata
		a.crashMember()
		delivered, _ := h.vendor.countDeliveries()
		if delivered != 87 {
			t.Fatalf("got %d records delivered before the crash, want 87", delivered)
		}
		b := h.startMember(2, 0, nil)
		h.awaitCommitted(90)
		b.stopCleanly()
		if len(b.unknownOutcomes) != 0 {
			t.Errorf("got unknown outcomes of %v, want none, because no intent was committed", b.unknownOutcomes)
		}
		h.checkDeliveries(90, 0)
	})
}

func TestCallsInFlightAtACrashHaveAnUnknownOutcome(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(30, alwaysOK)
		a := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
			s.logIntents, s.maxLatency = true, time.Hour
		})
		testkit.AdvanceClock(20 * time.Second)
		a.crashMember()
		before, _ := h.vendor.countDeliveries()
		b := h.startMember(2, 0, nil)
		h.awaitCommitted(30)
		b.stopCleanly()
		if want := 30 - before; len(b.unknownOutcomes) != want {
			t.Errorf("got %d unknown outcomes, want %d", len(b.unknownOutcomes), want)
		}
	})
}

// A record may be sent again after a crash only as long as it is known how often it was sent.
func TestResendIntentsAreKnownToTheNextOwner(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(30, alwaysOK)
		a := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
			s.logIntents, s.maxLatency = true, 1000*time.Hour
			s.intentOf = func(r *record.Record) (intent record.Intent, withdrawn bool) {
				return record.Intent{Record: r, Resend: r.Origin.Offset%3 > 0}, r.Origin.Offset%3 > 1
			}
		})
		testkit.AdvanceClock(20 * time.Second)
		a.crashMember()
		b := h.startMember(2, 0, nil)
		h.awaitCommitted(30)
		b.stopCleanly()
		var want []string
		for _, id := range b.unknownOutcomes {
			if at, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:]); err == nil && at%3 == 1 {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		slices.Sort(b.resendsUnknown)
		if len(b.unknownOutcomes) != 30 || len(want) == 0 || !slices.Equal(b.resendsUnknown, want) {
			t.Errorf("got %d unknown outcomes and resend intents %v, want 30 and %v",
				len(b.unknownOutcomes), b.resendsUnknown, want)
		}
	})
}

func TestSendsAreReadBackFromRetryTopics(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(9, func(int) string { return "retry twice" })
		m := h.startMember(1, 0, func(s *fakeStages, _ *consume.Config) {
			s.beforeCall = func(r *record.Record) {
				if r.Sends != r.Attempt { // each of these attempts counts as a send
					t.Errorf("%s: got %d sends at attempt %d, want as many", r.Origin.ID(), r.Sends, r.Attempt)
				}
			}
		})
		h.awaitCommitted(9)
		testkit.AdvanceClock(2 * time.Minute)
		m.stopCleanly()
		h.checkDeliveries(9, 0)
	})
}

func TestRecoverySettlesSourceRecordsWithACopyInARetryTopic(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.produceRecords(9, func(int) string { return "retry once" })
		a := h.startMember(1, 0, withRareCommits)
		testkit.AdvanceClock(5 * time.Second) // all are in the retry topic, after the only commit
		a.crashMember()
		b := h.startMember(2, 0, nil)
		h.awaitCommitted(9)
		testkit.AdvanceClock(time.Minute)
		b.stopCleanly()
		h.checkDeliveries(9, 0)
	})
}
