package consume_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"sluice/internal/consume"
	"sluice/internal/demo/embedded"
	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/settle"
	"sluice/internal/test/testkit"
)

const (
	source   = "orders"
	tier10s  = "sluice.orders.retry.10s"
	tier1m   = "sluice.orders.retry.1m"
	dead     = "sluice.orders.dlq"
	group    = "sluice.orders"
	numParts = 3
)

// harness is an embedded broker with the topics of a pipeline, a fake vendor, and a client for the
// test itself. "First" in the names of its methods is partition 0 of the source topic.
type harness struct {
	*embedded.Platform
	t       *testing.T
	commits *testkit.CommitOracle
	vendor  *fakeVendor
	client  *kgo.Client
	markers *markerLog
}

func newHarness(t *testing.T) *harness { return newHarnessWithBrokers(t, 1) }

func newHarnessWithBrokers(t *testing.T, brokers int) *harness {
	return newHarnessWithOptions(t, embedded.Options{Network: &testkit.Network{}, Brokers: brokers})
}

func newHarnessWithOptions(t *testing.T, options embedded.Options) *harness {
	p := testkit.StartPlatform(t, options)
	for _, topic := range []string{source, tier10s, tier1m, dead} {
		if err := p.Cluster().CreateTopic(topic, numParts, nil); err != nil {
			t.Fatal(err)
		}
	}
	h := &harness{
		Platform: p, t: t, commits: testkit.WatchCommits(p.Cluster()),
		vendor: &fakeVendor{times: map[string][]time.Time{}},
	}
	h.markers = &markerLog{commits: h.commits, byPartition: map[topicPartition][]ownershipMarker{}}
	for _, topic := range []string{tier10s, tier1m} {
		h.commits.StartAt(topic, 0, 0) // the oracle learns the topic
	}
	h.client = h.newClient()
	return h
}

