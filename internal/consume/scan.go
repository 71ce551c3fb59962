package consume

import (
	"context"
	"fmt"

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

// scan reads the retry partitions from where they are committed to their end.
func (g *Group) scan(ctx context.Context, ready []*taking) error {
	from := map[string]map[int32]kgo.Offset{}
	rest := map[string]map[int32]*scanning{}
	left := 0
	for _, t := range ready {
		for _, p := range t.retries {
			if at := t.from[p.topic]; at < p.endRead {
				put(from, p.topic, p.number, kgo.NewOffset().At(at))
				put(rest, p.topic, p.number, &scanning{t: t, p: p})
				left++
			}
		}
	}
	if left == 0 {
		return nil
	}
	client, err := kgo.NewClient(scanOptions(g.cfg, from)...)
	if err != nil {
		return fmt.Errorf("making the client that reads retry partitions: %w", err)
	}
	defer client.Close()
	return g.scanAll(ctx, client, rest, left)
}

func put[V any](m map[string]map[int32]V, topic string, number int32, v V) {
	if m[topic] == nil {
		m[topic] = map[int32]V{}
	}
	m[topic][number] = v
}

type scanning struct {
	t    *taking
	p    *partition
	over bool
}

func (g *Group) scanAll(ctx context.Context, client *kgo.Client, rest map[string]map[int32]*scanning, left int) error {
	for left > 0 {
		fetches := client.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("reading %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s := rest[r.Topic][r.Partition]
			if r.Offset < s.p.endRead && !r.Attrs.IsControl() {
				s.t.found(s.p, r)
			}
			if r.Offset >= s.p.endRead-1 && !s.over {
				s.over = true
				left--
			}
		})
	}
	return nil
}

// found notes a record of a retry partition. Of several copies of one source record the one that has come farthest counts.
func (t *taking) found(p *partition, r *kgo.Record) {
	c := record.ReadHeaders(r)
	if c.Origin.TopicID != t.source.topicID || c.Origin.Partition != t.a.partition || c.Origin.Topic != t.source.topic {
		return
	}
	here := copyAt{p, r.Offset, c.Replays, c.Attempt}
	best, ok := t.copies[c.Origin.Offset]
	switch {
	case !ok && len(t.copies) >= maxCopies:
	case !ok:
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
