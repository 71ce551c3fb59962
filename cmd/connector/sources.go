package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/config"
)

// makeSources makes the source topics that do not exist, and returns when brokers speak of them.
func makeSources(ctx context.Context, out io.Writer, adm *kadm.Client, cfg *config.Config, partitions int32) error {
	var made []string
	for _, p := range cfg.Pipelines {
		_, err := adm.CreateTopic(ctx, partitions, cfg.Topics.ReplicationFactor, nil, p.Topic)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
		case err != nil:
			return fmt.Errorf("making topic %s: %w", p.Topic, err)
		default:
			made = append(made, p.Topic)
			fmt.Fprintf(out, "%s: made with %d partitions\n", p.Topic, partitions)
		}
	}
	return awaitTopics(ctx, adm, made)
}

// awaitTopics waits until all topics are listed: the controller answers a creation before the brokers have heard of it.
func awaitTopics(ctx context.Context, adm *kadm.Client, names []string) error {
	const pause = 100 * time.Millisecond
	for len(names) > 0 { // no names would ask for all topics
		// Without authorized operations the client's cache would answer.
		details, err := adm.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
		if err == nil {
			err = details.Error()
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) {
			return fmt.Errorf("waiting for the topics made: %w", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the topics made: %w", ctx.Err())
		}
	}
	return nil
}
