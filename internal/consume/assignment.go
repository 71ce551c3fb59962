package consume

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"sluice/internal/offset"
)

// topicPartition identifies a partition.
type topicPartition struct {
	topic  string
	number int32
}

// assignment is the ownership of one source partition and its retry partitions, from being assigned
// to being fenced. Fields below the first blank line are guarded by assignments.mu.
type assignment struct {
	number int32
	// writerID identifies this assignment in the records that it writes to retry topics.
	writerID string
	// ctx ends when the assignment is fenced.
	ctx    context.Context
	cancel context.CancelFunc
	// ended is closed when the assignment is fenced and forgotten.
	ended chan struct{}
	// markers are the ownership markers of the retry partitions by topic. Only recovery uses them.
	markers map[string]*ownershipMarker

	committed      offset.Commit // what the group had committed; Offset is -1 if nothing
	offsetFetched  bool          // committed is known, and recovery may begin
	recoveryFailed bool          // the last recovery failed and will be retried
	ending         bool
	source         *partition // nil until recovered
	retries        []*partition
}

func newAssignment(number int32) *assignment {
	ctx, cancel := context.WithCancel(context.Background())
	return &assignment{
		number: number, writerID: newWriterID(), ctx: ctx, cancel: cancel, ended: make(chan struct{}),
		markers: map[string]*ownershipMarker{},
	}
}

func newWriterID() string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails, as crypto/rand documents
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// partitions returns the source partition and the retry partitions, and nothing before recovery.
func (a *assignment) partitions() []*partition {
	if a.source == nil {
		return nil
	}
	return append([]*partition{a.source}, a.retries...)
}

// partition is a source or retry partition of an assignment. Fields that change after recovery are
// guarded by assignments.mu.
type partition struct {
	topicPartition
	topicID [16]byte
	owner   *assignment
	tracker *offset.Tracker
	// delay is the delay of the retry tier, or 0 for a source partition.
	delay time.Duration
	// marker is the offset of the owner's marker in a retry partition.
	marker int64

	// highWatermark is the latest one known, from a fetch or from listing end offsets.
	highWatermark int64
	fetchState    fetchState
	// blockedOffset is the offset of the record for which the commit metadata had no room.
	blockedOffset int64
	// metadataRefused is set once the broker has refused the commit metadata. Commits then go
	// without it.
	metadataRefused bool
	// confirmed is the last offset that the broker confirmed for this assignment or an earlier one.
	// It is 0 when nothing was committed.
	confirmed int64
	// deletedBelow is the offset below which the records of a retry partition were deleted.
	deletedBelow int64
}

// retryPartitionsOf groups the retry partitions of assignments by topic.
func retryPartitionsOf(assignments []*assignment) map[string][]int32 {
	byTopic := map[string][]int32{}
	for _, a := range assignments {
		for _, p := range a.retries {
			byTopic[p.topic] = append(byTopic[p.topic], p.number)
		}
	}
	return byTopic
}

// identify returns the topics and numbers of partitions.
func identify(partitions []*partition) []topicPartition {
	identities := make([]topicPartition, len(partitions))
	for i, p := range partitions {
		identities[i] = p.topicPartition
	}
	return identities
}
