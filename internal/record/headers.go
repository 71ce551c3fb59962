package record

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/sink"
)

// The headers of a record in a retry or dead-letter topic. All values are text.
const (
	HeaderOriginTopic     = "sluice.origin.topic"
	HeaderOriginTopicID   = "sluice.origin.topic_id"
	HeaderOriginPartition = "sluice.origin.partition"
	HeaderOriginOffset    = "sluice.origin.offset"
	HeaderOriginTimestamp = "sluice.origin.timestamp"
	HeaderOperation       = "sluice.operation"
	HeaderAttempt         = "sluice.attempt"
	HeaderSends           = "sluice.sends"
	HeaderFirstFailed     = "sluice.first_failed_at"
	HeaderLastFailed      = "sluice.last_failed_at"
	HeaderNotBefore       = "sluice.not_before"
	HeaderWriter          = "sluice.writer"
	HeaderOwner           = "sluice.owner" // only in ownership markers
	HeaderCause           = "sluice.cause"
	HeaderVendorStatus    = "sluice.vendor.status"
	HeaderVendorCode      = "sluice.vendor.code"
	HeaderVendorMessage   = "sluice.vendor.message"
	HeaderVendorRequestID = "sluice.vendor.request_id"
	HeaderReplays         = "sluice.replays"
)

// FormatTopicID formats a topic ID as Kafka's own tools print it.
func FormatTopicID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// RetryHeaders are the parsed headers of a record in a retry topic.
type RetryHeaders struct {
	Origin        sink.Origin
	OperationName string
	Attempt       int
	Sends         int
	Replays       int
	FirstFailed   time.Time
	NotBefore     time.Time
	WriterID      string
}

// ParseRetryHeaders parses the headers of a record in a retry topic. A record without a complete
// origin was written by another program: it is its own origin, is due immediately, and has no
// attempts. A header that cannot be parsed counts as absent.
func ParseRetryHeaders(raw *kgo.Record) RetryHeaders {
	values := headerMap(raw.Headers)
	headers := RetryHeaders{
		OperationName: values[HeaderOperation],
		Attempt:       parseCount(values[HeaderAttempt]),
		Sends:         parseCount(values[HeaderSends]),
		Replays:       parseCount(values[HeaderReplays]),
		FirstFailed:   parseTime(values[HeaderFirstFailed]),
		NotBefore:     parseTime(values[HeaderNotBefore]),
		WriterID:      values[HeaderWriter],
	}
	origin, ok := parseOrigin(values)
	if !ok {
		return RetryHeaders{Origin: sink.Origin{
			Topic: raw.Topic, Partition: raw.Partition, Offset: raw.Offset, Timestamp: raw.Timestamp,
		}}
	}
	headers.Origin = origin
	return headers
}

// NewOwnershipMarker returns the record with which an assignment begins its ownership of a retry
// partition. It has neither key nor value.
func NewOwnershipMarker(topic string, partition int32, writerID string) *kgo.Record {
	return &kgo.Record{
		Topic: topic, Partition: partition,
		Headers: []kgo.RecordHeader{{Key: HeaderOwner, Value: []byte(writerID)}},
	}
}

// IsOwnershipMarker reports whether a record of a retry topic is an ownership marker. The copy of a
// source record is none, even if its producer gave it a header of that name: it has an origin.
func IsOwnershipMarker(raw *kgo.Record) bool {
	if len(raw.Key) > 0 || len(raw.Value) > 0 {
		return false
	}
	values := headerMap(raw.Headers)
	_, isCopy := parseOrigin(values)
	return values[HeaderOwner] != "" && !isCopy
}

// parseOrigin returns false if any part of the origin except its timestamp is absent or invalid.
func parseOrigin(values map[string]string) (sink.Origin, bool) {
	topic := values[HeaderOriginTopic]
	topicID, idErr := base64.RawURLEncoding.DecodeString(values[HeaderOriginTopicID])
	partition, partitionErr := strconv.ParseUint(values[HeaderOriginPartition], 10, 31)
	offset, offsetErr := strconv.ParseUint(values[HeaderOriginOffset], 10, 63)
	if topic == "" || idErr != nil || len(topicID) != 16 || partitionErr != nil || offsetErr != nil {
		return sink.Origin{}, false
	}
	return sink.Origin{
		Topic: topic, TopicID: [16]byte(topicID), Partition: int32(partition), Offset: int64(offset),
		Timestamp: parseTime(values[HeaderOriginTimestamp]),
	}, true
}

func headerMap(headers []kgo.RecordHeader) map[string]string {
	values := make(map[string]string, len(headers))
	for _, h := range headers {
		values[h.Key] = string(h.Value)
	}
	return values
}

func parseCount(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func parseTime(text string) time.Time {
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return parsed
}
