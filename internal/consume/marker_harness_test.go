package consume_test

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/record"
	"sluice/internal/test/testkit"
)

type topicPartition struct {
	topic  string
	number int32
}

// ownershipMarker is a marker that a broker has confirmed.
type ownershipMarker struct {
	writer string
	offset int64
}

// markerLog lists the ownership markers that members have appended, and marks them as settled. It
// is a hook of their Kafka clients, which call it before the code under test knows that a marker
// was confirmed.
type markerLog struct {
	commits *testkit.CommitOracle

	mu          sync.Mutex
	byPartition map[topicPartition][]ownershipMarker
}

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered.
func (l *markerLog) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if err != nil || !record.IsOwnershipMarker(r) {
		return
	}
	l.commits.MarkSettled(r.Topic, r.Partition, r.Offset)
	l.mu.Lock()
	defer l.mu.Unlock()
	at := topicPartition{r.Topic, r.Partition}
	writer := string(r.Headers[0].Value)
	l.byPartition[at] = append(l.byPartition[at], ownershipMarker{writer, r.Offset})
}

// list returns the markers of a partition in the order of the log.
func (l *markerLog) list(topic string, partition int32) []ownershipMarker {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.byPartition[topicPartition{topic, partition}])
}

// addTo returns an offset in the log for one that does not count markers. A marker right at the
// offset is below the one returned, because it is settled as soon as it is read.
func (l *markerLog) addTo(offset int64, topic string, partition int32) int64 {
	for _, marker := range l.list(topic, partition) {
		if marker.offset <= offset {
			offset++
		}
	}
	return offset
}
