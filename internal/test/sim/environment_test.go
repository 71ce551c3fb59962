package sim_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/config"
	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sandbox"
	"sluice/internal/pipeline"
	"sluice/internal/test/testkit"
	"sluice/internal/topics"
)

// environment is what surrounds the connector in one run: the cluster, the registry and the fake
// vendor, all in one synctest bubble, with the scenario and the random choices that the seed
// determines.
type environment struct {
	*testing.T
	scenario   *scenario
	pipeline   *simPipeline
	seed       uint64
	rng        *rand.Rand
	partitions int
	plan       []kind // kinds of the records that are yet to be produced

	network  *testkit.Network
	platform *embedded.Platform
	vendors  *sandbox.Server
	accounts *customerAccounts
	cfg      *config.Config
	client   *kgo.Client
}

const (
	firstDelay, lastDelay = 2 * time.Second, 6 * time.Second
	vendorTimeout         = 10 * time.Second
	unknownIDWait         = 5 * time.Second
)

// newEnvironment starts the cluster and the registry. The vendor is started by startVendor.
func newEnvironment(t *testing.T, scn *scenario, pipeline *simPipeline, seed uint64) *environment {
	e := &environment{
		T: t, scenario: scn, pipeline: pipeline, seed: seed, rng: rand.New(rand.NewPCG(seed, 17)),
		network:  &testkit.Network{},
		accounts: &customerAccounts{firstQueried: map[string]time.Time{}, wait: firstDelay + time.Second},
	}
	e.partitions = 3 + e.rng.IntN(4)
	e.platform = testkit.StartPlatform(t, embedded.Options{Network: e.network})
	e.plan = e.shuffledPlan()
	return e
}

// startVendor starts the pipeline's vendor. onAccept is called for each item that the vendor
// accepts, before it responds; observe wraps its handler.
func (e *environment) startVendor(onAccept func(sandbox.LedgerEntry), observe func(http.Handler) http.Handler) {
	script, err := sandbox.NewScript(e.scriptRules()...)
	e.requireNoError(err)
	e.vendors = sandbox.New(sandbox.Options{
		CRMCOM: sandbox.CRMCOMOptions{AccountExists: e.accounts.accountExists},
		Expoints: sandbox.ExpointsOptions{
			Columns: []sandbox.Column{{ID: 1, Name: "event"}, {ID: 2, Name: "store"}}, EventIDColumn: "event",
		},
		Propel:     sandbox.PropelOptions{VersionField: "debtorId"},
		Script:     script,
		Latency:    sandbox.Latency{Fixed: 10 * time.Millisecond, Jitter: 300 * time.Millisecond, Seed: e.seed},
		KeepBodies: true, OnAccept: onAccept,
	})
	handler := e.vendors.Handler(sandbox.Vendor(e.pipeline.vendor))
	testkit.ServeHTTP(e, e.network, e.pipeline.vendor+":80", observe(handler))
}

// requireNoError ends the test if the harness itself fails.
func (e *environment) requireNoError(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *environment) groupName() string { return config.GroupName(e.cfg.Name, e.pipeline.name) }

func (e *environment) deadLetterTopic() string {
	return topics.DeadLetterTopic(e.cfg.Name, e.pipeline.name)
}

func (e *environment) retryTopics() []string {
	return []string{
		topics.RetryTopic(e.cfg.Name, e.pipeline.name, firstDelay),
		topics.RetryTopic(e.cfg.Name, e.pipeline.name, lastDelay),
	}
}

// scriptRules returns the rules that make the vendor refuse the planned kinds of records, followed
// by the scenario's.
func (e *environment) scriptRules() []sandbox.Rule {
	rules := kindRules(e.pipeline, e.plan)
	if e.scenario.rules != nil {
		rules = append(rules, e.scenario.rules(e)...)
	}
	return rules
}

func (e *environment) parseConfig() *config.Config {
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
`, e.platform.Brokers()[0], e.groupProtocol(), e.platform.RegistryURL(), unknownIDWait,
		e.pipeline.vendor, vendors[e.pipeline.vendor], vendorTimeout,
		e.pipeline.name, 1+e.rng.IntN(4), 4+e.rng.IntN(12), 32+e.rng.IntN(64), firstDelay, lastDelay, e.skipSettings())
	cfg, err := config.Parse("sim.yaml", []byte(file), config.Options{Vendors: pipeline.VendorTypes()})
	e.requireNoError(err)
	return cfg
}

// groupProtocol returns the consumer protocol of KIP-848 for every fourth seed.
func (e *environment) groupProtocol() string {
	if e.seed%4 == 3 {
		return config.GroupConsumer
	}
	return config.GroupClassic
}

// skipsUnhandled reports whether this seed's configuration skips records that belong to no
// operation.
func (e *environment) skipsUnhandled() bool { return e.seed%2 == 1 }

func (e *environment) skipSettings() string {
	if e.skipsUnhandled() {
		return ", unmapped: skip, tombstones: skip"
	}
	return ""
}

func (e *environment) createTopics() {
	e.requireNoError(e.platform.Cluster().CreateTopic(e.pipeline.name, int32(e.partitions), nil))
	_, err := topics.ApplyTopics(e.Context(), kadm.NewClient(e.client), topics.RequiredTopics(e.cfg), false)
	e.requireNoError(err)
}

// randomDuration returns a random duration below limit.
func (e *environment) randomDuration(limit time.Duration) time.Duration {
	return time.Duration(e.rng.Int64N(int64(limit)))
}

// operationRule names a rule and restricts it to the pipeline's operation.
func (e *environment) operationRule(name string, rule sandbox.Rule) []sandbox.Rule {
	rule.Name, rule.Operation = name, e.pipeline.operation
	return []sandbox.Rule{rule}
}

// shuffledPlan returns the kinds of the scenario's mix that the pipeline supports, shuffled by the
// seed.
func (e *environment) shuffledPlan() []kind {
	var plan []kind
	for _, recordKind := range slices.Sorted(maps.Keys(e.scenario.mix)) {
		if supportsKind(e.pipeline, recordKind) {
			plan = append(plan, slices.Repeat([]kind{recordKind}, e.scenario.mix[recordKind])...)
		}
	}
	for len(plan) < e.scenario.records {
		plan = append(plan, good)
	}
	e.rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan
}

// maxSends returns the maximum number of calls with the same record on which the vendor may have
// acted, or 0 if there is no limit.
func (e *environment) maxSends() int {
	for _, r := range e.cfg.Pipelines[0].Routes {
		switch {
		case r.OperationName() != e.pipeline.operation:
		case r.Repeatable:
			return 0
		case r.Unknown.Policy == config.UnknownRetry:
			return 1 + r.Unknown.Resends
		default:
			return 1
		}
	}
	e.Fatalf("operation %s not found in the configuration", e.pipeline.operation)
	return 0
}
