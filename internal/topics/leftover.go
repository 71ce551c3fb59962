package topics

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/internal/config"
)

// Leftover is a retry or parked topic that the configuration no longer requires, but that may still
// hold records.
type Leftover struct {
	Topic    string
	Pipeline string
	// Delay is the delay of the retry tier, 0 for a parked topic.
	Delay time.Duration
	// Configured reports whether the pipeline is still configured. If so, the owner of a partition
	// reads the retry topic until it is empty. Otherwise nothing reads the topic.
	Configured bool
}

// FindLeftovers lists the connector's retry and parked topics that the configuration does not
// require, sorted by topic. Dead-letter topics are never leftovers: they are kept on purpose.
func FindLeftovers(ctx context.Context, adm *kadm.Client, cfg *config.Config) ([]Leftover, error) {
	details, err := listTopics(ctx, adm)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	wanted, pipelines := map[string]bool{}, map[string]bool{}
	for _, topic := range RequiredTopics(cfg) {
		wanted[topic.Name], pipelines[topic.Pipeline] = true, true
	}
	var leftovers []Leftover
	for _, topic := range details.Names() {
		leftover, ok := parseTopicName(cfg.Name, topic)
		if !ok || wanted[topic] {
			continue
		}
		leftover.Configured = pipelines[leftover.Pipeline]
		leftovers = append(leftovers, leftover)
	}
	return leftovers, nil
}

// parseTopicName parses the name of a retry or parked topic of the connector called name. Pipeline
// names have no dot, so the topics of another connector whose name starts with this name and a dot
// are not mistaken for this connector's.
func parseTopicName(name, topic string) (Leftover, bool) {
	rest, isOurs := strings.CutPrefix(topic, name+".")
	pipeline, kind, found := strings.Cut(rest, ".")
	if !isOurs || !found {
		return Leftover{}, false
	}
	leftover := Leftover{Topic: topic, Pipeline: pipeline}
	if topic == ParkedTopic(name, pipeline) {
		return leftover, true
	}
	delay, isRetry := strings.CutPrefix(kind, "retry.")
	d, err := time.ParseDuration(delay)
	leftover.Delay = d
	return leftover, isRetry && err == nil && topic == RetryTopic(name, pipeline, d)
}
