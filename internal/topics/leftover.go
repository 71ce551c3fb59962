package topics

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/internal/config"
)

// Leftover is a retry or parked topic that the configuration does not want any more, but in which records may still wait.
type Leftover struct {
	Topic    string
	Pipeline string
	// Delay is a retry tier's, 0 for the parked topic.
	Delay time.Duration
	// Configured says that the pipeline is in the configuration: its owner drains the topic. Otherwise nobody reads it, which is reported.
	Configured bool
}

// FindLeftovers lists the retry and parked topics of the connector that the configuration does not want, by topic. Dead-letter topics are none:
// they are kept on purpose.
func FindLeftovers(ctx context.Context, adm *kadm.Client, cfg *config.Config) ([]Leftover, error) {
	details, err := list(ctx, adm)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	wanted, pipelines := map[string]bool{}, map[string]bool{}
	for _, t := range RequiredTopics(cfg) {
		wanted[t.Name], pipelines[t.Pipeline] = true, true
	}
	var leftovers []Leftover
	for _, topic := range details.Names() {
		l, ok := parse(cfg.Name, topic)
		if !ok || wanted[topic] {
			continue
		}
		l.Configured = pipelines[l.Pipeline]
		leftovers = append(leftovers, l)
	}
	return leftovers, nil
}

// parse reads a retry or parked topic's name back. A pipeline's name has no dot, so that topics of a connector whose name begins with this
// one's are told apart.
func parse(name, topic string) (Leftover, bool) {
	rest, ours := strings.CutPrefix(topic, name+".")
	pipeline, kind, found := strings.Cut(rest, ".")
	if !ours || !found {
		return Leftover{}, false
	}
	l := Leftover{Topic: topic, Pipeline: pipeline}
	if topic == ParkedTopic(name, pipeline) {
		return l, true
	}
	delay, isRetry := strings.CutPrefix(kind, "retry.")
	d, err := time.ParseDuration(delay)
	l.Delay = d
	return l, isRetry && err == nil && topic == RetryTopic(name, pipeline, d)
}
