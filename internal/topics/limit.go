package topics

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// BatchLimits gives, by pipeline, the bytes that each of its wanted topics takes in one batch: the least max.message.bytes among those that exist.
// A broker holds it against the batch and not the record, and refuses the whole batch, so a producer must not make longer ones.
func BatchLimits(ctx context.Context, adm *kadm.Client, wanted []Topic) (map[string]int, error) {
	state, err := read(ctx, adm, wanted)
	if err != nil {
		return nil, err
	}
	limits := map[string]int{}
	for _, t := range wanted {
		have, exists := state[t.Name]
		if !exists {
			continue
		}
		limit := int(have.number(maxMessageBytes))
		if limit <= 0 {
			return nil, fmt.Errorf("topic %s: its %s is %q, want a number of bytes", t.Name, maxMessageBytes, have.configs[maxMessageBytes])
		}
		if least, ok := limits[t.Pipeline]; !ok || limit < least {
			limits[t.Pipeline] = limit
		}
	}
	return limits, nil
}
