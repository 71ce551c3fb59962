package sim_test

import (
	"context"
	"net/http"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/internal/observe"
	"sluice/internal/offset"
	"sluice/internal/pipeline"
	"sluice/internal/test/testkit"
)

// member is a running instance of the connector.
type member struct {
	harness                   *harness
	brokerUplink              *testkit.Uplink
	httpUplink                *testkit.Uplink // to the vendors and the registry
	transport                 *http.Transport
	metrics                   *prometheus.Registry
	stopFetching, stopWorking context.CancelFunc
	done                      chan struct{}
}

// runner is what a member runs.
type runner interface {
	Run(fetchCtx, workCtx context.Context) error
}

// startMember starts an instance.
func (h *harness) startMember() *member {
	h.Helper()
	return h.startRunner(func(opts pipeline.Options) runner {
		c, err := pipeline.NewConnector(h.cfg, opts)
		h.requireNoError(err)
		return c
	})
}

func (h *harness) startRunner(build func(pipeline.Options) runner) *member {
	h.Helper()
	started := &member{
		harness: h, brokerUplink: testkit.NewUplink(h.network.DialContext),
		httpUplink: testkit.NewUplink(h.network.DialContext),
		metrics:    prometheus.NewRegistry(), done: make(chan struct{}),
	}
	// As in production, the connector closes idle connections before the vendor would.
	started.transport = &http.Transport{
		DialContext: started.httpUplink.DialContext, IdleConnTimeout: 4 * time.Second, MaxIdleConnsPerHost: 8,
	}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	run := build(pipeline.Options{
		Dial: started.brokerUplink.DialContext, Transport: started.transport, Observe: observe.NewRegistry(started.metrics),
		Log: zap.New(zapcore.NewCore(encoder, zapcore.AddSync(h.logs), zapcore.InfoLevel)),
	})
	fetchCtx, stopFetching := context.WithCancel(context.Background())
	workCtx, stopWorking := context.WithCancel(context.Background())
	started.stopFetching, started.stopWorking = stopFetching, stopWorking
	h.members = append(h.members, started)
	h.Cleanup(started.abort) // in case the test fails
	go func() {
		defer close(started.done)
		if err := run.Run(fetchCtx, workCtx); err != nil {
			h.Errorf("running a member: %v", err)
		}
	}()
	return started
}

// stop stops the member gracefully.
func (m *member) stop() {
	m.stopFetching()
	<-m.done
	m.stopWorking()
	m.transport.CloseIdleConnections()
}

// crash disconnects the member, so that nothing that it does afterwards has an effect, and stops
// it.
func (m *member) crash() {
	m.httpUplink.CutConnections()
	m.cutOff()
	m.abort()
}

// cutOff disconnects the member from the brokers. To the group this is a crash, while the member
// does not notice.
func (m *member) cutOff() {
	m.brokerUplink.CutConnections()
	synctest.Wait() // data in transit has arrived
	m.harness.recordCrash()
}

func (m *member) abort() {
	m.stopWorking()
	m.stopFetching()
	<-m.done
	m.transport.CloseIdleConnections()
}

// recordCrash reads from the commits which records are unsettled when a member's connections end.
// Only these may be handled twice, and only those with a send intent may be sent to the vendor
// twice.
func (h *harness) recordCrash() {
	h.crashes++
	before := len(h.intentAtCrash) // earlier ones may still wait to be resent
	info := h.platform.Cluster().GroupInfo(h.groupName())
	if info == nil {
		return
	}
	ends := h.tap.endOffsets()
	for p, end := range h.sourceEnds {
		ends[recordPosition{topic: h.pipeline.name, partition: int32(p)}] = end
	}
	for position, end := range ends {
		if position.topic == h.deadLetterTopic() {
			continue
		}
		c := info.Commits[position.topic][position.partition]
		tracker := offset.NewTracker(h.platform.Cluster().TopicInfo(position.topic).TopicID, c.Offset, nil)
		if err := tracker.RestoreMetadata(c.Metadata); err != nil {
			h.Errorf("reading the commit metadata of %s-%d: %v", position.topic, position.partition, err)
		}
		for o := c.Offset; o < end; o++ {
			h.recordOpen(
				recordPosition{position.topic, position.partition, o},
				tracker.Track(new(offset.Entry), o, 0, time.Time{}),
			)
		}
	}
	// If dead letters are refused too, the rejected records of a call keep their intent until their
	// copies are written.
	settings := h.cfg.Pipelines[0]
	limit := settings.Concurrency * settings.Batch.MaxItems * h.countRunning()
	if len(h.intentAtCrash)-before > limit && !h.scenario.losesResponses {
		h.Errorf(
			"got %d more records with an intent, want at most %d, the items of all calls", len(h.intentAtCrash)-before,
			limit,
		)
	}
}

// countRunning counts the members that have not ended, including one that is crashing.
func (h *harness) countRunning() int {
	count := 0
	for _, member := range h.members {
		select {
		case <-member.done:
		default:
			count++
		}
	}
	return count
}

func (h *harness) recordOpen(position recordPosition, state offset.PriorState) {
	if state != offset.PriorNone && !state.MayHaveBeenSent() {
		return
	}
	id := h.originAt(position)
	h.unsettledAtCrash[id] = true
	if state.MayHaveBeenSent() {
		h.intentAtCrash[id] = true
	}
}
