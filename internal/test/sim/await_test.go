package sim_test

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// scenarioTimeout limits a scenario on the bubble's clock.
const scenarioTimeout = 2 * time.Hour

// awaitSettled waits until everything produced is settled and committed, also in the retry topics.
func (h *harness) awaitSettled() {
	h.Helper()
	for deadline := time.Now().Add(scenarioTimeout); ; {
		open := h.listUncommitted()
		if len(open) == 0 {
			return
		}
		if time.Now().After(deadline) {
			h.Fatalf("unsettled after %s: %s\n%s", scenarioTimeout, strings.Join(open, ", "), h.logs.tail())
		}
		select {
		case <-h.committed:
		case <-time.After(time.Second):
		}
	}
}

// awaitMembers waits until the group is stable with count members. It must precede a crash: kfake
// never notices the loss of a member whose connection ends before its join or sync has a response.
func (h *harness) awaitMembers(count int) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), scenarioTimeout)
	defer cancel()
	_, err := h.platform.Cluster().WaitGroupStable(ctx, h.groupName(), count)
	h.requireNoError(err)
}

// awaitAcceptance waits until the vendor accepts an item, whose call has no response yet.
func (h *harness) awaitAcceptance() {
	h.Helper()
	select {
	case <-h.accepted: // an earlier acceptance
	default:
	}
	select {
	case <-h.accepted:
	case <-time.After(scenarioTimeout):
		h.Fatal("no call was made")
	}
}

func notify(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// listUncommitted returns the partitions in which records are not committed. It fails the test if a
// committed offset went backwards.
func (h *harness) listUncommitted() []string {
	var open []string
	commits := h.committedOffsets()
	check := func(position recordPosition, end int64) {
		committed := commits[position]
		if committed < h.highestCommits[position] {
			h.Errorf("commit of %s-%d went backwards from %d to %d",
				position.topic, position.partition, h.highestCommits[position], committed)
		} else {
			h.highestCommits[position] = committed
		}
		if committed != end {
			open = append(open, fmt.Sprintf("%s-%d at %d of %d", position.topic, position.partition, committed, end))
		}
	}
	for p, end := range h.sourceEnds {
		check(recordPosition{topic: h.pipeline.name, partition: int32(p)}, end)
	}
	for position, end := range h.tap.endOffsets() {
		if position.topic != h.deadLetterTopic() {
			check(position, end)
		}
	}
	return open
}

// committedOffsets returns the group's committed offsets, by position with offset 0.
func (h *harness) committedOffsets() map[recordPosition]int64 {
	commits := map[recordPosition]int64{}
	info := h.platform.Cluster().GroupInfo(h.groupName())
	if info == nil {
		return commits
	}
	for topic, partitions := range info.Commits {
		for partition, commit := range partitions {
			commits[recordPosition{topic: topic, partition: partition}] = commit.Offset
		}
	}
	return commits
}
