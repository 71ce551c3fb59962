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

// refuseWrites makes the broker refuse the next writes for good; -1: until Remove.
func refuseWrites(r *rig, n int) *kfake.FaultHandle {
	return r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: n})
}

// wantNotEnded fails the test where settling has come to its end.
func wantNotEnded(t *testing.T, ended <-chan error, r *rig) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("settled (%v) while nothing can be written", err)
	default:
	}
	if s := r.tracker.Progress(); s.Committable != 0 || s.Unsettled == 0 {
		t.Fatalf("committable %d, unsettled %d: an offset did not wait for its write", s.Committable, s.Unsettled)
	}
}

// While a write fails its record is not done, however long that is; once it can be made it is made, once.
func TestAnOffsetWaitsForItsWrite(t *testing.T) {
	for name, refusal := range map[string]*kerr.Error{
		"retried by the client": kerr.NotEnoughReplicas, "refused for good": kerr.TopicAuthorizationFailed, "too large": kerr.MessageTooLarge,
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t)
				fault := r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: refusal, Count: -1})
				ended := r.settling(t.Context(), retry(r.record(&kgo.Record{})), dead(r.record(&kgo.Record{})))
				testkit.AdvanceClock(2 * time.Minute)
				wantNotEnded(t, ended, r)
				if hold := r.obs.Snapshot().Hold; hold == nil || hold.Reason != "unwritable" {
					t.Errorf("the hold that is stated is %+v, want unwritable", hold)
				}
				if hits := fault.Hits(); hits < 15 || hits > 500 {
					t.Errorf("tried %d times in two minutes", hits)
				}
				fault.Remove()
				if err := <-ended; err != nil {
					t.Fatalf("settling: %v", err)
				}
				r.written(retryTopic, 1)
				r.written(deadTopic, 1)
				if hold := r.obs.Snapshot().Hold; hold != nil {
					t.Errorf("%+v is stated still", hold)
				}
				if s := r.tracker.Progress(); s.Committable != 2 {
					t.Errorf("committable %d, want 2", s.Committable)
				}
			})
		})
	}
}

// A record that is refused is written again, whatever becomes of the others that left with it.
func TestARefusedWriteIsMadeAgainWhileAnotherTakesLong(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		fault := r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.NotEnoughReplicas, Count: -1})
		r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: retryTopic, Err: kerr.TopicAuthorizationFailed, Count: 2})
		ended := r.settling(t.Context(), retry(r.record(&kgo.Record{})), dead(r.record(&kgo.Record{})))
		testkit.AdvanceClock(10 * time.Second)
		r.written(retryTopic, 1)
		if s := r.tracker.Progress(); s.Committable != 1 || s.Unsettled != 1 {
			t.Errorf("committable %d, unsettled %d, want 1 and 1", s.Committable, s.Unsettled)
		}
		fault.Remove()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// One topic that takes nothing keeps back its own records only, whether the client gives up or goes on trying.
func TestATopicThatTakesNothingKeepsBackItsOwnRecords(t *testing.T) {
	for name, refusal := range map[string]*kerr.Error{"retried by the client": kerr.NotEnoughReplicas, "refused for good": kerr.TopicAuthorizationFailed} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t)
				fault := r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: refusal, Count: -1})
				retried, died := r.record(&kgo.Record{}), r.record(&kgo.Record{})
				ended := r.settling(t.Context(), retry(retried), dead(died))
				testkit.AdvanceClock(time.Minute)
				if s := r.tracker.Progress(); s.Committable != 1 || s.Unsettled != 1 {
					t.Errorf("committable %d, unsettled %d, want 1 and 1", s.Committable, s.Unsettled)
				}
				fault.Remove()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				r.written(retryTopic, 1)
				r.written(deadTopic, 1)
			})
		})
	}
}

func TestAFailureIsLoggedOnceForATopicHoweverManyRecordsItIs(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		refuseWrites(r, 1)
		var outcomes []record.Outcome
		for range 50 {
			outcomes = append(outcomes, dead(r.record(&kgo.Record{})))
		}
		r.settle(outcomes...)
		lines := r.logs.All()
		if len(lines) != 1 || lines[0].ContextMap()["topic"] != deadTopic || lines[0].ContextMap()["records"] != int64(50) {
			t.Errorf("logged %v", lines)
		}
		if n := r.obs.Snapshot().ProduceFailures[deadTopic]; n != 50 {
			t.Errorf("counted %d failed writes, want 50", n)
		}
	})
}

