package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// topicState is a topic as the cluster describes it.
type topicState struct {
	partitions int
	replicas   int // of the partition that has the fewest
	configs    map[string]string
}

// intConfig returns a config as a number, or 0 if the topic has no such config or it is no number.
func (s topicState) intConfig(key string) int64 {
	n, err := strconv.ParseInt(s.configs[key], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// describeTopics returns the state of the wanted topics and their sources by name, without those
// that do not exist.
func describeTopics(ctx context.Context, adm *kadm.Client, wanted []Topic) (map[string]topicState, error) {
	names := map[string]bool{}
	for _, topic := range wanted {
		names[topic.Name], names[topic.Source] = true, true
	}
	if len(names) == 0 {
		return nil, nil // a request without names would list every topic
	}
	details, err := listTopics(ctx, adm, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	states := map[string]topicState{}
	for _, d := range details.Sorted() {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		case d.Err != nil:
			return nil, fmt.Errorf("listing topic %s: %w", d.Topic, d.Err)
		default:
			states[d.Topic] = topicState{
				partitions: len(d.Partitions),
				replicas:   fewestReplicas(d.Partitions),
				configs:    map[string]string{},
			}
		}
	}
	return states, addConfigs(ctx, adm, states)
}

func fewestReplicas(partitions kadm.PartitionDetails) int {
	fewest := math.MaxInt
	for _, p := range partitions {
		fewest = min(fewest, len(p.Replicas))
	}
	return fewest
}

// listTopics requests authorized operations. Without them, kadm may respond from the client's
// metadata cache, which lacks a topic that was just created.
func listTopics(ctx context.Context, adm *kadm.Client, names ...string) (kadm.TopicDetails, error) {
	return adm.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
}

// addConfigs adds the configs of all topics to their states.
func addConfigs(ctx context.Context, adm *kadm.Client, states map[string]topicState) error {
	described, err := adm.DescribeTopicConfigs(ctx, slices.Sorted(maps.Keys(states))...)
	if err != nil {
		return fmt.Errorf("describing topics: %w", err)
	}
	for _, d := range described {
		if d.Err != nil {
			return fmt.Errorf("describing topic %s: %w", d.Name, d.Err)
		}
		for _, c := range d.Configs {
			states[d.Name].configs[c.Key] = c.MaybeValue()
		}
	}
	return nil
}
