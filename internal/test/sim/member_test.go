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
	w          *world
	brokers    *testkit.Uplink
	web        *testkit.Uplink // to the vendors and the registry
	transport  *http.Transport
	metrics    *prometheus.Registry
	take, work context.CancelFunc
	over       chan struct{}
}

// runner is what a member runs.
type runner interface {
	Run(take, work context.Context) error
}

// join starts an instance.
func (w *world) join() *member {
	w.Helper()
	return w.start(func(o pipeline.Options) runner {
		c, err := pipeline.NewConnector(w.cfg, o)
		w.must(err)
		return c
	})
}

func (w *world) start(build func(pipeline.Options) runner) *member {
	w.Helper()
	m := &member{
		w: w, brokers: testkit.NewUplink(w.network.DialContext), web: testkit.NewUplink(w.network.DialContext),
		metrics: prometheus.NewRegistry(), over: make(chan struct{}),
	}
	// As between the connector and a vendor: an idle connection is given up before the vendor would.
	m.transport = &http.Transport{DialContext: m.web.Dial, IdleConnTimeout: 4 * time.Second, MaxIdleConnsPerHost: 8}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	run := build(pipeline.Options{
		Dial: m.brokers.Dial, Transport: m.transport, Observe: observe.NewRegistry(m.metrics),
		Log: zap.New(zapcore.NewCore(encoder, zapcore.AddSync(w.logs), zapcore.InfoLevel)),
	})
	take, stopTake := context.WithCancel(context.Background())
	work, stopWork := context.WithCancel(context.Background())
	m.take, m.work = stopTake, stopWork
	w.members = append(w.members, m)
	w.Cleanup(m.kill) // what a test that has failed leaves behind
	go func() {
		defer close(m.over)
		if err := run.Run(take, work); err != nil {
			w.Errorf("running: %v", err)
		}
	}()
	return m
}

// leave stops cleanly.
func (m *member) leave() {
	m.take()
	<-m.over
	m.work()
	m.transport.CloseIdleConnections()
}

// crash cuts the instance off; what it still does reaches nobody.
func (m *member) crash() {
	m.web.Cut()
	m.cutOff()
	m.kill()
}

// cutOff takes the brokers from the instance. To the group that is a crash, and the instance knows nothing of it.
func (m *member) cutOff() {
	m.brokers.Cut()
	synctest.Wait() // what was on the line has arrived
	m.w.noteCrash()
}

func (m *member) kill() {
	m.work()
	m.take()
	<-m.over
	m.transport.CloseIdleConnections()
}

// noteCrash reads what the group's commits say of what is not settled at the end of a member's connections. Only that may come twice, and twice at the vendor only what was sent.
func (w *world) noteCrash() {
	w.crashes++
	before := len(w.sent) // they may wait to be sent again
	info := w.platform.Cluster().GroupInfo(w.group())
	if info == nil {
		return
	}
	ends := w.tap.ends()
	for p, end := range w.ends {
		ends[place{topic: w.line.pipeline, partition: int32(p)}] = end
	}
	for at, end := range ends {
		if at.topic == w.deadTopic() {
			continue
		}
		c := info.Commits[at.topic][at.partition]
		tracker := offset.NewTracker(w.platform.Cluster().TopicInfo(at.topic).TopicID, c.Offset, nil)
		if err := tracker.RestoreMetadata(c.Metadata); err != nil {
			w.Errorf("reading the metadata of %s-%d: %v", at.topic, at.partition, err)
		}
		for o := c.Offset; o < end; o++ {
			w.noteOpen(place{at.topic, at.partition, o}, tracker.Track(new(offset.Entry), o, 0, time.Time{}))
		}
	}
	// Where dead letters are refused too, a call's rejected records are called sent until their copies stand.
	if most := w.cfg.Pipelines[0].Concurrency * w.cfg.Pipelines[0].Batch.MaxItems * w.running(); len(w.sent)-before > most && !w.scenario.unclear {
		w.Errorf("the commits call %d more records sent, and no more than %d can be in calls", len(w.sent)-before, most)
	}
}

// running counts the members that have not ended; the one that is crashing is among them.
func (w *world) running() int {
	n := 0
	for _, m := range w.members {
		select {
		case <-m.over:
		default:
			n++
		}
	}
	return n
}

func (w *world) noteOpen(at place, fate offset.PriorState) {
	if fate != offset.PriorNone && fate != offset.PriorIntent {
		return
	}
	id := w.originAt(at)
	w.open[id] = true
	if fate == offset.PriorIntent {
		w.sent[id] = true
	}
}
