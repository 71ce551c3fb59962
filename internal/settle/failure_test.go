package settle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

// The messages of the log lines about a topic that accepts no records.
const (
	produceFailed    = "producing to a retry or dead-letter topic failed, retrying"
	produceRecovered = "retry or dead-letter topic accepts records again"
)

// refuseProduce makes the brokers refuse the next n produce requests with an error that the client
// does not retry, or all of them until Remove if n is -1.
func refuseProduce(h *harness, n int) *kfake.FaultHandle {
	return failProduce(h, "", kerr.TopicAuthorizationFailed, n)
}

// failProduce makes the brokers fail produce requests to the topic, or to every topic if it is
// empty.
func failProduce(h *harness, topic string, cause *kerr.Error, count int) *kfake.FaultHandle {
	return h.platform.Cluster().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: cause, Count: count,
	})
}

// checkStillWaiting fails the test if Settle has returned or an offset is committable.
func checkStillWaiting(t *testing.T, ended <-chan error, h *harness) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("got %v from Settle while nothing can be produced, want it to wait", err)
	default:
	}
	if s := h.tracker.Progress(); s.Committable != 0 || s.Unsettled == 0 {
		t.Fatalf("got committable %d and %d unsettled, want 0 and some", s.Committable, s.Unsettled)
	}
}

// A record is not settled while producing it fails, however long that lasts. It ends up in the
// topic exactly once.
func TestOffsetWaitsUntilItsRecordIsProduced(t *testing.T) {
	for name, cause := range map[string]*kerr.Error{
		"retried by the client": kerr.NotEnoughReplicas,
		"not retried":           kerr.TopicAuthorizationFailed,
		"too large":             kerr.MessageTooLarge,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				fault := failProduce(h, "", cause, -1)
				ended := h.settleAsync(t.Context(), retryOutcome(h.emptyRecord()), deadOutcome(h.emptyRecord()))
				testkit.AdvanceClock(2 * time.Minute)
				checkStillWaiting(t, ended, h)
				if hold := h.obs.Snapshot().Hold; hold == nil || hold.Reason != "unwritable" {
					t.Errorf("got hold %+v, want unwritable", hold)
				}
				if hits := fault.Hits(); hits < 15 || hits > 500 {
					t.Errorf("got %d attempts in two minutes, want 15 to 500", hits)
				}
				fault.Remove()
				if err := <-ended; err != nil {
					t.Fatalf("settling: %v", err)
				}
				h.readTopic(retryTopic, 1)
				h.readTopic(deadTopic, 1)
				if hold := h.obs.Snapshot().Hold; hold != nil {
					t.Errorf("got hold %+v, want none", hold)
				}
				if s := h.tracker.Progress(); s.Committable != 2 {
					t.Errorf("got committable %d, want 2", s.Committable)
				}
			})
		})
	}
}

// A refused record is produced again without waiting for the other records of its batch.
func TestRefusedRecordIsProducedAgainWhileAnotherTakesLong(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		fault := failProduce(h, deadTopic, kerr.NotEnoughReplicas, -1)
		failProduce(h, retryTopic, kerr.TopicAuthorizationFailed, 2)
		ended := h.settleAsync(t.Context(), retryOutcome(h.emptyRecord()), deadOutcome(h.emptyRecord()))
		testkit.AdvanceClock(10 * time.Second)
		h.readTopic(retryTopic, 1)
		if s := h.tracker.Progress(); s.Committable != 1 || s.Unsettled != 1 {
			t.Errorf("got committable %d and %d unsettled, want 1 and 1", s.Committable, s.Unsettled)
		}
		fault.Remove()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// A topic that accepts no records delays only its own, whether the client gives up or retries.
func TestUnwritableTopicDelaysItsOwnRecordsOnly(t *testing.T) {
	for name, cause := range map[string]*kerr.Error{
		"retried by the client": kerr.NotEnoughReplicas, "not retried": kerr.TopicAuthorizationFailed,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				fault := failProduce(h, deadTopic, cause, -1)
				ended := h.settleAsync(t.Context(), retryOutcome(h.emptyRecord()), deadOutcome(h.emptyRecord()))
				testkit.AdvanceClock(time.Minute)
				if s := h.tracker.Progress(); s.Committable != 1 || s.Unsettled != 1 {
					t.Errorf("got committable %d and %d unsettled, want 1 and 1", s.Committable, s.Unsettled)
				}
				fault.Remove()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				h.readTopic(retryTopic, 1)
				h.readTopic(deadTopic, 1)
			})
		})
	}
}

