package settle

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

func TestDeliveredAndSkippedRecordsAreDoneAtOnce(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		r.settle(
			record.Outcome{Record: r.record(&kgo.Record{}), OperationName: "crmcom.purchases", Disposition: record.DispositionDelivered},
			record.Outcome{Record: r.record(&kgo.Record{}), Disposition: record.DispositionSkipped},
		)
		if s := r.tracker.Progress(); s.Committable != 2 {
			t.Errorf("committable %d, want 2", s.Committable)
		}
		r.written(retryTopic, 0)
		r.written(deadTopic, 0)
		if s := r.obs.Snapshot(); s.Delivered != 1 || s.Skipped != 1 {
			t.Errorf("counted %d delivered and %d skipped", s.Delivered, s.Skipped)
		}
	})
}

// A reader downstream must be able to do with a dead letter what it could have done with the record.
func TestWhatLeavesIsTheRecordByteForByte(t *testing.T) {
	binary := []byte{0, 0xff, 0x80, '\n'}
	tests := map[string]kgo.Record{
		"null key":               {Value: []byte("v")},
		"empty key, empty value": {Key: []byte{}, Value: []byte{}},
		"tombstone":              {Key: []byte("k")},
		"binary":                 {Key: binary, Value: append([]byte{0, 0, 0, 0, 7}, binary...)},
		"headers": {Value: []byte("v"), Headers: []kgo.RecordHeader{
			{Key: "twice", Value: []byte("1")}, {Key: "", Value: binary}, {Key: "twice", Value: []byte("2")}, {Key: "empty", Value: []byte{}}, {Key: "null"},
		}},
		"headers that only look like ours": {Headers: []kgo.RecordHeader{
			{Key: "sluice.tenant", Value: []byte("t")}, {Key: "__connect.errors.task.id", Value: []byte("0")},
		}},
	}
	for name, raw := range tests {
		for topic, leave := range map[string]func(*record.Record) record.Outcome{retryTopic: retry, deadTopic: dead} {
			t.Run(name+" to "+topic, func(t *testing.T) {
				testkit.RunInBubble(t, func(t *testing.T) {
					r := newRig(t)
					in := raw
					r.settle(leave(r.record(&in)))
					out := r.written(topic, 1)[0]
					if (out.Key == nil) != (raw.Key == nil) || (out.Value == nil) != (raw.Value == nil) || !bytes.Equal(out.Key, raw.Key) || !bytes.Equal(out.Value, raw.Value) {
						t.Errorf("key %#v and value %#v left as %#v and %#v", raw.Key, raw.Value, out.Key, out.Value)
					}
					if kept := out.Headers[:len(raw.Headers)]; len(kept) > 0 && !reflect.DeepEqual(kept, raw.Headers) {
						t.Errorf("headers %#v\nleft as %#v", raw.Headers, kept)
					}
				})
			})
		}
	}
}

func TestARetryRecordSaysWhereItComesFromAndWhenItIsDue(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		rec := r.record(&kgo.Record{Value: []byte("v")})
		now := time.Now().UTC()
		r.settle(retry(rec))
		out := r.written(retryTopic, 1)[0]
		wantHeaders(t, out, map[string]string{
			"sluice.origin.topic": "purchases", "sluice.origin.topic_id": "CQAAAAAAAAAAAAAAAAAAAA", "sluice.origin.partition": "1", "sluice.origin.offset": "0",
			"sluice.origin.timestamp": now.Add(-time.Hour).Format(time.RFC3339Nano), "sluice.operation": "crmcom.purchases", "sluice.attempt": "1",
			"sluice.first_failed_at": now.Format(time.RFC3339Nano), "sluice.last_failed_at": now.Format(time.RFC3339Nano),
			"sluice.not_before": now.Add(tier).Format(time.RFC3339Nano), "sluice.writer": "writer", "sluice.cause": "retryable", "sluice.replays": "0",
			"sluice.vendor.status": "200", "sluice.vendor.code": "NotFoundAPIValueException", "sluice.vendor.message": "no such account", "sluice.vendor.request_id": "q1",
		})
		if !out.Timestamp.Equal(now) {
			t.Errorf("written with timestamp %v, want the time of writing %v", out.Timestamp, now)
		}
		if s := r.tracker.Progress(); s.Committable != 1 {
			t.Errorf("committable %d, want 1", s.Committable)
		}
	})
}

