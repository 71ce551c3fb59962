package record

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/sink"
)

// The headers that a record carries in a retry, parked or dead-letter topic. All values are text.
const (
	HeaderOriginTopic     = "sluice.origin.topic"
	HeaderOriginTopicID   = "sluice.origin.topic_id"
	HeaderOriginPartition = "sluice.origin.partition"
	HeaderOriginOffset    = "sluice.origin.offset"
	HeaderOriginTimestamp = "sluice.origin.timestamp"
	HeaderOperation       = "sluice.operation"
	HeaderAttempt         = "sluice.attempt"
	HeaderFirstFailed     = "sluice.first_failed_at"
	HeaderLastFailed      = "sluice.last_failed_at"
	HeaderNotBefore       = "sluice.not_before"
	HeaderWriter          = "sluice.writer"
	HeaderCause           = "sluice.cause"
	HeaderVendorStatus    = "sluice.vendor.status"
	HeaderVendorCode      = "sluice.vendor.code"
	HeaderVendorMessage   = "sluice.vendor.message"
	HeaderVendorRequestID = "sluice.vendor.request_id"
	HeaderReplays         = "sluice.replays"
)

// FormatTopicID is a topic id as Kafka's own tools print it.
func FormatTopicID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// RetryHeaders is what the headers of a record in a retry topic say of it.
type RetryHeaders struct {
	Origin        sink.Origin
	OperationName string
	Attempt       int
	Replays       int
	FirstFailed   time.Time
	NotBefore     time.Time
	WriterID      string
}

// ParseRetryHeaders reads a record of a retry topic. A record that some other program wrote there has no origin of ours: it is then its own
// origin, due at once, and has had no attempt.
func ParseRetryHeaders(r *kgo.Record) RetryHeaders {
	h := headerMap(r.Headers)
	c := RetryHeaders{
		OperationName: h[HeaderOperation],
		Attempt:       number(h[HeaderAttempt]),
		Replays:       number(h[HeaderReplays]),
		FirstFailed:   instant(h[HeaderFirstFailed]),
		NotBefore:     instant(h[HeaderNotBefore]),
		WriterID:      h[HeaderWriter],
	}
	origin, ok := readOrigin(h)
	if !ok {
		return RetryHeaders{Origin: sink.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}}
	}
	c.Origin = origin
	return c
}

func readOrigin(h map[string]string) (sink.Origin, bool) {
	partition, errP := strconv.ParseUint(h[HeaderOriginPartition], 10, 31)
	offset, errO := strconv.ParseUint(h[HeaderOriginOffset], 10, 63)
	id, errI := base64.RawURLEncoding.DecodeString(h[HeaderOriginTopicID])
	if errP != nil || errO != nil || errI != nil || len(id) != 16 || h[HeaderOriginTopic] == "" {
		return sink.Origin{}, false
	}
	return sink.Origin{
		Topic: h[HeaderOriginTopic], TopicID: [16]byte(id), Partition: int32(partition), Offset: int64(offset), Timestamp: instant(h[HeaderOriginTimestamp]),
	}, true
}

func headerMap(headers []kgo.RecordHeader) map[string]string {
	m := make(map[string]string, len(headers))
	for _, h := range headers {
		m[h.Key] = string(h.Value)
	}
	return m
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