func TestFailureAndRecoveryAreLoggedOncePerTopic(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		refuseProduce(h, 1)
		var outcomes []record.Outcome
		for range 50 {
			outcomes = append(outcomes, deadOutcome(h.emptyRecord()))
		}
		h.settleAll(outcomes...)
		lines := h.logs.FilterMessage(produceFailed).All()
		if len(lines) != 1 || lines[0].ContextMap()["topic"] != deadTopic ||
			lines[0].ContextMap()["records"] != int64(50) {
			t.Errorf("got failures %v, want one of %s with 50 records", lines, deadTopic)
		}
		lines = h.logs.FilterMessage(produceRecovered).All()
		if len(lines) != 1 || lines[0].ContextMap()["topic"] != deadTopic ||
			lines[0].ContextMap()["failures"] != int64(50) {
			t.Errorf("got recoveries %v, want one of %s with 50 failures", lines, deadTopic)
		}
		if h.logs.Len() != 2 {
			t.Errorf("got log %v, want one failure and one recovery", h.logs.All())
		}
		if n := h.obs.Snapshot().ProduceFailures[deadTopic]; n != 50 {
			t.Errorf("got %d produce failures, want 50", n)
		}
	})
}

// The client itself retries transient errors, such as too few replicas or brokers that do not
// respond, without limit and without logging.
func TestSlowProduceIsReportedAsFailure(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		fault := failProduce(h, "", kerr.NotEnoughReplicas, -1)
		ended := h.settleAsync(t.Context(), deadOutcome(h.emptyRecord()), deadOutcome(h.emptyRecord()))
		testkit.AdvanceClock(slowAfter - time.Second)
		if h.logs.Len() != 0 {
			t.Errorf("got log %v before %v, want none", h.logs.All(), slowAfter)
		}
		testkit.AdvanceClock(2*slowAfter + 2*time.Second)
		lines := h.logs.All()
		if len(lines) != 1 || lines[0].Message != produceFailed {
			t.Fatalf("got log %v, want one line %q, however long it lasts", lines, produceFailed)
		}
		fields := lines[0].ContextMap()
		if fields["topic"] != deadTopic || fields["records"] != int64(2) || fields["first_origin"] != "purchases-1-0" {
			t.Errorf("got fields %v, want 2 records of %s from purchases-1-0 on", fields, deadTopic)
		}
		if n := h.obs.Snapshot().ProduceFailures[deadTopic]; n != 6 {
			t.Errorf("got %d produce failures, want 6", n)
		}
		fault.Remove()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		h.readTopic(deadTopic, 2)
		if lines := h.logs.All(); len(lines) != 2 || lines[1].Message != produceRecovered ||
			lines[1].ContextMap()["failures"] != int64(6) {
			t.Errorf("got log %v, want one more line %q with 6 failures", lines, produceRecovered)
		}
	})
}

// The next owner of the partition reads the records of an ended assignment again.
func TestRecordsOfAFencedAssignmentAreReleasedAndNotProduced(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		delivered := record.Outcome{Record: h.newRecord(&kgo.Record{}), Disposition: record.DispositionDelivered}
		fenced := []record.Outcome{delivered, retryOutcome(h.emptyRecord()), deadOutcome(h.emptyRecord())}
		old := h.tracker
		h.fence()
		h.startAssignment()
		h.settleAll(append(fenced, deadOutcome(h.emptyRecord()))...)
		select {
		case <-old.Idle():
		default:
			t.Error("a record of the ended assignment is still in flight")
		}
		h.readTopic(retryTopic, 0)
		if out := h.readTopic(deadTopic, 1)[0]; record.ParseRetryHeaders(out).Origin.Offset != 3 {
			t.Errorf("got a dead letter with headers %v, want that of offset 3", out.Headers)
		}
		if s := h.obs.Snapshot(); s.Released != 3 || s.Delivered != 0 || s.Dead["invalid"] != 1 {
			t.Errorf("got %d released, %d delivered and dead %v, want 3, 0 and 1 invalid",
				s.Released, s.Delivered, s.Dead)
		}
	})
}

