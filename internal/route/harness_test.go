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
	purchaseID = 1   // the schema ID of sluice.crmcom.Purchase
	webVisitID = 2   // of sluice.crmcom.WebVisit, which has no operation
	lateID     = 100 // of sluice.crmcom.Purchase too, unknown to the registry at first
	deadTopic  = "sluice.purchases.dlq"
	idWait     = time.Minute
	maxIDs     = 20 // schema IDs that the decoder remembers
)

// fakeOperation accepts every purchase. Encoding fails for those with an error in encodeErrors.
type fakeOperation struct {
	mu           sync.Mutex
	encodeErrors map[string]error // by reference number
	sent         []string
}

func (*fakeOperation) Spec() sink.OperationSpec {
	return sink.OperationSpec{Name: "purchases", Event: "sluice.crmcom.Purchase", MaxItems: 1, Repeatable: true}
}

func (v *fakeOperation) Encode(_ context.Context, purchase any, _ sink.Origin) (sink.Item, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	number := purchase.(*event.Purchase).ReferenceNumber
	return sink.Item{Body: []byte(number)}, v.encodeErrors[number]
}

func (*fakeOperation) EnvelopeSize(string) int { return 0 }

func (v *fakeOperation) Send(_ context.Context, items []sink.Item) sink.Response {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, item := range items {
		v.sent = append(v.sent, string(item.Body))
	}
	delivered := sink.Result{Class: sink.Delivered}
	return sink.Response{Result: delivered, ItemResults: []sink.Result{delivered}}
}

// setEncodeError makes encoding the purchase fail from now on, or succeed again if err is nil.
func (v *fakeOperation) setEncodeError(number string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.encodeErrors[number] = err
}

func (v *fakeOperation) deliveredItems() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.sent...)
}

// harness is a router with a schema registry, the lanes of one operation, a settler with its
// brokers, and one assignment. Time is that of the synctest bubble.
type harness struct {
	t             *testing.T
	platform      *embedded.Platform
	vendor        *fakeOperation
	router        *route.Router
	decoder       *decode.Decoder
	dispatcher    *deliver.Dispatcher
	tracker       *offset.Tracker
	assignmentCtx context.Context
	endAssignment context.CancelFunc
	obs           *observe.Pipeline
	logs          *observer.ObservedLogs
	encoder       *encode.Encoder
	nextOffset    int64
	handling      sync.WaitGroup // calls of Handle
	running       sync.WaitGroup // the router and the dispatcher
	runReturned   chan struct{}  // closed when the router's Run has returned
	workCtx       context.Context
	endWork       context.CancelFunc
}

// newHarness starts a router whose configuration adjust may change.
func newHarness(t *testing.T, adjust func(*route.Config)) *harness {
	t.Helper()
	network := &testkit.Network{}
	core, logs := observer.New(zap.DebugLevel)
	h := &harness{
		t: t, platform: testkit.StartPlatform(t, embedded.Options{Network: network}),
		vendor: &fakeOperation{encodeErrors: map[string]error{}}, logs: logs, runReturned: make(chan struct{}),
	}
	h.obs = observe.NewRegistry(prometheus.NewRegistry()).Pipeline("purchases")
	if err := h.platform.Cluster().CreateTopic(deadTopic, 1, nil); err != nil {
		t.Fatal(err)
	}
	h.registerSchema(purchaseID, "sluice.crmcom.Purchase")
	h.registerSchema(webVisitID, "sluice.crmcom.WebVisit")
	transport := network.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	h.decoder = mustReturn[*decode.Decoder](t)(decode.NewDecoder(decode.Config{
		URLs: []string{h.platform.RegistryURL()}, Transport: transport, MaxIDs: maxIDs,
	}))
	h.encoder = mustReturn[*encode.Encoder](t)(encode.NewEncoder())
	h.newRouter(adjust, zap.New(core))
	h.startAssignment()
	h.startRun()
	return h
}

// newRouter builds the router and the components that it hands records to.
func (h *harness) newRouter(adjust func(*route.Config), log *zap.Logger) {
	group := mustReturn[*consume.Group](h.t)(consume.NewGroup(consume.Config{
		ClientOptions: []kgo.Opt{kgo.SeedBrokers(h.platform.Brokers()...), kgo.Dialer(h.platform.DialContext)},
		MaxInFlight:   100, MaxRecordBytes: 1 << 20,
	}, h.obs, zap.NewNop()))
	h.t.Cleanup(group.Close)
	settleCfg := settle.Config{ConnectorName: "sluice.purchases", DeadLetterTopic: deadTopic}
	settler := settle.NewSettler(settleCfg, group.Producer(), h.obs, zap.NewNop())
	h.dispatcher = deliver.NewDispatcher(h.vendor, deliver.Config{
		OperationName: "crmcom.purchases", Concurrency: 1, MaxItems: 1, MaxBytes: 1 << 20, Timeout: time.Minute,
		RetryDelays: []time.Duration{time.Minute}, MaxAge: time.Hour,
		Breaker: deliver.BreakerConfig{Failures: 5, Ratio: 0.5, Window: time.Minute, OpenFor: time.Minute},
	}, group, settler, h.obs, zap.NewNop())
	cfg := route.Config{UnknownIDWait: idWait}
	if adjust != nil {
		adjust(&cfg)
	}
	targets := []route.Target{{OperationName: "crmcom.purchases", Operation: h.vendor, Dispatcher: h.dispatcher}}
	h.router = mustReturn[*route.Router](h.t)(route.NewRouter(cfg, h.decoder, targets, settler, h.obs, log))
}

