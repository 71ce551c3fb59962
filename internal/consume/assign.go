package consume

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/internal/notify"
	"sluice/internal/offset"
)

// assignment is one source partition with its retry partitions, from being assigned to being fenced. Its fields are guarded by Group.mu, but
// for those that never change after it was made.
type assignment struct {
	partition int32
	// writer marks what this assignment writes to retry topics.
	writer string
	// life ends with the fence.
	life context.Context
	die  context.CancelFunc

	committed offset.Commit // what the group had committed; Offset -1: nothing
	fetched   bool          // committed is known, and the take-over may begin
	ending    bool
	lost      bool          // its committed offset is not in the log
	waits     bool          // its take-over failed and is tried again
	over      chan struct{} // closed when it is fenced and forgotten
	source    *partition    // nil until taken over
	retries   []*partition
}

// partition is one partition of the source or of a retry topic under an assignment.
type partition struct {
	topic   string
	topicID [16]byte
	number  int32
	delay   time.Duration
	tracker *offset.Tracker
	owner   *assignment
	// endRead is, for a retry partition, its end offset at take-over: a record beyond it was written since.
	endRead int64
	// highWatermark is the newest one that a fetch or a report brought.
	highWatermark int64
	// paused says that the partition is not fetched, since its commit metadata has no room for more.
	paused bool
	// trouble is whether it can be fetched.
	trouble trouble
	// wanted is the record that had no room.
	wanted int64
	// bare says that the broker refused its metadata, so that its next commit goes without.
	bare bool
	// confirmed is the offset that the broker has taken last, of this assignment or an earlier one; 0: none.
	confirmed int64
	// deleted is the offset up to which records were deleted, for a retry partition.
	deleted int64
}

func (a *assignment) partitions() []*partition {
	if a.source == nil {
		return nil
	}
	return append([]*partition{a.source}, a.retries...)
}

// onAssigned runs on the client's goroutine. The new partitions stay paused until they are taken over.
func (g *Group) onAssigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	cl.PauseFetchPartitions(map[string][]int32{g.cfg.Topic: added[g.cfg.Topic]})
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range added[g.cfg.Topic] {
		g.assigned[p] = newAssignment(p)
	}
}

func newAssignment(partition int32) *assignment {
	life, die := context.WithCancel(context.Background())
	return &assignment{partition: partition, writer: newWriter(), life: life, die: die, over: make(chan struct{})}
}

func newWriter() string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// onOffsetsFetched runs on the client's goroutine after onAssigned, before anything is fetched. The group consumes one topic, so every
// partition in the answer is of it, by name or by id.
func (g *Group) onOffsetsFetched(_ context.Context, _ *kgo.Client, answer *kmsg.OffsetFetchResponse) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, group := range answer.Groups {
		for _, topic := range group.Topics {
			for _, p := range topic.Partitions {
				g.fetchedOffset(p)
			}
		}
	}
	notify.TrySignal(g.arrivals)
	return nil
}

func (g *Group) fetchedOffset(p kmsg.OffsetFetchResponseGroupTopicPartition) {
	a := g.assigned[p.Partition]
	if a == nil || a.fetched || p.ErrorCode != 0 {
		return
	}
	a.committed = offset.Commit{Offset: max(p.Offset, -1), Epoch: p.LeaderEpoch}
	if p.Metadata != nil {
		a.committed.Metadata = *p.Metadata
	}
	a.fetched = true
}

// end ends assignments: no new call starts that could not end in time, what is in flight is waited for (unless the partitions are lost
// already, or work ends), then the trackers are fenced and the last commits go out. It runs on the client's goroutine at a revoke, and on Run's at stop.
func (g *Group) end(work context.Context, partitions []int32, commit bool) {
	<-g.joined
	ending, others := g.startEnding(partitions)
	defer waitOver(others)
	if len(ending) == 0 {
		return
	}
	until := time.Now().Add(g.cfg.DrainTimeout)
	if !commit {
		until = time.Now()
	}
	for _, a := range ending {
		for _, p := range a.partitions() {
			p.tracker.StartDraining(until)
		}
	}
	g.handler.NotifyDraining()
	if commit {
		g.waitIdle(work, ending)
	}
	g.fence(work, ending, commit)
	g.forget(ending)
	g.handler.NotifyDraining()
}

