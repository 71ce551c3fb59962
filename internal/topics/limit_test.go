package topics

import (
	"maps"
	"testing"
)

func TestBatchLimitIsTheLowestOfThePipelinesTopics(t *testing.T) {
	_, adm := newCluster(t)
	// The connector does not write to the source topic, so its limit is ignored.
	createTestTopic(t, adm, "purchases", 1, map[string]string{"max.message.bytes": "9000000"})
	createTestTopic(t, adm, "sluice.purchases.retry.10s", 1, map[string]string{"max.message.bytes": "3000000"})
	createTestTopic(t, adm, "sluice.purchases.dlq", 1, map[string]string{"max.message.bytes": "2000000"})
	createTestTopic(t, adm, "sluice.changes.dlq", 1, nil) // the broker's default
	got, err := BatchLimits(t.Context(), adm, RequiredTopics(testConfig()))
	if want := map[string]int{"purchases": 2000000, "changes": 1048588}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got limits %v with error %v, want %v", got, err, want)
	}
}
