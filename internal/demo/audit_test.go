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

// A connector that commits whatever it has read: all records are lost but those that are found in another place, and the auditor says so.
func TestTheAuditorFindsWhatANaiveCommitLoses(t *testing.T) {
	o := Options{Duration: MinDuration, Rate: 100, Log: zaptest.NewLogger(t)}
	w, err := newWorld(t.Context(), o, o.script())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := newStage(o, o.script(), w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.auditor.close()
	s.traffic.acts = nil
	if err := s.traffic.produce(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.traffic.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := s.addUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := before.total.close(); got.Produced != o.Rate || got.Unsettled != o.Rate || got.Lost != 0 {
		t.Errorf("before any commit: %+v, want all %d not settled", got, o.Rate)
	}

	records := s.ledger.all()
	copyTo(t, w, records[0], config.DeadLetterTopic("sluice", records[0].pipeline))
	copyTo(t, w, records[1], config.RetryTopic("sluice", records[1].pipeline, retryDelays[0]))
	commitEverything(t.Context(), t, w)
	after, err := s.addUp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := after.total.close(); got.Dead != 1 || got.Retrying != 1 || got.Lost != o.Rate-2 {
		t.Errorf("after the commit: %+v, want one dead, one retrying and %d lost", got, o.Rate-2)
	}
	r := report(after, map[string]int{}, s.script, false)
	if r.Err() == nil {
		t.Error("the run passes")
	}
}

// copyTo writes a record to one of the connector's topics, as package settle does.
func copyTo(t *testing.T, w *world, r produced, topic string) {
	t.Helper()
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	err := w.client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Headers: []kgo.RecordHeader{
		header(record.HeaderOriginTopic, r.origin.Topic), header(record.HeaderOriginTopicID, record.FormatTopicID(r.origin.TopicID)),
		header(record.HeaderOriginPartition, strconv.Itoa(int(r.origin.Partition))), header(record.HeaderOriginOffset, strconv.FormatInt(r.origin.Offset, 10)),
	}}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
}

// commitEverything commits the end of each source topic.
func commitEverything(ctx context.Context, t *testing.T, w *world) {
	t.Helper()
	for _, p := range w.cfg.Pipelines {
		ends, err := w.admin.ListEndOffsets(ctx, p.Topic)
		if err != nil {
			t.Fatal(err)
		}
		offsets := kadm.Offsets{}
		ends.Each(func(o kadm.ListedOffset) { offsets.AddOffset(o.Topic, o.Partition, o.Offset, -1) })
		if err := w.admin.CommitAllOffsets(ctx, p.Group, offsets); err != nil {
			t.Fatal(err)
		}
	}
}
