package sim_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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

// harness is a cluster, a registry and the vendors in one bubble, with the oracles at their
// borders.
type harness struct {
	*testing.T
	scenario   *scenario
	pipeline   *simPipeline
	seed       uint64
	rng        *rand.Rand
	partitions int

	network  *testkit.Network
	platform *embedded.Platform
	vendors  *sandbox.Server
	accounts *customerAccounts
	cfg      *config.Config
	client   *kgo.Client
	values   *valueEncoder
	topicID  [16]byte

	ledger         *ledger
	tap            *produceTap
	sends          *sendTap
	commits        *testkit.CommitOracle
	committed      chan struct{}            // signals a commit
	accepted       chan struct{}            // signals an acceptance that has no response yet
	highestCommits map[recordPosition]int64 // committed offsets, by position with offset 0
	sourceEnds     []int64                  // end offsets of the source partitions
	lastSeq        int
	plan           []kind // kinds of the records to come
	faultCounts    map[string]func() int
	members        []*member
	logs           *logBuffer

	crashes       int
	openAtCrash   map[string]bool // origins that were unsettled at a crash
	intentAtCrash map[string]bool // those of them that had an intent
}

const (
	firstDelay, lastDelay = 2 * time.Second, 6 * time.Second
	vendorTimeout         = 10 * time.Second
	unknownIDWait         = 5 * time.Second
)

func newHarness(t *testing.T, scn *scenario, pipeline *simPipeline, seed uint64) *harness {
	h := &harness{
		T: t, scenario: scn, pipeline: pipeline, seed: seed, rng: rand.New(rand.NewPCG(seed, 17)),
		network: &testkit.Network{}, logs: &logBuffer{},
		accounts:  &customerAccounts{firstQueried: map[string]time.Time{}, wait: firstDelay + time.Second},
		committed: make(chan struct{}, 1), accepted: make(chan struct{}, 1),
		faultCounts: map[string]func() int{}, openAtCrash: map[string]bool{}, intentAtCrash: map[string]bool{},
		highestCommits: map[recordPosition]int64{},
	}
	h.partitions = 3 + h.rng.IntN(4)
	h.platform = testkit.StartPlatform(t, embedded.Options{Network: h.network})
	h.plan = h.shuffledPlan()
	h.sends = &sendTap{harness: h, sends: map[string]int{}}
	h.startVendors()
	h.cfg = h.parseConfig()
	h.client = testkit.NewClient(
		t, h.platform, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics(),
	)
	h.createTopics()
	h.commits = testkit.WatchCommits(h.platform.Cluster())
	if scn.staleCommits {
		h.commits.AllowRewinds() // listUncommitted checks the commits that the broker accepts
	}
	h.ledger = newLedger(pipeline, h.commits)
	h.values = newValueEncoder(t, pipeline, h.platform.Registry())
	h.sourceEnds = make([]int64, h.partitions)
	h.topicID = h.platform.Cluster().TopicInfo(pipeline.name).TopicID
	own := append(h.retryTopics(), h.deadLetterTopic())
	for _, topic := range append(own, pipeline.name) {
		h.commits.StartAt(topic, 0, 0) // teaches the oracle the topic's id
	}
	h.tap = newProduceTap(h.platform.Cluster(), h.ledger, own, h.deadLetterTopic(), h.partitions)
	h.platform.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		notify(h.committed)
		return nil, nil, false
	})
	return h
}

// requireNoError ends the test if the harness itself fails.
func (h *harness) requireNoError(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) groupName() string { return config.GroupName(h.cfg.Name, h.pipeline.name) }
func (h *harness) deadLetterTopic() string {
	return topics.DeadLetterTopic(h.cfg.Name, h.pipeline.name)
}

func (h *harness) retryTopics() []string {
	return []string{
		topics.RetryTopic(h.cfg.Name, h.pipeline.name, firstDelay),
		topics.RetryTopic(h.cfg.Name, h.pipeline.name, lastDelay),
	}
}

