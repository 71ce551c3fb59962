package settle

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/consume"
	"sluice/internal/demo/embedded"
	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

const (
	retryTopic = "sluice.purchases.retry.10s"
	deadTopic  = "sluice.purchases.dlq"
	retryDelay = 10 * time.Second
	maxMessage = 1 << 20
)

// harness is a settler with the producer of a pipeline, embedded brokers, and one assignment whose
// records it settles. Time is that of the synctest bubble.
type harness struct {
	t             *testing.T
	platform      *embedded.Platform
	settler       *Settler
	tracker       *offset.Tracker
	assignmentCtx context.Context
	endAssignment context.CancelFunc
	credits       *record.Credits
	obs           *observe.Pipeline
	logs          *observer.ObservedLogs
	nextOffset    int64
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	platform := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
	for _, topic := range []string{retryTopic, deadTopic} {
		limit := map[string]string{"max.message.bytes": "1048576"}
		if err := platform.Cluster().CreateTopic(topic, 2, limit); err != nil {
			t.Fatal(err)
		}
	}
	core, logs := observer.New(zap.DebugLevel)
	obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("purchases")
	group, err := consume.NewGroup(consume.Config{
		ClientOptions: []kgo.Opt{kgo.SeedBrokers(platform.Brokers()...), kgo.Dialer(platform.DialContext)},
		MaxInFlight:   100, MaxRecordBytes: maxMessage,
	}, obs, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	h := &harness{t: t, platform: platform, obs: obs, logs: logs, credits: record.NewCredits(0, 0)}
	cfg := Config{
		ConnectorName:   "sluice.purchases",
		RetryTopics:     map[time.Duration]string{retryDelay: retryTopic},
		DeadLetterTopic: deadTopic,
	}
	h.settler = NewSettler(cfg, group.Producer(), obs, zap.New(core))
	h.startAssignment()
	return h
}

// startAssignment starts a new assignment of the source partition.
func (h *harness) startAssignment() {
	h.tracker = offset.NewTracker([16]byte{9}, h.nextOffset, nil)
	h.assignmentCtx, h.endAssignment = context.WithCancel(context.Background())
	h.t.Cleanup(h.endAssignment)
}

// fence ends the assignment as a revocation does.
func (h *harness) fence() {
	h.tracker.Fence()
	h.endAssignment()
	h.settler.NotifyDraining()
}

// newRecord returns the next record of partition 1 of the source topic, as consume passes it on.
func (h *harness) newRecord(raw *kgo.Record) *record.Record {
	raw.Topic, raw.Partition, raw.Offset = "purchases", 1, h.nextOffset
	raw.Timestamp = time.Now().Add(-time.Hour).UTC()
	rec := &record.Record{
		Raw: raw, WriterID: "writer", AssignmentCtx: h.assignmentCtx, Credits: h.credits,
		Origin: sink.Origin{
			Topic: "purchases", TopicID: [16]byte{9}, Partition: 1, Offset: h.nextOffset, Timestamp: raw.Timestamp,
		},
	}
	h.trackRecord(rec)
	return rec
}

func (h *harness) emptyRecord() *record.Record { return h.newRecord(&kgo.Record{}) }

func (h *harness) trackRecord(rec *record.Record) {
	h.t.Helper()
	if prior := h.tracker.Track(&rec.Entry, h.nextOffset, 0, rec.Raw.Timestamp); prior != offset.PriorNone {
		h.t.Fatalf("offset %d: got prior state %v, want none", h.nextOffset, prior)
	}
	h.nextOffset++
}

func retryOutcome(rec *record.Record) record.Outcome {
	return record.Outcome{
		Record: rec, OperationName: "crmcom.purchases", Disposition: record.DispositionRetried,
		Cause: record.CauseRetryable, Stage: record.StageDeliver,
		Reason: "no such account", Attempt: rec.Attempt + 1, Delay: retryDelay,
		Result: sink.Result{
			Class: sink.Retryable, Status: 200, Code: "NotFoundAPIValueException", Message: "no such account",
			RequestID: "q1",
		},
	}
}

func deadOutcome(rec *record.Record) record.Outcome {
	return record.Outcome{
		Record: rec, OperationName: "crmcom.purchases", Disposition: record.DispositionDead,
		Cause: record.CauseInvalid, Stage: record.StageRoute,
		Reason: "number: is mandatory", Attempt: rec.Attempt + 1,
	}
}

// settleAll settles the outcomes and fails the test on an error.
func (h *harness) settleAll(outcomes ...record.Outcome) {
	h.t.Helper()
	if err := h.settler.Settle(h.t.Context(), outcomes); err != nil {
		h.t.Fatalf("settling: %v", err)
	}
}

// settleAsync settles the outcomes on a goroutine; the channel receives Settle's error.
func (h *harness) settleAsync(ctx context.Context, outcomes ...record.Outcome) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- h.settler.Settle(ctx, outcomes) }()
	synctest.Wait()
	return ended
}

// readTopic returns the records in partition 1 of a topic, of which there must be n.
func (h *harness) readTopic(topic string, n int64) []*kgo.Record {
	h.t.Helper()
	if end := h.platform.Cluster().PartitionInfo(topic, 1).HighWatermark; end != n {
		h.t.Fatalf("%s: got %d records, want %d", topic, end, n)
	}
	fromStart := map[string]map[int32]kgo.Offset{topic: {1: kgo.NewOffset().AtStart()}}
	client := testkit.NewClient(h.t, h.platform, kgo.ConsumePartitions(fromStart))
	var records []*kgo.Record
	for int64(len(records)) < n {
		fetches := client.PollFetches(h.t.Context())
		if err := fetches.Err(); err != nil {
			h.t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// headerValues returns a record's headers by name and fails the test for a name that occurs twice.
func headerValues(t *testing.T, r *kgo.Record) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, h := range r.Headers {
		if _, twice := values[h.Key]; twice {
			t.Errorf("header %s occurs twice", h.Key)
		}
		values[h.Key] = string(h.Value)
	}
	return values
}

func checkHeaders(t *testing.T, r *kgo.Record, want map[string]string) {
	t.Helper()
	got := headerValues(t, r)
	if maps.Equal(got, want) {
		return
	}
	for key, v := range got {
		if w, ok := want[key]; !ok || w != v {
			t.Errorf("header %s: got %q, want %q (wanted at all: %t)", key, v, w, ok)
		}
	}
	for key, w := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("header %s is missing, want %q", key, w)
		}
	}
}
