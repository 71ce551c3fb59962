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

func TestDeliveredAndSkippedRecordsAreSettledAtOnce(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		h.settleAll(
			record.Outcome{
				Record: h.emptyRecord(), OperationName: "crmcom.purchases", Disposition: record.DispositionDelivered,
			},
			record.Outcome{Record: h.newRecord(&kgo.Record{}), Disposition: record.DispositionSkipped},
		)
		if s := h.tracker.Progress(); s.Committable != 2 {
			t.Errorf("got committable %d, want 2", s.Committable)
		}
		h.readTopic(retryTopic, 0)
		h.readTopic(deadTopic, 0)
		if s := h.obs.Snapshot(); s.Delivered != 1 || s.Skipped != 1 {
			t.Errorf("got %d delivered and %d skipped, want 1 and 1", s.Delivered, s.Skipped)
		}
	})
}

// A consumer of the dead-letter topic must be able to process the record as if it were the
// original.
func TestRecordIsProducedByteForByte(t *testing.T) {
	binary := []byte{0, 0xff, 0x80, '\n'}
	tests := map[string]kgo.Record{
		"null key":               {Value: []byte("v")},
		"empty key, empty value": {Key: []byte{}, Value: []byte{}},
		"tombstone":              {Key: []byte("k")},
		"binary":                 {Key: binary, Value: append([]byte{0, 0, 0, 0, 7}, binary...)},
		"headers": {Value: []byte("v"), Headers: []kgo.RecordHeader{
			{Key: "twice", Value: []byte("1")}, {Key: "", Value: binary}, {Key: "twice", Value: []byte("2")},
			{Key: "empty", Value: []byte{}}, {Key: "null"},
		}},
		"headers that only look like ours": {Headers: []kgo.RecordHeader{
			{Key: "sluice.tenant", Value: []byte("t")}, {Key: "__connect.errors.task.id", Value: []byte("0")},
		}},
	}
	for name, raw := range tests {
		for topic, outcome := range outcomesByTopic {
			t.Run(name+" to "+topic, func(t *testing.T) {
				testkit.RunInBubble(t, func(t *testing.T) {
					h := newHarness(t)
					in := raw
					h.settleAll(outcome(h.newRecord(&in)))
					out := h.readTopic(topic, 1)[0]
					if !sameBytes(out.Key, raw.Key) || !sameBytes(out.Value, raw.Value) {
						t.Errorf("got key %#v and value %#v, want %#v and %#v", out.Key, out.Value, raw.Key, raw.Value)
					}
					if kept := out.Headers[:len(raw.Headers)]; len(kept) > 0 && !reflect.DeepEqual(kept, raw.Headers) {
						t.Errorf("got headers %#v, want %#v", kept, raw.Headers)
					}
				})
			})
		}
	}
}

// outcomesByTopic maps each topic to a function that returns an outcome for it.
var outcomesByTopic = map[string]func(*record.Record) record.Outcome{retryTopic: retryOutcome, deadTopic: deadOutcome}

// sameBytes is bytes.Equal, except that nil and empty differ.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func TestRetryRecordHasItsOriginAndDueTime(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		rec := h.newRecord(&kgo.Record{Value: []byte("v")})
		now := time.Now().UTC()
		h.settleAll(retryOutcome(rec))
		out := h.readTopic(retryTopic, 1)[0]
		checkHeaders(t, out, map[string]string{
			"sluice.origin.topic": "purchases", "sluice.origin.topic_id": "CQAAAAAAAAAAAAAAAAAAAA",
			"sluice.origin.partition": "1", "sluice.origin.offset": "0",
			"sluice.origin.timestamp": now.Add(-time.Hour).Format(time.RFC3339Nano),
			"sluice.operation":        "crmcom.purchases", "sluice.attempt": "1",
			"sluice.first_failed_at": now.Format(time.RFC3339Nano),
			"sluice.last_failed_at":  now.Format(time.RFC3339Nano),
			"sluice.not_before":      now.Add(retryDelay).Format(time.RFC3339Nano),
			"sluice.writer":          "writer", "sluice.cause": "retryable", "sluice.replays": "0",
			"sluice.vendor.status": "200", "sluice.vendor.code": "NotFoundAPIValueException",
			"sluice.vendor.message": "no such account", "sluice.vendor.request_id": "q1",
		})
		if !out.Timestamp.Equal(now) {
			t.Errorf("got timestamp %v, want the time of producing %v", out.Timestamp, now)
		}
		if s := h.tracker.Progress(); s.Committable != 1 {
			t.Errorf("got committable %d, want 1", s.Committable)
		}
	})
}

