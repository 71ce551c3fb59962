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
	roundTrip(t, embedded.Options{Brokers: 3})
}

func TestRoundTripInABubble(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		roundTrip(t, embedded.Options{Brokers: 3, Network: &testkit.Network{}})
	})
}

// roundTrip produces, reads back as a group, commits, and fetches a schema by the id under which it was registered.
func roundTrip(t *testing.T, o embedded.Options) {
	p := testkit.StartPlatform(t, o)
	if len(p.Brokers()) != o.Brokers {
		t.Errorf("brokers %v, want %d", p.Brokers(), o.Brokers)
	}
	if err := p.Cluster().CreateTopic(topic, 3, nil); err != nil {
		t.Fatal(err)
	}
	produce(t, p, 100)
	cl := consume(t, p, 100)
	if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkCommitted(t, p, 100)

	rc := registryClient(t, p)
	want := sr.Schema{Schema: `{"type":"record","name":"Order","fields":[]}`, Type: sr.TypeAvro}
	registered, err := rc.CreateSchema(t.Context(), topic+"-value", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rc.SchemaByID(t.Context(), registered.ID)
	if err != nil || got.Schema != want.Schema {
		t.Errorf("schema %d is %q, %v; want %q", registered.ID, got.Schema, err, want.Schema)
	}
	if !p.Registry().SubjectExists(topic + "-value") {
		t.Error("the registry that Registry gives is not the one that was served")
	}
}

func TestDataSurvivesARestartOnTheSamePorts(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		o := embedded.Options{Brokers: 2, Ports: []int{9092, 9093}, DataDir: t.TempDir(), Network: &testkit.Network{}}
		first, err := embedded.StartPlatform(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Cluster().CreateTopic(topic, 3, nil); err != nil {
			t.Fatal(err)
		}
		id := first.Cluster().TopicInfo(topic).TopicID
		produce(t, first, 100)
		cl := consume(t, first, 40)
		if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
		cl.Close()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}

		second := testkit.StartPlatform(t, o)
		if got := second.Cluster().TopicInfo(topic); got == nil || got.TopicID != id {
			t.Fatalf("topic after the restart: %+v, want id %x", got, id)
		}
		checkCommitted(t, second, 40)
		consume(t, second, 60)
		if fmt.Sprint(first.Brokers()) != fmt.Sprint(second.Brokers()) {
			t.Errorf("brokers moved from %v to %v", first.Brokers(), second.Brokers())
		}
	})
}

// What a killed process leaves is what its files hold at that moment.
func TestDataSurvivesAKill(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		running, left := t.TempDir(), t.TempDir()
		p := testkit.StartPlatform(t, embedded.Options{DataDir: running, Network: &testkit.Network{}})
		if err := p.Cluster().CreateTopic(topic, 3, nil); err != nil {
			t.Fatal(err)
		}
		produce(t, p, 100)
		cl := consume(t, p, 40)
		if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(left, os.DirFS(running)); err != nil {
			t.Fatal(err)
		}

		after := testkit.StartPlatform(t, embedded.Options{DataDir: left, Network: &testkit.Network{}})
		checkCommitted(t, after, 40)
		consume(t, after, 60)
	})
}

func TestStartRefusesWhatCannotBe(t *testing.T) {
	for _, o := range []embedded.Options{{Brokers: -1}, {Brokers: 2, Ports: []int{9092}}, {Ports: []int{1, 2}}} {
		o.Network = &testkit.Network{}
		if p, err := embedded.StartPlatform(o); err == nil {
			_ = p.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestStartNamesAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	p, err := embedded.StartPlatform(embedded.Options{Ports: []int{l.Addr().(*net.TCPAddr).Port}})
	if err == nil {
		_ = p.Close()
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("got %v, want the listener's error", err)
	}
}

func TestCloseTwiceIsOneClose(t *testing.T) {
	p, err := embedded.StartPlatform(embedded.Options{Network: &testkit.Network{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
}

func produce(t *testing.T, p *embedded.Platform, records int) {
	t.Helper()
	cl := testkit.NewClient(t, p)
	for i := range records {
		cl.Produce(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	cl.Close()
}

// consume reads exactly so many records as a member of the group, which it has not left when it returns.
func consume(t *testing.T, p *embedded.Platform, records int) *kgo.Client {
	t.Helper()
	cl := testkit.NewClient(t, p, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for got := 0; got < records; {
		fetches := cl.PollRecords(t.Context(), records-got)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		got += fetches.NumRecords()
	}
	return cl
}

func checkCommitted(t *testing.T, p *embedded.Platform, want int64) {
	t.Helper()
	var got int64
	for _, c := range p.Cluster().GroupInfo(group).Commits[topic] {
		got += c.Offset
	}
	if got != want {
		t.Errorf("committed %d records, want %d", got, want)
	}
}

func registryClient(t *testing.T, p *embedded.Platform) *sr.Client {
	t.Helper()
	transport := &http.Transport{DialContext: p.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	rc, err := sr.NewClient(sr.URLs(p.RegistryURL()), sr.HTTPClient(&http.Client{Transport: transport, Timeout: 5 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	return rc
}