// A drain does not wait for the back-off, and releases only the records of the ending assignment.
func TestDrainReleasesFailedRecordsAtOnce(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		fault := refuseProduce(h, -1)
		ending := h.tracker
		endingOutcome := deadOutcome(h.emptyRecord())
		h.nextOffset = 0
		h.startAssignment()
		ended := h.settleAsync(t.Context(), deadOutcome(h.emptyRecord()), endingOutcome)
		testkit.AdvanceClock(time.Minute)
		drainedAt := time.Now()
		ending.StartDraining(drainedAt.Add(time.Minute))
		h.settler.NotifyDraining()
		<-ending.Idle()
		if took := time.Since(drainedAt); took > 10*time.Millisecond {
			t.Errorf("the records were released after %v, want at once", took)
		}
		checkStillWaiting(t, ended, h)
		fault.Remove()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		h.readTopic(deadTopic, 1)
		if s := h.obs.Snapshot(); s.Released != 1 || s.Dead["invalid"] != 1 {
			t.Errorf("got %d released and dead %v, want 1 and 1 invalid", s.Released, s.Dead)
		}
	})
}

// A produce request in flight must not block the lane after its assignment is fenced: the broker
// may be unreachable for a long time.
func TestFenceEndsTheWaitForAnUnresponsiveBroker(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		failProduce(h, "", kerr.NotEnoughReplicas, -1)
		ended := h.settleAsync(t.Context(), deadOutcome(h.emptyRecord()))
		testkit.AdvanceClock(time.Minute)
		checkStillWaiting(t, ended, h)
		fencedAt := time.Now()
		h.fence()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(fencedAt); took > 5*time.Second {
			t.Errorf("Settle returned %v after the fence, want within 5s", took)
		}
		<-h.tracker.Idle()
	})
}

func TestEndOfContextReleasesFailedRecords(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		refuseProduce(h, -1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := h.settleAsync(ctx, deadOutcome(h.emptyRecord()))
		testkit.AdvanceClock(time.Minute)
		checkStillWaiting(t, ended, h)
		cancel()
		synctest.Wait()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		<-h.tracker.Idle()
		if s := h.tracker.Progress(); s.Committable != 0 {
			t.Errorf("got committable %d, want 0: the record was never produced", s.Committable)
		}
	})
}

// A topic has recovered only once it accepts a record, not when its failed records are released.
func TestRecoveryIsLoggedOnlyOnceTheTopicAcceptsARecord(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		fault := refuseProduce(h, -1)
		ended := h.settleAsync(t.Context(), deadOutcome(h.emptyRecord()))
		testkit.AdvanceClock(time.Minute)
		h.fence()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if n := h.logs.FilterMessage(produceRecovered).Len(); n != 0 {
			t.Errorf("got %d recoveries after the release, want none", n)
		}
		fault.Remove()
		h.startAssignment()
		h.settleAll(deadOutcome(h.emptyRecord()))
		if n := h.logs.FilterMessage(produceRecovered).Len(); n != 1 {
			t.Errorf("got %d recoveries after the next record, want 1", n)
		}
	})
}

// A record in flight may have been written, so the end of the context does not end the wait for it.
// The end of its assignment or of the producer does.
func TestRecordInFlightIsAwaitedAfterTheEndOfContext(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		failProduce(h, "", kerr.NotEnoughReplicas, -1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := h.settleAsync(ctx, deadOutcome(h.emptyRecord()))
		cancel()
		testkit.AdvanceClock(time.Minute)
		checkStillWaiting(t, ended, h)
		h.fence()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		<-h.tracker.Idle()
	})
}

// A delay without a retry tier is a programming error. It is logged, and no record is lost.
func TestRecordForAMissingRetryTierIsNotSettled(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		o := retryOutcome(h.emptyRecord())
		o.Delay = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := h.settler.Settle(ctx, []record.Outcome{o}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
		if s := h.tracker.Progress(); s.Committable != 0 || s.Unsettled != 1 {
			t.Errorf("got committable %d and %d unsettled, want 0 and 1", s.Committable, s.Unsettled)
		}
		if h.logs.FilterMessageSnippet("failed").Len() == 0 {
			t.Error("got no log line, want the failure")
		}
	})
}