// mustReturn fails the test if the call that it is applied to returned an error.
func mustReturn[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (h *harness) startRun() {
	h.workCtx, h.endWork = context.WithCancel(context.Background())
	h.running.Go(func() {
		h.router.Run(h.workCtx)
		close(h.runReturned)
	})
	h.running.Go(func() { _ = h.dispatcher.Run(h.workCtx) })
	h.t.Cleanup(h.stopAndCheck)
}

// stopAndCheck ends the assignment, the router and the lanes as a pipeline does. It fails the test
// if a record is then still in flight or the pipeline is held.
func (h *harness) stopAndCheck() {
	h.drainAssignment(h.tracker)
	h.fenceAssignment()
	h.handling.Wait()
	h.router.Close()
	h.dispatcher.Close()
	h.running.Wait()
	h.endWork()
	select {
	case <-h.tracker.Idle():
	default:
		h.t.Errorf("got %d records in flight after the end, want none", h.tracker.Progress().Unsettled)
	}
	if hold := h.obs.Snapshot().Hold; hold != nil {
		h.t.Errorf("got the hold %s after the end, want none", hold.Reason)
	}
}

// registerSchema registers the schema with the given name under the ID.
func (h *harness) registerSchema(id int, name string) {
	for _, s := range schemas.All() {
		if s.Name == name {
			h.platform.Registry().SeedSchema(name, id, id, sr.Schema{Schema: s.JSON})
		}
	}
}

// startAssignment starts a new assignment. Earlier records stay in their own assignment.
func (h *harness) startAssignment() {
	h.tracker = offset.NewTracker([16]byte{9}, h.nextOffset, nil)
	h.assignmentCtx, h.endAssignment = context.WithCancel(context.Background())
	h.t.Cleanup(h.endAssignment)
}

// drainAssignment starts draining an assignment, as a revocation does.
func (h *harness) drainAssignment(tracker *offset.Tracker) {
	tracker.StartDraining(time.Now().Add(time.Minute))
	h.router.NotifyDraining()
}

func (h *harness) fenceAssignment() {
	h.tracker.Fence()
	h.endAssignment()
	h.router.NotifyDraining()
}

// newRecord returns the next record of the source topic, as consume passes it on.
func (h *harness) newRecord(value []byte) *record.Record {
	h.t.Helper()
	rec := &record.Record{
		Raw: &kgo.Record{
			Topic: "purchases", Offset: h.nextOffset, Key: []byte("k"), Value: value, Timestamp: time.Now(),
		},
		Origin: sink.Origin{Topic: "purchases", TopicID: [16]byte{9}, Offset: h.nextOffset, Timestamp: time.Now()},

		AssignmentCtx: h.assignmentCtx,
	}
	if prior := h.tracker.Track(&rec.Entry, h.nextOffset, 0, rec.Raw.Timestamp); prior != offset.PriorNone {
		h.t.Fatalf("offset %d: got prior state %v, want none", h.nextOffset, prior)
	}
	h.nextOffset++
	return rec
}

// purchaseRecord returns a record of a purchase, encoded with the schema ID.
func (h *harness) purchaseRecord(id int, number string) *record.Record {
	h.t.Helper()
	return h.newRecord(mustReturn[[]byte](h.t)(h.encoder.Encode(id, &event.Purchase{ReferenceNumber: number})))
}

// handleAsync passes records to Handle on a goroutine; the channel is closed when Handle has
// returned.
func (h *harness) handleAsync(records ...*record.Record) <-chan struct{} {
	returned := make(chan struct{})
	h.handling.Go(func() {
		h.router.Handle(h.workCtx, records)
		close(returned)
	})
	synctest.Wait()
	return returned
}

func (h *harness) checkReturned(returned <-chan struct{}, want bool) {
	h.t.Helper()
	select {
	case <-returned:
		if !want {
			h.t.Fatal("Handle has returned, want it to wait")
		}
	default:
		if want {
			h.t.Fatal("Handle is waiting, want it to have returned")
		}
	}
}

// checkHold fails the test unless the pipeline is held for the reason, or not held if it is empty.
func (h *harness) checkHold(want string) {
	h.t.Helper()
	got := ""
	if hold := h.obs.Snapshot().Hold; hold != nil {
		got = string(hold.Reason)
	}
	if got != want {
		h.t.Fatalf("got the hold %q, want %q", got, want)
	}
}

func (h *harness) checkDelivered(want ...string) {
	h.t.Helper()
	testkit.AdvanceClock(time.Second)
	got := h.vendor.deliveredItems()
	if len(got) != len(want) {
		h.t.Fatalf("got deliveries %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			h.t.Fatalf("got deliveries %v, want %v", got, want)
		}
	}
}

// readDeadLetters returns the headers of the dead letters, of which there must be n.
func (h *harness) readDeadLetters(n int64) []map[string]string {
	h.t.Helper()
	testkit.AdvanceClock(time.Second)
	if end := h.platform.Cluster().PartitionInfo(deadTopic, 0).HighWatermark; end != n {
		h.t.Fatalf("got %d dead letters, want %d", end, n)
	}
	fromStart := map[string]map[int32]kgo.Offset{deadTopic: {0: kgo.NewOffset().AtStart()}}
	client := testkit.NewClient(h.t, h.platform, kgo.ConsumePartitions(fromStart))
	var letters []map[string]string
	for int64(len(letters)) < n {
		for _, dead := range client.PollFetches(h.t.Context()).Records() {
			headers := map[string]string{}
			for _, header := range dead.Headers {
				headers[header.Key] = string(header.Value)
			}
			letters = append(letters, headers)
		}
	}
	return letters
}

func (h *harness) checkProgress(committable int64, unsettled int) {
	h.t.Helper()
	if s := h.tracker.Progress(); s.Committable != committable || s.Unsettled != unsettled {
		h.t.Fatalf("got committable %d and %d unsettled, want %d and %d",
			s.Committable, s.Unsettled, committable, unsettled)
	}
}
