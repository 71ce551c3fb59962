package topics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The controller answers a change before the brokers have heard of it: they follow its log on their own.
const (
	awaitFor   = 30 * time.Second
	awaitPause = 100 * time.Millisecond
)

// AwaitTopics waits until a broker lists all topics, for at most 30 s. After that the error is context.DeadlineExceeded, and says the last answer.
func AwaitTopics(ctx context.Context, adm *kadm.Client, names ...string) error {
	return await(ctx, func(ctx context.Context) error {
		if len(names) == 0 {
			return nil // an empty request would list every topic
		}
		details, err := list(ctx, adm, names...)
		if err != nil {
			return err
		}
		return details.Error()
	})
}

// awaitFit returns when a broker describes all topics as they are wanted.
func awaitFit(ctx context.Context, adm *kadm.Client, wanted []Topic) error {
	return await(ctx, func(ctx context.Context) error { return VerifyTopics(ctx, adm, wanted) })
}

// await asks until the answer is no error, or one that time does not mend.
func await(ctx context.Context, ask func(context.Context) error) error {
	const doing = "waiting for the brokers to speak of the change"
	bounded, cancel := context.WithTimeout(ctx, awaitFor)
	defer cancel()
	said := "nothing"
	for {
		err := ask(bounded)
		switch {
		case err == nil:
			return nil
		case passing(err):
			said = err.Error()
		case bounded.Err() == nil:
			return fmt.Errorf("%s: %w", doing, err)
		}
		timer := time.NewTimer(awaitPause)
		select {
		case <-timer.C:
		case <-bounded.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w; they said last: %s", doing, bounded.Err(), said)
		}
	}
}

// passing tells whether an error is that of a broker that has not heard of a change yet.
func passing(err error) bool {
	return errors.As(err, new(*UnfitError)) || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.LeaderNotAvailable)
}
