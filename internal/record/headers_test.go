package record_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"sluice/internal/record"
	"sluice/internal/sink"
)

func headers(pairs ...string) []kgo.RecordHeader {
	var h []kgo.RecordHeader
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return h
}

// whole are the headers of a record that this connector wrote.
func whole(change ...string) []kgo.RecordHeader {
	return append(headers(
		record.HeaderOriginTopic, "purchases", record.HeaderOriginTopicID, record.FormatTopicID([16]byte{1, 2, 3}),
		record.HeaderOriginPartition, "7", record.HeaderOriginOffset, "42", record.HeaderOriginTimestamp, "2026-01-31T12:00:00.001Z",
		record.HeaderOperation, "crmcom.purchases", record.HeaderAttempt, "3", record.HeaderReplays, "1",
		record.HeaderFirstFailed, "2026-01-31T12:00:01Z", record.HeaderNotBefore, "2026-01-31T12:00:11Z", record.HeaderWriter, "w",
	), headers(change...)...)
}

func TestARetryRecordsHeadersAreReadBack(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	want := record.RetryHeaders{
		Origin:        sink.Origin{Topic: "purchases", TopicID: [16]byte{1, 2, 3}, Partition: 7, Offset: 42, Timestamp: at.Add(time.Millisecond)},
		OperationName: "crmcom.purchases", Attempt: 3, Replays: 1, FirstFailed: at.Add(time.Second), NotBefore: at.Add(11 * time.Second), WriterID: "w",
	}
	if got := record.ParseRetryHeaders(&kgo.Record{Topic: "sluice.purchases.retry.10s", Headers: whole()}); got != want {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
}

// What some other program wrote into a retry topic is its own origin and due at once: no header of its own can make it wait or skip it.
func TestARecordWithoutAWholeOriginIsItsOwn(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tests := map[string][]kgo.RecordHeader{
		"no headers":              nil,
		"only some of ours":       headers(record.HeaderAttempt, "9", record.HeaderNotBefore, "2099-01-01T00:00:00Z", record.HeaderWriter, "w"),
		"an empty topic":          whole(record.HeaderOriginTopic, ""),
		"a short topic id":        whole(record.HeaderOriginTopicID, "AQID"),
		"a topic id of no base64": whole(record.HeaderOriginTopicID, "!!!!!!!!!!!!!!!!!!!!!!"),
		"a partition in words":    whole(record.HeaderOriginPartition, "seven"),
		"a negative partition":    whole(record.HeaderOriginPartition, "-1"),
		"a partition over 31 bit": whole(record.HeaderOriginPartition, "2147483648"),
		"a negative offset":       whole(record.HeaderOriginOffset, "-42"),
		"an offset over 63 bit":   whole(record.HeaderOriginOffset, "9223372036854775808"),
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			r := &kgo.Record{Topic: "retry", Partition: 3, Offset: 5, Timestamp: at, Headers: h}
			want := record.RetryHeaders{Origin: sink.Origin{Topic: "retry", Partition: 3, Offset: 5, Timestamp: at}}
			if got := record.ParseRetryHeaders(r); got != want {
				t.Errorf("read %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestADamagedDetailIsAsIfItWereNotThere(t *testing.T) {
	got := record.ParseRetryHeaders(&kgo.Record{Headers: whole(
		record.HeaderAttempt, "-1", record.HeaderReplays, "99999999999999999999", record.HeaderFirstFailed, "yesterday", record.HeaderNotBefore, "")})
	if got.Attempt != 0 || got.Replays != 0 || !got.FirstFailed.IsZero() || !got.NotBefore.IsZero() || got.Origin.Offset != 42 {
		t.Errorf("read %+v", got)
	}
}

func TestATopicIDIsPrintedAsKafkasToolsDo(t *testing.T) {
	if got := record.FormatTopicID([16]byte{0xfb, 0xff, 0xfe, 15: 1}); got != "-__-AAAAAAAAAAAAAAAAAQ" {
		t.Errorf("got %s", got)
	}
}

// FuzzReadHeaders gives header values that anybody may have written: what is read is whole or the record's own, and never negative.
func FuzzReadHeaders(f *testing.F) {
	f.Add("purchases", "AQIDAAAAAAAAAAAAAAAAAA", "7", "42", "3", "2026-01-31T12:00:00Z")
	f.Add("", "", "-1", "9223372036854775808", "x", "")
	f.Fuzz(func(t *testing.T, topic, id, partition, offset, attempt, at string) {
		r := &kgo.Record{Topic: "retry", Partition: 1, Offset: 2, Headers: headers(
			record.HeaderOriginTopic, topic, record.HeaderOriginTopicID, id, record.HeaderOriginPartition, partition, record.HeaderOriginOffset, offset,
			record.HeaderAttempt, attempt, record.HeaderReplays, attempt, record.HeaderNotBefore, at)}
		c := record.ParseRetryHeaders(r)
		if c.Attempt < 0 || c.Replays < 0 || c.Origin.Partition < 0 || c.Origin.Offset < 0 || c.Origin.Topic == "" {
			t.Errorf("read %+v", c)
		}
		if c.Origin.Topic != topic && c != (record.RetryHeaders{Origin: sink.Origin{Topic: "retry", Partition: 1, Offset: 2}}) {
			t.Errorf("a record with no origin of ours carries %+v", c)
		}
	})
}

func TestARecordsSizeIsItsKeyValueAndHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &kgo.Record{Key: rapid.SliceOf(rapid.Byte()).Draw(t, "key"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value")}
		want := len(r.Key) + len(r.Value)
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			h := kgo.RecordHeader{Key: rapid.String().Draw(t, "name"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "header")}
			r.Headers = append(r.Headers, h)
			want += len(h.Key) + len(h.Value)
		}
		if got := record.Size(r); got != want {
			t.Fatalf("size %d, want %d", got, want)
		}
	})
}
