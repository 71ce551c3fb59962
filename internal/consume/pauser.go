package consume

import "sync"

// pauseReason is a set of reasons for which a partition is not fetched.
type pauseReason uint8

const (
	// pauseRecovery: the assignment is not recovered yet.
	pauseRecovery pauseReason = 1 << iota
	// pauseOffsetLost: the position is not in the log, and a fetch would fail again at once.
	pauseOffsetLost
	// pauseMetadataFull: the commit metadata has no room for more records.
	pauseMetadataFull
	// pauseFetchFailed: a fetch failed, and it is not time to retry it.
	pauseFetchFailed
	// pauseDeferred: the next record of a retry partition is to be read later.
	pauseDeferred
	// pauseEnding: the assignment is ending.
	pauseEnding
)

// fetchControl is the part of kgo.Client that pauses and resumes fetching.
type fetchControl interface {
	PauseFetchPartitions(map[string][]int32) map[string][]int32
	ResumeFetchPartitions(map[string][]int32)
}

// pauser decides which partitions are fetched, for both clients. A partition is paused while it has
// at least one reason. Safe for concurrent use; its methods may be called with assignments.mu held.
type pauser struct {
	fetcherOf func(topic string) fetchControl

	mu      sync.Mutex // held while a client is called, so that pauses and resumes keep their order
	reasons map[topicPartition]pauseReason
}

func newPauser(fetcherOf func(topic string) fetchControl) *pauser {
	return &pauser{fetcherOf: fetcherOf, reasons: map[topicPartition]pauseReason{}}
}

// addReason pauses partitions for a reason, in addition to those that they are paused for.
func (p *pauser) addReason(reason pauseReason, partitions ...topicPartition) {
	p.change(partitions, func(reasons pauseReason) pauseReason { return reasons | reason })
}

// removeReason resumes partitions that are paused for no other reason.
func (p *pauser) removeReason(reason pauseReason, partitions ...topicPartition) {
	p.change(partitions, func(reasons pauseReason) pauseReason { return reasons &^ reason })
}

// startPaused pauses partitions of new assignments for this reason alone.
func (p *pauser) startPaused(reason pauseReason, partitions ...topicPartition) {
	p.change(partitions, func(pauseReason) pauseReason { return reason })
}

// forgetPartitions removes all reasons of partitions whose assignment has ended. They are resumed,
// because a client keeps a pause beyond the assignment: a partition that came back would stay
// silent.
func (p *pauser) forgetPartitions(partitions ...topicPartition) {
	p.change(partitions, func(pauseReason) pauseReason { return 0 })
}

// hasReason reports whether the partition is paused for this reason.
func (p *pauser) hasReason(reason pauseReason, partition topicPartition) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reasons[partition]&reason != 0
}

func (p *pauser) change(partitions []topicPartition, update func(pauseReason) pauseReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause, resume := map[string][]int32{}, map[string][]int32{}
	for _, at := range partitions {
		before := p.reasons[at]
		after := update(before)
		if after == 0 {
			delete(p.reasons, at)
		} else {
			p.reasons[at] = after
		}
		switch {
		case before == 0 && after != 0:
			pause[at.topic] = append(pause[at.topic], at.number)
		case before != 0 && after == 0:
			resume[at.topic] = append(resume[at.topic], at.number)
		}
	}
	p.reconcile(pause, resume)
}

// reconcile is the only place that pauses or resumes fetching.
func (p *pauser) reconcile(pause, resume map[string][]int32) {
	for topic, numbers := range pause {
		p.fetcherOf(topic).PauseFetchPartitions(map[string][]int32{topic: numbers})
	}
	for topic, numbers := range resume {
		p.fetcherOf(topic).ResumeFetchPartitions(map[string][]int32{topic: numbers})
	}
}
