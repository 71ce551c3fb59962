package sim_test

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// headersOf gives the headers that the connector added, and tells whether the original ones stand before them, byte for byte.
func headersOf(r *kgo.Record, p *produced) (added map[string]string, kept bool) {
	added = map[string]string{}
	n := len(p.raw.Headers)
	if len(r.Headers) < n {
		return added, false
	}
	kept = true
	for i, h := range p.raw.Headers {
		kept = kept && r.Headers[i].Key == h.Key && bytes.Equal(r.Headers[i].Value, h.Value)
	}
	for _, h := range r.Headers[n:] {
		if _, twice := added[h.Key]; twice {
			kept = false
		}
		added[h.Key] = string(h.Value)
	}
	return added, kept
}

// judgeCopy holds a record in a retry or dead-letter topic against the one that it is a copy of; nil where it is of none.
func (w *world) judgeCopy(v *verdict, r *kgo.Record) (*produced, map[string]string) {
	id := record.ParseRetryHeaders(r).Origin.ID()
	p := w.books.find(id)
	if p == nil {
		v.add("%s-%d-%d is of %s, which was never produced", r.Topic, r.Partition, r.Offset, id)
		return nil, nil
	}
	h, kept := headersOf(r, p)
	switch {
	case !bytes.Equal(r.Key, p.raw.Key) || !bytes.Equal(r.Value, p.raw.Value) || (r.Value == nil) != (p.raw.Value == nil):
		v.add("%s: key or value changed on the way to %s", id, r.Topic)
	case !kept:
		v.add("%s: the original headers changed on the way to %s", id, r.Topic)
	case r.Partition != p.origin.Partition:
		v.add("%s stands in partition %d of %s", id, r.Partition, r.Topic)
	}
	w.same(v, id, h, map[string]string{
		record.HeaderOriginTopic:     p.origin.Topic,
		record.HeaderOriginTopicID:   record.FormatTopicID(w.topicID),
		record.HeaderOriginPartition: strconv.Itoa(int(p.origin.Partition)),
		record.HeaderOriginOffset:    strconv.FormatInt(p.origin.Offset, 10),
		record.HeaderOriginTimestamp: p.origin.Timestamp.UTC().Format(time.RFC3339Nano),
	})
	w.judgeFailure(v, id, r, p, h)
	for key, value := range h {
		if strings.Contains(value, "-"+mark) || len(value) > 1024 {
			v.add("%s: header %s holds a personal field, or too much: %q", id, key, value)
		}
	}
	return p, h
}

func (w *world) same(v *verdict, id string, got, want map[string]string) {
	for key, value := range want {
		if got[key] != value {
			v.add("%s: header %s is %q, want %q", id, key, got[key], value)
		}
	}
}

// judgeFailure is about the headers that say what went wrong.
func (w *world) judgeFailure(v *verdict, id string, r *kgo.Record, p *produced, h map[string]string) {
	operation := w.line.operation
	switch p.kind {
	case poison, stranger, unmapped, tombstone:
		operation = ""
	}
	if h[record.HeaderOperation] != operation {
		v.add("%s: operation %q, want %q", id, h[record.HeaderOperation], operation)
	}
	attempt, err := strconv.Atoi(h[record.HeaderAttempt])
	if err != nil || attempt < 1 {
		v.add("%s: attempt %q", id, h[record.HeaderAttempt])
	}
	first, errF := time.Parse(time.RFC3339Nano, h[record.HeaderFirstFailed])
	last, errL := time.Parse(time.RFC3339Nano, h[record.HeaderLastFailed])
	if errF != nil || errL != nil || last.Before(first) || first.Before(p.origin.Timestamp) || r.Timestamp.Before(last.Truncate(time.Millisecond)) {
		v.add("%s: first failed %q, last failed %q, written %v", id, h[record.HeaderFirstFailed], h[record.HeaderLastFailed], r.Timestamp)
	}
	switch record.Cause(h[record.HeaderCause]) {
	case record.CauseRejected, record.CauseRetryable, record.CauseExhausted:
		if status, err := strconv.Atoi(h[record.HeaderVendorStatus]); err != nil || status != 200 && status != 400 {
			v.add("%s: the vendor's status is %q", id, h[record.HeaderVendorStatus])
		}
		if w.line.vendor == "crmcom" && h[record.HeaderVendorCode] == "" {
			v.add("%s: the vendor's code is missing", id)
		}
	}
}

// stages are where each cause comes up, in Kafka Connect's words.
var stages = map[record.Cause]string{
	record.CausePoison: "VALUE_CONVERTER", record.CauseInvalid: "TRANSFORMATION", record.CauseUnmapped: "TRANSFORMATION", record.CauseTombstone: "TRANSFORMATION",
	record.CauseRejected: "TASK_PUT", record.CauseExhausted: "TASK_PUT", record.CauseUnknown: "TASK_PUT", record.CauseExpired: "TASK_PUT", record.CauseTooLarge: "TASK_PUT",
}

func (w *world) judgeDead(v *verdict, r *kgo.Record) {
	p, h := w.judgeCopy(v, r)
	if p == nil {
		return
	}
	id, cause := p.origin.ID(), record.Cause(h[record.HeaderCause])
	w.books.ledger.Dead(id, text(p.kind, p.seq))
	if !w.mayDieOf(p.kind, cause) {
		v.add("%s (%s) died of %q", id, p.kind, cause)
	}
	const connect = "__connect.errors."
	w.same(v, id, h, map[string]string{
		connect + "topic": p.origin.Topic, connect + "partition": h[record.HeaderOriginPartition], connect + "offset": h[record.HeaderOriginOffset],
		connect + "connector.name": w.group(), connect + "stage": stages[cause], connect + "exception.class.name": "sluice." + string(cause),
	})
	if h[connect+"exception.message"] == "" {
		v.add("%s: no reason is given", id)
	}
	if cause == record.CauseExhausted && w.crashes == 0 && !w.scenario.unclear && h[record.HeaderAttempt] != "3" {
		v.add("%s: exhausted after %s attempts, want 3", id, h[record.HeaderAttempt])
	}
}

func (w *world) judgeRetry(v *verdict, r *kgo.Record) {
	p, h := w.judgeCopy(v, r)
	if p == nil {
		return
	}
	id := p.origin.ID()
	switch p.kind {
	case later, never, forgotten:
	default:
		v.add("%s (%s) moved to %s: %s", id, p.kind, r.Topic, h[record.HeaderCause])
	}
	delay := firstDelay
	if r.Topic == w.retryTopics()[1] {
		delay = lastDelay
	}
	last, _ := time.Parse(time.RFC3339Nano, h[record.HeaderLastFailed]) // judgeFailure has parsed it
	w.same(v, id, h, map[string]string{
		record.HeaderCause: string(record.CauseRetryable), record.HeaderNotBefore: last.Add(delay).UTC().Format(time.RFC3339Nano),
	})
	if h[record.HeaderWriter] == "" {
		v.add("%s: nobody is named as writer", id)
	}
}

// originAt is the origin of the record at a place in the source or in a retry topic.
func (w *world) originAt(at place) string {
	for _, r := range w.tap.written(false) {
		if (place{r.Topic, r.Partition, r.Offset}) == at {
			return record.ParseRetryHeaders(r).Origin.ID()
		}
	}
	return at.topic + "-" + strconv.Itoa(int(at.partition)) + "-" + strconv.FormatInt(at.offset, 10)
}
