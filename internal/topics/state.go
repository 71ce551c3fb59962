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

// actual is a topic as the cluster has it.
type actual struct {
	partitions int
	replicas   int // of the partition that has the fewest
	configs    map[string]string
}

// number is a setting as a number, 0 where the cluster has none such.
func (a actual) number(key string) int64 {
	n, err := strconv.ParseInt(a.configs[key], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// read gives the wanted topics and their sources as they are; those that do not exist are left out.
func read(ctx context.Context, adm *kadm.Client, wanted []Topic) (map[string]actual, error) {
	names := map[string]bool{}
	for _, t := range wanted {
		names[t.Name], names[t.Source] = true, true
	}
	if len(names) == 0 {
		return nil, nil // an empty request would list every topic
	}
	details, err := list(ctx, adm, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	state := map[string]actual{}
	for _, d := range details.Sorted() {
		switch {
		case errors.Is(d.Err, kerr.UnknownTopicOrPartition):
		case d.Err != nil:
			return nil, fmt.Errorf("listing topic %s: %w", d.Topic, d.Err)
		default:
			state[d.Topic] = actual{partitions: len(d.Partitions), replicas: fewestReplicas(d.Partitions), configs: map[string]string{}}
		}
	}
	return state, readConfigs(ctx, adm, state)
}

func fewestReplicas(partitions kadm.PartitionDetails) int {
	fewest := math.MaxInt
	for _, p := range partitions {
		fewest = min(fewest, len(p.Replicas))
	}
	return fewest
}

// list asks a broker. Without authorized operations kadm answers from the client's cache, in which a topic made just now is missing.
func list(ctx context.Context, adm *kadm.Client, names ...string) (kadm.TopicDetails, error) {
	return adm.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
}

func readConfigs(ctx context.Context, adm *kadm.Client, state map[string]actual) error {
	described, err := adm.DescribeTopicConfigs(ctx, slices.Sorted(maps.Keys(state))...)
	if err != nil {
		return fmt.Errorf("describing topics: %w", err)
	}
	for _, d := range described {
		if d.Err != nil {
			return fmt.Errorf("describing topic %s: %w", d.Name, d.Err)
		}
		for _, c := range d.Configs {
			state[d.Name].configs[c.Key] = c.MaybeValue()
		}
	}
	return nil
}
