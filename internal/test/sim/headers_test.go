package sim_test

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// addedHeaders returns the headers that the connector added, and reports whether the original
// headers precede them unchanged.
func addedHeaders(r *kgo.Record, original *producedRecord) (added map[string]string, kept bool) {
	added = map[string]string{}
	count := len(original.raw.Headers)
	if len(r.Headers) < count {
		return added, false
	}
	kept = true
	for i, header := range original.raw.Headers {
		kept = kept && r.Headers[i].Key == header.Key && bytes.Equal(r.Headers[i].Value, header.Value)
	}
	for _, header := range r.Headers[count:] {
		if _, twice := added[header.Key]; twice {
			kept = false
		}
		added[header.Key] = string(header.Value)
	}
	return added, kept
}

// checkCopy compares a record in a retry or dead-letter topic with its original. It returns nil if
// there is none.
func (o *oracles) checkCopy(r *kgo.Record) (*producedRecord, map[string]string) {
	id := record.ParseRetryHeaders(r).Origin.ID()
	original := o.ledger.findRecord(id)
	if original == nil {
		o.addViolation("%s-%d-%d is a copy of %s, which was never produced", r.Topic, r.Partition, r.Offset, id)
		return nil, nil
	}
	added, kept := addedHeaders(r, original)
	switch {
	case !bytes.Equal(r.Key, original.raw.Key) || !bytes.Equal(r.Value, original.raw.Value) ||
		(r.Value == nil) != (original.raw.Value == nil):
		o.addViolation("%s: key or value changed on the way to %s", id, r.Topic)
	case !kept:
		o.addViolation("%s: the original headers changed on the way to %s", id, r.Topic)
	case r.Partition != original.origin.Partition:
		o.addViolation("%s: got a copy in partition %d of %s, want the source partition", id, r.Partition, r.Topic)
	}
	o.checkHeaders(id, added, map[string]string{
		record.HeaderOriginTopic:     original.origin.Topic,
		record.HeaderOriginTopicID:   record.FormatTopicID(o.topicID),
		record.HeaderOriginPartition: strconv.Itoa(int(original.origin.Partition)),
		record.HeaderOriginOffset:    strconv.FormatInt(original.origin.Offset, 10),
		record.HeaderOriginTimestamp: original.origin.Timestamp.UTC().Format(time.RFC3339Nano),
	})
	o.checkFailureHeaders(id, r, original, added)
	for key, value := range added {
		if strings.Contains(value, "-"+personalMark) || len(value) > 1024 {
			o.addViolation("%s: header %s contains a personal field or is too long: %q", id, key, value)
		}
	}
	return original, added
}

func (o *oracles) checkHeaders(id string, got, want map[string]string) {
	for key, value := range want {
		if got[key] != value {
			o.addViolation("%s: header %s: got %q, want %q", id, key, got[key], value)
		}
	}
}

// checkFailureHeaders checks the headers that describe the failure.
func (o *oracles) checkFailureHeaders(id string, r *kgo.Record, original *producedRecord, added map[string]string) {
	operation := o.pipeline.operation
	if slices.Contains([]kind{poison, unknownSchema, unmapped, tombstone}, original.kind) {
		operation = ""
	}
	if added[record.HeaderOperation] != operation {
		o.addViolation("%s: operation: got %q, want %q", id, added[record.HeaderOperation], operation)
	}
	attempt, err := strconv.Atoi(added[record.HeaderAttempt])
	if err != nil || attempt < 1 {
		o.addViolation("%s: attempt: got %q, want 1 or more", id, added[record.HeaderAttempt])
	}
	first, errF := time.Parse(time.RFC3339Nano, added[record.HeaderFirstFailed])
	last, errL := time.Parse(time.RFC3339Nano, added[record.HeaderLastFailed])
	if errF != nil || errL != nil || last.Before(first) || first.Before(original.origin.Timestamp) ||
		r.Timestamp.Before(last.Truncate(time.Millisecond)) {
		o.addViolation(
			"%s: got first failed %q, last failed %q, written %v, want them after production and in this order", id,
			added[record.HeaderFirstFailed], added[record.HeaderLastFailed], r.Timestamp,
		)
	}
	vendorCauses := []record.Cause{record.CauseRejected, record.CauseRetryable, record.CauseExhausted}
	if slices.Contains(vendorCauses, record.Cause(added[record.HeaderCause])) {
		if status, err := strconv.Atoi(added[record.HeaderVendorStatus]); err != nil || status != 200 && status != 400 {
			o.addViolation("%s: vendor status: got %q, want 200 or 400", id, added[record.HeaderVendorStatus])
		}
		if o.pipeline.vendor == "crmcom" && added[record.HeaderVendorCode] == "" {
			o.addViolation("%s: vendor code: got none", id)
		}
	}
}

