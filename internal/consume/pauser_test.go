package consume

import (
	"slices"
	"testing"
)

// fakeFetcher records the paused partitions and the calls.
type fakeFetcher struct {
	paused map[string][]int32
	calls  int
}

func (f *fakeFetcher) PauseFetchPartitions(partitions map[string][]int32) map[string][]int32 {
	f.calls++
	for topic, numbers := range partitions {
		f.paused[topic] = append(f.paused[topic], numbers...)
	}
	return nil
}

func (f *fakeFetcher) ResumeFetchPartitions(partitions map[string][]int32) {
	f.calls++
	for topic, numbers := range partitions {
		f.paused[topic] = slices.DeleteFunc(f.paused[topic], func(n int32) bool { return slices.Contains(numbers, n) })
	}
}

func (f *fakeFetcher) checkPaused(t *testing.T, topic string, want ...int32) {
	t.Helper()
	if got := f.paused[topic]; !slices.Equal(got, want) {
		t.Errorf("%s: got partitions %v paused, want %v", topic, got, want)
	}
}

func newTestPauser() (*pauser, *fakeFetcher, *fakeFetcher) {
	source, retries := &fakeFetcher{paused: map[string][]int32{}}, &fakeFetcher{paused: map[string][]int32{}}
	return newPauser(func(topic string) fetchControl {
		if topic == "orders" {
			return source
		}
		return retries
	}), source, retries
}

func TestPartitionIsPausedWhileItHasAnyReason(t *testing.T) {
	p, source, retries := newTestPauser()
	at := topicPartition{"orders", 3}
	p.addReason(pauseRecovery, at)
	p.addReason(pauseMetadataFull, at)
	p.removeReason(pauseRecovery, at)
	source.checkPaused(t, "orders", 3)
	p.addReason(pauseMetadataFull, at)
	p.removeReason(pauseMetadataFull, at)
	source.checkPaused(t, "orders")
	if source.calls != 2 || retries.calls != 0 {
		t.Errorf("got %d calls of the group client and %d of the retry client, want 2 and 0",
			source.calls, retries.calls)
	}
}

func TestForgottenPartitionIsResumed(t *testing.T) {
	p, source, retries := newTestPauser()
	orders, retry := topicPartition{"orders", 1}, topicPartition{"orders.retry.10s", 1}
	p.addReason(pauseOffsetLost, orders, topicPartition{"orders", 2})
	p.addReason(pauseDeferred, retry)
	p.forgetPartitions(orders, retry)
	source.checkPaused(t, "orders", 2)
	retries.checkPaused(t, "orders.retry.10s")
	p.removeReason(pauseDeferred, retry) // a deferral that outlived its assignment
	if p.hasReason(pauseOffsetLost, orders) || retries.calls != 2 {
		t.Errorf("got reasons left or %d calls of the retry client, want none left and 2 calls", retries.calls)
	}
}

func TestNewAssignmentHasNoReasonOfAnEarlierOne(t *testing.T) {
	p, source, _ := newTestPauser()
	at := topicPartition{"orders", 1}
	p.addReason(pauseEnding|pauseFetchFailed, at)
	p.startPaused(pauseRecovery, at)
	source.checkPaused(t, "orders", 1)
	p.removeReason(pauseRecovery, at)
	source.checkPaused(t, "orders")
}
