package consume

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
)

// deleteSettled deletes what is settled and committed from the retry partitions, so that a lost commit does not bring it back. What fails is tried again
// the next time.
func (g *Group) deleteSettled(ctx context.Context, assignments []*assignment) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	upTo := g.deletable(assignments)
	if len(upTo) == 0 {
		return
	}
	answer, err := g.admin.DeleteRecords(ctx, upTo)
	if failed := answer.Error(); err == nil {
		err = failed
	}
	switch {
	case err == nil:
		g.noFault("deletion")
	case g.newFault("deletion", err):
		g.log.Warn("deleting settled retry records failed; it is tried again", zap.Error(err))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range assignments {
		for _, p := range a.retries {
			if r, ok := answer.Lookup(p.topic, p.number); ok && r.Err == nil {
				p.deleted = upTo[p.topic][p.number].At
			}
		}
	}
}

func (g *Group) deletable(assignments []*assignment) kadm.Offsets {
	upTo := kadm.Offsets{}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range assignments {
		for _, p := range a.retries {
			if p.confirmed > p.deleted {
				upTo.AddOffset(p.topic, p.number, p.confirmed, -1)
			}
		}
	}
	return upTo
}
