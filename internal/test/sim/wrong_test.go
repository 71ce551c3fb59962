package sim_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/consume"
	"sluice/internal/decode"
	"sluice/internal/deliver"
	"sluice/internal/demo/sandbox"
	"sluice/internal/pipeline"
	"sluice/internal/route"
	"sluice/internal/settle"
	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/vendorhttp"
	"sluice/internal/test/testkit"
)

// variant is a purchases line put together by hand, so that something in it can be wrong.
type variant struct {
	operation func(sink.Operation) sink.Operation // nil: as it is
	kafka     []kgo.Opt
	oneCall   bool // carries all that there is
}

// handMade is a pipeline and what it alone uses.
type handMade struct {
	*pipeline.Pipeline
	decoder *decode.Decoder
}

func (h handMade) Run(take, work context.Context) error {
	defer h.decoder.Close()
	return h.Pipeline.Run(take, work)
}

// joinVariant starts an instance of a line that is not as it should be.
func (w *world) joinVariant(v variant) *member {
	return w.start(func(o pipeline.Options) runner {
		kafka, err := pipeline.KafkaOptions(w.cfg.Kafka, o.Dial, o.Log)
		w.must(err)
		decoder, err := decode.NewDecoder(decode.Config{URLs: w.cfg.SchemaRegistry.URLs, Transport: o.Transport})
		w.must(err)
		p := w.cfg.Pipelines[0]
		tiers, retry := []consume.RetryTier{}, map[time.Duration]string{}
		for i, d := range p.Retry.Delays {
			tiers, retry[d] = append(tiers, consume.RetryTier{Topic: w.retryTopics()[i], Delay: d}), w.retryTopics()[i]
		}
		line, err := pipeline.NewPipeline(pipeline.Config{
			Name: p.Name,
			Consume: consume.Config{
				Topic: p.Topic, Group: p.ConsumerGroup, ClientOptions: append(kafka, v.kafka...), RetryTiers: tiers, OnOffsetLost: consume.LostOffsetStop,
				MaxInFlight: p.MaxInFlight, MaxInFlightBytes: int(p.MaxInFlightBytes), MaxRecordBytes: 1 << 20,
				DrainTimeout: w.cfg.DrainTimeout, RebalanceTimeout: w.cfg.Kafka.RebalanceTimeout,
			},
			Route:      route.Config{UnknownIDWait: unknownIDWait},
			Operations: []pipeline.OperationSettings{{Operation: w.purchases(v, o), Deliver: w.delivery(v)}},
			Settle:     settle.Config{ConnectorName: p.ConsumerGroup, DeadLetterTopic: w.deadTopic(), RetryTopics: retry},
			Decoder:    decoder,
		}, o.Observe.Pipeline(p.Name), o.Log)
		w.must(err)
		return handMade{line, decoder}
	})
}

func (w *world) delivery(v variant) deliver.Config {
	p := w.cfg.Pipelines[0]
	if v.oneCall {
		p.Concurrency, p.Batch.MaxItems, p.Batch.Linger = 1, 1000, time.Second
	}
	return deliver.Config{
		OperationName: w.line.operation, Concurrency: p.Concurrency, MaxItems: p.Batch.MaxItems, MaxBytes: int(p.Batch.MaxBytes), Linger: p.Batch.Linger,
		Timeout: vendorTimeout, UnknownPolicy: sink.UnknownRetry, MaxResends: 2, RetryDelays: p.Retry.Delays, MaxAge: p.Retry.MaxAge,
		Breaker: deliver.BreakerConfig{Failures: p.Breaker.Failures, Ratio: p.Breaker.Ratio, Window: p.Breaker.Window, OpenFor: p.Breaker.OpenFor},
	}
}

func (w *world) purchases(v variant, o pipeline.Options) sink.Operation {
	client, err := vendorhttp.NewClient(vendorhttp.Options{Transport: o.Transport})
	w.must(err)
	settings, ok := w.cfg.Accounts["crmcom"].Settings().(*crmcom.Config)
	if !ok {
		w.Fatalf("the account's settings are %T", w.cfg.Accounts["crmcom"].Settings())
	}
	operations, err := crmcom.New("crmcom", *settings, client)
	w.must(err)
	for _, op := range operations {
		switch {
		case op.Spec().Name != "purchases":
		case v.operation != nil:
			return v.operation(op)
		default:
			return op
		}
	}
	w.Fatal("there is no operation purchases")
	return nil
}

// inWorlds runs a test of the oracles in a few worlds of a scenario.
func inWorlds(t *testing.T, s *scenario, f func(w *world)) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) { f(newWorld(t, s, &purchases, seed)) })
		})
	}
}

// alone is one member of a variant from the start to the end.
func (w *world) alone(v variant) {
	w.produce(0)
	m := w.joinVariant(v)
	w.await()
	m.leave()
}

func TestALineMadeByHandWithoutAFaultPassesTheOracles(t *testing.T) {
	inWorlds(t, forgetful, func(w *world) {
		w.alone(variant{})
		if err := w.judge(); err != nil {
			w.Error(err)
		}
	})
}

// early says of a call that all is delivered, and makes it when the next one comes.
type early struct {
	sink.Operation
	mu   sync.Mutex
	held []sink.Item
}

