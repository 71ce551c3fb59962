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
	tier       = 10 * time.Second
	maxMessage = 1 << 20
)

// rig is a settler with a producer as the line has it, and one assignment whose records it settles. Time is the bubble's.
type rig struct {
	t       *testing.T
	p       *embedded.Platform
	settler *Settler
	tracker *offset.Tracker
	life    context.Context
	die     context.CancelFunc
	credits *record.Credits
	obs     *observe.Pipeline
	logs    *observer.ObservedLogs
	next    int64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	p := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
	for _, topic := range []string{retryTopic, deadTopic} {
		if err := p.Cluster().CreateTopic(topic, 2, map[string]string{"max.message.bytes": "1048576"}); err != nil {
			t.Fatal(err)
		}
	}
	core, logs := observer.New(zap.DebugLevel)
	obs := observe.NewRegistry(prometheus.NewRegistry()).Pipeline("purchases")
	group, err := consume.NewGroup(consume.Config{
		ClientOptions: []kgo.Opt{kgo.SeedBrokers(p.Brokers()...), kgo.Dialer(p.Dial)}, MaxInFlight: 100, MaxRecordBytes: maxMessage,
	}, obs, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	r := &rig{t: t, p: p, obs: obs, logs: logs, credits: record.NewCredits(0, 0)}
	cfg := Config{ConnectorName: "sluice.purchases", RetryTopics: map[time.Duration]string{tier: retryTopic}, DeadLetterTopic: deadTopic}
	r.settler = NewSettler(cfg, group.Producer(), obs, zap.New(core))
	r.assign()
	return r
}

// assign begins a new assignment of the source partition.
func (r *rig) assign() {
	r.tracker = offset.NewTracker([16]byte{9}, r.next, nil)
	r.life, r.die = context.WithCancel(context.Background())
	r.t.Cleanup(r.die)
}

// fence ends the assignment as a revoke does.
func (r *rig) fence() {
	r.tracker.Fence()
	r.die()
	r.settler.NotifyDraining()
}

// record is the next one of partition 1 of the source, as consume hands it on.
func (r *rig) record(raw *kgo.Record) *record.Record {
	raw.Topic, raw.Partition, raw.Offset, raw.Timestamp = "purchases", 1, r.next, time.Now().Add(-time.Hour).UTC()
	rec := &record.Record{
		Raw: raw, WriterID: "writer", AssignmentCtx: r.life, Credits: r.credits,
		Origin: sink.Origin{Topic: "purchases", TopicID: [16]byte{9}, Partition: 1, Offset: r.next, Timestamp: raw.Timestamp},
	}
	r.track(rec)
	return rec
}

func (r *rig) track(rec *record.Record) {
	r.t.Helper()
	if fate := r.tracker.Track(&rec.Entry, r.next, 0, rec.Raw.Timestamp); fate != offset.PriorNone {
		r.t.Fatalf("offset %d is %v", r.next, fate)
	}
	r.next++
}

func retry(rec *record.Record) record.Outcome {
	return record.Outcome{
		Record: rec, OperationName: "crmcom.purchases", Disposition: record.DispositionRetry, Cause: record.CauseRetryable, Stage: record.StageDeliver,
		Reason: "no such account", Attempt: rec.Attempt + 1, Delay: tier,
		Result: sink.Result{Class: sink.Retryable, Status: 200, Code: "NotFoundAPIValueException", Message: "no such account", RequestID: "q1"},
	}
}

func dead(rec *record.Record) record.Outcome {
	return record.Outcome{
		Record: rec, OperationName: "crmcom.purchases", Disposition: record.DispositionDead, Cause: record.CauseInvalid, Stage: record.StageRoute, Reason: "number: is mandatory",
		Attempt: rec.Attempt + 1,
	}
}

// settle settles, and fails the test where that gives an error.
func (r *rig) settle(outcomes ...record.Outcome) {
	r.t.Helper()
	if err := r.settler.Settle(r.t.Context(), outcomes); err != nil {
		r.t.Fatalf("settling: %v", err)
	}
}

// settling settles on a goroutine of its own; what it gives is Settle's error.
func (r *rig) settling(ctx context.Context, outcomes ...record.Outcome) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- r.settler.Settle(ctx, outcomes) }()
	synctest.Wait()
	return ended
}

// written reads what stands in partition 1 of a topic, which must be n records.
func (r *rig) written(topic string, n int64) []*kgo.Record {
	r.t.Helper()
	if at := r.p.Cluster().PartitionInfo(topic, 1).HighWatermark; at != n {
		r.t.Fatalf("%s has %d records, want %d", topic, at, n)
	}
	client := testkit.NewClient(r.t, r.p, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {1: kgo.NewOffset().AtStart()}}))
	var records []*kgo.Record
	for int64(len(records)) < n {
		fetches := client.PollFetches(r.t.Context())
		if err := fetches.Err(); err != nil {
			r.t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// values are a record's headers by name; a name that stands twice fails the test.
func values(t *testing.T, r *kgo.Record) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, h := range r.Headers {
		if _, twice := m[h.Key]; twice {
			t.Errorf("header %s stands twice", h.Key)
		}
		m[h.Key] = string(h.Value)
	}
	return m
}

func wantHeaders(t *testing.T, r *kgo.Record, want map[string]string) {
	t.Helper()
	got := values(t, r)
	if maps.Equal(got, want) {
		return
	}
	for k, v := range got {
		if w, ok := want[k]; !ok || w != v {
			t.Errorf("header %s is %q, want %q (at all: %t)", k, v, w, ok)
		}
	}
	for k, w := range want {
		if _, ok := got[k]; !ok {
			t.Errorf("header %s is missing, want %q", k, w)
		}
	}
}
