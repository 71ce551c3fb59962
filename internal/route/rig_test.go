package route_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/consume"
	"sluice/internal/decode"
	"sluice/internal/deliver"
	"sluice/internal/demo/embedded"
	"sluice/internal/event"
	"sluice/internal/event/encode"
	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/route"
	"sluice/internal/settle"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
	"sluice/schemas"
)

const (
	purchaseID = 1   // the schema id of sluice.crmcom.Purchase
	webVisitID = 2   // of sluice.crmcom.WebVisit, for which there is no operation
	lateID     = 100 // of sluice.crmcom.Purchase too, in a registry that learns it late
	deadTopic  = "sluice.purchases.dlq"
	idWait     = time.Minute
	maxIDs     = 20 // that the decoder remembers
)

// vendor is an operation that takes every purchase, but for what encoding is told of it by its reference number.
type vendor struct {
	mu     sync.Mutex
	encode map[string]error
	sent   []string
}

func (*vendor) Spec() sink.OperationSpec {
	return sink.OperationSpec{Name: "purchases", Event: "sluice.crmcom.Purchase", MaxItems: 1, Repeatable: true}
}

func (v *vendor) Encode(_ context.Context, e any, _ sink.Origin) (sink.Item, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	number := e.(*event.Purchase).ReferenceNumber
	return sink.Item{Body: []byte(number)}, v.encode[number]
}

func (*vendor) EnvelopeSize(string) int { return 0 }

func (v *vendor) Send(_ context.Context, items []sink.Item) sink.Response {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, item := range items {
		v.sent = append(v.sent, string(item.Body))
	}
	return sink.Response{Result: sink.Result{Class: sink.Delivered}, ItemResults: []sink.Result{{Class: sink.Delivered}}}
}

// script says what encoding this purchase gives from now on; nil: an item.
func (v *vendor) script(number string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.encode[number] = err
}

func (v *vendor) delivered() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.sent...)
}

// rig is a router between a registry, the lanes of one operation, a settler with its broker, and one assignment. Time is the bubble's.
type rig struct {
	t       *testing.T
	p       *embedded.Platform
	vendor  *vendor
	router  *route.Router
	decoder *decode.Decoder
	lanes   *deliver.Dispatcher
	tracker *offset.Tracker
	life    context.Context
	die     context.CancelFunc
	obs     *observe.Pipeline
	logs    *observer.ObservedLogs
	encoder *encode.Encoder
	next    int64
	handled sync.WaitGroup
	steps   sync.WaitGroup
	routed  chan struct{}      // closed when Run has returned
	cut     context.CancelFunc // ends work
	work    context.Context
}