// newClient returns a client that produces to the partition of each record.
func (h *harness) newClient(options ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	return testkit.NewClient(h.t, h.Platform, append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
}

// produceRecords produces records to the source, round robin over its partitions. plan returns the
// value of each record, which determines what fakeStages does with it.
func (h *harness) produceRecords(count int, plan func(i int) string) {
	h.t.Helper()
	for i := range count {
		r := &kgo.Record{
			Topic: source, Partition: int32(i % numParts), Key: fmt.Appendf(nil, "k%d", i), Value: []byte(plan(i)),
			Headers: []kgo.RecordHeader{{Key: "upstream", Value: []byte{0, byte(i)}}},
		}
		if err := h.client.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// alwaysOK plans records that the vendor accepts.
func alwaysOK(int) string { return "ok" }

// fakeVendor counts deliveries by origin.
type fakeVendor struct {
	mu    sync.Mutex
	times map[string][]time.Time
}

func (v *fakeVendor) acceptRecord(r *record.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.times[r.Origin.ID()] = append(v.times[r.Origin.ID()], time.Now())
}

func (v *fakeVendor) countDeliveries() (delivered, duplicates int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, times := range v.times {
		delivered++
		duplicates += len(times) - 1
	}
	return delivered, duplicates
}

// fakeStages stands in for the stages between consume and settle. It takes a random time for each
// record, and then does what the record's value requests.
type fakeStages struct {
	t          *testing.T
	harness    *harness
	group      *consume.Group
	settler    *settle.Settler
	rng        *rand.Rand
	running    sync.WaitGroup
	maxLatency time.Duration
	isStuck    func(*record.Record) bool // such a record stays unsettled until its assignment ends
	logIntents bool                      // the intent of every record is committed first
	beforeCall func(*record.Record)      // runs before the vendor is called; may block
	// intentOf returns the intent to log for a record, and whether it is withdrawn again before the
	// call; nil: a first intent that is not.
	intentOf func(*record.Record) (intent record.Intent, withdrawn bool)

	mu              sync.Mutex
	drainNotified   chan struct{}
	unknownOutcomes []string // origins of records of unknown outcome
	resendsUnknown  []string // those of them with a resend intent
}

func (s *fakeStages) NotifyDraining() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.drainNotified)
	s.drainNotified = make(chan struct{})
}

// Handle starts a goroutine for each record that takes time, and one for all others, because the
// race detector cannot handle thousands of goroutines.
func (s *fakeStages) Handle(ctx context.Context, records []*record.Record) {
	var quick, stuck []*record.Record
	for _, r := range records {
		s.mu.Lock()
		latency := time.Duration(s.rng.Int64N(int64(s.maxLatency) + 1))
		if r.OutcomeUnknown {
			s.unknownOutcomes = append(s.unknownOutcomes, r.Origin.ID())
		}
		if r.ResendUnknown {
			s.resendsUnknown = append(s.resendsUnknown, r.Origin.ID())
		}
		s.mu.Unlock()
		switch {
		case s.isStuck != nil && s.isStuck(r):
			stuck = append(stuck, r)
		case s.maxLatency == 0 && !s.logIntents && s.beforeCall == nil:
			quick = append(quick, r)
		default:
			s.running.Go(func() { s.handleRecord(ctx, r, latency) })
		}
	}
	if len(quick) > 0 {
		s.running.Go(func() { s.handleQuick(ctx, quick) })
	}
	if len(stuck) > 0 {
		s.running.Go(func() { s.holdStuck(ctx, stuck) })
	}
}

func (s *fakeStages) handleQuick(ctx context.Context, records []*record.Record) {
	for _, r := range records {
		s.handleRecord(ctx, r, 0)
	}
}

// holdStuck waits until records are no longer stuck or their assignment ends.
func (s *fakeStages) holdStuck(ctx context.Context, records []*record.Record) {
	for len(records) > 0 {
		s.mu.Lock()
		notified := s.drainNotified
		s.mu.Unlock()
		records = slices.DeleteFunc(records, func(r *record.Record) bool {
			_, draining := r.Draining()
			switch {
			case draining || ctx.Err() != nil:
				r.Release()
			case !s.isStuck(r):
				s.handleRecord(ctx, r, 0)
			default:
				return false
			}
			return true
		})
		if len(records) == 0 {
			return
		}
		select {
		case <-notified:
		case <-ctx.Done():
		}
	}
}

func (s *fakeStages) handleRecord(ctx context.Context, r *record.Record, latency time.Duration) {
	if s.logIntents {
		intent, withdrawn := record.Intent{Record: r}, false
		if s.intentOf != nil {
			intent, withdrawn = s.intentOf(r)
		}
		if err := s.group.LogIntent(ctx, []record.Intent{intent}); err != nil || r.Fenced() {
			r.Release()
			return
		}
		if withdrawn {
			s.group.ClearIntent([]record.Intent{intent})
		}
	}
	if s.beforeCall != nil {
		s.beforeCall(r)
	}
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		r.Release()
		return
	}
	outcome := plannedOutcome(r)
	if outcome.Disposition == record.DispositionDelivered {
		s.harness.vendor.acceptRecord(r)
	}
	s.harness.commits.MarkSettled(r.Raw.Topic, r.Raw.Partition, r.Raw.Offset)
	_ = s.settler.Settle(ctx, []record.Outcome{outcome})
}

// plannedOutcome returns the outcome that a record's value plans.
func plannedOutcome(r *record.Record) record.Outcome {
	o := record.Outcome{
		Record: r, OperationName: "crmcom.purchases", Attempt: r.Attempt + 1, Sends: r.Sends + 1,
		Disposition: record.DispositionDelivered,
	}
	switch plan := string(r.Raw.Value); {
	case plan == "dead":
		o.Disposition, o.Cause, o.Stage = record.DispositionDead, record.CauseRejected, record.StageDeliver
	case plan == "retry once" && r.TierDelay == 0, plan == "retry twice" && r.TierDelay < time.Minute:
		o.Disposition, o.Cause, o.Stage = record.DispositionRetried, record.CauseRetryable, record.StageDeliver
		o.Delay = 10 * time.Second
		if r.TierDelay == 10*time.Second {
			o.Delay = time.Minute
		}
	}
	return o
}

// member is a running instance of the pipeline.
type member struct {
	*fakeStages
	obs                    *observe.Pipeline
	uplink                 *testkit.Uplink
	stopFetching, stopWork context.CancelFunc
	stopped                chan struct{}
}

