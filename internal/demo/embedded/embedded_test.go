package embedded_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"sluice/internal/demo/embedded"
	"sluice/internal/test/testkit"
)

const (
	topic = "orders"
	group = "sluice.orders"
)

func TestRoundTripOverLoopback(t *testing.T) {
	checkRoundTrip(t, embedded.Options{Brokers: 3})
}

func TestRoundTripInABubble(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		checkRoundTrip(t, embedded.Options{Brokers: 3, Network: &testkit.Network{}})
	})
}

// checkRoundTrip produces records, consumes them in a group, commits, and fetches a schema by the
// id under which it was registered.
func checkRoundTrip(t *testing.T, opts embedded.Options) {
	platform := testkit.StartPlatform(t, opts)
	if len(platform.Brokers()) != opts.Brokers {
		t.Errorf("brokers: got %v, want %d", platform.Brokers(), opts.Brokers)
	}
	if err := platform.Cluster().CreateTopic(topic, 3, nil); err != nil {
		t.Fatal(err)
	}
	produceRecords(t, platform, 100)
	client := consumeRecords(t, platform, 100)
	if err := client.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkCommitted(t, platform, 100)

	rc := newRegistryClient(t, platform)
	want := sr.Schema{Schema: `{"type":"record","name":"Order","fields":[]}`, Type: sr.TypeAvro}
	registered, err := rc.CreateSchema(t.Context(), topic+"-value", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rc.SchemaByID(t.Context(), registered.ID)
	if err != nil || got.Schema != want.Schema {
		t.Errorf("schema %d: got %q and error %v, want %q", registered.ID, got.Schema, err, want.Schema)
	}
	if !platform.Registry().SubjectExists(topic + "-value") {
		t.Error("Registry: got another registry than the one served")
	}
}

func TestDataSurvivesARestartOnTheSamePorts(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		opts := embedded.Options{
			Brokers: 2, Ports: []int{9092, 9093}, DataDir: t.TempDir(), Network: &testkit.Network{},
		}
		first, err := embedded.StartPlatform(opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Cluster().CreateTopic(topic, 3, nil); err != nil {
			t.Fatal(err)
		}
		id := first.Cluster().TopicInfo(topic).TopicID
		produceRecords(t, first, 100)
		client := consumeRecords(t, first, 40)
		if err := client.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
		client.Close()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}

		second := testkit.StartPlatform(t, opts)
		if got := second.Cluster().TopicInfo(topic); got == nil || got.TopicID != id {
			t.Fatalf("topic after the restart: got %+v, want id %x", got, id)
		}
		checkCommitted(t, second, 40)
		consumeRecords(t, second, 60)
		if fmt.Sprint(first.Brokers()) != fmt.Sprint(second.Brokers()) {
			t.Errorf("brokers after the restart: want %v, got %v", first.Brokers(), second.Brokers())
		}
	})
}

// A killed process leaves behind what its files contain at that moment.
func TestDataSurvivesAKilledProcess(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		running, left := t.TempDir(), t.TempDir()
		platform := testkit.StartPlatform(t, embedded.Options{DataDir: running, Network: &testkit.Network{}})
		if err := platform.Cluster().CreateTopic(topic, 3, nil); err != nil {
			t.Fatal(err)
		}
		produceRecords(t, platform, 100)
		client := consumeRecords(t, platform, 40)
		if err := client.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(left, os.DirFS(running)); err != nil {
			t.Fatal(err)
		}

		after := testkit.StartPlatform(t, embedded.Options{DataDir: left, Network: &testkit.Network{}})
		checkCommitted(t, after, 40)
		consumeRecords(t, after, 60)
	})
}

func TestStartRejectsInvalidOptions(t *testing.T) {
	for _, opts := range []embedded.Options{{Brokers: -1}, {Brokers: 2, Ports: []int{9092}}, {Ports: []int{1, 2}}} {
		opts.Network = &testkit.Network{}
		if platform, err := embedded.StartPlatform(opts); err == nil {
			_ = platform.Close()
			t.Errorf("%+v: got no error", opts)
		}
	}
}

func TestStartReportsAPortInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	platform, err := embedded.StartPlatform(embedded.Options{Ports: []int{listener.Addr().(*net.TCPAddr).Port}})
	if err == nil {
		_ = platform.Close()
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("got %v, want the listener's error", err)
	}
}

func TestSecondCloseDoesNothing(t *testing.T) {
	platform, err := embedded.StartPlatform(embedded.Options{Network: &testkit.Network{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(platform.Close(), platform.Close()); err != nil {
		t.Error(err)
	}
}

func produceRecords(t *testing.T, platform *embedded.Platform, records int) {
	t.Helper()
	client := testkit.NewClient(t, platform)
	for i := range records {
		r := &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}
		client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.Close()
}

// consumeRecords reads exactly the given number of records as a member of the group, and returns
// without leaving it.
func consumeRecords(t *testing.T, platform *embedded.Platform, records int) *kgo.Client {
	t.Helper()
	client := testkit.NewClient(
		t, platform, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	for got := 0; got < records; {
		fetches := client.PollRecords(t.Context(), records-got)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		got += fetches.NumRecords()
	}
	return client
}

func checkCommitted(t *testing.T, platform *embedded.Platform, want int64) {
	t.Helper()
	var got int64
	for _, tt := range platform.Cluster().GroupInfo(group).Commits[topic] {
		got += tt.Offset
	}
	if got != want {
		t.Errorf("committed: got %d records, want %d", got, want)
	}
}

func newRegistryClient(t *testing.T, platform *embedded.Platform) *sr.Client {
	t.Helper()
	transport := &http.Transport{DialContext: platform.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	httpClient := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	rc, err := sr.NewClient(sr.URLs(platform.RegistryURL()), sr.HTTPClient(httpClient))
	if err != nil {
		t.Fatal(err)
	}
	return rc
}