// endAll ends every assignment at stop.
func (g *Group) endAll(work context.Context) {
	all := g.all()
	numbers := make([]int32, len(all))
	for i, a := range all {
		numbers[i] = a.partition
	}
	g.end(work, numbers, true)
	if work.Err() == nil {
		g.deleteSettled(work, all)
	}
}

func (g *Group) all() []*assignment {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.assigned))
}

// startEnding takes assignments out of the readers' hands. Those that somebody else is ending already come back as others.
func (g *Group) startEnding(partitions []int32) (ending, others []*assignment) {
	g.mu.Lock()
	for _, p := range partitions {
		switch a := g.assigned[p]; {
		case a == nil:
		case a.ending:
			others = append(others, a)
		default:
			a.ending = true
			ending = append(ending, a)
		}
	}
	g.mu.Unlock()
	g.side.RemoveConsumePartitions(retryPartitions(ending))
	return ending, others
}

// waitOver waits for assignments that another goroutine ends: a revoke that returned before would hand them on too early.
func waitOver(assignments []*assignment) {
	for _, a := range assignments {
		<-a.over
	}
}

func retryPartitions(assignments []*assignment) map[string][]int32 {
	m := map[string][]int32{}
	for _, a := range assignments {
		for _, p := range a.retries {
			m[p.topic] = append(m[p.topic], p.number)
		}
	}
	return m
}

// waitIdle waits until nothing is held of the assignments, at most the drain timeout.
func (g *Group) waitIdle(work context.Context, ending []*assignment) {
	deadline := time.NewTimer(g.cfg.DrainTimeout)
	defer deadline.Stop()
	for _, a := range ending {
		for _, p := range a.partitions() {
			select {
			case <-p.tracker.Idle():
			case <-work.Done():
				return
			case <-deadline.C:
				g.log.Warn("the drain timeout ended before every call did; the next owner reads what was not settled again",
					zap.Int32("partition", p.number), zap.String("topic", p.topic), zap.Int("unsettled", p.tracker.Progress().Unsettled))
				return
			}
		}
	}
}

// fence ends the trackers, and commits what was settled until then: the source's offsets first, for a broker may refuse the others.
func (g *Group) fence(work context.Context, ending []*assignment, commit bool) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	source, retries := gather(ending, (*offset.Tracker).Fence)
	for _, a := range ending {
		a.die()
	}
	g.commits.Notify()
	if !commit {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), lastCommitTimeout(work))
	defer cancel()
	for _, batch := range [][]pendingCommit{source, retries} {
		if err := g.commitFinally(ctx, batch); err != nil {
			g.obs.CommitFailed()
			g.log.Warn("the last commit of an ending assignment failed; what it covers is read again", zap.Error(err))
		}
	}
}

// lastCommitTimeout is short once work has ended: whoever ended it wants the process gone.
func lastCommitTimeout(work context.Context) time.Duration {
	if work.Err() != nil {
		return time.Second
	}
	return commitTimeout
}

func (g *Group) forget(ending []*assignment) {
	gone := make([]int32, 0, len(ending))
	g.mu.Lock()
	for _, a := range ending {
		gone = append(gone, a.partition)
		if g.assigned[a.partition] == a {
			delete(g.assigned, a.partition)
		}
		for _, p := range a.partitions() {
			g.obs.ForgetPartition(p.topic, p.number)
		}
	}
	g.stateHold()
	g.mu.Unlock()
	defer func() {
		for _, a := range ending {
			close(a.over)
		}
	}()
	// A pause outlives the assignment: without this the partition would stay silent when it comes back.
	g.member.ResumeFetchPartitions(map[string][]int32{g.cfg.Topic: gone})
	g.side.ResumeFetchPartitions(retryPartitions(ending))
}