// startMember starts a member whose stages take up to maxLatency for each record. change adjusts
// the stages and the configuration; it may be nil.
func (h *harness) startMember(
	seed uint64, maxLatency time.Duration, change func(*fakeStages, *consume.Config),
) *member {
	h.t.Helper()
	m := &member{
		obs:    observe.NewRegistry(prometheus.NewRegistry()).Pipeline("orders"),
		uplink: testkit.NewUplink(h.DialContext), stopped: make(chan struct{}),
	}
	m.fakeStages = &fakeStages{
		t: h.t, harness: h, rng: rand.New(rand.NewPCG(seed, 1)), maxLatency: maxLatency,
		drainNotified: make(chan struct{}),
	}
	cfg := h.memberConfig(m.uplink)
	if change != nil {
		change(m.fakeStages, &cfg)
	}
	log := zaptest.NewLogger(h.t)
	var err error
	if m.group, err = consume.NewGroup(cfg, m.obs, log); err != nil {
		h.t.Fatal(err)
	}
	m.settler = settle.NewSettler(settle.Config{
		ConnectorName: group, DeadLetterTopic: dead,
		RetryTopics: map[time.Duration]string{10 * time.Second: tier10s, time.Minute: tier1m},
	}, m.group.Producer(), nil, log)
	fetchCtx, stopFetching := context.WithCancel(context.Background())
	workCtx, stopWork := context.WithCancel(context.Background())
	m.stopFetching, m.stopWork = stopFetching, stopWork
	go func() {
		defer close(m.stopped)
		if err := m.group.Run(fetchCtx, workCtx, m.fakeStages); err != nil {
			h.t.Errorf("running the group: %v", err)
		}
		m.group.Close()
		m.running.Wait()
	}()
	return m
}

func (h *harness) memberConfig(uplink *testkit.Uplink) consume.Config {
	return consume.Config{
		Topic: source, Group: group,
		ClientOptions: []kgo.Opt{
			kgo.SeedBrokers(h.Brokers()...), kgo.Dialer(uplink.DialContext), kgo.WithHooks(h.markers),
		},
		RetryTiers: []consume.RetryTier{
			{Topic: tier10s, Delay: 10 * time.Second}, {Topic: tier1m, Delay: time.Minute},
		},
		OnOffsetLost: consume.LostOffsetStop, MaxInFlight: 64, MaxInFlightBytes: 1 << 20, MaxRecordBytes: 1 << 20,
		DrainTimeout: 30 * time.Second, RebalanceTimeout: 60 * time.Second,
	}
}

// stopCleanly stops the member with the first signal and waits for it.
func (m *member) stopCleanly() {
	m.stopFetching()
	<-m.stopped
	m.stopWork()
}

// crashMember cuts the member off from the broker and then stops it, so that none of its later
// requests have an effect.
func (m *member) crashMember() {
	m.uplink.CutConnections()
	m.stopWork()
	m.stopFetching()
	<-m.stopped
}

// awaitCommitted waits until the group has committed all n records that produceRecords produced.
func (h *harness) awaitCommitted(count int) {
	h.t.Helper()
	for p := range numParts {
		h.awaitOffset(source, int32(p), int64((count+numParts-1-p)/numParts))
	}
}

// awaitOffset waits until the group has committed an offset, not counting ownership markers.
func (h *harness) awaitOffset(topic string, partition int32, offset int64) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Minute)
	defer cancel()
	want, committed := offset, int64(-1)
	_, err := h.Cluster().WaitGroupInfo(ctx, group, func(info *kfake.GroupInfo) bool {
		if info == nil {
			return false
		}
		want = h.markers.addTo(offset, topic, partition)
		commit, ok := info.Commits[topic][partition]
		if ok {
			committed = commit.Offset
		}
		return ok && committed == want
	})
	if err != nil {
		h.t.Errorf("%s/%d: got committed offset %d, want %d, which is %d without ownership markers: %v",
			topic, partition, committed, want, offset, err)
		h.t.FailNow()
	}
}

// endOffset returns the end of a partition's log.
func (h *harness) endOffset(topic string, partition int32) int64 {
	return h.Cluster().PartitionInfo(topic, partition).HighWatermark
}

// checkDelivered checks how many records were delivered.
func (h *harness) checkDelivered(want int) {
	h.t.Helper()
	if got, _ := h.vendor.countDeliveries(); got != want {
		h.t.Errorf("got %d records delivered, want %d", got, want)
	}
}

// checkDeliveries checks the deliveries, and every commit against what was settled.
func (h *harness) checkDeliveries(wantDelivered, wantDuplicates int) {
	h.t.Helper()
	h.checkCommits()
	delivered, duplicates := h.vendor.countDeliveries()
	if delivered != wantDelivered || duplicates != wantDuplicates {
		h.t.Errorf("got %d records delivered and %d duplicates, want %d and %d",
			delivered, duplicates, wantDelivered, wantDuplicates)
	}
}

// checkCommits checks every commit against what was settled.
func (h *harness) checkCommits() {
	h.t.Helper()
	if err := h.commits.Check(); err != nil {
		h.t.Error(err)
	}
}