func (h *harness) startVendors() {
	script, err := sandbox.NewScript(h.scriptRules()...)
	h.requireNoError(err)
	h.vendors = sandbox.New(sandbox.Options{
		CRMCOM: sandbox.CRMCOMOptions{AccountExists: h.accounts.accountExists},
		Expoints: sandbox.ExpointsOptions{
			Columns: []sandbox.Column{{ID: 1, Name: "event"}, {ID: 2, Name: "store"}}, EventIDColumn: "event",
		},
		Propel:     sandbox.PropelOptions{VersionField: "debtorId"},
		Script:     script,
		Latency:    sandbox.Latency{Fixed: 10 * time.Millisecond, Jitter: 300 * time.Millisecond, Seed: h.seed},
		KeepBodies: true, OnAccept: func(entry sandbox.LedgerEntry) {
			h.ledger.recordAccepted(entry)
			notify(h.accepted)
		},
	})
	handler := h.vendors.Handler(sandbox.Vendor(h.pipeline.vendor))
	testkit.ServeHTTP(h, h.network, h.pipeline.vendor+":80", h.sends.observeCalls(handler))
}

// scriptRules returns the rules that the kinds of records need, and those of the scenario.
func (h *harness) scriptRules() []sandbox.Rule {
	rules := kindRules(h.pipeline, h.plan)
	if h.scenario.rules != nil {
		rules = append(rules, h.scenario.rules(h)...)
	}
	return rules
}

func (h *harness) parseConfig() *config.Config {
	vendors := map[string]string{
		"crmcom": fmt.Sprintf(
			`base_url: "http://crmcom:80/crmapi/rest/v2", auth: {web_api_key: %s}`, sandbox.DefaultWebAPIKey,
		),
		"expoints": fmt.Sprintf(`base_url: "http://expoints:80", event_id_column: event, `+
			`auth: {token_url: "http://expoints:80%s", client_id: %s, client_secret: %s}`,
			sandbox.ExpointsTokenPath, sandbox.DefaultClientID, sandbox.DefaultClientSecret),
		"propel": fmt.Sprintf(`base_url: "http://propel:80/v2", `+
			`auth: {token_url: "http://propel:80%s", client_id: %s, client_secret: %s}`,
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
  %s:
    {concurrency: %d, batch: {max_items: %d, linger: 50ms}, max_in_flight: %d,
    retry: {delays: [%s, %s]}, dead_letter: {guard: {max_ratio: 1}}%s}
`, h.platform.Brokers()[0], h.groupProtocol(), h.platform.RegistryURL(), unknownIDWait,
		h.pipeline.vendor, vendors[h.pipeline.vendor], vendorTimeout,
		h.pipeline.name, 1+h.rng.IntN(4), 4+h.rng.IntN(12), 32+h.rng.IntN(64), firstDelay, lastDelay, h.skipSettings())
	cfg, err := config.Parse("sim.yaml", []byte(file), config.Options{Vendors: pipeline.VendorTypes()})
	h.requireNoError(err)
	return cfg
}

// groupProtocol selects KIP-848's protocol for every fourth seed.
func (h *harness) groupProtocol() string {
	if h.seed%4 == 3 {
		return config.GroupConsumer
	}
	return config.GroupClassic
}

// skipsUnhandled reports whether this seed's configuration skips records that belong to no
// operation.
func (h *harness) skipsUnhandled() bool { return h.seed%2 == 1 }

func (h *harness) skipSettings() string {
	if h.skipsUnhandled() {
		return ", unmapped: skip, tombstones: skip"
	}
	return ""
}

func (h *harness) createTopics() {
	h.requireNoError(h.platform.Cluster().CreateTopic(h.pipeline.name, int32(h.partitions), nil))
	_, err := topics.ApplyTopics(h.Context(), kadm.NewClient(h.client), topics.RequiredTopics(h.cfg), false)
	h.requireNoError(err)
}

// randomDuration returns a random duration below limit.
func (h *harness) randomDuration(limit time.Duration) time.Duration {
	return time.Duration(h.rng.Int64N(int64(limit)))
}

// logBuffer collects the members' log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) contents() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) tail() string {
	const limit = 6000
	contents := l.contents()
	return contents[max(0, len(contents)-limit):]
}
