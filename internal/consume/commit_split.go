package consume

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// initialCommitBytes is the most that a commit request brings to the group's coordinator, which
	// appends it to its offsets topic as one batch. It is half of that topic's max.message.bytes by
	// default, and a broker may have a lower one.
	initialCommitBytes = 512 << 10
	// certainCommitBytes is a size of which a broker never is the reason that a request got no
	// response or an unspecific error.
	certainCommitBytes = 64 << 10
	// commitOverhead is an upper bound of what a partition needs in the coordinator's batch besides
	// its metadata and the names of group and topic.
	commitOverhead = 100
)

// sendCommits commits a batch in as many requests as its size requires, one after the other. It
// returns the commits that failed. Requests become smaller when one was too large, and stay so.
func (c *committer) sendCommits(ctx context.Context, batch []pendingCommit) ([]pendingCommit, error) {
	var failed []pendingCommit
	var failures []error
	for len(batch) > 0 {
		count, bytes := c.countFitting(batch)
		rest, err := c.sendRequest(ctx, batch[:count:count])
		batch = batch[count:]
		switch {
		case count > 1 && isTooLarge(err, bytes):
			c.requestBytes = bytes / 2
			batch = append(rest, batch...)
			continue
		case errors.Is(err, errNoResponse):
			// The broker or something before it may have closed the connection because of the size.
			// The next attempt tells; this one may have used up the time.
			if bytes > certainCommitBytes {
				c.requestBytes = bytes / 2
			}
			return append(append(failed, rest...), batch...), errors.Join(append(failures, err)...)
		case err != nil:
			failed, failures = append(failed, rest...), append(failures, err)
		}
	}
	return failed, errors.Join(failures...)
}

// countFitting returns how many commits from the head of a batch go into the next request, at least
// one, and their size in bytes.
func (c *committer) countFitting(batch []pendingCommit) (count, bytes int) {
	for _, pending := range batch {
		size := len(c.groupName) + len(pending.partition.topic) + len(pending.metadata()) + commitOverhead
		if count > 0 && bytes+size > c.requestBytes {
			break
		}
		count, bytes = count+1, bytes+size
	}
	return count, bytes
}

// isTooLarge reports whether a request of a size was refused because of it.
func isTooLarge(err error, bytes int) bool {
	return errors.Is(err, kerr.InvalidCommitOffsetSize) || errors.Is(err, kerr.MessageTooLarge) ||
		errors.Is(err, kerr.RecordListTooLarge) ||
		bytes > certainCommitBytes && errors.Is(err, kerr.InvalidRequest)
}
