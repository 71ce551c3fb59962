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

// cluster is an embedded platform with the topics of a pipeline.
type cluster struct {
	*embedded.Platform
	t       *testing.T
	commits *testkit.CommitOracle
	vendor  *vendor
	client  *kgo.Client
}

func newCluster(t *testing.T) *cluster { return newClusterOf(t, 1) }

func newClusterOf(t *testing.T, brokers int) *cluster {
	return newClusterWith(t, embedded.Options{Network: &testkit.Network{}, Brokers: brokers})
}

func newClusterWith(t *testing.T, o embedded.Options) *cluster {
	p := testkit.StartPlatform(t, o)
	for _, topic := range []string{source, tier10s, tier1m, dead} {
		if err := p.Cluster().CreateTopic(topic, numParts, nil); err != nil {
			t.Fatal(err)
		}
	}
	c := &cluster{Platform: p, t: t, commits: testkit.WatchCommits(p.Cluster()), vendor: &vendor{times: map[string][]time.Time{}}}
	c.client = testkit.NewClient(t, p, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return c
}

// produce writes n records round robin; plan gives the value of each, which says what the vendor does with it.
func (c *cluster) produce(n int, plan func(i int) string) {
	c.t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: source, Partition: int32(i % numParts), Key: fmt.Appendf(nil, "k%d", i), Value: []byte(plan(i)),
			Headers: []kgo.RecordHeader{{Key: "upstream", Value: []byte{0, byte(i)}}}}
		if err := c.client.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// vendor counts deliveries by origin.
type vendor struct {
	mu    sync.Mutex
	times map[string][]time.Time
}

func (v *vendor) accept(r *record.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.times[r.Origin.ID()] = append(v.times[r.Origin.ID()], time.Now())
}

func (v *vendor) counts() (delivered, duplicates int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, times := range v.times {
		delivered++
		duplicates += len(times) - 1
	}
	return delivered, duplicates
}

// line stands for the steps between consume and settle: it takes a while for each record, then does what the record's value says.
type line struct {
	t       *testing.T
	c       *cluster
	group   *consume.Group
	settler *settle.Settler
	rng     *rand.Rand
	work    sync.WaitGroup
	slow    time.Duration
	stuck   func(*record.Record) bool // such a record is held until its assignment ends
	sent    bool                      // every record is committed as sent first
	before  func(*record.Record)      // runs before the vendor is called; may block

	mu      sync.Mutex
	flushed chan struct{}
	unknown []string // origins that came as of unknown outcome
}

func (l *line) NotifyDraining() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.flushed)
	l.flushed = make(chan struct{})
}

// Handle gives records that take their time a goroutine each; those that do not, and those that are stuck, share one: thousands of goroutines at once are
// more than the race detector stands.
func (l *line) Handle(ctx context.Context, records []*record.Record) {
	var quick, stuck []*record.Record
	for _, r := range records {
		l.mu.Lock()
		took := time.Duration(l.rng.Int64N(int64(l.slow) + 1))
		if r.OutcomeUnknown {
			l.unknown = append(l.unknown, r.Origin.ID())
		}
		l.mu.Unlock()
		switch {
		case l.stuck != nil && l.stuck(r):
			stuck = append(stuck, r)
		case l.slow == 0 && !l.sent && l.before == nil:
			quick = append(quick, r)
		default:
			l.work.Go(func() { l.one(ctx, r, took) })
		}
	}
	if len(quick) > 0 {
		l.work.Go(func() { l.all(ctx, quick) })
	}
	if len(stuck) > 0 {
		l.work.Go(func() { l.hold(ctx, stuck) })
	}
}

func (l *line) all(ctx context.Context, records []*record.Record) {
	for _, r := range records {
		l.one(ctx, r, 0)
	}
}

// hold keeps records until they are stuck no more, or their assignment ends.
func (l *line) hold(ctx context.Context, records []*record.Record) {
	for len(records) > 0 {
		l.mu.Lock()
		flushed := l.flushed
		l.mu.Unlock()
		records = slices.DeleteFunc(records, func(r *record.Record) bool {
			_, draining := r.Draining()
			switch {
			case draining || ctx.Err() != nil:
				r.Release()
			case !l.stuck(r):
				l.one(ctx, r, 0)
			default:
				return false
			}
			return true
		})
		if len(records) == 0 {
			return
		}
		select {
		case <-flushed:
		case <-ctx.Done():
		}
	}
}