func TestADeadLetterSaysWhyItIsDeadInBothTongues(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		now := time.Now().UTC()
		r.settle(dead(r.record(&kgo.Record{Headers: []kgo.RecordHeader{{Key: "__connect.errors.topic", Value: []byte("elsewhere")}}})))
		wantHeaders(t, r.written(deadTopic, 1)[0], map[string]string{
			"sluice.origin.topic": "purchases", "sluice.origin.topic_id": "CQAAAAAAAAAAAAAAAAAAAA", "sluice.origin.partition": "1", "sluice.origin.offset": "0",
			"sluice.origin.timestamp": now.Add(-time.Hour).Format(time.RFC3339Nano), "sluice.operation": "crmcom.purchases", "sluice.attempt": "1",
			"sluice.first_failed_at": now.Format(time.RFC3339Nano), "sluice.last_failed_at": now.Format(time.RFC3339Nano), "sluice.cause": "invalid", "sluice.replays": "0",
			"__connect.errors.topic": "purchases", "__connect.errors.partition": "1", "__connect.errors.offset": "0",
			"__connect.errors.connector.name": "sluice.purchases", "__connect.errors.stage": "TRANSFORMATION",
			"__connect.errors.exception.class.name": "sluice.invalid", "__connect.errors.exception.message": "number: is mandatory",
		})
	})
}

// A record may carry headers of our names when it comes: another connector's dead letter, or one that somebody sent back with all it had. They say
// nothing of this record: ours are written anew, and what Kafka Connect wrote stays until the record is a dead letter again.
func TestForgedHeadersAreReplaced(t *testing.T) {
	forged := []kgo.RecordHeader{
		{Key: record.HeaderAttempt, Value: []byte("7")}, {Key: record.HeaderAttempt, Value: []byte("8")}, {Key: record.HeaderOriginOffset, Value: []byte("9")},
		{Key: record.HeaderReplays}, {Key: record.HeaderNotBefore, Value: []byte{0xff}}, {Key: record.HeaderVendorMessage, Value: []byte("ada@example.com")},
		{Key: record.HeaderWriter, Value: []byte("w")}, {Key: connectMessage, Value: []byte("theirs")},
	}
	for topic, leave := range map[string]func(*record.Record) record.Outcome{retryTopic: retry, deadTopic: dead} {
		t.Run(topic, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t)
				r.settle(leave(r.record(&kgo.Record{Headers: forged})))
				got := values(t, r.written(topic, 1)[0])
				if got[record.HeaderAttempt] != "1" || got[record.HeaderOriginOffset] != "0" || got[record.HeaderReplays] != "0" || got[record.HeaderVendorMessage] == "ada@example.com" {
					t.Errorf("headers %v", got)
				}
				if _, has := got[record.HeaderWriter]; has == (topic == deadTopic) {
					t.Errorf("header %s stands there: %t", record.HeaderWriter, has)
				}
				if theirs := got[connectMessage] == "theirs"; theirs != (topic == retryTopic) {
					t.Errorf("header %s is %q", connectMessage, got[connectMessage])
				}
			})
		})
	}
}

func TestTheStagesHaveKafkaConnectsNames(t *testing.T) {
	for stage, want := range map[record.Stage]string{
		record.StageDecode: "VALUE_CONVERTER", record.StageRoute: "TRANSFORMATION", record.StageDeliver: "TASK_PUT",
	} {
		if connectStages[stage] != want {
			t.Errorf("stage %s is %s, want %s", stage, connectStages[stage], want)
		}
	}
}

