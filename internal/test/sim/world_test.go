package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/config"
	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sandbox"
	"sluice/internal/pipeline"
	"sluice/internal/test/testkit"
	"sluice/internal/topics"
)

// world is a cluster, a registry and the vendors in one bubble, with the oracles at their borders.
type world struct {
	*testing.T
	scenario *scenario
	line     *line
	seed     uint64
	rng      *rand.Rand
	parts    int

	network  *testkit.Network
	platform *embedded.Platform
	vendors  *sandbox.Server
	accounts *accounts
	cfg      *config.Config
	client   *kgo.Client
	values   *values
	topicID  [16]byte

	books     *books
	tap       *tap
	commits   *testkit.CommitOracle
	committed chan struct{}   // signals a commit
	accepted  chan struct{}   // signals an acceptance that is not answered yet
	highest   map[place]int64 // commits that the broker had, by place with offset 0
	ends      []int64         // of the source's partitions
	seq       int
	plan      []kind // of the records to come
	fired     map[string]func() int
	members   []*member
	logs      *logs

	crashes int
	open    map[string]bool // origins that no commit called settled at a crash
	sent    map[string]bool // those of them that a commit called sent
}

const (
	firstDelay, lastDelay = 2 * time.Second, 6 * time.Second
	vendorTimeout         = 10 * time.Second
	unknownIDWait         = 5 * time.Second
)

func newWorld(t *testing.T, s *scenario, l *line, seed uint64) *world {
	w := &world{
		T: t, scenario: s, line: l, seed: seed, rng: rand.New(rand.NewPCG(seed, 17)), network: &testkit.Network{}, logs: &logs{},
		accounts: &accounts{asked: map[string]time.Time{}, wait: firstDelay + time.Second}, committed: make(chan struct{}, 1), accepted: make(chan struct{}, 1),
		fired: map[string]func() int{}, open: map[string]bool{}, sent: map[string]bool{}, highest: map[place]int64{},
	}
	w.parts = 3 + w.rng.IntN(4)
	w.platform = testkit.StartPlatform(t, embedded.Options{Network: w.network})
	w.plan = w.shuffledPlan()
	w.startVendors()
	w.cfg = w.parse()
	w.client = testkit.NewClient(t, w.platform, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	w.makeTopics()
	w.commits = testkit.WatchCommits(w.platform.Cluster())
	if s.stale {
		w.commits.AllowRewinds() // uncommitted sees those that the broker takes
	}
	w.books = newBooks(l, w.commits)
	w.values = newValues(t, l, w.platform.Registry())
	w.ends = make([]int64, w.parts)
	w.topicID = w.platform.Cluster().TopicInfo(l.pipeline).TopicID
	own := append(w.retryTopics(), w.deadTopic())
	for _, topic := range append(own, l.pipeline) {
		w.commits.StartAt(topic, 0, 0) // lets the oracle learn the topic's id
	}
	w.tap = watch(w.platform.Cluster(), w.books, own, w.deadTopic(), w.parts)
	w.platform.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		signal(w.committed)
		return nil, nil, false
	})
	return w
}

// must ends the test at an error of its own machinery.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) group() string     { return config.GroupName(w.cfg.Name, w.line.pipeline) }
func (w *world) deadTopic() string { return topics.DeadLetterTopic(w.cfg.Name, w.line.pipeline) }

func (w *world) retryTopics() []string {
	return []string{topics.RetryTopic(w.cfg.Name, w.line.pipeline, firstDelay), topics.RetryTopic(w.cfg.Name, w.line.pipeline, lastDelay)}
}

func (w *world) startVendors() {
	script, err := sandbox.NewScript(w.rules()...)
	w.must(err)
	w.vendors = sandbox.New(sandbox.Options{
		CRMCOM:   sandbox.CRMCOMOptions{AccountExists: w.accounts.exist},
		Expoints: sandbox.ExpointsOptions{Columns: []sandbox.Column{{ID: 1, Name: "event"}, {ID: 2, Name: "store"}}, EventIDColumn: "event"},
		Propel:   sandbox.PropelOptions{VersionField: "debtorId"},
		Script:   script, Latency: sandbox.Latency{Fixed: 10 * time.Millisecond, Jitter: 300 * time.Millisecond, Seed: w.seed},
		KeepBodies: true, OnAccept: func(e sandbox.LedgerEntry) {
			w.books.accept(e)
			signal(w.accepted)
		},
	})
	testkit.ServeHTTP(w, w.network, w.line.vendor+":80", w.vendors.Handler(sandbox.Vendor(w.line.vendor)))
}

// rules are the script's: those that the kinds of records need, and the scenario's own.
func (w *world) rules() []sandbox.Rule {
	rules := kindRules(w.line, w.plan)
	if w.scenario.rules != nil {
		rules = append(rules, w.scenario.rules(w)...)
	}
	return rules
}

