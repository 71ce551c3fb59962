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

func (h *harness) deadLetterCount() int64 {
	return h.platform.Cluster().PartitionInfo("sluice.purchases.dlq", 0).HighWatermark
}

// A producer that writes unreadable records must not cause the whole topic to be dead-lettered.
func TestPoisonTopicIsHeldAfterFewDeadLetters(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		var values [][]byte
		for i := range 500 {
			values = append(values, fmt.Append(nil, "poison ", i))
		}
		stop := h.start()
		testkit.AdvanceClock(time.Minute)
		h.produceValues("purchases", values[:15]...)
		testkit.AdvanceClock(time.Minute)
		h.produceValues("purchases", values[15:]...)
		testkit.AdvanceClock(time.Hour)
		if n := h.deadLetterCount(); n < 15 || n > 20 {
			t.Errorf("got %d dead letters, want 15 to 20", n)
		}
		if hold := h.obs.Pipeline("purchases").Snapshot().Hold; hold == nil || hold.Reason != "flood" {
			t.Errorf("got hold %+v, want the flood hold only during the flood", hold)
		}
		alarms := h.logs.FilterLevelExact(zapcore.ErrorLevel).All()
		if len(alarms) != 1 || alarms[0].ContextMap()["cause"] != "poison" || alarms[0].ContextMap()["ratio"] != 1.0 {
			t.Errorf("got errors %v, want one with share and cause", alarms)
		}
		if err := h.connector.ReleasePipeline("purchases"); err != nil {
			t.Error(err)
		}
		if err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.purchases", "purchases", 0,
			500); err != nil {
			t.Error(err)
		}
		if n := h.deadLetterCount(); n != 500 {
			t.Errorf("got %d dead letters after the release, want all 500", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopDuringFloodCommitsOnlyDeadLetters(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		var values [][]byte
		for i := range 100 {
			values = append(values, fmt.Append(nil, "poison ", i))
		}
		h.produceValues("purchases", values...)
		stop := h.start()
		testkit.AdvanceClock(time.Minute)
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the connector stopped after %v, want at most 1s", took)
		}
		committed := h.platform.Cluster().GroupInfo("sluice.purchases").Commits["purchases"][0].Offset
		if n := h.deadLetterCount(); n >= 20 || n != committed {
			t.Errorf("got %d dead letters and committed offset %d, want the same number below 20", n, committed)
		}
	})
}

// Good records at the end show that the producer was fixed.
func TestFixedProducerEndsFlood(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		var values [][]byte
		for i := range 40 {
			values = append(values, fmt.Append(nil, "poison ", i))
		}
		for i := range 10 {
			values = append(values, h.encodePurchase(fmt.Sprint(i)))
		}
		h.produceValues("purchases", values...)
		stop := h.start()
		if err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.purchases", "purchases", 0,
			50); err != nil {
			t.Error(err)
		}
		if n := h.sandbox.Ledger().Count("crmcom.purchases"); n != 10 || h.deadLetterCount() != 40 {
			t.Errorf("got %d delivered and %d dead, want 10 and 40", n, h.deadLetterCount())
		}
		if n := h.logs.FilterMessageSnippet("pipeline held").Len(); n != 1 {
			t.Errorf("got %d floods logged, want 1", n)
		}
		synctest.Wait()
		if hold := h.obs.Pipeline("purchases").Snapshot().Hold; hold != nil {
			t.Errorf("got hold %+v, want the flood hold only during the flood", hold)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Bad records are known at once, good ones only once the vendor has responded. If both were counted
// together, a third of bad records would look like a flood at first.
func TestThirdOfBadRecordsIsNoFlood(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		var values [][]byte
		for i := range 60 {
			values = append(values, fmt.Append(nil, "poison ", i), h.encodePurchase(fmt.Sprint(2*i)),
				h.encodePurchase(fmt.Sprint(2*i+1)))
		}
		h.produceValues("purchases", values...)
		stop := h.start()
		if err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.purchases", "purchases", 0,
			180); err != nil {
			t.Error(err)
		}
		if n := h.logs.FilterMessageSnippet("pipeline held").Len(); n != 0 {
			t.Errorf("got %d floods logged, want none", n)
		}
		if n := h.sandbox.Ledger().Count("crmcom.purchases"); n != 120 || h.deadLetterCount() != 60 {
			t.Errorf("got %d delivered and %d dead, want 120 and 60", n, h.deadLetterCount())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestReleaseErrorNamesRunningPipelines(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		if err := h.connector.ReleasePipeline("purchases"); !errors.Is(err,
			pipeline.ErrNoPipeline) || !strings.Contains(err.Error(), "none yet") {
			t.Errorf("before Run: got %v, want ErrNoPipeline with none yet", err)
		}
		stop := h.start()
		testkit.AdvanceClock(time.Minute)
		if err := h.connector.ReleasePipeline("purchase"); !errors.Is(err,
			pipeline.ErrNoPipeline) || !strings.Contains(err.Error(), `"purchase"`) || !strings.Contains(err.Error(), "running: purchases") {
			t.Errorf("got %v for an unknown name, want ErrNoPipeline with the name and purchases", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
