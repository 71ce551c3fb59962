package consume_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/internal/consume"
	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

func TestEverythingReadIsDeliveredOnceAndCommitted(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(300, ok)
		m := c.join(1, time.Second, nil)
		c.awaitCommitted(300)
		m.leave()
		c.produce(30, ok)
		m = c.join(2, time.Second, nil)
		c.awaitCommitted(330)
		m.leave()
		c.check(330, 0)
	})
}

func TestRetryRecordsComeWhenDueAndNotBefore(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(30, func(i int) string { return []string{"ok", "retry once", "retry twice"}[i%3] })
		start := time.Now()
		m := c.join(1, 100*time.Millisecond, nil)
		c.awaitCommitted(30)
		c.awaitOffset(tier10s, 1, 10)
		c.awaitOffset(tier10s, 2, 10)
		c.awaitOffset(tier1m, 2, 10)
		m.leave()
		c.check(30, 0)
		for origin, times := range c.vendor.times {
			took := times[0].Sub(start)
			switch origin[:len(source)+2] {
			case source + "-1":
				if took < 10*time.Second || took > 14*time.Second {
					t.Errorf("%s took %v", origin, took)
				}
			case source + "-2":
				if took < 70*time.Second || took > 76*time.Second {
					t.Errorf("%s took %v", origin, took)
				}
			}
		}
	})
}

func TestMembersComeAndGoWithoutADuplicate(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				c := newCluster(t)
				protocol := func(_ *line, cfg *consume.Config) { cfg.ConsumerProtocol = seed%2 == 1 }
				rng := rand.New(rand.NewPCG(seed, 0))
				c.produce(600, func(i int) string { return []string{"ok", "ok", "retry once", "dead"}[rng.IntN(4)] })
				a := c.join(seed, 2*time.Second, protocol)
				testkit.AdvanceClock(time.Duration(rng.IntN(5000)) * time.Millisecond)
				b := c.join(seed+100, 2*time.Second, protocol)
				testkit.AdvanceClock(time.Duration(rng.IntN(20000)) * time.Millisecond)
				a.leave()
				c.awaitCommitted(600)
				testkit.AdvanceClock(time.Minute)
				b.leave()
				if err := c.commits.Check(); err != nil {
					t.Error(err)
				}
				if _, duplicates := c.vendor.counts(); duplicates != 0 {
					t.Errorf("%d duplicates", duplicates)
				}
			})
		})
	}
}

func TestAfterACrashOnlyWhatWasSentIsOfUnknownOutcome(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(90, ok)
		first := func(r *record.Record) bool { return r.Origin.Offset == 0 }
		a := c.join(1, 0, func(l *line, _ *consume.Config) { l.sent, l.stuck = true, first })
		testkit.AdvanceClock(20 * time.Second) // all but the stuck ones are settled and committed beyond the prefix
		a.crash()
		delivered, _ := c.vendor.counts()
		if delivered != 87 {
			t.Fatalf("%d were delivered before the crash, want 87", delivered)
		}
		b := c.join(2, 0, nil)
		c.awaitCommitted(90)
		b.leave()
		if len(b.unknown) != 0 {
			t.Errorf("%v came as unknown, though nothing was sent and open", b.unknown)
		}
		c.check(90, 0)
	})
}

func TestRecordsOfACallThatWasUnderWayAtTheCrashComeAsUnknown(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(30, ok)
		a := c.join(1, 0, func(l *line, _ *consume.Config) { l.sent, l.slow = true, time.Hour })
		testkit.AdvanceClock(20 * time.Second)
		a.crash()
		before, _ := c.vendor.counts()
		b := c.join(2, 0, nil)
		c.awaitCommitted(30)
		b.leave()
		if want := 30 - before; len(b.unknown) != want {
			t.Errorf("%d came as unknown, want %d", len(b.unknown), want)
		}
	})
}

func TestACopyInARetryTopicSettlesItsSourceRecordAtTakeOver(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		c := newCluster(t)
		c.produce(9, func(int) string { return "retry once" })
		a := c.join(1, 0, func(_ *line, cfg *consume.Config) { cfg.CommitInterval = time.Hour })
		testkit.AdvanceClock(5 * time.Second) // written to the tier; the one commit that went out came before
		a.crash()
		b := c.join(2, 0, nil)
		c.awaitCommitted(9)
		testkit.AdvanceClock(time.Minute)
		b.leave()
		c.check(9, 0)
	})
}