func TestDeadLetterHasTheHeadersOfSluiceAndKafkaConnect(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		now := time.Now().UTC()
		foreign := []kgo.RecordHeader{{Key: "__connect.errors.topic", Value: []byte("elsewhere")}}
		h.settleAll(deadOutcome(h.newRecord(&kgo.Record{Headers: foreign})))
		checkHeaders(t, h.readTopic(deadTopic, 1)[0], map[string]string{
			"sluice.origin.topic": "purchases", "sluice.origin.topic_id": "CQAAAAAAAAAAAAAAAAAAAA",
			"sluice.origin.partition": "1", "sluice.origin.offset": "0",
			"sluice.origin.timestamp": now.Add(-time.Hour).Format(time.RFC3339Nano),
			"sluice.operation":        "crmcom.purchases", "sluice.attempt": "1",
			"sluice.first_failed_at": now.Format(time.RFC3339Nano),
			"sluice.last_failed_at":  now.Format(time.RFC3339Nano),
			"sluice.cause":           "invalid", "sluice.replays": "0",
			"__connect.errors.topic": "purchases", "__connect.errors.partition": "1", "__connect.errors.offset": "0",
			"__connect.errors.connector.name": "sluice.purchases", "__connect.errors.stage": "TRANSFORMATION",
			"__connect.errors.exception.class.name": "sluice.invalid",
			"__connect.errors.exception.message":    "number: is mandatory",
		})
	})
}

// A source record may already have headers with these names: it may be another connector's dead
// letter, or a dead letter that was produced again with all its headers. They do not describe this
// record, so the connector replaces its own. Those of Kafka Connect are kept until the record
// becomes a dead letter.
func TestForgedHeadersAreReplaced(t *testing.T) {
	forged := []kgo.RecordHeader{
		{Key: record.HeaderAttempt, Value: []byte("7")}, {Key: record.HeaderAttempt, Value: []byte("8")},
		{Key: record.HeaderOriginOffset, Value: []byte("9")},
		{Key: record.HeaderSends, Value: []byte("6")},
		{Key: record.HeaderReplays}, {Key: record.HeaderNotBefore, Value: []byte{0xff}},
		{Key: record.HeaderVendorMessage, Value: []byte("ada@example.com")},
		{Key: record.HeaderWriter, Value: []byte("w")}, {Key: connectMessage, Value: []byte("theirs")},
	}
	for topic, outcome := range outcomesByTopic {
		t.Run(topic, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t)
				h.settleAll(outcome(h.newRecord(&kgo.Record{Headers: forged})))
				got := headerValues(t, h.readTopic(topic, 1)[0])
				if got[record.HeaderAttempt] != "1" || got[record.HeaderOriginOffset] != "0" ||
					got[record.HeaderReplays] != "0" || got[record.HeaderVendorMessage] == "ada@example.com" {
					t.Errorf("got headers %v, want none of the forged values", got)
				}
				if sends, has := got[record.HeaderSends]; has {
					t.Errorf("header %s: got the forged %q, want none", record.HeaderSends, sends)
				}
				if _, has := got[record.HeaderWriter]; has == (topic == deadTopic) {
					t.Errorf("header %s: got present %t, want it on retry records only", record.HeaderWriter, has)
				}
				if theirs := got[connectMessage] == "theirs"; theirs != (topic == retryTopic) {
					t.Errorf("header %s: got %q, want the foreign value on retry records only",
						connectMessage, got[connectMessage])
				}
			})
		})
	}
}

func TestStagesHaveKafkaConnectNames(t *testing.T) {
	for stage, want := range map[record.Stage]string{
		record.StageDecode: "VALUE_CONVERTER", record.StageRoute: "TRANSFORMATION", record.StageDeliver: "TASK_PUT",
	} {
		if connectStages[stage] != want {
			t.Errorf("stage %s: got %s, want %s", stage, connectStages[stage], want)
		}
	}
}

