package main

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/pipeline"
)

// clusterTimeout bounds what a command asks of a cluster or registry before it gives up.
const clusterTimeout = time.Minute

// newClient makes a Kafka client for a command that runs once. Its own log stays silent: what fails is the command's error.
func newClient(cfg *config.Config, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := pipeline.KafkaOptions(cfg.Kafka, nil, zap.NewNop())
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	return client, nil
}
