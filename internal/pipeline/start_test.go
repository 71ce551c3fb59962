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

const cannotAsk = "the brokers cannot be asked; nothing is read until they answer"

// The cluster answers nobody for ten minutes: the connector says so once, states a hold, and runs as soon as brokers answer.
func TestBrokersThatAreAwayAtTheStartAreWaitedFor(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		s.create("purchases", nil)
		s.produce("purchases", s.purchase("1"))
		free := s.away()
		stop := s.run()
		testkit.AdvanceClock(10 * time.Minute)
		if n := s.logs.FilterMessage(cannotAsk).Len(); n != 1 {
			t.Errorf("warned %d times, want once", n)
		}
		status := s.obs.Pipeline("purchases").Snapshot()
		if status.Started || status.Hold == nil || status.Hold.Reason != "kafka" {
			t.Errorf("status %+v, want a pipeline that has not started, held for kafka", status)
		}
		free()
		if err := testkit.WaitCommitted(t.Context(), s.p.Cluster(), "sluice.purchases", "purchases", 0, 1); err != nil {
			t.Fatal(err)
		}
		answered := s.logs.FilterMessage("the brokers answer").All()
		if len(answered) != 1 || answered[0].ContextMap()["tries"].(int64) < 60 {
			t.Errorf("said %v, want one line with at least the 60 tries of ten minutes", answered)
		}
		if hold := s.obs.Pipeline("purchases").Snapshot().Hold; hold != nil {
			t.Errorf("still held: %+v", hold)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestASignalEndsTheWaitForBrokers(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, autoCreate)
		defer s.away()()
		stop := s.run()
		testkit.AdvanceClock(time.Minute)
		began := time.Now()
		if err := stop(); err != nil || time.Since(began) > 0 {
			t.Errorf("ended after %v with %v, want at once and clean", time.Since(began), err)
		}
	})
}

// Brokers that come back may still say that the topics are not fit, which ends the wait with the problems.
func TestUnfitTopicsEndTheWaitForBrokers(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		s := newStage(t, "pipelines: {purchases: {}}\n")
		free := s.away()
		ended := make(chan error, 1)
		go func() { ended <- s.connector.Run(t.Context(), t.Context()) }()
		testkit.AdvanceClock(time.Minute)
		free()
		if err := <-ended; !errors.As(err, new(*topics.UnfitError)) {
			t.Errorf("ended with %v, want what is unfit", err)
		}
		synctest.Wait()
	})
}

// away has the cluster refuse every metadata request, by hanging up, until the function that it gives is called.
func (s *stage) away() func() {
	back := make(chan struct{})
	s.p.Cluster().ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-back:
			return nil, nil, false
		default:
			s.p.Cluster().KeepControl()
			return nil, errors.New("the broker hangs up"), true
		}
	})
	return func() { close(back) }
}
