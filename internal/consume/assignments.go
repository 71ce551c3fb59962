package consume

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/observe"
	"sluice/internal/offset"
)

// assignments is the table of what this member owns.
type assignments struct {
	sourceTopic string
	pauser      *pauser
	obs         *observe.Pipeline

	mu sync.Mutex // guards the table and the assignments and partitions in it
	// byNumber has the assignments by the number of their source partition.
	byNumber map[int32]*assignment
	// sourcePartitions is the partition count of the source topic.
	sourcePartitions int
	hold             observe.HoldReason
}

func newAssignments(sourceTopic string, pauser *pauser, obs *observe.Pipeline) *assignments {
	return &assignments{sourceTopic: sourceTopic, pauser: pauser, obs: obs, byNumber: map[int32]*assignment{}}
}

// addPartitions adds newly assigned source partitions. They are paused until they are recovered.
func (t *assignments) addPartitions(numbers []int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	added := make([]topicPartition, len(numbers))
	for i, number := range numbers {
		added[i] = topicPartition{t.sourceTopic, number}
		t.byNumber[number] = newAssignment(number)
	}
	t.pauser.startPaused(pauseRecovery, added...)
}

// setCommitted sets the committed offsets of new assignments. The group consumes only one topic, so
// every partition in the response belongs to it, whether the response names the topic or its ID.
func (t *assignments) setCommitted(response *kmsg.OffsetFetchResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, group := range response.Groups {
		for _, topic := range group.Topics {
			for _, p := range topic.Partitions {
				t.setPartitionCommitted(p)
			}
		}
	}
}

func (t *assignments) setPartitionCommitted(fetched kmsg.OffsetFetchResponseGroupTopicPartition) {
	a := t.byNumber[fetched.Partition]
	if a == nil || a.offsetFetched || fetched.ErrorCode != 0 {
		return
	}
	a.committed = offset.Commit{Offset: max(fetched.Offset, -1), Epoch: fetched.LeaderEpoch}
	if fetched.Metadata != nil {
		a.committed.Metadata = *fetched.Metadata
	}
	a.offsetFetched = true
}

// beginEnding marks assignments as ending, so that no more fetched records are tracked for them. It
// returns those that the caller must end, and those that another goroutine is already ending.
func (t *assignments) beginEnding(numbers []int32) (ending, others []*assignment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, number := range numbers {
		switch a := t.byNumber[number]; {
		case a == nil:
		case a.ending:
			others = append(others, a)
		default:
			a.ending = true
			ending = append(ending, a)
			t.pauser.addReason(pauseEnding, topicPartition{t.sourceTopic, number})
		}
	}
	return ending, others
}

// waitEnded waits for assignments that another goroutine is ending. If a revoke callback returned
// before that, the partitions would move to their next owner too early.
func waitEnded(assignments []*assignment) {
	for _, a := range assignments {
		<-a.ended
	}
}

// forget removes assignments that have ended, and wakes whoever waits for that.
func (t *assignments) forget(ending []*assignment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range ending {
		if t.byNumber[a.number] == a {
			delete(t.byNumber, a.number)
			t.pauser.forgetPartitions(topicPartition{t.sourceTopic, a.number})
			t.pauser.forgetPartitions(identify(a.retries)...)
		}
		for _, p := range a.partitions() {
			t.obs.ForgetPartition(p.topic, p.number)
		}
		close(a.ended)
	}
	t.updateHold()
}

// listAll returns all assignments, sorted by number.
func (t *assignments) listAll() []*assignment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sortedByNumber()
}

// sortedByNumber returns all assignments, sorted by number. The caller must hold t.mu.
func (t *assignments) sortedByNumber() []*assignment {
	return slices.SortedFunc(maps.Values(t.byNumber), func(a, b *assignment) int {
		return cmp.Compare(a.number, b.number)
	})
}

// listUnrecovered returns the assignments that are waiting to be recovered, sorted by number.
func (t *assignments) listUnrecovered() []*assignment {
	t.mu.Lock()
	defer t.mu.Unlock()
	var waiting []*assignment
	for _, a := range t.sortedByNumber() {
		if a.offsetFetched && !a.ending && a.source == nil {
			waiting = append(waiting, a)
		}
	}
	return waiting
}

// findPartition returns a recovered partition whose assignment is not ending, or nil. The caller
// must hold t.mu.
func (t *assignments) findPartition(at topicPartition) *partition {
	a := t.byNumber[at.number]
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

// loseOffset holds an assignment whose offset is no longer in the log. It reports whether the
// assignment is known and was not already held for that reason.
func (t *assignments) loseOffset(number int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := topicPartition{t.sourceTopic, number}
	if t.byNumber[number] == nil || t.pauser.hasReason(pauseOffsetLost, at) {
		return false
	}
	t.pauser.addReason(pauseOffsetLost, at)
	t.updateHold()
	return true
}

// loseCommitted is loseOffset for a committed offset that recovery did not find in the log. It does
// nothing if the assignment has ended or has a different committed offset by now.
func (t *assignments) loseCommitted(lost *assignment, committed offset.Commit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byNumber[lost.number] == lost && lost.committed == committed {
		t.pauser.addReason(pauseOffsetLost, topicPartition{t.sourceTopic, lost.number})
		t.updateHold()
	}
}

// noteRecovery marks those of the given assignments that recovery could not recover.
func (t *assignments) noteRecovery(tried []*assignment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range tried {
		a.recoveryFailed = a.source == nil && !a.ending
	}
	t.updateHold()
}

// setSourcePartitions sets the partition count of the source topic.
func (t *assignments) setSourcePartitions(count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sourcePartitions = count
}

// countOwned returns how many source partitions this member owns, and how many there are.
func (t *assignments) countOwned() (owned, all int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byNumber), t.sourcePartitions
}

// partitionHolds are the hold reasons of partitions, most severe first.
var partitionHolds = []observe.HoldReason{observe.HoldOffsetLost, observe.HoldUnreadable, observe.HoldRecovery}

// updateHold reports the most severe reason for which a partition is not fetched, if it has
// changed. The caller must hold t.mu.
func (t *assignments) updateHold() {
	current := map[observe.HoldReason]bool{}
	for _, a := range t.byNumber {
		current[t.holdReasonOf(a)] = true
	}
	hold := observe.HoldReason("")
	if i := slices.IndexFunc(partitionHolds, func(r observe.HoldReason) bool { return current[r] }); i >= 0 {
		hold = partitionHolds[i]
	}
	if hold != t.hold {
		t.hold = hold
		t.obs.SetPartitionHold(hold)
	}
}

// holdReasonOf returns why an assignment is held, or "" if it is not.
func (t *assignments) holdReasonOf(held *assignment) observe.HoldReason {
	switch {
	case t.pauser.hasReason(pauseOffsetLost, topicPartition{t.sourceTopic, held.number}):
		return observe.HoldOffsetLost
	case held.recoveryFailed:
		return observe.HoldRecovery
	}
	for _, p := range held.partitions() {
		if p.fetchState != fetchHealthy {
			return observe.HoldUnreadable
		}
	}
	return ""
}