// connectStages maps each cause to its stage in the terms of Kafka Connect.
var connectStages = map[record.Cause]string{
	record.CausePoison: "VALUE_CONVERTER", record.CauseInvalid: "TRANSFORMATION",
	record.CauseUnmapped: "TRANSFORMATION", record.CauseTombstone: "TRANSFORMATION",
	record.CauseRejected: "TASK_PUT", record.CauseExhausted: "TASK_PUT", record.CauseUnknown: "TASK_PUT",
	record.CauseExpired: "TASK_PUT", record.CauseTooLarge: "TASK_PUT",
}

func (o *oracles) checkDeadLetter(r *kgo.Record) {
	original, added := o.checkCopy(r)
	if original == nil {
		return
	}
	id, cause := original.origin.ID(), record.Cause(added[record.HeaderCause])
	o.ledger.outcomes.AddDeadLetter(id, personalText(original.kind, original.seq))
	if !o.isAllowedCause(original.kind, cause) {
		o.addViolation("%s (%s) is dead with cause %q", id, original.kind, cause)
	}
	const connect = "__connect.errors."
	o.checkHeaders(id, added, map[string]string{
		connect + "topic": original.origin.Topic, connect + "partition": added[record.HeaderOriginPartition],
		connect + "offset":         added[record.HeaderOriginOffset],
		connect + "connector.name": o.groupName(), connect + "stage": connectStages[cause],
		connect + "exception.class.name": "sluice." + string(cause),
	})
	if added[connect+"exception.message"] == "" {
		o.addViolation("%s: exception message: got none", id)
	}
	if cause == record.CauseExhausted && o.crashes == 0 && !o.scenario.losesResponses &&
		added[record.HeaderAttempt] != "3" {
		o.addViolation("%s: exhausted: got %s attempts, want 3", id, added[record.HeaderAttempt])
	}
}

func (o *oracles) checkRetry(r *kgo.Record) {
	original, added := o.checkCopy(r)
	if original == nil {
		return
	}
	id := original.origin.ID()
	if !slices.Contains([]kind{later, never, forgotten}, original.kind) {
		o.addViolation(
			"%s (%s): got a copy in %s with cause %s, want none", id, original.kind, r.Topic, added[record.HeaderCause],
		)
	}
	delay := firstDelay
	if r.Topic == o.retryTopics()[1] {
		delay = lastDelay
	}
	last, _ := time.Parse(time.RFC3339Nano, added[record.HeaderLastFailed]) // checkFailureHeaders has parsed it
	o.checkHeaders(id, added, map[string]string{
		record.HeaderCause:     string(record.CauseRetryable),
		record.HeaderNotBefore: last.Add(delay).UTC().Format(time.RFC3339Nano),
	})
	if added[record.HeaderWriter] == "" {
		o.addViolation("%s: writer: got none", id)
	}
}

// originAt returns the origin of the record at a position of the source topic or of a retry topic.
func (h *harness) originAt(position recordPosition) string {
	for _, r := range h.tap.writtenRecords(false) {
		if (recordPosition{r.Topic, r.Partition, r.Offset}) == position {
			return record.ParseRetryHeaders(r).Origin.ID()
		}
	}
	return position.topic + "-" + strconv.Itoa(int(position.partition)) + "-" + strconv.FormatInt(position.offset, 10)
}
