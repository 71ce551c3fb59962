package record_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"sluice/internal/record"
	"sluice/internal/sink"
)

// recordHeaders returns headers from names and values in turn.
func recordHeaders(pairs ...string) []kgo.RecordHeader {
	var headers []kgo.RecordHeader
	for i := 0; i < len(pairs); i += 2 {
		headers = append(headers, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return headers
}

// completeHeaders are the headers of a record that the connector wrote, with changes appended.
func completeHeaders(changes ...string) []kgo.RecordHeader {
	return append(recordHeaders(
		record.HeaderOriginTopic, "purchases", record.HeaderOriginTopicID, record.FormatTopicID([16]byte{1, 2, 3}),
		record.HeaderOriginPartition, "7", record.HeaderOriginOffset, "42",
		record.HeaderOriginTimestamp, "2026-01-31T12:00:00.001Z",
		record.HeaderOperation, "crmcom.purchases", record.HeaderAttempt, "3", record.HeaderReplays, "1",
		record.HeaderSends, "2",
		record.HeaderFirstFailed, "2026-01-31T12:00:01Z", record.HeaderNotBefore, "2026-01-31T12:00:11Z",
		record.HeaderWriter, "w",
	), recordHeaders(changes...)...)
}

func TestRetryHeadersAreParsed(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	want := record.RetryHeaders{
		Origin: sink.Origin{
			Topic: "purchases", TopicID: [16]byte{1, 2, 3}, Partition: 7, Offset: 42, Timestamp: at.Add(time.Millisecond),
		},
		OperationName: "crmcom.purchases", Attempt: 3, Replays: 1, Sends: 2,
		FirstFailed: at.Add(time.Second), NotBefore: at.Add(11 * time.Second), WriterID: "w",
	}
	r := &kgo.Record{Topic: "sluice.purchases.retry.10s", Headers: completeHeaders()}
	if got := record.ParseRetryHeaders(r); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A record that another program wrote to a retry topic is its own origin and due at once: its
// headers can neither defer nor skip it.
func TestRecordWithoutACompleteOriginIsItsOwnOrigin(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tests := map[string][]kgo.RecordHeader{
		"no headers": nil,
		"an incomplete set": recordHeaders(
			record.HeaderAttempt, "9", record.HeaderNotBefore, "2099-01-01T00:00:00Z", record.HeaderWriter, "w"),
		"an empty topic":                completeHeaders(record.HeaderOriginTopic, ""),
		"a short topic ID":              completeHeaders(record.HeaderOriginTopicID, "AQID"),
		"a topic ID that is not base64": completeHeaders(record.HeaderOriginTopicID, "!!!!!!!!!!!!!!!!!!!!!!"),
		"a partition in words":          completeHeaders(record.HeaderOriginPartition, "seven"),
		"a negative partition":          completeHeaders(record.HeaderOriginPartition, "-1"),
		"a partition over 31 bits":      completeHeaders(record.HeaderOriginPartition, "2147483648"),
		"a negative offset":             completeHeaders(record.HeaderOriginOffset, "-42"),
		"an offset over 63 bits":        completeHeaders(record.HeaderOriginOffset, "9223372036854775808"),
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			r := &kgo.Record{Topic: "retry", Partition: 3, Offset: 5, Timestamp: at, Headers: h}
			want := record.RetryHeaders{Origin: sink.Origin{Topic: "retry", Partition: 3, Offset: 5, Timestamp: at}}
			if got := record.ParseRetryHeaders(r); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestInvalidHeaderCountsAsAbsent(t *testing.T) {
	got := record.ParseRetryHeaders(&kgo.Record{Headers: completeHeaders(
		record.HeaderAttempt, "-1", record.HeaderSends, "-1", record.HeaderReplays, "99999999999999999999",
		record.HeaderFirstFailed, "yesterday", record.HeaderNotBefore, "")})
	if got.Attempt != 0 || got.Sends != 0 || got.Replays != 0 || !got.FirstFailed.IsZero() || !got.NotBefore.IsZero() ||
		got.Origin.Offset != 42 {
		t.Errorf("got %+v, want zero values for the invalid headers", got)
	}
}

func TestTopicIDIsFormattedAsByKafkaTools(t *testing.T) {
	if got := record.FormatTopicID([16]byte{0xfb, 0xff, 0xfe, 15: 1}); got != "-__-AAAAAAAAAAAAAAAAAQ" {
		t.Errorf("got %s, want -__-AAAAAAAAAAAAAAAAAQ", got)
	}
}

// FuzzParseRetryHeaders parses headers that anyone may have written: the origin is complete or the
// record's own, and no number is negative.
func FuzzParseRetryHeaders(f *testing.F) {
	f.Add("purchases", "AQIDAAAAAAAAAAAAAAAAAA", "7", "42", "3", "2026-01-31T12:00:00Z")
	f.Add("", "", "-1", "9223372036854775808", "x", "")
	f.Fuzz(func(t *testing.T, topic, id, partition, offset, attempt, at string) {
		r := &kgo.Record{Topic: "retry", Partition: 1, Offset: 2, Headers: recordHeaders(
			record.HeaderOriginTopic, topic, record.HeaderOriginTopicID, id,
			record.HeaderOriginPartition, partition, record.HeaderOriginOffset, offset,
			record.HeaderAttempt, attempt, record.HeaderReplays, attempt, record.HeaderNotBefore, at)}
		got := record.ParseRetryHeaders(r)
		origin := got.Origin
		if got.Attempt < 0 || got.Replays < 0 || origin.Partition < 0 || origin.Offset < 0 || origin.Topic == "" {
			t.Errorf("got %+v, want a topic and no negative number", got)
		}
		own := record.RetryHeaders{Origin: sink.Origin{Topic: "retry", Partition: 1, Offset: 2}}
		if got.Origin.Topic != topic && got != own {
			t.Errorf("got %+v without a complete origin, want %+v", got, own)
		}
	})
}

func TestSizeCountsKeyValueAndHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOf(rapid.Byte())
		r := &kgo.Record{Key: bytes.Draw(t, "key"), Value: bytes.Draw(t, "value")}
		want := len(r.Key) + len(r.Value)
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			h := kgo.RecordHeader{Key: rapid.String().Draw(t, "name"), Value: bytes.Draw(t, "header")}
			r.Headers = append(r.Headers, h)
			want += len(h.Key) + len(h.Value)
		}
		if got := record.Size(r); got != want {
			t.Fatalf("got size %d, want %d", got, want)
		}
	})
}

func TestOnlyOwnershipMarkersAreRecognizedAsSuch(t *testing.T) {
	marker := record.NewOwnershipMarker("retry", 3, "w")
	if marker.Topic != "retry" || marker.Partition != 3 || !record.IsOwnershipMarker(marker) {
		t.Errorf("got %+v, want a marker for retry/3", marker)
	}
	owner := recordHeaders(record.HeaderOwner, "w")
	for name, r := range map[string]*kgo.Record{
		"a record without headers":           {},
		"a record with a value":              {Value: []byte("v"), Headers: owner},
		"a record with a key":                {Key: []byte("k"), Headers: owner},
		"an empty writer ID":                 {Headers: recordHeaders(record.HeaderOwner, "")},
		"a copy whose producer set a header": {Headers: completeHeaders(record.HeaderOwner, "w")},
	} {
		if record.IsOwnershipMarker(r) {
			t.Errorf("%s: got a marker, want none", name)
		}
	}
}