// From the tier to the dead-letter topic: what the tier's headers said is replaced, the origin stays, and what no longer holds is gone.
func TestOnTheNextWayOutOursAreReplacedAndTheOriginStays(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		began := time.Now().UTC()
		r.settle(retry(r.record(&kgo.Record{Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("1")}}})))
		testkit.AdvanceClock(tier)
		raw := r.written(retryTopic, 1)[0]
		carried := record.ParseRetryHeaders(raw)
		rec := &record.Record{
			Raw: raw, Origin: carried.Origin, TierDelay: tier, Attempt: carried.Attempt, Replays: 2, FirstFailed: carried.FirstFailed, OperationName: carried.OperationName,
			WriterID: "another", AssignmentCtx: r.life, Credits: r.credits,
		}
		r.track(rec)
		o := dead(rec)
		o.OperationName = "" // a tier's record that is no longer decodable is not routed again
		now := time.Now().UTC()
		r.settle(o)
		out := r.written(deadTopic, 1)[0]
		wantHeaders(t, out, map[string]string{
			"trace":               "1",
			"sluice.origin.topic": "purchases", "sluice.origin.topic_id": "CQAAAAAAAAAAAAAAAAAAAA", "sluice.origin.partition": "1", "sluice.origin.offset": "0",
			"sluice.origin.timestamp": began.Add(-time.Hour).Format(time.RFC3339Nano), "sluice.operation": "crmcom.purchases", "sluice.attempt": "2",
			"sluice.first_failed_at": began.Format(time.RFC3339Nano), "sluice.last_failed_at": now.Format(time.RFC3339Nano), "sluice.cause": "invalid", "sluice.replays": "2",
			"__connect.errors.topic": "purchases", "__connect.errors.partition": "1", "__connect.errors.offset": "0",
			"__connect.errors.connector.name": "sluice.purchases", "__connect.errors.stage": "TRANSFORMATION",
			"__connect.errors.exception.class.name": "sluice.invalid", "__connect.errors.exception.message": "number: is mandatory",
		})
		if string(out.Key) != "k" || out.Headers[0].Key != "trace" {
			t.Errorf("left as key %q with headers %v", out.Key, out.Headers)
		}
	})
}

// A micro-batch may be refused as a whole. Its dead letters together are more than a topic takes in one batch; each alone is not.
func TestDeadLettersLeaveAlsoWhenTogetherTheyAreMoreThanATopicTakes(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		var outcomes []record.Outcome
		for i := range 10 {
			outcomes = append(outcomes, dead(r.record(&kgo.Record{Key: fmt.Append(nil, i), Value: bytes.Repeat([]byte("x"), maxMessage/3)})))
		}
		r.settle(outcomes...)
		for i, out := range r.written(deadTopic, 10) {
			if string(out.Key) != fmt.Sprint(i) {
				t.Errorf("dead letter %d has key %s", i, out.Key)
			}
		}
		if n := r.obs.Snapshot().ProduceFailures[deadTopic]; n != 0 {
			t.Errorf("%d writes failed", n)
		}
	})
}

func TestNothingOfThePayloadIsInAHeaderOrALogLine(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t)
		const secret = "ada@example.com"
		refuseWrites(r, 1)
		r.settle(dead(r.record(&kgo.Record{Key: []byte(secret), Value: []byte(secret), Headers: []kgo.RecordHeader{{Key: "user", Value: []byte(secret)}}})))
		for _, h := range r.written(deadTopic, 1)[0].Headers[1:] {
			if strings.Contains(string(h.Value), secret) {
				t.Errorf("header %s has it", h.Key)
			}
		}
		if r.logs.Len() == 0 {
			t.Error("a failed write is not logged")
		}
		for _, line := range r.logs.All() {
			if strings.Contains(fmt.Sprint(line.Message, line.ContextMap()), secret) {
				t.Errorf("the log has it: %v", line)
			}
		}
	})
}
