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

// variant describes a purchases pipeline, built by hand, that may break a guarantee.
type variant struct {
	operation     func(sink.Operation) sink.Operation // nil leaves the operation unchanged
	clientOptions []kgo.Opt
	singleCall    bool // all records are sent in one call
}

// manualPipeline is a pipeline and the decoder that only it uses.
type manualPipeline struct {
	*pipeline.Pipeline
	decoder *decode.Decoder
}

func (h manualPipeline) Run(fetchCtx, workCtx context.Context) error {
	defer h.decoder.Close()
	return h.Pipeline.Run(fetchCtx, workCtx)
}

// startVariant starts an instance of a variant.
func (h *harness) startVariant(spec variant) *member {
	return h.startRunner(func(opts pipeline.Options) runner {
		kafka, err := pipeline.KafkaOptions(h.cfg.Kafka, opts.Dial, opts.Log)
		h.requireNoError(err)
		decoder, err := decode.NewDecoder(decode.Config{URLs: h.cfg.SchemaRegistry.URLs, Transport: opts.Transport})
		h.requireNoError(err)
		settings := h.cfg.Pipelines[0]
		tiers, retry := []consume.RetryTier{}, map[time.Duration]string{}
		for i, d := range settings.Retry.Delays {
			tiers, retry[d] = append(tiers, consume.RetryTier{Topic: h.retryTopics()[i], Delay: d}), h.retryTopics()[i]
		}
		built, err := pipeline.NewPipeline(pipeline.Config{
			Name: settings.Name,
			Consume: consume.Config{
				Topic: settings.Topic, Group: settings.ConsumerGroup,
				ClientOptions: append(kafka, spec.clientOptions...), RetryTiers: tiers,
				OnOffsetLost: consume.LostOffsetStop,
				MaxInFlight:  settings.MaxInFlight, MaxInFlightBytes: int(settings.MaxInFlightBytes),
				MaxRecordBytes: 1 << 20,
				DrainTimeout:   h.cfg.DrainTimeout, RebalanceTimeout: h.cfg.Kafka.RebalanceTimeout,
			},
			Route: route.Config{UnknownIDWait: unknownIDWait},
			Operations: []pipeline.OperationSettings{
				{Operation: h.newOperation(spec, opts), Deliver: h.deliverConfig(spec)},
			},
			Settle: settle.Config{
				ConnectorName: settings.ConsumerGroup, DeadLetterTopic: h.deadLetterTopic(), RetryTopics: retry,
			},
			Decoder: decoder,
		}, opts.Observe.Pipeline(settings.Name), opts.Log)
		h.requireNoError(err)
		return manualPipeline{built, decoder}
	})
}

func (h *harness) deliverConfig(spec variant) deliver.Config {
	settings := h.cfg.Pipelines[0]
	if spec.singleCall {
		settings.Concurrency, settings.Batch.MaxItems, settings.Batch.Linger = 1, 1000, time.Second
	}
	return deliver.Config{
		OperationName: h.pipeline.operation, Concurrency: settings.Concurrency, MaxItems: settings.Batch.MaxItems,
		MaxBytes: int(settings.Batch.MaxBytes), Linger: settings.Batch.Linger,
		Timeout: vendorTimeout, UnknownPolicy: sink.UnknownRetry, MaxResends: 2, RetryDelays: settings.Retry.Delays,
		MaxAge: settings.Retry.MaxAge,
		Breaker: deliver.BreakerConfig{
			Failures: settings.Breaker.Failures, Ratio: settings.Breaker.Ratio, Window: settings.Breaker.Window,
			OpenFor: settings.Breaker.OpenFor,
		},
	}
}

func (h *harness) newOperation(spec variant, opts pipeline.Options) sink.Operation {
	client, err := vendorhttp.NewClient(vendorhttp.Options{Transport: opts.Transport})
	h.requireNoError(err)
	settings, ok := h.cfg.Accounts["crmcom"].Settings().(*crmcom.Config)
	if !ok {
		h.Fatalf("account settings: got %T, want *crmcom.Config", h.cfg.Accounts["crmcom"].Settings())
	}
	operations, err := crmcom.New("crmcom", *settings, client)
	h.requireNoError(err)
	for _, op := range operations {
		switch {
		case op.Spec().Name != "purchases":
		case spec.operation != nil:
			return spec.operation(op)
		default:
			return op
		}
	}
	h.Fatal("operation purchases not found")
	return nil
}

// runSeeds runs a test with a few seeds of a scenario.
func runSeeds(t *testing.T, scn *scenario, test func(h *harness)) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) { test(newHarness(t, scn, &purchasesPipeline, seed)) })
		})
	}
}

// runVariant runs one member of a variant from start to end.
func (h *harness) runVariant(spec variant) {
	h.produceRecords(0)
	member := h.startVariant(spec)
	h.awaitSettled()
	member.stop()
}

func TestCorrectVariantPassesTheOracles(t *testing.T) {
	runSeeds(t, omittingScenario, func(h *harness) {
		h.runVariant(variant{})
		if err := h.checkRun(); err != nil {
			h.Error(err)
		}
	})
}

// acknowledgedEarly reports a call as delivered, and makes it only when the next one comes.
type acknowledgedEarly struct {
	sink.Operation
	mu   sync.Mutex
	held []sink.Item
}