// When a retry record is dead-lettered, its headers are replaced or removed, and its origin is
// kept.
func TestRetryHeadersAreReplacedAndTheOriginIsKept(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		began := time.Now().UTC()
		trace := []kgo.RecordHeader{{Key: "trace", Value: []byte("1")}}
		h.settleAll(retryOutcome(h.newRecord(&kgo.Record{Key: []byte("k"), Headers: trace})))
		testkit.AdvanceClock(retryDelay)
		raw := h.readTopic(retryTopic, 1)[0]
		carried := record.ParseRetryHeaders(raw)
		rec := &record.Record{
			Raw: raw, Origin: carried.Origin, TierDelay: retryDelay, Attempt: carried.Attempt, Replays: 2,
			FirstFailed: carried.FirstFailed, OperationName: carried.OperationName,
			WriterID: "another", AssignmentCtx: h.assignmentCtx, Credits: h.credits,
		}
		h.trackRecord(rec)
		o := deadOutcome(rec)
		o.OperationName = "" // as for a retry record that can no longer be decoded
		now := time.Now().UTC()
		h.settleAll(o)
		out := h.readTopic(deadTopic, 1)[0]
		checkHeaders(t, out, map[string]string{
			"trace":               "1",
			"sluice.origin.topic": "purchases", "sluice.origin.topic_id": "CQAAAAAAAAAAAAAAAAAAAA",
			"sluice.origin.partition": "1", "sluice.origin.offset": "0",
			"sluice.origin.timestamp": began.Add(-time.Hour).Format(time.RFC3339Nano),
			"sluice.operation":        "crmcom.purchases", "sluice.attempt": "2",
			"sluice.first_failed_at": began.Format(time.RFC3339Nano),
			"sluice.last_failed_at":  now.Format(time.RFC3339Nano),
			"sluice.cause":           "invalid", "sluice.replays": "2",
			"__connect.errors.topic": "purchases", "__connect.errors.partition": "1", "__connect.errors.offset": "0",
			"__connect.errors.connector.name": "sluice.purchases", "__connect.errors.stage": "TRANSFORMATION",
			"__connect.errors.exception.class.name": "sluice.invalid",
			"__connect.errors.exception.message":    "number: is mandatory",
		})
		if string(out.Key) != "k" || out.Headers[0].Key != "trace" {
			t.Errorf("got key %q and headers %v, want k and trace first", out.Key, out.Headers)
		}
	})
}

// A whole batch may be rejected. Together its dead letters exceed max.message.bytes; each alone
// does not.
func TestDeadLettersLargerThanOneKafkaBatchAreProduced(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		var outcomes []record.Outcome
		for i := range 10 {
			raw := &kgo.Record{Key: fmt.Append(nil, i), Value: bytes.Repeat([]byte("x"), maxMessage/3)}
			outcomes = append(outcomes, deadOutcome(h.newRecord(raw)))
		}
		h.settleAll(outcomes...)
		for i, out := range h.readTopic(deadTopic, 10) {
			if string(out.Key) != fmt.Sprint(i) {
				t.Errorf("dead letter %d: got key %s, want %d", i, out.Key, i)
			}
		}
		if n := h.obs.Snapshot().ProduceFailures[deadTopic]; n != 0 {
			t.Errorf("got %d produce failures, want 0", n)
		}
	})
}

func TestPayloadIsNotInHeadersOrLog(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t)
		const secret = "ada@example.com"
		refuseProduce(h, 1)
		h.settleAll(deadOutcome(h.newRecord(&kgo.Record{
			Key: []byte(secret), Value: []byte(secret),
			Headers: []kgo.RecordHeader{{Key: "user", Value: []byte(secret)}},
		})))
		for _, header := range h.readTopic(deadTopic, 1)[0].Headers[1:] {
			if strings.Contains(string(header.Value), secret) {
				t.Errorf("header %s contains the payload", header.Key)
			}
		}
		if h.logs.Len() == 0 {
			t.Error("got no log line, want the failure")
		}
		for _, line := range h.logs.All() {
			if strings.Contains(fmt.Sprint(line.Message, line.ContextMap()), secret) {
				t.Errorf("log line %v contains the payload", line)
			}
		}
	})
}