func (l *line) one(ctx context.Context, r *record.Record, took time.Duration) {
	if l.sent {
		if err := l.group.LogIntent(ctx, []*record.Record{r}); err != nil || r.Fenced() {
			r.Release()
			return
		}
	}
	if l.before != nil {
		l.before(r)
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		r.Release()
		return
	}
	o := record.Outcome{Record: r, OperationName: "crmcom.purchases", Disposition: record.DispositionDelivered, Attempt: r.Attempt + 1}
	switch string(r.Raw.Value) {
	case "dead":
		o.Disposition, o.Cause, o.Stage = record.DispositionDead, record.CauseRejected, record.StageDeliver
	case "retry once":
		if r.TierDelay == 0 {
			o.Disposition, o.Cause, o.Stage, o.Delay = record.DispositionRetry, record.CauseRetryable, record.StageDeliver, 10*time.Second
		}
	case "retry twice":
		if r.TierDelay < time.Minute {
			o.Disposition, o.Cause, o.Stage, o.Delay = record.DispositionRetry, record.CauseRetryable, record.StageDeliver, 10*time.Second
			if r.TierDelay == 10*time.Second {
				o.Delay = time.Minute
			}
		}
	}
	if o.Disposition == record.DispositionDelivered {
		l.c.vendor.accept(r)
	}
	l.c.commits.Settled(r.Raw.Topic, r.Raw.Partition, r.Raw.Offset)
	_ = l.settler.Settle(ctx, []record.Outcome{o})
}

// member is a running instance.
type member struct {
	*line
	obs        *observe.Pipeline
	net        *testkit.Uplink
	take, work context.CancelFunc
	over       chan struct{}
}

func (c *cluster) join(seed uint64, slow time.Duration, change func(*line, *consume.Config)) *member {
	c.t.Helper()
	m := &member{obs: observe.NewRegistry(prometheus.NewRegistry()).Pipeline("orders"), net: testkit.NewUplink(c.Dial), over: make(chan struct{})}
	cfg := consume.Config{
		Topic: source, Group: group, ClientOptions: []kgo.Opt{kgo.SeedBrokers(c.Brokers()...), kgo.Dialer(m.net.Dial)},
		RetryTiers:   []consume.RetryTier{{Topic: tier10s, Delay: 10 * time.Second}, {Topic: tier1m, Delay: time.Minute}},
		OnOffsetLost: consume.LostOffsetStop, MaxInFlight: 64, MaxInFlightBytes: 1 << 20, MaxRecordBytes: 1 << 20,
		DrainTimeout: 30 * time.Second, RebalanceTimeout: 60 * time.Second,
	}
	m.line = &line{t: c.t, c: c, rng: rand.New(rand.NewPCG(seed, 1)), slow: slow, flushed: make(chan struct{})}
	if change != nil {
		change(m.line, &cfg)
	}
	log := zaptest.NewLogger(c.t)
	g, err := consume.NewGroup(cfg, m.obs, log)
	if err != nil {
		c.t.Fatal(err)
	}
	m.group = g
	m.settler = settle.NewSettler(settle.Config{ConnectorName: group, DeadLetterTopic: dead, RetryTopics: map[time.Duration]string{10 * time.Second: tier10s, time.Minute: tier1m}},
		g.Producer(), nil, log)
	take, stopTake := context.WithCancel(context.Background())
	work, stopWork := context.WithCancel(context.Background())
	m.take, m.work = stopTake, stopWork
	go func() {
		defer close(m.over)
		if err := g.Run(take, work, m.line); err != nil {
			c.t.Errorf("running: %v", err)
		}
		g.Close()
		m.line.work.Wait()
	}()
	return m
}

// leave stops cleanly.
func (m *member) leave() {
	m.take()
	<-m.over
	m.work()
}

// crash cuts the instance off; what it still does reaches nobody.
func (m *member) crash() {
	m.net.Cut()
	m.work()
	m.take()
	<-m.over
}

// awaitCommitted waits until the group has committed all that was produced.
func (c *cluster) awaitCommitted(n int) {
	c.t.Helper()
	for p := range numParts {
		c.awaitOffset(source, int32(p), int64((n+numParts-1-p)/numParts))
	}
}

func (c *cluster) awaitOffset(topic string, partition int32, offset int64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Minute)
	defer cancel()
	if err := testkit.WaitCommitted(ctx, c.Cluster(), group, topic, partition, offset); err != nil {
		c.t.Error(err)
		c.t.FailNow()
	}
}

func (c *cluster) checkCount(delivered int) {
	c.t.Helper()
	if got, _ := c.vendor.counts(); got != delivered {
		c.t.Errorf("%d were delivered, want %d", got, delivered)
	}
}

func (c *cluster) check(delivered, duplicates int) {
	c.t.Helper()
	if err := c.commits.Check(); err != nil {
		c.t.Error(err)
	}
	gotDelivered, gotDuplicates := c.vendor.counts()
	if gotDelivered != delivered || gotDuplicates != duplicates {
		c.t.Errorf("delivered %d and %d twice, want %d and %d", gotDelivered, gotDuplicates, delivered, duplicates)
	}
}

func ok(int) string { return "ok" }