// The client tries again by itself, without an end and without a word, what may pass: replicas that are missing, brokers that do not answer.
func TestAWriteThatTakesLongIsTold(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		fault := r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		ended := r.settling(t.Context(), dead(r.record(&kgo.Record{})), dead(r.record(&kgo.Record{})))
		testkit.AdvanceClock(slowAfter - time.Second)
		if r.logs.Len() != 0 {
			t.Errorf("logged before %v: %v", slowAfter, r.logs.All())
		}
		testkit.AdvanceClock(2*slowAfter + 2*time.Second)
		lines := r.logs.All()
		if len(lines) != 3 || lines[0].ContextMap()["topic"] != deadTopic || lines[0].ContextMap()["records"] != int64(2) || lines[0].ContextMap()["first_origin"] != "purchases-1-0" {
			t.Errorf("logged %v", lines)
		}
		if n := r.obs.Snapshot().ProduceFailures[deadTopic]; n != 6 {
			t.Errorf("counted %d failed writes, want 6", n)
		}
		fault.Remove()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		r.written(deadTopic, 2)
	})
}

// An assignment that has ended has given its partition to another owner, who reads the record again.
func TestAnEndedAssignmentsRecordsAreDroppedAndNotWritten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		delivered := record.Outcome{Record: r.record(&kgo.Record{}), Disposition: record.DispositionDelivered}
		gone := []record.Outcome{delivered, retry(r.record(&kgo.Record{})), dead(r.record(&kgo.Record{}))}
		old := r.tracker
		r.fence()
		r.assign()
		r.settle(append(gone, dead(r.record(&kgo.Record{})))...)
		select {
		case <-old.Idle():
		default:
			t.Error("a record of the ended assignment is still held")
		}
		r.written(retryTopic, 0)
		if out := r.written(deadTopic, 1)[0]; record.ParseRetryHeaders(out).Origin.Offset != 3 {
			t.Errorf("written: %v", out.Headers)
		}
		if s := r.obs.Snapshot(); s.Released != 3 || s.Delivered != 0 || s.Dead["invalid"] != 1 {
			t.Errorf("counted %d dropped, %d delivered, dead %v", s.Released, s.Delivered, s.Dead)
		}
	})
}

// A drain does not sit out the wait between two writes, and only the ending assignment's records are let go.
func TestAFlushLetsGoAtOnceOfWhatCannotBeWritten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		fault := refuseWrites(r, -1)
		ending := r.tracker
		first := dead(r.record(&kgo.Record{}))
		r.next = 0
		r.assign()
		ended := r.settling(t.Context(), dead(r.record(&kgo.Record{})), first)
		testkit.AdvanceClock(time.Minute)
		flushedAt := time.Now()
		ending.StartDraining(flushedAt.Add(time.Minute))
		r.settler.NotifyDraining()
		<-ending.Idle()
		if took := time.Since(flushedAt); took > 10*time.Millisecond {
			t.Errorf("let go %v after the flush", took)
		}
		wantNotEnded(t, ended, r)
		fault.Remove()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		r.written(deadTopic, 1)
		if s := r.obs.Snapshot(); s.Released != 1 || s.Dead["invalid"] != 1 {
			t.Errorf("counted %d dropped and dead %v", s.Released, s.Dead)
		}
	})
}

// A write that is under way when its assignment is fenced must not keep the lane: the broker may be away for long.
func TestTheFenceEndsAWriteThatTheBrokerDoesNotAnswer(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		ended := r.settling(t.Context(), dead(r.record(&kgo.Record{})))
		testkit.AdvanceClock(time.Minute)
		wantNotEnded(t, ended, r)
		fencedAt := time.Now()
		r.fence()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(fencedAt); took > 5*time.Second {
			t.Errorf("ended %v after the fence", took)
		}
		<-r.tracker.Idle()
	})
}

func TestTheEndOfWorkDropsWhatCannotBeWritten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		refuseWrites(r, -1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := r.settling(ctx, dead(r.record(&kgo.Record{})))
		testkit.AdvanceClock(time.Minute)
		wantNotEnded(t, ended, r)
		cancel()
		synctest.Wait()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
		<-r.tracker.Idle()
		if s := r.tracker.Progress(); s.Committable != 0 {
			t.Errorf("committable %d: a record that was never written is settled", s.Committable)
		}
	})
}

// The end of work ends no write that is under way: whether it was made is not known. Its assignment or its producer ends it.
func TestAfterTheEndOfWorkAWriteUnderWayIsWaitedFor(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		ctx, cancel := context.WithCancel(t.Context())
		ended := r.settling(ctx, dead(r.record(&kgo.Record{})))
		cancel()
		testkit.AdvanceClock(time.Minute)
		wantNotEnded(t, ended, r)
		r.fence()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
		<-r.tracker.Idle()
	})
}

// A tier that does not exist is a fault of the wiring: it is said, and no record is lost by it.
func TestARecordForATierThatDoesNotExistIsNotDone(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		o := retry(r.record(&kgo.Record{}))
		o.Delay = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.settler.Settle(ctx, []record.Outcome{o}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if s := r.tracker.Progress(); s.Committable != 0 || s.Unsettled != 1 {
			t.Errorf("committable %d, unsettled %d", s.Committable, s.Unsettled)
		}
		if r.logs.FilterMessageSnippet("failed").Len() == 0 {
			t.Error("nothing is logged")
		}
	})
}
