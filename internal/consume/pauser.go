package consume

import "sync"

// pauseReason is a bit set of reasons why a partition is paused.
type pauseReason uint8

const (
	// pauseRecovery: the assignment is not recovered yet.
	pauseRecovery pauseReason = 1 << iota
	// pauseOffsetLost: the position is not in the log, and every fetch would fail again.
	pauseOffsetLost
	// pauseMetadataFull: the commit metadata has no room for more records.
	pauseMetadataFull
	// pauseFetchFailed: a fetch failed, and its retry is not due yet.
	pauseFetchFailed
	// pauseDeferred: the next record of a retry partition is not due yet.
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
// at least one reason. It is safe for concurrent use, and its methods may be called with
// assignments.mu held.
type pauser struct {
	clientFor func(topic string) fetchControl

	mu      sync.Mutex // held while a client is called, so that pauses and resumes keep their order
	reasons map[topicPartition]pauseReason
}

func newPauser(clientFor func(topic string) fetchControl) *pauser {
	return &pauser{clientFor: clientFor, reasons: map[topicPartition]pauseReason{}}
}

// addReason adds a pause reason to partitions. Those that had none are paused.
func (p *pauser) addReason(reason pauseReason, partitions ...topicPartition) {
	p.change(partitions, func(reasons pauseReason) pauseReason { return reasons | reason })
}

// removeReason removes a pause reason from partitions. Those that have none left are resumed.
func (p *pauser) removeReason(reason pauseReason, partitions ...topicPartition) {
	p.change(partitions, func(reasons pauseReason) pauseReason { return reasons &^ reason })
}

// startPaused pauses the partitions of new assignments, with this reason only.
func (p *pauser) startPaused(reason pauseReason, partitions ...topicPartition) {
	p.change(partitions, func(pauseReason) pauseReason { return reason })
}

// forgetPartitions removes all reasons of partitions whose assignment has ended, which resumes
// them. A client's pause outlives the assignment, so a partition that is assigned again would never
// be fetched.
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
	p.applyChanges(pause, resume)
}

// applyChanges is the only function that pauses or resumes fetching.
func (p *pauser) applyChanges(pause, resume map[string][]int32) {
	for topic, numbers := range pause {
		p.clientFor(topic).PauseFetchPartitions(map[string][]int32{topic: numbers})
	}
	for topic, numbers := range resume {
		p.clientFor(topic).ResumeFetchPartitions(map[string][]int32{topic: numbers})
	}
}
