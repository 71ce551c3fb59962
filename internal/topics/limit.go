package topics

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// BatchLimits returns, by pipeline, the maximum size in bytes of a record batch that all existing
// topics of the pipeline accept: the lowest of their max.message.bytes. A broker compares it with
// the batch, not with the record, and refuses the whole batch, so a producer must not exceed it.
func BatchLimits(ctx context.Context, adm *kadm.Client, wanted []Topic) (map[string]int, error) {
	states, err := describeTopics(ctx, adm, wanted)
	if err != nil {
		return nil, err
	}
	limits := map[string]int{}
	for _, topic := range wanted {
		state, exists := states[topic.Name]
		if !exists {
			continue
		}
		limit := int(state.intConfig(maxMessageBytes))
		if limit <= 0 {
			return nil, fmt.Errorf("topic %s: its %s is %q, want a number of bytes",
				topic.Name, maxMessageBytes, state.configs[maxMessageBytes])
		}
		if lowest, ok := limits[topic.Pipeline]; !ok || limit < lowest {
			limits[topic.Pipeline] = limit
		}
	}
	return limits, nil
}