func newRig(t *testing.T, change func(*route.Config)) *rig {
	t.Helper()
	network := &testkit.Network{}
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{t: t, p: testkit.StartPlatform(t, embedded.Options{Network: network}), vendor: &vendor{encode: map[string]error{}}, logs: logs, routed: make(chan struct{})}
	r.obs = observe.NewRegistry(prometheus.NewRegistry()).Pipeline("purchases")
	if err := r.p.Cluster().CreateTopic(deadTopic, 1, nil); err != nil {
		t.Fatal(err)
	}
	r.register(purchaseID, "sluice.crmcom.Purchase")
	r.register(webVisitID, "sluice.crmcom.WebVisit")
	transport := network.Transport()
	t.Cleanup(transport.CloseIdleConnections)
	r.decoder = must[*decode.Decoder](t)(decode.NewDecoder(decode.Config{URLs: []string{r.p.RegistryURL()}, Transport: transport, MaxIDs: maxIDs}))
	group := must[*consume.Group](t)(consume.NewGroup(consume.Config{
		ClientOptions: []kgo.Opt{kgo.SeedBrokers(r.p.Brokers()...), kgo.Dialer(r.p.Dial)}, MaxInFlight: 100, MaxRecordBytes: 1 << 20,
	}, r.obs, zap.NewNop()))
	t.Cleanup(group.Close)
	settler := settle.NewSettler(settle.Config{ConnectorName: "sluice.purchases", DeadLetterTopic: deadTopic}, group.Producer(), r.obs, zap.NewNop())
	r.lanes = deliver.NewDispatcher(r.vendor, deliver.Config{
		OperationName: "crmcom.purchases", Concurrency: 1, MaxItems: 1, MaxBytes: 1 << 20, Timeout: time.Minute, RetryDelays: []time.Duration{time.Minute}, MaxAge: time.Hour,
		Breaker: deliver.BreakerConfig{Failures: 5, Ratio: 0.5, Window: time.Minute, OpenFor: time.Minute},
	}, group, settler, r.obs, zap.NewNop())
	cfg := route.Config{UnknownIDWait: idWait}
	if change != nil {
		change(&cfg)
	}
	targets := []route.Target{{OperationName: "crmcom.purchases", Operation: r.vendor, Dispatcher: r.lanes}}
	r.router = must[*route.Router](t)(route.NewRouter(cfg, r.decoder, targets, settler, r.obs, zap.New(core)))
	r.encoder = must[*encode.Encoder](t)(encode.NewEncoder())
	r.assign()
	r.run()
	return r
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (r *rig) run() {
	r.work, r.cut = context.WithCancel(context.Background())
	r.steps.Go(func() {
		r.router.Run(r.work)
		close(r.routed)
	})
	r.steps.Go(func() { _ = r.lanes.Run(r.work) })
	r.t.Cleanup(r.stop)
}

// stop ends the assignment, the router and the lanes as a pipeline does. A record that is still held then fails the test.
func (r *rig) stop() {
	r.drain(r.tracker)
	r.fence()
	r.handled.Wait()
	r.router.Close()
	r.lanes.Close()
	r.steps.Wait()
	r.cut()
	select {
	case <-r.tracker.Idle():
	default:
		r.t.Errorf("%d records are held after the end", r.tracker.Progress().Unsettled)
	}
	if hold := r.obs.Snapshot().Hold; hold != nil {
		r.t.Errorf("still held after the end: %s", hold.Reason)
	}
}

// register makes the registry know an id.
func (r *rig) register(id int, name string) {
	for _, s := range schemas.All() {
		if s.Name == name {
			r.p.Registry().SeedSchema(name, id, id, sr.Schema{Schema: s.JSON})
		}
	}
}

// assign begins an assignment; the records of the one before keep theirs.
func (r *rig) assign() {
	r.tracker = offset.NewTracker([16]byte{9}, r.next, nil)
	r.life, r.die = context.WithCancel(context.Background())
	r.t.Cleanup(r.die)
}

// drain ends an assignment up to the fence, as a revoke begins.
func (r *rig) drain(t *offset.Tracker) {
	t.StartDraining(time.Now().Add(time.Minute))
	r.router.NotifyDraining()
}

func (r *rig) fence() {
	r.tracker.Fence()
	r.die()
	r.router.NotifyDraining()
}

// record is the next one of the source, as consume hands it on.
func (r *rig) record(value []byte) *record.Record {
	r.t.Helper()
	rec := &record.Record{
		Raw:    &kgo.Record{Topic: "purchases", Offset: r.next, Key: []byte("k"), Value: value, Timestamp: time.Now()},
		Origin: sink.Origin{Topic: "purchases", TopicID: [16]byte{9}, Offset: r.next, Timestamp: time.Now()}, AssignmentCtx: r.life,
	}
	if fate := r.tracker.Track(&rec.Entry, r.next, 0, rec.Raw.Timestamp); fate != offset.PriorNone {
		r.t.Fatalf("offset %d is %v", r.next, fate)
	}
	r.next++
	return rec
}

// purchase is a record of a purchase with this reference number, written by the schema of an id.
func (r *rig) purchase(id int, number string) *record.Record {
	r.t.Helper()
	return r.record(must[[]byte](r.t)(r.encoder.Encode(id, &event.Purchase{ReferenceNumber: number})))
}

// handle hands records on as a reader does, on a goroutine of its own; what it gives is closed when Handle returns.
func (r *rig) handle(records ...*record.Record) <-chan struct{} {
	returned := make(chan struct{})
	r.handled.Go(func() {
		r.router.Handle(r.work, records)
		close(returned)
	})
	synctest.Wait()
	return returned
}

func (r *rig) wantReturned(returned <-chan struct{}, want bool) {
	r.t.Helper()
	select {
	case <-returned:
		if !want {
			r.t.Fatal("Handle returned, want it to wait")
		}
	default:
		if want {
			r.t.Fatal("Handle waits, want it to return")
		}
	}
}

// wantHold fails the test where the pipeline is not held for this reason; empty: not held.
func (r *rig) wantHold(want string) {
	r.t.Helper()
	got := ""
	if hold := r.obs.Snapshot().Hold; hold != nil {
		got = string(hold.Reason)
	}
	if got != want {
		r.t.Fatalf("held for %q, want %q", got, want)
	}
}

func (r *rig) wantDelivered(want ...string) {
	r.t.Helper()
	testkit.AdvanceClock(time.Second)
	got := r.vendor.delivered()
	if len(got) != len(want) {
		r.t.Fatalf("delivered %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			r.t.Fatalf("delivered %v, want %v", got, want)
		}
	}
}

// deadLetters reads the dead-letter topic, which must have n records.
func (r *rig) deadLetters(n int64) []map[string]string {
	r.t.Helper()
	testkit.AdvanceClock(time.Second)
	if at := r.p.Cluster().PartitionInfo(deadTopic, 0).HighWatermark; at != n {
		r.t.Fatalf("%d dead letters, want %d", at, n)
	}
	client := testkit.NewClient(r.t, r.p, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{deadTopic: {0: kgo.NewOffset().AtStart()}}))
	var letters []map[string]string
	for int64(len(letters)) < n {
		for _, dead := range client.PollFetches(r.t.Context()).Records() {
			headers := map[string]string{}
			for _, h := range dead.Headers {
				headers[h.Key] = string(h.Value)
			}
			letters = append(letters, headers)
		}
	}
	return letters
}

func (r *rig) wantSettled(committable int64, unsettled int) {
	r.t.Helper()
	if s := r.tracker.Progress(); s.Committable != committable || s.Unsettled != unsettled {
		r.t.Fatalf("committable %d with %d unsettled, want %d with %d", s.Committable, s.Unsettled, committable, unsettled)
	}
}
