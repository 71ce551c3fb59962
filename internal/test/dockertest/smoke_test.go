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

// The commit metadata states what is settled beyond the committed offset. Its size is limited by
// what a broker accepts by default.
func TestBrokerAcceptsUpTo4096BytesOfMetadata(t *testing.T) {
	kafka := StartKafka(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := newClient(t, kafka, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	createTopic(t, ctx, client, 1)
	records := roundTrip(t, ctx, client, 10)

	for _, tt := range []struct {
		size int
		want error
	}{{4096, nil}, {4097, kerr.OffsetMetadataTooLarge}} {
		if got := commitWithMetadata(t, ctx, client, records[len(records)-1], tt.size); !errors.Is(got, tt.want) {
			t.Errorf("commit with %d bytes of metadata: got error %v, want %v", tt.size, got, tt.want)
		}
	}
	offsets, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup(topic, 0); !ok || o.At != 10 || len(o.Metadata) != 4096 {
		t.Errorf("got committed offset %d with %d bytes of metadata, want 10 with 4096", o.At, len(o.Metadata))
	}
}

func TestClusterReplicatesToThreeBrokers(t *testing.T) {
	kafka := StartKafka(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := newClient(t, kafka, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	createTopic(t, ctx, client, 6)
	roundTrip(t, ctx, client, 60)
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range details[topic].Partitions {
		if len(p.ISR) != 3 {
			t.Errorf("partition %d: got in-sync replicas %v, want three", p.Partition, p.ISR)
		}
	}
}

func TestRegistryReturnsASchemaByItsID(t *testing.T) {
	registry, err := sr.NewClient(sr.URLs(StartRegistry(t)))
	if err != nil {
		t.Fatal(err)
	}
	want := sr.Schema{Schema: `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}`}
	registered, err := registry.CreateSchema(t.Context(), topic+"-value", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := registry.SchemaByID(t.Context(), registered.ID)
	if err != nil || got.Schema != want.Schema {
		t.Errorf("schema %d: got %q, error %v, want %q", registered.ID, got.Schema, err, want.Schema)
	}
}

func newClient(t *testing.T, kafka *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(kafka.Brokers...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseAllowingRebalance)
	return client
}

func createTopic(t *testing.T, ctx context.Context, client *kgo.Client, partitions int32) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// roundTrip produces count records, and returns them as consumed.
func roundTrip(t *testing.T, ctx context.Context, client *kgo.Client, count int) []*kgo.Record {
	t.Helper()
	for i := range count {
		r := &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollRecords(ctx, count-len(records))
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// commitWithMetadata commits the offset after r with size bytes of metadata. It returns the error
// that the response has for the partition.
func commitWithMetadata(t *testing.T, ctx context.Context, client *kgo.Client, r *kgo.Record, size int) error {
	t.Helper()
	metadata := strings.Repeat("m", size)
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		req.Topics[0].Partitions[0].Metadata = &metadata
		return nil
	})
	var result error
	offsets := map[string]map[int32]kgo.EpochOffset{
		r.Topic: {r.Partition: {Epoch: r.LeaderEpoch, Offset: r.Offset + 1}},
	}
	client.CommitOffsetsSync(ctx, offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				t.Fatal(err)
			}
			result = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
		})
	return result
}
