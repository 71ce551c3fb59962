package settle

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// maxHeaderBytes bounds the size of a header value.
const maxHeaderBytes = 1024

// The headers that Kafka Connect adds to dead letters (KIP-298). The connector writes them as well,
// so that tools built for Kafka Connect can read its dead letters.
const (
	connectPrefix    = "__connect.errors."
	connectTopic     = connectPrefix + "topic"
	connectPartition = connectPrefix + "partition"
	connectOffset    = connectPrefix + "offset"
	connectName      = connectPrefix + "connector.name"
	connectStage     = connectPrefix + "stage"
	connectClass     = connectPrefix + "exception.class.name"
	connectMessage   = connectPrefix + "exception.message"
)

// connectStages maps each stage to Kafka Connect's name for it.
var connectStages = map[record.Stage]string{
	record.StageDecode:  "VALUE_CONVERTER",
	record.StageRoute:   "TRANSFORMATION",
	record.StageDeliver: "TASK_PUT",
}

// ownHeaders are written to every retry record and dead letter, connectHeaders to dead letters
// only. Other headers belong to whoever produced the record, even if they begin with "sluice.".
var (
	ownHeaders = nameSet(
		record.HeaderOriginTopic, record.HeaderOriginTopicID, record.HeaderOriginPartition,
		record.HeaderOriginOffset, record.HeaderOriginTimestamp, record.HeaderOperation,
		record.HeaderAttempt, record.HeaderSends, record.HeaderFirstFailed, record.HeaderLastFailed,
		record.HeaderNotBefore, record.HeaderWriter, record.HeaderCause,
		record.HeaderVendorStatus, record.HeaderVendorCode, record.HeaderVendorMessage,
		record.HeaderVendorRequestID, record.HeaderReplays,
	)
	connectHeaders = nameSet(
		connectTopic, connectPartition, connectOffset, connectName, connectStage, connectClass, connectMessage,
	)
)

func nameSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// outgoingHeaders returns the original headers byte for byte, followed by the connector's own,
// which replace those that were added for an earlier tier.
func (s *Settler) outgoingHeaders(outcome record.Outcome, now time.Time) []kgo.RecordHeader {
	headers := originalHeaders(outcome)
	headers = appendOrigin(headers, outcome)
	headers = appendFailure(headers, outcome, now)
	if outcome.Disposition == record.DispositionRetried {
		notBefore := now.Add(outcome.Delay).UTC().Format(time.RFC3339Nano)
		headers = appendHeader(headers, record.HeaderNotBefore, notBefore)
		if outcome.Sends > 0 {
			headers = appendHeader(headers, record.HeaderSends, strconv.Itoa(outcome.Sends))
		}
		return appendHeader(headers, record.HeaderWriter, outcome.Record.WriterID)
	}
	return s.appendConnect(headers, outcome)
}

// originalHeaders returns the headers that the connector has not written, with capacity for its
// own.
func originalHeaders(outcome record.Outcome) []kgo.RecordHeader {
	raw := outcome.Record.Raw.Headers
	kept := make([]kgo.RecordHeader, 0, len(raw)+len(ownHeaders)+len(connectHeaders))
	for _, h := range raw {
		if !ownHeaders[h.Key] && (outcome.Disposition == record.DispositionRetried || !connectHeaders[h.Key]) {
			kept = append(kept, h)
		}
	}
	return kept
}

func appendOrigin(headers []kgo.RecordHeader, outcome record.Outcome) []kgo.RecordHeader {
	origin := outcome.Record.Origin
	headers = appendHeader(headers, record.HeaderOriginTopic, origin.Topic)
	headers = appendHeader(headers, record.HeaderOriginTopicID, record.FormatTopicID(origin.TopicID))
	headers = appendHeader(headers, record.HeaderOriginPartition, strconv.Itoa(int(origin.Partition)))
	headers = appendHeader(headers, record.HeaderOriginOffset, strconv.FormatInt(origin.Offset, 10))
	headers = appendHeader(headers, record.HeaderOriginTimestamp, origin.Timestamp.UTC().Format(time.RFC3339Nano))
	return appendNonEmpty(headers, record.HeaderOperation, cmp.Or(outcome.OperationName, outcome.Record.OperationName))
}

func appendFailure(headers []kgo.RecordHeader, outcome record.Outcome, now time.Time) []kgo.RecordHeader {
	firstFailed := outcome.Record.FirstFailed
	if firstFailed.IsZero() {
		firstFailed = now
	}
	headers = appendHeader(headers, record.HeaderAttempt, strconv.Itoa(outcome.Attempt))
	headers = appendHeader(headers, record.HeaderFirstFailed, firstFailed.UTC().Format(time.RFC3339Nano))
	headers = appendHeader(headers, record.HeaderLastFailed, now.UTC().Format(time.RFC3339Nano))
	headers = appendHeader(headers, record.HeaderCause, string(outcome.Cause))
	if outcome.Result.Status != 0 {
		headers = appendHeader(headers, record.HeaderVendorStatus, strconv.Itoa(outcome.Result.Status))
	}
	headers = appendNonEmpty(headers, record.HeaderVendorCode, outcome.Result.Code)
	headers = appendNonEmpty(headers, record.HeaderVendorMessage, outcome.Result.Message)
	headers = appendNonEmpty(headers, record.HeaderVendorRequestID, outcome.Result.RequestID)
	return appendHeader(headers, record.HeaderReplays, strconv.Itoa(outcome.Record.Replays))
}

func (s *Settler) appendConnect(headers []kgo.RecordHeader, outcome record.Outcome) []kgo.RecordHeader {
	origin := outcome.Record.Origin
	headers = appendHeader(headers, connectTopic, origin.Topic)
	headers = appendHeader(headers, connectPartition, strconv.Itoa(int(origin.Partition)))
	headers = appendHeader(headers, connectOffset, strconv.FormatInt(origin.Offset, 10))
	headers = appendHeader(headers, connectName, s.cfg.ConnectorName)
	headers = appendHeader(headers, connectStage, connectStages[outcome.Stage])
	headers = appendHeader(headers, connectClass, "sluice."+string(outcome.Cause))
	return appendHeader(headers, connectMessage, outcome.Reason)
}

func appendHeader(headers []kgo.RecordHeader, key, value string) []kgo.RecordHeader {
	return append(headers, kgo.RecordHeader{Key: key, Value: []byte(truncateValue(value))})
}

func appendNonEmpty(headers []kgo.RecordHeader, key, value string) []kgo.RecordHeader {
	if value == "" {
		return headers
	}
	return appendHeader(headers, key, value)
}

// truncateValue returns at most maxHeaderBytes of the value, as valid UTF-8.
func truncateValue(value string) string {
	return strings.ToValidUTF8(value[:min(len(value), maxHeaderBytes)], "")
}
