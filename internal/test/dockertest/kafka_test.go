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

// deadLetters waits for so many records in the dead-letter topics, and gives all that are there.
func (s *stage) deadLetters(p platform, n int) []*kgo.Record {
	s.t.Helper()
	var names []string
	for _, pipeline := range s.cfg.Pipelines {
		names = append(names, topics.DeadLetterTopic(s.cfg.Name, pipeline.Name))
	}
	reader := newClient(s.t, p.kafka, kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx := s.deadline()
	var dead []*kgo.Record
	for len(dead) < n {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%d dead letters, want %d", len(dead), n)
		}
		dead = append(dead, fetches.Records()...)
	}
	return dead
}

// wantHeaders holds each dead letter's headers against what was produced, and gives the origins of those that had an attempt more than that asks for:
// one of unknown outcome.
func (s *stage) wantHeaders(dead []*kgo.Record) (again []string) {
	s.t.Helper()
	for _, r := range dead {
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		origin := record.ParseRetryHeaders(r).Origin
		p := s.books.records[origin.ID()]
		if headers[record.HeaderCause] != string(p.cause) {
			s.t.Errorf("%s is dead for %q, want %q", origin.ID(), headers[record.HeaderCause], p.cause)
		}
		if r.Partition != origin.Partition || headers["__connect.errors.topic"] != origin.Topic || headers["__connect.errors.exception.message"] == "" {
			s.t.Errorf("%s: partition %d and headers %v", origin.ID(), r.Partition, headers)
		}
		attempts := map[record.Cause]int{record.CauseExhausted: 3, record.CauseRejected: 1}[p.cause]
		got := record.ParseRetryHeaders(r)
		switch {
		case attempts == 0: // it was never at a vendor
		case got.Attempt == attempts+1:
			again = append(again, origin.ID())
		case got.Attempt != attempts || !strings.Contains(got.OperationName, "."):
			s.t.Errorf("%s: attempt %d of %q, want %d", origin.ID(), got.Attempt, got.OperationName, attempts)
		}
	}
	return again
}

// wantAllCommitted checks that every group has committed past all records of its source and retry topics, with metadata that a broker takes by default.
func (s *stage) wantAllCommitted() {
	s.t.Helper()
	for _, p := range s.cfg.Pipelines {
		committed, err := s.adm.FetchOffsets(s.t.Context(), p.ConsumerGroup)
		if err != nil {
			s.t.Fatal(err)
		}
		names := []string{p.Topic}
		for _, d := range p.Retry.Delays {
			names = append(names, topics.RetryTopic(s.cfg.Name, p.Name, d))
		}
		ends, err := s.adm.ListEndOffsets(s.t.Context(), names...)
		if err != nil {
			s.t.Fatal(err)
		}
		ends.Each(func(e kadm.ListedOffset) {
			if c, _ := committed.Lookup(e.Topic, e.Partition); c.At != e.Offset && e.Offset > 0 {
				s.t.Errorf("%s partition %d: %d is committed, the end is %d", e.Topic, e.Partition, c.At, e.Offset)
			}
		})
	}
}

// sent gives the origins that a group's commits say may have been sent.
func (s *stage) sent(group, topic string) map[string]bool {
	s.t.Helper()
	committed, err := s.adm.FetchOffsets(s.t.Context(), group)
	if err != nil {
		s.t.Fatal(err)
	}
	details, err := s.adm.ListTopics(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	ends, err := s.adm.ListEndOffsets(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	origins := map[string]bool{}
	committed.Offsets().Each(func(o kadm.Offset) {
		if o.Topic != topic {
			return
		}
		tracker := offset.NewTracker(details[topic].ID, o.At, nil)
		if err := tracker.RestoreMetadata(o.Metadata); err != nil {
			s.t.Errorf("%s partition %d: %v", topic, o.Partition, err)
		}
		end, _ := ends.Lookup(topic, o.Partition)
		for at := o.At; at < end.Offset; at++ {
			if tracker.Track(new(offset.Entry), at, 0, time.Time{}) == offset.PriorIntent {
				origins[sink.Origin{Topic: topic, Partition: o.Partition, Offset: at}.ID()] = true
			}
		}
	})
	return origins
}
