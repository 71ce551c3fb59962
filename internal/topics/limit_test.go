package topics

import (
	"maps"
	"testing"
)

func TestAPipelinesBatchLimitIsTheLeastOfItsTopics(t *testing.T) {
	_, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 1, map[string]string{"max.message.bytes": "9000000"}) // a source is not written to
	makeTopic(t, adm, "sluice.purchases.retry.10s", 1, map[string]string{"max.message.bytes": "3000000"})
	makeTopic(t, adm, "sluice.purchases.dlq", 1, map[string]string{"max.message.bytes": "2000000"})
	makeTopic(t, adm, "sluice.changes.dlq", 1, nil) // the broker's default
	got, err := BatchLimits(t.Context(), adm, RequiredTopics(testConfig()))
	if want := map[string]int{"purchases": 2000000, "changes": 1048588}; err != nil || !maps.Equal(got, want) {
		t.Errorf("limits %v (%v), want %v", got, err, want)
	}
}