func (e *early) Send(ctx context.Context, items []sink.Item) sink.Response {
	e.mu.Lock()
	due := e.held
	e.held = append([]sink.Item(nil), items...)
	e.mu.Unlock()
	if len(due) > 0 {
		e.Operation.Send(ctx, due)
	}
	return delivered(len(items))
}

func delivered(n int) sink.Response {
	a := sink.Response{Result: sink.Result{Class: sink.Delivered, Status: 200}}
	for range n {
		a.ItemResults = append(a.ItemResults, a.Result)
	}
	return a
}

func TestACommitBeforeTheVendorHasAnsweredIsCaught(t *testing.T) {
	inWorlds(t, &scenario{name: "early", records: 60}, func(w *world) {
		w.alone(variant{operation: func(op sink.Operation) sink.Operation { return &early{Operation: op} }})
		if w.commits.Check() == nil {
			w.Error("the oracle of commits saw nothing")
		}
		if w.judge() == nil {
			w.Error("the run passed")
		}
	})
}

// gullible takes an item that the answer forgot for delivered.
type gullible struct{ sink.Operation }

func (g gullible) Send(ctx context.Context, items []sink.Item) sink.Response {
	a := g.Operation.Send(ctx, items)
	for i := range a.ItemResults {
		if a.ItemResults[i].Class == sink.Unknown {
			a.ItemResults[i].Class = sink.Delivered
		}
	}
	return a
}

var forgetful = &scenario{name: "forgetful", records: 60, mix: map[kind]int{forgotten: 6}, unclear: true}

func TestAForgottenItemTakenForDeliveredIsCaught(t *testing.T) {
	inWorlds(t, forgetful, func(w *world) {
		w.alone(variant{operation: func(op sink.Operation) sink.Operation { return gullible{op} }})
		if w.commits.Check() == nil {
			w.Error("the oracle of commits saw nothing")
		}
		if r := w.books.ledger.Report(); len(r.Lost) == 0 {
			w.Error("the ledger saw nothing lost")
		}
	})
}

// clients catches the client that is in the group.
type clients struct {
	mu     sync.Mutex
	member *kgo.Client
}

// OnNewClient is kgo's hook.
func (c *clients) OnNewClient(cl *kgo.Client) {
	if group, _ := cl.OptValue(kgo.ConsumerGroup).(string); group != "" {
		c.mu.Lock()
		c.member = cl
		c.mu.Unlock()
	}
}

// unfenced commits what a call settled as soon as it was answered, by the call alone: whether its partitions are owned still, it does not ask. Its answers come
// late, after late is closed.
type unfenced struct {
	sink.Operation
	w    *world
	hook *clients
	late chan struct{}
}

func (u unfenced) Send(ctx context.Context, items []sink.Item) sink.Response {
	a := u.Operation.Send(ctx, items)
	<-u.late
	offsets := map[int32]kgo.EpochOffset{}
	for _, item := range items {
		o := u.w.books.find(item.ID).origin
		offsets[o.Partition] = kgo.EpochOffset{Epoch: -1, Offset: max(offsets[o.Partition].Offset, o.Offset+1)}
	}
	u.hook.mu.Lock()
	member := u.hook.member
	u.hook.mu.Unlock()
	member.CommitOffsetsSync(context.WithoutCancel(ctx), map[string]map[int32]kgo.EpochOffset{u.w.line.pipeline: offsets}, nil)
	return a
}

func TestALateSettleAfterARevokeIsCaught(t *testing.T) {
	inWorlds(t, &scenario{name: "late", records: 120}, func(w *world) {
		w.produce(60)
		hook, late := new(clients), make(chan struct{})
		a := w.joinVariant(variant{
			kafka:     []kgo.Opt{kgo.WithHooks(hook)},
			operation: func(op sink.Operation) sink.Operation { return unfenced{op, w, hook, late} },
			oneCall:   true,
		})
		w.awaitMembers(1)
		testkit.AdvanceClock(5 * time.Second) // its call is made, and not answered
		b := w.join()
		w.awaitMembers(2)
		w.produce(0)
		testkit.AdvanceClock(time.Minute) // the new owner has settled what it took over
		if err := w.commits.Check(); err != nil || w.commits.Rewinds() > 0 {
			w.Errorf("before the late settle: %v, and %d commits go back", err, w.commits.Rewinds())
		}
		close(late)
		testkit.AdvanceClock(time.Minute)
		if err := w.commits.Check(); err == nil || w.commits.Rewinds() == 0 {
			w.Errorf("the oracle of commits saw %v and %d commits that go back (%d partitions)", err, w.commits.Rewinds(), w.parts)
		}
		a.leave()
		b.leave()
	})
}

func TestAFaultThatDoesNotStrikeFailsTheRun(t *testing.T) {
	s := &scenario{name: "toothless", records: 30, rules: func(w *world) []sandbox.Rule {
		return w.fault("never", sandbox.Rule{When: sandbox.When{AfterCalls: 1000}, Do: sandbox.Action{Fault: sandbox.FaultTooLarge}})
	}}
	inWorlds(t, s, func(w *world) {
		steady(w)
		if w.judge() == nil {
			w.Error("the run passed")
		}
	})
}
