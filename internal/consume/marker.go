package consume

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/offset"
	"sluice/internal/record"
)

// markerTimeout is how long a recovery waits for its ownership markers. If an append takes longer,
// it continues in the background, and a later recovery attempt finds the marker confirmed.
const markerTimeout = 10 * time.Second

// ownershipMarker is the record that an assignment appends to one of its retry partitions before it
// reads the partition. Its offset divides the log: what earlier owners wrote before it is found by
// the scan, and what they write behind it are late copies.
//
// A marker alone proves nothing, because a paused process may append one after it has lost the
// partition. It counts once the group's coordinator has accepted it from a member, as part of the
// commit metadata.
type ownershipMarker struct {
	topicID [16]byte      // a recreated topic needs another marker
	done    chan struct{} // closed when offset and err are set
	offset  int64
	err     error
}

// confirmed reports whether the marker is in the log. The error is why it is not.
func (m *ownershipMarker) confirmed() (bool, error) {
	if m == nil {
		return false, nil
	}
	select {
	case <-m.done:
		return m.err == nil, m.err
	default:
		return false, nil
	}
}

// appendMarkers appends the markers that assignments still need, and waits until they are
// confirmed, at most for markerTimeout. Partitions that do not exist yet are left out. A failed or
// pending append is reported later, when the assignment's plan is made.
func (r *recovery) appendMarkers(ctx context.Context, pending []*assignment, snapshot brokerSnapshot) {
	var appended []*ownershipMarker
	for _, a := range pending {
		for _, tier := range r.cfg.RetryTiers {
			at := topicPartition{tier.Topic, a.number}
			if _, _, err := snapshot.logRange(at); err != nil {
				continue
			}
			if marker := r.appendMarker(a, at, snapshot.topics[at.topic].ID); marker != nil {
				appended = append(appended, marker)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, markerTimeout)
	defer cancel()
	for _, marker := range appended {
		select {
		case <-marker.done:
		case <-ctx.Done():
			return
		}
	}
}

// appendMarker begins to append the marker of an assignment, unless it is confirmed or its append
// is still pending.
func (r *recovery) appendMarker(owner *assignment, at topicPartition, topicID [16]byte) *ownershipMarker {
	if known := owner.markers[at.topic]; known != nil && known.topicID == topicID {
		select {
		case <-known.done:
			if known.err == nil {
				return nil
			}
		default:
			return nil
		}
	}
	marker := &ownershipMarker{topicID: topicID, done: make(chan struct{})}
	owner.markers[at.topic] = marker
	raw := record.NewOwnershipMarker(at.topic, at.number, owner.writerID)
	// With the context of the assignment, because the marker may outlive this recovery.
	r.clients.retry.TryProduce(owner.ctx, raw, func(produced *kgo.Record, err error) {
		marker.offset, marker.err = produced.Offset, err
		close(marker.done)
	})
	return marker
}

// markerOffset returns the offset of the assignment's marker in a retry partition.
func (a *assignment) markerOffset(at topicPartition, topicID [16]byte) (int64, error) {
	marker := a.markers[at.topic]
	if marker != nil && marker.topicID != topicID {
		marker = nil
	}
	switch confirmed, err := marker.confirmed(); {
	case err != nil:
		return 0, fmt.Errorf("appending the ownership marker to %s/%d: %w", at.topic, at.number, err)
	case !confirmed:
		return 0, fmt.Errorf("appending the ownership marker to %s/%d: not confirmed yet, the client is retrying",
			at.topic, at.number)
	}
	return marker.offset, nil
}

// isLateCopy reports whether another writer wrote the record behind the marker of the partition's
// owner. The owner reads the same record from the source or from an earlier copy. A record of
// another program has no writer, and a replay may keep the writer of an earlier copy: neither is a
// late copy.
func isLateCopy(owner offset.Owner, raw *kgo.Record, headers record.RetryHeaders) bool {
	return owner.WriterID != "" && raw.Offset > owner.Marker && headers.Replays == 0 &&
		headers.WriterID != "" && headers.WriterID != owner.WriterID
}
