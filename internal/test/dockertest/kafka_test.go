//go:build docker

package dockertest

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/topics"
)

// readDeadLetters waits until the dead-letter topics have at least count records, and returns them.
func (h *harness) readDeadLetters(p platform, count int) []*kgo.Record {
	h.t.Helper()
	var names []string
	for _, pipeline := range h.cfg.Pipelines {
		names = append(names, topics.DeadLetterTopic(h.cfg.Name, pipeline.Name))
	}
	reader := newClient(h.t, p.kafka, kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx := h.newDeadline()
	var deadLetters []*kgo.Record
	for len(deadLetters) < count {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			h.t.Fatalf("got %d dead letters within %v, want %d", len(deadLetters), waitTimeout, count)
		}
		deadLetters = append(deadLetters, fetches.Records()...)
	}
	return deadLetters
}

// checkDeadLetterHeaders compares each dead letter's headers with what was produced. It returns the
// origins of those with one attempt more than expected, which had an unknown outcome.
func (h *harness) checkDeadLetterHeaders(deadLetters []*kgo.Record) (resent []string) {
	h.t.Helper()
	for _, r := range deadLetters {
		headers := map[string]string{}
		for _, header := range r.Headers {
			headers[header.Key] = string(header.Value)
		}
		got := record.ParseRetryHeaders(r)
		origin := got.Origin.ID()
		want := h.produced.records[origin]
		if headers[record.HeaderCause] != string(want.cause) {
			h.t.Errorf("%s: got cause %q, want %q", origin, headers[record.HeaderCause], want.cause)
		}
		if r.Partition != got.Origin.Partition || headers["__connect.errors.topic"] != got.Origin.Topic ||
			headers["__connect.errors.exception.message"] == "" {
			h.t.Errorf("%s: got partition %d and headers %v, want the origin's partition and topic, and a message",
				origin, r.Partition, headers)
		}
		attempts := map[record.Cause]int{record.CauseExhausted: 3, record.CauseRejected: 1}[want.cause]
		switch {
		case attempts == 0: // no call carried it
		case got.Attempt == attempts+1:
			resent = append(resent, origin)
		case got.Attempt != attempts || !strings.Contains(got.OperationName, "."):
			h.t.Errorf("%s: got attempt %d of operation %q, want attempt %d",
				origin, got.Attempt, got.OperationName, attempts)
		}
	}
	return resent
}

// checkAllCommitted checks that every group has committed the end offset of its source and retry
// partitions.
func (h *harness) checkAllCommitted() {
	h.t.Helper()
	for _, p := range h.cfg.Pipelines {
		committed, err := h.admin.FetchOffsets(h.t.Context(), p.ConsumerGroup)
		if err != nil {
			h.t.Fatal(err)
		}
		names := []string{p.Topic}
		for _, delay := range p.Retry.Delays {
			names = append(names, topics.RetryTopic(h.cfg.Name, p.Name, delay))
		}
		ends, err := h.admin.ListEndOffsets(h.t.Context(), names...)
		if err != nil {
			h.t.Fatal(err)
		}
		ends.Each(func(end kadm.ListedOffset) {
			got, _ := committed.Lookup(end.Topic, end.Partition)
			if got.At != end.Offset && end.Offset > 0 {
				h.t.Errorf("%s-%d: got committed offset %d, want the end offset %d",
					end.Topic, end.Partition, got.At, end.Offset)
			}
		})
	}
}

// originsWithIntent returns the origins of a source topic for which the group has committed a send
// intent.
func (h *harness) originsWithIntent(group, topic string) map[string]bool {
	h.t.Helper()
	committed, err := h.admin.FetchOffsets(h.t.Context(), group)
	if err != nil {
		h.t.Fatal(err)
	}
	details, err := h.admin.ListTopics(h.t.Context(), topic)
	if err != nil {
		h.t.Fatal(err)
	}
	ends, err := h.admin.ListEndOffsets(h.t.Context(), topic)
	if err != nil {
		h.t.Fatal(err)
	}
	origins := map[string]bool{}
	committed.Offsets().Each(func(commit kadm.Offset) {
		if commit.Topic != topic {
			return
		}
		tracker := offset.NewTracker(details[topic].ID, commit.At, nil)
		if err := tracker.RestoreMetadata(commit.Metadata); err != nil {
			h.t.Errorf("%s-%d: restoring the commit metadata: %v", topic, commit.Partition, err)
		}
		end, _ := ends.Lookup(topic, commit.Partition)
		for at := commit.At; at < end.Offset; at++ {
			if tracker.Track(new(offset.Entry), at, 0, time.Time{}).MayHaveBeenSent() {
				origins[sink.Origin{Topic: topic, Partition: commit.Partition, Offset: at}.ID()] = true
			}
		}
	})
	return origins
}
