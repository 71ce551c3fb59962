package topics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/backoff"
)

// awaitTimeout limits a wait for the brokers. The controller responds to a change before the
// brokers know of it, because each of them replicates the metadata log by itself.
const awaitTimeout = 30 * time.Second

// awaitInterval is the constant interval between two attempts. It does not grow, because a broker
// is expected to catch up soon.
var awaitInterval = backoff.Policy{Min: 100 * time.Millisecond, Max: 100 * time.Millisecond}

// AwaitTopics waits until a broker lists all topics, for at most 30 s. After that the error wraps
// context.DeadlineExceeded and has the text of the last attempt's error.
func AwaitTopics(ctx context.Context, adm *kadm.Client, names ...string) error {
	return awaitBrokers(ctx, func(ctx context.Context) error {
		if len(names) == 0 {
			return nil // a request without names would list every topic
		}
		details, err := listTopics(ctx, adm, names...)
		if err != nil {
			return err
		}
		return details.Error()
	})
}

// awaitVerified waits until a broker describes all topics as required.
func awaitVerified(ctx context.Context, adm *kadm.Client, wanted []Topic) error {
	return awaitBrokers(ctx, func(ctx context.Context) error { return VerifyTopics(ctx, adm, wanted) })
}

// awaitBrokers calls attempt until it succeeds or fails with an error that is not transient. When
// the wait times out, the error has only the text of the last transient error: to the caller the
// timeout is not an *UnfitError.
func awaitBrokers(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	last := errors.New("no response")
	err := backoff.RetryUntil(ctx, awaitInterval, func() error {
		err := attempt(ctx)
		switch {
		case err == nil:
			return nil
		case isTransient(err):
			last = errors.New(err.Error())
		case ctx.Err() == nil:
			return backoff.Permanent(err)
		}
		return last
	}, nil)
	if err != nil {
		return fmt.Errorf("waiting for the brokers to apply the change: %w", err)
	}
	return nil
}

// isTransient reports whether a broker that does not know of a change yet returns this error.
func isTransient(err error) bool {
	return errors.As(err, new(*UnfitError)) ||
		errors.Is(err, kerr.UnknownTopicOrPartition) ||
		errors.Is(err, kerr.LeaderNotAvailable)
}
