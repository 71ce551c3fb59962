package consume

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
)

// maxCopies bounds what a take-over remembers of the records in its retry partitions. Past it, a record that an owner wrote to a retry topic
// just before it crashed may be handled twice.
const maxCopies = 1_000_000

// copyAt is where the copy of a source record was found, and how far it has come.
type copyAt struct {
	p                *partition
	offset           int64
	replays, attempt int
}

// scanPatience is for how long a scan waits for records that do not come, behind an open transaction for example, before it leaves their partition for later.
const scanPatience = 10 * time.Second

// scan is one reading of retry partitions, from where they are committed to their end.
type scan struct {
	client *kgo.Client
	rest   map[topicPartition]*scanning // those that are not read to their end
	failed map[*taking]error
	copies int // noted, of all assignments
}

type scanning struct {
	t    *taking
	p    *partition
	next int64
}

// scan reads the retry partitions of what is to be taken over, and gives those whose partitions were read to their end.
func (g *Group) scan(ctx context.Context, ready []*taking) ([]*taking, error) {
	s := &scan{rest: map[topicPartition]*scanning{}, failed: map[*taking]error{}}
	from := map[string]map[int32]kgo.Offset{}
	for _, t := range ready {
		for _, p := range t.retries {
			if at := t.from[p.topic].Offset; at < p.endRead {
				put(from, p.topic, p.number, kgo.NewOffset().At(at))
				s.rest[topicPartition{p.topic, p.number}] = &scanning{t, p, at}
			}
		}
	}
	if len(s.rest) == 0 {
		return ready, nil
	}
	var err error
	if s.client, err = kgo.NewClient(scanOptions(g.cfg, from)...); err != nil {
		return nil, fmt.Errorf("making the client that reads retry partitions: %w", err)
	}
	defer s.client.Close()
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	read := slices.DeleteFunc(ready, func(t *taking) bool { return s.failed[t] != nil })
	return read, errors.Join(slices.Collect(maps.Values(s.failed))...)
}

func put[V any](m map[string]map[int32]V, topic string, number int32, v V) {
	if m[topic] == nil {
		m[topic] = map[int32]V{}
	}
	m[topic][number] = v
}

func (s *scan) read(ctx context.Context) error {
	for len(s.rest) > 0 {
		patience, cancel := context.WithTimeout(ctx, scanPatience)
		fetches := s.client.PollRecords(patience, 1000)
		waited := patience.Err() != nil && fetches.NumRecords() == 0
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if waited {
			s.giveUp()
			return nil
		}
		for _, e := range fetches.Errors() {
			if r := s.rest[topicPartition{e.Topic, e.Partition}]; r != nil {
				s.fail(r.t, fmt.Errorf("reading %s/%d: %w", e.Topic, e.Partition, e.Err))
			}
		}
		fetches.EachRecord(s.record)
	}
	return nil
}

func (s *scan) record(r *kgo.Record) {
	at := topicPartition{r.Topic, r.Partition}
	of := s.rest[at]
	if of == nil {
		return
	}
	if r.Offset < of.p.endRead && !r.Attrs.IsControl() {
		s.found(of.t, of.p, r)
	}
	if of.next = r.Offset + 1; of.next >= of.p.endRead {
		delete(s.rest, at)
	}
}

// fail leaves an assignment for later, with all of its partitions.
func (s *scan) fail(t *taking, err error) {
	s.failed[t] = err
	for at, r := range s.rest {
		if r.t == t {
			delete(s.rest, at)
			s.client.PauseFetchPartitions(map[string][]int32{at.topic: {at.number}}) // else the client would ask again at once
		}
	}
}

func (s *scan) giveUp() {
	for at, r := range s.rest {
		s.fail(r.t, fmt.Errorf("reading %s/%d: nothing came at offset %d for %v, though the log ends at %d (a transaction that is open holds it up)",
			at.topic, at.number, r.next, scanPatience, r.p.endRead))
	}
}

// found notes a record of a retry partition. Of several copies of one source record the one that has come farthest counts.
func (s *scan) found(t *taking, p *partition, r *kgo.Record) {
	c := record.ParseRetryHeaders(r)
	if c.Origin.TopicID != t.source.topicID || c.Origin.Partition != t.a.partition || c.Origin.Topic != t.source.topic {
		return
	}
	here := copyAt{p, r.Offset, c.Replays, c.Attempt}
	best, ok := t.copies[c.Origin.Offset]
	switch {
	case !ok && s.copies >= maxCopies:
	case !ok:
		s.copies++
		t.copies[c.Origin.Offset] = here
	case here.farther(best):
		t.copies[c.Origin.Offset] = here
		t.stale[best.p] = append(t.stale[best.p], best.offset)
	default:
		t.stale[p] = append(t.stale[p], r.Offset)
	}
}

func (a copyAt) farther(b copyAt) bool {
	if a.replays != b.replays {
		return a.replays > b.replays
	}
	return a.attempt > b.attempt
}
