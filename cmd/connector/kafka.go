package main

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/config"
	"sluice/internal/pipeline"
)

// clusterTimeout limits the work of a command on a cluster or registry.
const clusterTimeout = time.Minute

// newKafkaClient returns a Kafka client for a command that runs once. The client does not log,
// because failures are reported as the command's error.
func newKafkaClient(cfg *config.Config, extra ...kgo.Opt) (*kgo.Client, error) {
	opts, err := pipeline.KafkaOptions(cfg.Kafka, nil, zap.NewNop())
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("creating a Kafka client: %w", err)
	}
	return client, nil
}
