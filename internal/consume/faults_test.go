package consume

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// newTestFaults returns the fetchFaults of a member that owns partition 1 of the source, and the
// logs that they write.
func newTestFaults() (*fetchFaults, *assignment, *observer.ObservedLogs) {
	pauser, _, _ := newTestPauser()
	table := newAssignments("orders", pauser, nil)
	core, logs := observer.New(zap.InfoLevel)
	table.addPartitions([]int32{1})
	owned := table.byNumber[1]
	owned.source = &partition{topicPartition: topicPartition{"orders", 1}, owner: owned}
	pauser.removeReason(pauseRecovery, owned.source.topicPartition)
	return newFetchFaults(table, pauser, nil, zap.New(core), func() {}), owned, logs
}

func failFetch(topic string, number int32) kgo.Fetches {
	failed := kgo.FetchPartition{Partition: number, Err: errors.New("refused")}
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: topic, Partitions: []kgo.FetchPartition{failed}}}}}
}

func checkLogged(t *testing.T, logs *observer.ObservedLogs, want ...string) {
	t.Helper()
	var got []string
	for _, entry := range logs.TakeAll() {
		got = append(got, entry.Message)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got log messages %q, want %q", got, want)
	}
}

func TestFetchFaultIsLoggedOnceAndWhenItEnds(t *testing.T) {
	f, owned, logs := newTestFaults()
	at := owned.source.topicPartition
	f.handleErrors(context.Background(), failFetch("orders", 1))
	f.handleErrors(context.Background(), failFetch("orders", 1))
	checkLogged(t, logs, "fetching failed, retrying")
	if !f.pauser.hasReason(pauseFetchFailed, at) {
		t.Error("got an unpaused partition after a failed fetch, want it paused")
	}
	f.retryFailed()
	if f.pauser.hasReason(pauseFetchFailed, at) || owned.source.fetchState != fetchRetrying {
		t.Errorf("got fetch state %d, want the partition resumed and retrying", owned.source.fetchState)
	}
	f.handleErrors(context.Background(), failFetch("orders", 1))
	f.retryFailed()
	checkLogged(t, logs)
	f.retryFailed()
	checkLogged(t, logs, "fetching recovered")
	if owned.source.fetchState != fetchHealthy {
		t.Errorf("got fetch state %d, want healthy", owned.source.fetchState)
	}
}

func TestFetchFaultOfAnEndingAssignmentDoesNotRecover(t *testing.T) {
	f, owned, logs := newTestFaults()
	f.handleErrors(context.Background(), failFetch("orders", 1))
	checkLogged(t, logs, "fetching failed, retrying")
	f.assignments.beginEnding([]int32{1})
	f.retryFailed()
	f.retryFailed()
	f.forgetPartitions([]*assignment{owned})
	f.retryFailed()
	checkLogged(t, logs)
}

func TestFetchFaultWithoutATopicHasNoEmptyFields(t *testing.T) {
	f, _, logs := newTestFaults()
	f.handleErrors(context.Background(), failFetch("", 0))
	for _, entry := range logs.All() {
		if fields := entry.ContextMap(); fields["topic"] != nil || fields["partition"] != nil {
			t.Errorf("got fields %v, want no topic and no partition", fields)
		}
	}
	checkLogged(t, logs, "fetching failed, retrying")
}
