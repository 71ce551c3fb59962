package demo

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"sluice/internal/config"
	"sluice/internal/record"
)

// A connector that commits whatever it has read loses every record that is not found elsewhere, and
// the auditor must report it.
func TestAuditorFindsRecordsLostByEarlyCommits(t *testing.T) {
	opts := Options{Duration: MinDuration, Rate: 100, Log: zaptest.NewLogger(t)}
	env, err := startEnvironment(t.Context(), opts, opts.newScript())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := env.close(); err != nil {
			t.Error(err)
		}
	}()
	run, err := newDemoRun(opts, opts.newScript(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer run.auditor.close()
	run.traffic.events = nil
	if err := run.traffic.produceDue(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if err := run.traffic.flushRecords(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := run.auditRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := before.total.computeFigures(); got.Produced != opts.Rate || got.Unsettled != opts.Rate || got.Lost != 0 {
		t.Errorf("before any commit: got %+v, want all %d unsettled", got, opts.Rate)
	}

	records := run.ledger.snapshotRecords()
	copyToTopic(t, env, records[0], config.DeadLetterTopic("sluice", records[0].pipeline))
	copyToTopic(t, env, records[1], config.RetryTopic("sluice", records[1].pipeline, retryDelays[0]))
	commitEndOffsets(t.Context(), t, env)
	after, err := run.auditRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := after.total.computeFigures(); got.Dead != 1 || got.Retrying != 1 || got.Lost != opts.Rate-2 {
		t.Errorf("after the commit: got %+v, want one dead, one retrying and %d lost", got, opts.Rate-2)
	}
	report := newReport(after, map[string]int{}, run.script, false)
	if report.Err() == nil {
		t.Error("the run passed, want a failure")
	}
}

// copyToTopic writes a copy of a record to one of the connector's topics, as package settle does.
func copyToTopic(t *testing.T, env *environment, original producedRecord, topic string) {
	t.Helper()
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	err := env.client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Headers: []kgo.RecordHeader{
		header(record.HeaderOriginTopic, original.origin.Topic),
		header(record.HeaderOriginTopicID, record.FormatTopicID(original.origin.TopicID)),
		header(record.HeaderOriginPartition, strconv.Itoa(int(original.origin.Partition))),
		header(record.HeaderOriginOffset, strconv.FormatInt(original.origin.Offset, 10)),
	}}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
}

// commitEndOffsets commits the end offset of every source topic.
func commitEndOffsets(ctx context.Context, t *testing.T, env *environment) {
	t.Helper()
	for _, p := range env.cfg.Pipelines {
		ends, err := env.admin.ListEndOffsets(ctx, p.Topic)
		if err != nil {
			t.Fatal(err)
		}
		offsets := kadm.Offsets{}
		ends.Each(func(o kadm.ListedOffset) { offsets.AddOffset(o.Topic, o.Partition, o.Offset, -1) })
		if err := env.admin.CommitAllOffsets(ctx, p.ConsumerGroup, offsets); err != nil {
			t.Fatal(err)
		}
	}
}
