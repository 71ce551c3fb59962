package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/internal/config"
	"sluice/internal/topics"
)

// createSourceTopics creates the source topics that do not exist, and returns when the brokers list
// them.
func createSourceTopics(ctx context.Context, out io.Writer, adm *kadm.Client, cfg *config.Config, partitions int32) error {
	var created []string
	for _, p := range cfg.Pipelines {
		_, err := adm.CreateTopic(ctx, partitions, cfg.Topics.ReplicationFactor, nil, p.Topic)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
		case err != nil:
			return fmt.Errorf("creating topic %s: %w", p.Topic, err)
		default:
			created = append(created, p.Topic)
			fmt.Fprintf(out, "%s: created with %d partitions\n", p.Topic, partitions)
		}
	}
	return topics.AwaitTopics(ctx, adm, created...)
}