func (e *acknowledgedEarly) Send(ctx context.Context, items []sink.Item) sink.Response {
	e.mu.Lock()
	due := e.held
	e.held = append([]sink.Item(nil), items...)
	e.mu.Unlock()
	if len(due) > 0 {
		e.Operation.Send(ctx, due)
	}
	return allDelivered(len(items))
}

func allDelivered(count int) sink.Response {
	resp := sink.Response{Result: sink.Result{Class: sink.Delivered, Status: 200}}
	for range count {
		resp.ItemResults = append(resp.ItemResults, resp.Result)
	}
	return resp
}

func TestCommitBeforeTheResponseIsCaught(t *testing.T) {
	runSeeds(t, &scenario{name: "early_acknowledgement", records: 60}, func(h *harness) {
		h.runVariant(variant{
			operation: func(op sink.Operation) sink.Operation { return &acknowledgedEarly{Operation: op} },
		})
		if h.commits.Check() == nil {
			h.Error("commit oracle: got no violation")
		}
		if h.checkRun() == nil {
			h.Error("the run passed, want a violation")
		}
	})
}

// omittedAsDelivered treats an item that the response omits as delivered.
type omittedAsDelivered struct{ sink.Operation }

func (o omittedAsDelivered) Send(ctx context.Context, items []sink.Item) sink.Response {
	resp := o.Operation.Send(ctx, items)
	for i := range resp.ItemResults {
		if resp.ItemResults[i].Class == sink.Unknown {
			resp.ItemResults[i].Class = sink.Delivered
		}
	}
	return resp
}

var omittingScenario = &scenario{name: "omitting", records: 60, mix: map[kind]int{forgotten: 6}, losesResponses: true}

func TestOmittedItemTreatedAsDeliveredIsCaught(t *testing.T) {
	runSeeds(t, omittingScenario, func(h *harness) {
		h.runVariant(variant{operation: func(op sink.Operation) sink.Operation { return omittedAsDelivered{op} }})
		if h.commits.Check() == nil {
			h.Error("commit oracle: got no violation")
		}
		if report := h.ledger.outcomes.BuildReport(); len(report.Lost) == 0 {
			h.Error("ledger: got nothing lost")
		}
	})
}

// groupClientHook captures the client that is a member of the group.
type groupClientHook struct {
	mu     sync.Mutex
	client *kgo.Client
}

// OnNewClient implements kgo.HookNewClient.
func (c *groupClientHook) OnNewClient(client *kgo.Client) {
	if group, _ := client.OptValue(kgo.ConsumerGroup).(string); group != "" {
		c.mu.Lock()
		c.client = client
		c.mu.Unlock()
	}
}

// committedUnfenced commits the offsets of a call right after its response, without regard to
// whether the partitions are still owned. Responses are held back until release is closed.
type committedUnfenced struct {
	sink.Operation
	harness *harness
	hook    *groupClientHook
	release chan struct{}
}

func (c committedUnfenced) Send(ctx context.Context, items []sink.Item) sink.Response {
	resp := c.Operation.Send(ctx, items)
	<-c.release
	offsets := map[int32]kgo.EpochOffset{}
	for _, item := range items {
		origin := c.harness.ledger.findRecord(item.ID).origin
		offsets[origin.Partition] = kgo.EpochOffset{
			Epoch: -1, Offset: max(offsets[origin.Partition].Offset, origin.Offset+1),
		}
	}
	c.hook.mu.Lock()
	member := c.hook.client
	c.hook.mu.Unlock()
	member.CommitOffsetsSync(
		context.WithoutCancel(ctx), map[string]map[int32]kgo.EpochOffset{c.harness.pipeline.name: offsets}, nil,
	)
	return resp
}

func TestCommitAfterRevocationIsCaught(t *testing.T) {
	runSeeds(t, &scenario{name: "late_commit", records: 120}, func(h *harness) {
		h.produceRecords(60)
		hook, late := new(groupClientHook), make(chan struct{})
		first := h.startVariant(variant{
			clientOptions: []kgo.Opt{kgo.WithHooks(hook)},
			operation:     func(op sink.Operation) sink.Operation { return committedUnfenced{op, h, hook, late} },
			singleCall:    true,
		})
		h.awaitMembers(1)
		testkit.AdvanceClock(5 * time.Second) // the call is made and its response held back
		second := h.startMember()
		h.awaitMembers(2)
		h.produceRecords(0)
		testkit.AdvanceClock(time.Minute) // the new owner has settled what it took over
		if err := h.commits.Check(); err != nil || h.commits.RewindCount() > 0 {
			h.Errorf("before the late commit: got error %v and %d rewinds, want none", err, h.commits.RewindCount())
		}
		close(late)
		testkit.AdvanceClock(time.Minute)
		if err := h.commits.Check(); err == nil || h.commits.RewindCount() == 0 {
			h.Errorf(
				"commit oracle: got error %v and %d rewinds (%d partitions), want both", err, h.commits.RewindCount(),
				h.partitions,
			)
		}
		first.stop()
		second.stop()
	})
}

func TestFaultThatNeverOccursFailsTheRun(t *testing.T) {
	scn := &scenario{name: "fault_never_occurs", records: 30, rules: func(e *environment) []sandbox.Rule {
		return e.operationRule("never", sandbox.Rule{
			When: sandbox.When{AfterCalls: 1000}, Do: sandbox.Action{Fault: sandbox.FaultTooLarge},
		})
	}}
	runSeeds(t, scn, func(h *harness) {
		runSteady(h)
		if h.checkRun() == nil {
			h.Error("the run passed, want a violation")
		}
	})
}
