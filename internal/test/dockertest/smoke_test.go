//go:build docker

package dockertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr"
)

const (
	topic = "orders"
	group = "sluice.orders"
)

// A commit's metadata carries what is settled beyond it; this is the room that a broker with default settings gives.
func TestBrokerTakesMetadataUpTo4096Bytes(t *testing.T) {
	k := StartKafka(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := newClient(t, k, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	createTopic(t, ctx, cl, 1)
	records := roundTrip(t, ctx, cl, 10)

	for _, tt := range []struct {
		size int
		want error
	}{{4096, nil}, {4097, kerr.OffsetMetadataTooLarge}} {
		if got := commit(t, ctx, cl, records[len(records)-1], tt.size); !errors.Is(got, tt.want) {
			t.Errorf("commit with %d bytes of metadata: %v, want %v", tt.size, got, tt.want)
		}
	}
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup(topic, 0); !ok || o.At != 10 || len(o.Metadata) != 4096 {
		t.Errorf("committed: offset %d with %d bytes of metadata, want 10 with 4096", o.At, len(o.Metadata))
	}
}

func TestThreeBrokersReplicate(t *testing.T) {
	k := StartKafka(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := newClient(t, k, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	createTopic(t, ctx, cl, 6)
	roundTrip(t, ctx, cl, 60)
	details, err := kadm.NewClient(cl).ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range details[topic].Partitions {
		if len(p.ISR) != 3 {
			t.Errorf("partition %d has %v in sync, want three brokers", p.Partition, p.ISR)
		}
	}
}

func TestRegistryGivesASchemaBackByItsID(t *testing.T) {
	rc, err := sr.NewClient(sr.URLs(StartRegistry(t)))
	if err != nil {
		t.Fatal(err)
	}
	want := sr.Schema{Schema: `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}`}
	registered, err := rc.CreateSchema(t.Context(), topic+"-value", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rc.SchemaByID(t.Context(), registered.ID)
	if err != nil || got.Schema != want.Schema {
		t.Errorf("schema %d is %q, %v; want %q", registered.ID, got.Schema, err, want.Schema)
	}
}

func newClient(t *testing.T, k *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.Brokers...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

func createTopic(t *testing.T, ctx context.Context, cl *kgo.Client, partitions int32) {
	t.Helper()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// roundTrip produces so many records and reads them back.
func roundTrip(t *testing.T, ctx context.Context, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	for i := range n {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var records []*kgo.Record
	for len(records) < n {
		fetches := cl.PollRecords(ctx, n-len(records))
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// commit commits past r with so many bytes of metadata, and gives the partition's own result.
func commit(t *testing.T, ctx context.Context, cl *kgo.Client, r *kgo.Record, size int) error {
	t.Helper()
	metadata := strings.Repeat("m", size)
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		req.Topics[0].Partitions[0].Metadata = &metadata
		return nil
	})
	var result error
	cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{r.Topic: {r.Partition: {Epoch: r.LeaderEpoch, Offset: r.Offset + 1}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				t.Fatal(err)
			}
			result = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		})
	return result
}
