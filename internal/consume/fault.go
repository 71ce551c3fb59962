package consume

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/observe"
)

// The reasons for which a pipeline's reading is held, by the Kafka side.
const (
	holdLost       = observe.HoldOffsetLost
	holdUnreadable = observe.HoldUnreadable
	holdRecovery   = observe.HoldRecovery
)

// trouble is whether a partition can be fetched.
type trouble uint8

const (
	noTrouble trouble = iota
	failing           // a fetch failed: it is not fetched for now, for the client would ask again at once
	probing           // it is fetched again, to see
	forGood           // no fetch will do better
)

// noteErrors states what the fetches could not do, and logs each fault once until it changes or passes.
func (g *Group) noteErrors(ctx context.Context, fetches kgo.Fetches) {
	for _, e := range fetches.Errors() {
		if ended(ctx, e.Err) || errors.Is(e.Err, context.DeadlineExceeded) {
			continue
		}
		var loss *kgo.ErrDataLoss
		switch {
		case errors.As(e.Err, &loss):
			g.truncated(loss)
		case errors.Is(e.Err, kerr.OffsetOutOfRange) && e.Topic == g.cfg.Topic:
			g.offsetLost(e.Partition)
		default:
			g.unreadable(topicPartition{e.Topic, e.Partition}, e.Err)
		}
		if g.newFault(fmt.Sprintf("%s/%d", e.Topic, e.Partition), e.Err) {
			g.log.Error("reading failed", zap.String("topic", e.Topic), zap.Int32("partition", e.Partition), zap.Error(e.Err))
		}
	}
}

// newFault tells whether a fault of a place differs from the last one there.
func (g *Group) newFault(place string, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := err.Error()
	known := g.faults[place] == text
	g.faults[place] = text
	return !known
}

// noFault says that a place has no fault any more: the same one is told of again when it comes back.
func (g *Group) noFault(place string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.faults, place)
}

// offsetLost holds a partition whose offset is not in the log any more.
func (g *Group) offsetLost(partition int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a := g.assigned[partition]; a != nil {
		g.lose(a)
	}
}

// commitLost is offsetLost at a take-over, unless it was found meanwhile that another offset than the committed one counts.
func (g *Group) commitLost(t *taking) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.assigned[t.a.partition] == t.a && t.a.committed == t.committed {
		g.lose(t.a)
	}
}

// lose pauses the partition, for the client would ask for it again and again. The caller holds g.mu.
func (g *Group) lose(a *assignment) {
	a.lost = true
	g.member.PauseFetchPartitions(map[string][]int32{g.cfg.Topic: {a.partition}})
	g.stateHold()
}

// unreadable pauses a partition that cannot be fetched, until probe tries it again.
func (g *Group) unreadable(at topicPartition, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.partition(at)
	if p == nil {
		return
	}
	p.trouble = failing
	if errors.Is(err, kgo.ErrMaxDecompress) {
		p.trouble = forGood
	}
	g.clientOf(p).PauseFetchPartitions(map[string][]int32{p.topic: {p.number}})
	g.stateHold()
}

// probe lets partitions that could not be fetched be fetched again, and takes those for mended that were since the last probe.
func (g *Group) probe() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.assigned {
		for _, p := range a.partitions() {
			switch p.trouble {
			case failing:
				p.trouble = probing
				if !a.ending && !a.lost && !p.paused {
					g.clientOf(p).ResumeFetchPartitions(map[string][]int32{p.topic: {p.number}})
				}
			case probing:
				p.trouble = noTrouble
				delete(g.faults, fmt.Sprintf("%s/%d", p.topic, p.number))
			case noTrouble, forGood:
			}
		}
	}
	g.stateHold()
}

// partition finds one in the readers' hands; nil where it is not. The caller holds g.mu.
func (g *Group) partition(at topicPartition) *partition {
	a := g.assigned[at.number]
	if a == nil || a.ending {
		return nil
	}
	for _, p := range a.partitions() {
		if p.topic == at.topic {
			return p
		}
	}
	return nil
}

func (g *Group) clientOf(p *partition) *kgo.Client {
	if p.topic == g.cfg.Topic {
		return g.member
	}
	return g.side
}

// stateHold states why the reading is held, where that has changed. The caller holds g.mu.
func (g *Group) stateHold() {
	var reason observe.HoldReason
	for _, a := range g.assigned {
		reason = worse(reason, a.hold())
	}
	if reason != g.held {
		g.held = reason
		g.obs.SetPartitionHold(reason)
	}
}

// hold is why the assignment's reading is held; empty where it is not.
func (a *assignment) hold() observe.HoldReason {
	switch {
	case a.lost:
		return holdLost
	case a.waits:
		return holdRecovery
	}
	for _, p := range a.partitions() {
		if p.trouble != noTrouble {
			return holdUnreadable
		}
	}
	return ""
}

// worse is that of two reasons that needs an operator more.
func worse(a, b observe.HoldReason) observe.HoldReason {
	for _, reason := range []observe.HoldReason{holdLost, holdUnreadable, holdRecovery} {
		if a == reason || b == reason {
			return reason
		}
	}
	return ""
}
