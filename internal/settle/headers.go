package settle

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// maxHeader bounds a header's value in bytes.
const maxHeader = 1024

// The headers that Kafka Connect puts on dead letters (KIP-298), so that tools which know them read ours.
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

// connectStages are Kafka Connect's names of our stages.
var connectStages = map[record.Stage]string{
	record.StageDecode:  "VALUE_CONVERTER",
	record.StageRoute:   "TRANSFORMATION",
	record.StageDeliver: "TASK_PUT",
}

// headers are the original ones, byte for byte, and ours after them; what an earlier tier added is replaced.
func (s *Settler) headers(o record.Outcome, now time.Time) []kgo.RecordHeader {
	h := original(o)
	h = appendOrigin(h, o)
	h = appendFailure(h, o, now)
	if o.Disposition == record.DispositionRetry {
		h = add(h, record.HeaderNotBefore, now.Add(o.Delay).UTC().Format(time.RFC3339Nano))
		return add(h, record.HeaderWriter, o.Record.WriterID)
	}
	return s.appendConnect(h, o)
}

// ours are the names that are written on every record that leaves; connects are written on dead letters besides. Whatever else begins with
// "sluice." is somebody's own.
var (
	ours = set(
		record.HeaderOriginTopic, record.HeaderOriginTopicID, record.HeaderOriginPartition, record.HeaderOriginOffset, record.HeaderOriginTimestamp,
		record.HeaderOperation, record.HeaderAttempt, record.HeaderFirstFailed, record.HeaderLastFailed, record.HeaderNotBefore, record.HeaderWriter,
		record.HeaderCause, record.HeaderVendorStatus, record.HeaderVendorCode, record.HeaderVendorMessage, record.HeaderVendorRequestID, record.HeaderReplays,
	)
	connects = set(connectTopic, connectPartition, connectOffset, connectName, connectStage, connectClass, connectMessage)
)

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

func original(o record.Outcome) []kgo.RecordHeader {
	raw := o.Record.Raw.Headers
	kept := make([]kgo.RecordHeader, 0, len(raw)+len(ours)+len(connects))
	for _, h := range raw {
		if !ours[h.Key] && (o.Disposition == record.DispositionRetry || !connects[h.Key]) {
			kept = append(kept, h)
		}
	}
	return kept
}

func appendOrigin(h []kgo.RecordHeader, o record.Outcome) []kgo.RecordHeader {
	origin := o.Record.Origin
	h = add(h, record.HeaderOriginTopic, origin.Topic)
	h = add(h, record.HeaderOriginTopicID, record.FormatTopicID(origin.TopicID))
	h = add(h, record.HeaderOriginPartition, strconv.Itoa(int(origin.Partition)))
	h = add(h, record.HeaderOriginOffset, strconv.FormatInt(origin.Offset, 10))
	h = add(h, record.HeaderOriginTimestamp, origin.Timestamp.UTC().Format(time.RFC3339Nano))
	return addIf(h, record.HeaderOperation, cmp.Or(o.OperationName, o.Record.OperationName))
}

func appendFailure(h []kgo.RecordHeader, o record.Outcome, now time.Time) []kgo.RecordHeader {
	first := o.Record.FirstFailed
	if first.IsZero() {
		first = now
	}
	h = add(h, record.HeaderAttempt, strconv.Itoa(o.Attempt))
	h = add(h, record.HeaderFirstFailed, first.UTC().Format(time.RFC3339Nano))
	h = add(h, record.HeaderLastFailed, now.UTC().Format(time.RFC3339Nano))
	h = add(h, record.HeaderCause, string(o.Cause))
	if o.Result.Status != 0 {
		h = add(h, record.HeaderVendorStatus, strconv.Itoa(o.Result.Status))
	}
	h = addIf(h, record.HeaderVendorCode, o.Result.Code)
	h = addIf(h, record.HeaderVendorMessage, o.Result.Message)
	h = addIf(h, record.HeaderVendorRequestID, o.Result.RequestID)
	return add(h, record.HeaderReplays, strconv.Itoa(o.Record.Replays))
}

func (s *Settler) appendConnect(h []kgo.RecordHeader, o record.Outcome) []kgo.RecordHeader {
	origin := o.Record.Origin
	h = add(h, connectTopic, origin.Topic)
	h = add(h, connectPartition, strconv.Itoa(int(origin.Partition)))
	h = add(h, connectOffset, strconv.FormatInt(origin.Offset, 10))
	h = add(h, connectName, s.cfg.ConnectorName)
	h = add(h, connectStage, connectStages[o.Stage])
	h = add(h, connectClass, "sluice."+string(o.Cause))
	return add(h, connectMessage, o.Reason)
}

func add(h []kgo.RecordHeader, key, value string) []kgo.RecordHeader {
	return append(h, kgo.RecordHeader{Key: key, Value: []byte(cut(value))})
}

func addIf(h []kgo.RecordHeader, key, value string) []kgo.RecordHeader {
	if value == "" {
		return h
	}
	return add(h, key, value)
}

// cut is a value in at most maxHeader bytes of valid UTF-8.
func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxHeader)], "")
}
