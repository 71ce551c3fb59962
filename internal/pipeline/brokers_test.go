package pipeline_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/test/testkit"
	"sluice/internal/topics"
)

const unreachableMessage = "Kafka requests failed, retrying"

// While the cluster does not respond for ten minutes, the connector logs that once and its pipeline
// is held. It runs as soon as the brokers respond.
func TestConnectorWaitsForUnreachableBrokers(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		h.createTopic("purchases", nil)
		h.produceValues("purchases", h.encodePurchase("1"))
		restore := h.makeBrokersUnreachable()
		stop := h.start()
		testkit.AdvanceClock(10 * time.Minute)
		if n := h.logs.FilterMessage(unreachableMessage).Len(); n != 1 {
			t.Errorf("got %d warnings, want 1", n)
		}
		status := h.obs.Pipeline("purchases").Snapshot()
		if status.Started || status.Hold == nil || status.Hold.Reason != "kafka" {
			t.Errorf("got status %+v, want a pipeline that has not started and is held for kafka", status)
		}
		restore()
		if err := testkit.WaitCommitted(t.Context(), h.platform.Cluster(), "sluice.purchases", "purchases", 0,
			1); err != nil {
			t.Fatal(err)
		}
		reachable := h.logs.FilterMessage("Kafka requests succeed again").All()
		if len(reachable) != 1 || reachable[0].ContextMap()["failures"].(int64) < 60 {
			t.Errorf("got %v, want one line with the failures of ten minutes, at least 60", reachable)
		}
		if hold := h.obs.Pipeline("purchases").Snapshot().Hold; hold != nil {
			t.Errorf("got hold %+v, want none", hold)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopEndsWaitForBrokers(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, autoCreateYAML)
		defer h.makeBrokersUnreachable()()
		stop := h.start()
		testkit.AdvanceClock(time.Minute)
		began := time.Now()
		if err := stop(); err != nil || time.Since(began) > 0 {
			t.Errorf("got %v after %v, want no error at once", err, time.Since(began))
		}
	})
}

// Once the brokers are reachable, unfit topics end the wait with their problems.
func TestUnfitTopicsEndWaitForBrokers(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, "pipelines: {purchases: {}}\n")
		restore := h.makeBrokersUnreachable()
		ended := make(chan error, 1)
		go func() { ended <- h.connector.Run(t.Context(), t.Context()) }()
		testkit.AdvanceClock(time.Minute)
		restore()
		if err := <-ended; !errors.As(err, new(*topics.UnfitError)) {
			t.Errorf("got %v, want a *topics.UnfitError", err)
		}
		synctest.Wait()
	})
}

// makeBrokersUnreachable makes the cluster close the connection at every metadata request until
// restore is called.
func (h *harness) makeBrokersUnreachable() (restore func()) {
	reachable := make(chan struct{})
	h.platform.Cluster().ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-reachable:
			return nil, nil, false
		default:
			h.platform.Cluster().KeepControl()
			return nil, errors.New("the broker closes the connection"), true
		}
	})
	return func() { close(reachable) }
}
