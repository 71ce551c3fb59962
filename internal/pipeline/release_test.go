package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"sluice/internal/pipeline"
	"sluice/internal/test/testkit"
)

func (s *stage) dead() int64 {
	return s.p.Cluster().PartitionInfo("sluice.purchases.dlq", 0).HighWatermark
}

// A producer that writes what nobody can read must not empty the topic into the dead-letter topic.
func TestATopicOfPoisonIsHeldAfterFewDeadLetters(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		var values [][]byte
		for i := range 500 {
			values = append(values, fmt.Append(nil, "poison ", i))
		}
		stop := s.run()
		testkit.AdvanceClock(time.Minute)
		s.produce("purchases", values[:15]...)
		testkit.AdvanceClock(time.Minute)
		s.produce("purchases", values[15:]...)
		testkit.AdvanceClock(time.Hour)
		if n := s.dead(); n < 15 || n > 20 {
			t.Errorf("%d dead letters", n)
		}
		if hold := s.obs.Pipeline("purchases").Snapshot().Hold; hold == nil || hold.Reason != "flood" {
			t.Errorf("the pipeline stands at %+v", hold)
		}
		alarms := s.logs.FilterLevelExact(zapcore.ErrorLevel).All()
		if len(alarms) != 1 || alarms[0].ContextMap()["cause"] != "poison" || alarms[0].ContextMap()["share"] != 1.0 {
			t.Errorf("alarms %v, want one that names share and cause", alarms)
		}
		if err := s.connector.Release("purchases"); err != nil {
			t.Error(err)
		}
		if err := testkit.WaitCommitted(t.Context(), s.p.Cluster(), "sluice.purchases", "purchases", 0, 500); err != nil {
			t.Error(err)
		}
		if n := s.dead(); n != 500 {
			t.Errorf("%d dead letters after the release, want all 500", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFloodLeavesNoTraceAtAStop(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		var values [][]byte
		for i := range 100 {
			values = append(values, fmt.Append(nil, "poison ", i))
		}
		s.produce("purchases", values...)
		stop := s.run()
		testkit.AdvanceClock(time.Minute)
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		committed := s.p.Cluster().GroupInfo("sluice.purchases").Commits["purchases"][0].Offset
		if n := s.dead(); n >= 20 || n != committed {
			t.Errorf("%d dead letters, committed %d", n, committed)
		}
	})
}

// Good records that come in the end show that the producer was mended.
func TestAMendedProducerEndsAFlood(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		var values [][]byte
		for i := range 40 {
			values = append(values, fmt.Append(nil, "poison ", i))
		}
		for i := range 10 {
			values = append(values, s.purchase(fmt.Sprint(i)))
		}
		s.produce("purchases", values...)
		stop := s.run()
		if err := testkit.WaitCommitted(t.Context(), s.p.Cluster(), "sluice.purchases", "purchases", 0, 50); err != nil {
			t.Error(err)
		}
		if n := s.vendors.Ledger().Count("crmcom.purchases"); n != 10 || s.dead() != 40 {
			t.Errorf("%d delivered and %d dead, want 10 and 40", n, s.dead())
		}
		if n := s.logs.FilterMessageSnippet("pipeline is held").Len(); n != 1 {
			t.Errorf("held %d times", n)
		}
		synctest.Wait()
		if hold := s.obs.Pipeline("purchases").Snapshot().Hold; hold != nil {
			t.Errorf("the pipeline stands at %+v", hold)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Bad records are known at once and good ones only when the vendor has answered: counted together, a third of bad ones would look like a flood at first.
func TestAThirdOfBadRecordsIsNoFloodHoweverSlowTheVendorIs(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		var values [][]byte
		for i := range 60 {
			values = append(values, fmt.Append(nil, "poison ", i), s.purchase(fmt.Sprint(2*i)), s.purchase(fmt.Sprint(2*i+1)))
		}
		s.produce("purchases", values...)
		stop := s.run()
		if err := testkit.WaitCommitted(t.Context(), s.p.Cluster(), "sluice.purchases", "purchases", 0, 180); err != nil {
			t.Error(err)
		}
		if n := s.logs.FilterMessageSnippet("pipeline is held").Len(); n != 0 {
			t.Errorf("held %d times", n)
		}
		if n := s.vendors.Ledger().Count("crmcom.purchases"); n != 120 || s.dead() != 60 {
			t.Errorf("%d delivered and %d dead, want 120 and 60", n, s.dead())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAReleaseNamesThePipelinesThereAre(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		if err := s.connector.Release("purchases"); !errors.Is(err, pipeline.ErrNoPipeline) || !strings.Contains(err.Error(), "none yet") {
			t.Errorf("before it runs: %v", err)
		}
		stop := s.run()
		testkit.AdvanceClock(time.Minute)
		if err := s.connector.Release("purchase"); !errors.Is(err, pipeline.ErrNoPipeline) || !strings.Contains(err.Error(), `"purchase"`) || !strings.Contains(err.Error(), "running: purchases") {
			t.Errorf("of another name: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
