package consume

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/internal/offset"
)

var (
	// errNoResponse means that it is unknown whether the broker has processed a commit or still
	// will. On another connection it may be processed after a newer one.
	errNoResponse    = errors.New("no response")
	errNotInResponse = errors.New("the broker's response does not list the partition")
)

// pendingCommit is the pending commit of one partition.
type pendingCommit struct {
	partition *partition
	commit    offset.Commit
}

// metadata returns the commit metadata, or "" once the broker has refused it.
func (p pendingCommit) metadata() string {
	if p.partition.metadataRefused {
		return ""
	}
	return p.commit.Metadata
}

// collectCommits collects the pending commits of assignments: those of their source partitions, and
// those of their retry partitions.
func collectCommits(
	assignments []*assignment, take func(*offset.Tracker) (offset.Commit, bool),
) (source, retries []pendingCommit) {
	for _, a := range assignments {
		// In reverse order, so that the source's commit, which is built last, contains the origin
		// of every copy that a retry partition's commit contains.
		for _, p := range slices.Backward(a.partitions()) {
			commit, ok := take(p.tracker)
			switch {
			case !ok:
			case p == a.source:
				source = append(source, pendingCommit{p, commit})
			default:
				retries = append(retries, pendingCommit{p, commit})
			}
		}
	}
	return source, retries
}

// withoutFailed removes the commits of assignments that had another commit fail.
func withoutFailed(batch, failed []pendingCommit) []pendingCommit {
	owners := make(map[*assignment]bool, len(failed))
	for _, f := range failed {
		owners[f.partition.owner] = true
	}
	return slices.DeleteFunc(batch, func(p pendingCommit) bool { return owners[p.partition.owner] })
}

// withoutFailedPlans removes the plans of assignments of which a commit failed.
func withoutFailedPlans(plans []*recoveryPlan, failed []pendingCommit) []*recoveryPlan {
	return slices.DeleteFunc(plans, func(plan *recoveryPlan) bool {
		return slices.ContainsFunc(failed, func(f pendingCommit) bool { return f.partition.owner == plan.assignment })
	})
}

// isExpelled reports whether the group has continued without this member and accepts none of its
// commits any more. ILLEGAL_GENERATION does not mean that: the broker knows the member in a newer
// generation than the client has heard of, for example during a join, and the next attempt uses it.
func isExpelled(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedMemberEpoch)
}

// sendRequest sends one OffsetCommit request. It returns the commits that failed.
//
// The request is built here because kgo's own commit, when it is refused with UNKNOWN_MEMBER_ID or
// ILLEGAL_GENERATION, rejoins without reporting the partitions as lost, although another member may
// have owned them in between. With our own request, the heartbeat detects this and ends the
// assignments first.
func (c *committer) sendRequest(ctx context.Context, batch []pendingCommit) ([]pendingCommit, error) {
	response, err := c.buildRequest(batch).RequestWith(ctx, c.clients.group)
	if err != nil {
		return batch, fmt.Errorf("committing offsets: %w: %w", errNoResponse, err)
	}
	return c.readResponse(response, batch)
}

func (c *committer) buildRequest(batch []pendingCommit) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = c.groupName
	req.MemberID, req.Generation = c.clients.group.GroupMetadata()
	topicIndex := map[string]int{}
	for _, pending := range batch {
		p := pending.partition
		i, known := topicIndex[p.topic]
		if !known {
			i = len(req.Topics)
			topicIndex[p.topic] = i
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID = p.topic, p.topicID
			req.Topics = append(req.Topics, topic)
		}
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.LeaderEpoch = p.number, pending.commit.Offset, pending.commit.Epoch
		part.Metadata = kmsg.StringPtr(pending.metadata())
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, part)
	}
	return req
}

func (c *committer) readResponse(
	response *kmsg.OffsetCommitResponse, batch []pendingCommit,
) (rest []pendingCommit, err error) {
	codes := errorCodes(response, batch)
	var failures []error
	for _, pending := range batch {
		code, listed := codes[pending.partition.topicPartition]
		result := kerr.ErrorForCode(code)
		if !listed {
			result = errNotInResponse
		}
		c.recordResult(pending, result)
		if result != nil {
			rest = append(rest, pending)
			failures = append(failures, fmt.Errorf("committing offset of %s/%d: %w",
				pending.partition.topic, pending.partition.number, result))
		}
	}
	return rest, errors.Join(failures...)
}

// errorCodes returns the error codes of a response, by partition.
func errorCodes(response *kmsg.OffsetCommitResponse, batch []pendingCommit) map[topicPartition]int16 {
	names := map[[16]byte]string{}
	for _, pending := range batch {
		names[pending.partition.topicID] = pending.partition.topic
	}
	codes := map[topicPartition]int16{}
	for _, topic := range response.Topics {
		name := topic.Topic
		if name == "" { // from version 10 on, responses name topics by ID
			name = names[topic.TopicID]
		}
		for _, p := range topic.Partitions {
			codes[topicPartition{name, p.Partition}] = p.ErrorCode
		}
	}
	return codes
}

// recordResult records that the broker has confirmed a commit, or that it refuses commit metadata.
func (c *committer) recordResult(pending pendingCommit, result error) {
	c.assignments.mu.Lock()
	defer c.assignments.mu.Unlock()
	p := pending.partition
	switch {
	case result == nil:
		p.tracker.ConfirmCommit(pending.commit.Version)
		// The log may have been truncated below the committed offset in the meantime.
		p.confirmed = min(pending.commit.Offset, p.tracker.Progress().Committable)
	case errors.Is(result, kerr.OffsetMetadataTooLarge):
		p.metadataRefused = true
		c.log.Error("commit metadata refused by the broker, committing offsets only",
			append(p.logFields(), zap.Int("bytes", len(pending.commit.Metadata)), zap.String("advice",
				"raise the broker's offset.metadata.max.bytes to 4096; until then a crash redelivers settled records"))...)
	}
}