func (w *world) parse() *config.Config {
	vendors := map[string]string{
		"crmcom": fmt.Sprintf(`base_url: "http://crmcom:80/crmapi/rest/v2", auth: {web_api_key: %s}`, sandbox.DefaultWebAPIKey),
		"expoints": fmt.Sprintf(`base_url: "http://expoints:80", event_id_column: event, auth: {token_url: "http://expoints:80%s", client_id: %s, client_secret: %s}`,
			sandbox.ExpointsTokenPath, sandbox.DefaultClientID, sandbox.DefaultClientSecret),
		"propel": fmt.Sprintf(`base_url: "http://propel:80/v2", auth: {token_url: "http://propel:80%s", client_id: %s, client_secret: %s}`,
			sandbox.PropelTokenPath, sandbox.DefaultClientID, sandbox.DefaultClientSecret),
	}
	file := fmt.Sprintf(`
name: sim
kafka: {brokers: [%q], rebalance_timeout: 40s, group_protocol: %s}
schema_registry: {urls: [%q], unknown_id_wait: %s}
drain_timeout: 20s
vendors:
  %s: {%s, timeout: %s}
pipelines:
  %s: {concurrency: %d, batch: {max_items: %d, linger: 50ms}, max_in_flight: %d, retry: {delays: [%s, %s]}, dead_letter: {guard: {max_ratio: 1}}%s}
`, w.platform.Brokers()[0], w.protocol(), w.platform.RegistryURL(), unknownIDWait, w.line.vendor, vendors[w.line.vendor], vendorTimeout,
		w.line.pipeline, 1+w.rng.IntN(4), 4+w.rng.IntN(12), 32+w.rng.IntN(64), firstDelay, lastDelay, w.skips())
	cfg, err := config.Parse("sim.yaml", []byte(file), config.Options{Vendors: pipeline.VendorTypes()})
	w.must(err)
	return cfg
}

// protocol is KIP-848's for every fourth seed.
func (w *world) protocol() string {
	if w.seed%4 == 3 {
		return config.GroupConsumer
	}
	return config.GroupClassic
}

// skipping tells whether this seed skips what names no operation.
func (w *world) skipping() bool { return w.seed%2 == 1 }

func (w *world) skips() string {
	if w.skipping() {
		return ", unmapped: skip, tombstones: skip"
	}
	return ""
}

func (w *world) makeTopics() {
	w.must(w.platform.Cluster().CreateTopic(w.line.pipeline, int32(w.parts), nil))
	_, err := topics.ApplyTopics(w.Context(), kadm.NewClient(w.client), topics.RequiredTopics(w.cfg), false)
	w.must(err)
}

// random is a time up to most.
func (w *world) random(most time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(most)))
}

// patience is the longest that a scenario may take, on the bubble's clock.
const patience = 2 * time.Hour

// await returns when everything that was produced is settled and committed, also in the retry topics.
func (w *world) await() {
	w.Helper()
	for deadline := time.Now().Add(patience); ; {
		open := w.uncommitted()
		if len(open) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("after %s these are not settled: %s\n%s", patience, strings.Join(open, ", "), w.logs.tail())
		}
		select {
		case <-w.committed:
		case <-time.After(time.Second):
		}
	}
}

// awaitMembers returns when the group is stable with so many members. A crash waits for it: kfake never misses a member whose connection ends while
// its join or sync is not answered.
func (w *world) awaitMembers(n int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	_, err := w.platform.Cluster().WaitGroupStable(ctx, w.group(), n)
	w.must(err)
}

// awaitCall returns when the vendor has accepted an item of a call that it answers later.
func (w *world) awaitCall() {
	w.Helper()
	select {
	case <-w.accepted: // may be long ago
	default:
	}
	select {
	case <-w.accepted:
	case <-time.After(patience):
		w.Fatal("no call")
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *world) uncommitted() []string {
	var open []string
	var commits map[string]map[int32]int64
	if info := w.platform.Cluster().GroupInfo(w.group()); info != nil {
		commits = map[string]map[int32]int64{}
		for topic, ps := range info.Commits {
			commits[topic] = map[int32]int64{}
			for p, c := range ps {
				commits[topic][p] = c.Offset
			}
		}
	}
	check := func(topic string, p int32, end int64) {
		if at := (place{topic: topic, partition: p}); commits[topic][p] < w.highest[at] {
			w.Errorf("the group's commit of %s-%d fell from %d to %d", topic, p, w.highest[at], commits[topic][p])
		} else {
			w.highest[at] = commits[topic][p]
		}
		if commits[topic][p] != end {
			open = append(open, fmt.Sprintf("%s-%d at %d of %d", topic, p, commits[topic][p], end))
		}
	}
	for p, end := range w.ends {
		check(w.line.pipeline, int32(p), end)
	}
	for at, end := range w.tap.ends() {
		if at.topic != w.deadTopic() {
			check(at.topic, at.partition, end)
		}
	}
	return open
}

// logs is what the members say.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) tail() string {
	const most = 6000
	s := l.text()
	return s[max(0, len(s)-most):]
}
