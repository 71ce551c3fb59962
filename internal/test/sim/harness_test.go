package sim_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/demo/sandbox"
	"sluice/internal/test/testkit"
)

// harness runs members in an environment and records what they do, with oracles for every write to
// the cluster and every call to the vendor.
type harness struct {
	*environment
	values  *valueEncoder
	topicID [16]byte

	ledger         *ledger
	tap            *produceTap
	sends          *sendTap
	commits        *testkit.CommitOracle
	committed      chan struct{}            // signals a commit
	accepted       chan struct{}            // signals an acceptance that has no response yet
	highestCommits map[recordPosition]int64 // committed offsets, by position with offset 0
	sourceEnds     []int64                  // end offsets of the source partitions
	lastSeq        int
	faultCounts    map[string]func() int
	members        []*member
	logs           *logBuffer

	crashes          int
	unsettledAtCrash map[string]bool // origins that were unsettled at a crash
	intentAtCrash    map[string]bool // those of them that had a send intent
}

func newHarness(t *testing.T, scn *scenario, pipeline *simPipeline, seed uint64) *harness {
	h := &harness{
		environment: newEnvironment(t, scn, pipeline, seed), logs: &logBuffer{},
		committed: make(chan struct{}, 1), accepted: make(chan struct{}, 1),
		faultCounts: map[string]func() int{}, highestCommits: map[recordPosition]int64{},
		unsettledAtCrash: map[string]bool{}, intentAtCrash: map[string]bool{},
	}
	h.sends = &sendTap{harness: h, sends: map[string]int{}}
	h.startVendor(h.onAccept, h.sends.observeCalls)
	h.cfg = h.parseConfig()
	h.client = testkit.NewClient(
		t, h.platform, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics(),
	)
	h.createTopics()
	h.watchCluster()
	h.values = newValueEncoder(t, pipeline, h.platform.Registry())
	h.sourceEnds = make([]int64, h.partitions)
	h.topicID = h.platform.Cluster().TopicInfo(pipeline.name).TopicID
	return h
}

// watchCluster starts to observe commits, and writes to the connector's own topics.
func (h *harness) watchCluster() {
	h.commits = testkit.WatchCommits(h.platform.Cluster())
	if h.scenario.staleCommits {
		h.commits.AllowRewinds() // listUncommitted checks the commits that the broker accepts
	}
	h.ledger = newLedger(h.pipeline, h.commits)
	written := append(h.retryTopics(), h.deadLetterTopic())
	for _, topic := range append(written, h.pipeline.name) {
		h.commits.StartAt(topic, 0, 0) // lets the oracle learn the topic's ID
	}
	h.tap = newProduceTap(h.platform.Cluster(), h.ledger, written, h.deadLetterTopic(), h.partitions)
	h.platform.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		notify(h.committed)
		return nil, nil, false
	})
}

func (h *harness) onAccept(entry sandbox.LedgerEntry) {
	h.ledger.recordAccepted(entry)
	notify(h.accepted)
}

// logBuffer collects the members' log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) contents() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) tail() string {
	const limit = 6000
	contents := l.contents()
	return contents[max(0, len(contents)-limit):]
}
