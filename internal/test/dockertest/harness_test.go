//go:build docker

package dockertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"sluice/internal/config"
	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/notify"
	"sluice/internal/pipeline"
	"sluice/internal/topics"
)

// waitTimeout limits every wait in these tests.
const waitTimeout = 90 * time.Second

// sourcePartitions is the number of partitions of each source topic.
const sourcePartitions = 6

// platform is a broker and a registry, which several tests may share.
type platform struct {
	kafka       *Kafka
	registryURL string
}

func startPlatform(t *testing.T) platform {
	t.Helper()
	return platform{StartKafka(t, 1), StartRegistry(t)}
}

// configFormat is the configuration file of the connector, without its pipelines. Delays are short,
// so that they all expire during a test.
const configFormat = `
name: %[1]s
kafka: {brokers: [%[2]q], group_protocol: %[3]s, rebalance_timeout: 30s}
schema_registry: {urls: [%[4]q], unknown_id_wait: 1s}
topics: {auto_create: true}
drain_timeout: 15s
admin: {listen: "127.0.0.1:0"}
vendors:
  crmcom: {base_url: "%[5]s/crmcom/crmapi/rest/v2", timeout: 5s, auth: {web_api_key: %[6]s}}
  expoints:
    base_url: "%[5]s/expoints"
    timeout: 5s
    event_id_column: EventId
    auth: {token_url: "%[5]s/expoints%[7]s", client_id: %[8]s, client_secret: %[9]s}
  propel: {base_url: "%[5]s/propel/v2", timeout: 5s, auth: {token_url: "%[5]s/propel%[10]s", client_id: %[8]s, client_secret: %[9]s}}
pipelines:
`

// pipelinesYAML configures each pipeline with retry tiers, a breaker that opens for a second, and
// extraYAML, which starts with a comma unless it is empty. The flood guard is off, because the bad
// records are refused before the response for the first good one arrives.
func pipelinesYAML(name string, extraYAML map[string]string) string {
	var b strings.Builder
	for pipelineName, extra := range extraYAML {
		fmt.Fprintf(&b, "  %[2]s: {topic: %[1]s-%[2]s, concurrency: 2, batch: {max_items: 40, linger: 20ms}, "+
			"retry: {delays: [1s, 2s]}, breaker: {failures: 3, window: 10s, open_for: 1s}, "+
			"dead_letter: {guard: {max_ratio: 1}}%[3]s}\n", name, pipelineName, extra)
	}
	return b.String()
}

// harness sets up one test: its own topics and schemas, the fake vendors in this process, and the
// ledger of what was produced.
type harness struct {
	t            *testing.T
	cfg          *config.Config
	configFile   string
	client       *kgo.Client
	admin        *kadm.Client
	samples      *sample.Generator
	vendors      *sandbox.Server
	lateAccounts *lateAccounts
	produced     *producedLedger
	blocker      responseBlocker
	accepted     notify.Broadcaster // the vendors have accepted an item
}

// newHarness sets up a test with the pipelines that extraYAML names; see pipelinesYAML.
func newHarness(
	t *testing.T, p platform, name, protocol string, extraYAML map[string]string, faults ...sandbox.Rule,
) *harness {
	t.Helper()
	h := &harness{
		t:            t,
		lateAccounts: &lateAccounts{requested: map[string]bool{}},
		blocker:      responseBlocker{blocked: make(chan sandbox.LedgerEntry, 1), unblocked: make(chan struct{})},
	}
	options, err := sample.SandboxOptions(faults...)
	if err != nil {
		t.Fatal(err)
	}
	h.lateAccounts.otherExists = options.CRMCOM.AccountExists
	options.CRMCOM.AccountExists = h.lateAccounts.accountExists
	options.OnAccept = h.onAccept
	h.vendors = sandbox.New(options)
	server := httptest.NewServer(newVendorMux(h.vendors))
	t.Cleanup(server.Close)
	t.Cleanup(h.blocker.unblock)
	h.loadConfig(p, name, protocol, server.URL, extraYAML)
	h.client = newClient(t, p.kafka, kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	h.admin = kadm.NewClient(h.client)
	h.createSourceTopics()
	h.registerSchemas(p.registryURL)
	h.produced = newProducedLedger(t, h.cfg)
	return h
}

func newVendorMux(server *sandbox.Server) http.Handler {
	mux := http.NewServeMux()
	for _, vendor := range sandbox.Vendors() {
		prefix := "/" + string(vendor)
		mux.Handle(prefix+"/", http.StripPrefix(prefix, server.Handler(vendor)))
	}
	return mux
}

func (h *harness) loadConfig(p platform, name, protocol, vendorURL string, extraYAML map[string]string) {
	h.t.Helper()
	text := fmt.Sprintf(configFormat, name, p.kafka.Brokers[0], protocol, p.registryURL, vendorURL,
		sandbox.DefaultWebAPIKey, sandbox.ExpointsTokenPath, sandbox.DefaultClientID, sandbox.DefaultClientSecret,
		sandbox.PropelTokenPath) + pipelinesYAML(name, extraYAML)
	h.configFile = filepath.Join(h.t.TempDir(), "connector.yaml")
	if err := os.WriteFile(h.configFile, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if h.cfg, err = config.Load(h.configFile, config.Options{Vendors: pipeline.VendorTypes()}); err != nil {
		h.t.Fatal(err)
	}
}

// createSourceTopics creates only the source topics. The connector creates its own topics when it
// starts.
func (h *harness) createSourceTopics() {
	h.t.Helper()
	var names []string
	for _, p := range h.cfg.Pipelines {
		if _, err := h.admin.CreateTopic(h.t.Context(), sourcePartitions, 1, nil, p.Topic); err != nil {
			h.t.Fatal(err)
		}
		names = append(names, p.Topic)
	}
	if err := topics.AwaitTopics(h.t.Context(), h.admin, names...); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) registerSchemas(registryURL string) {
	h.t.Helper()
	registry, err := sr.NewClient(sr.URLs(registryURL))
	if err != nil {
		h.t.Fatal(err)
	}
	sources := sample.Sources(h.cfg)
	subjects := append(sample.Subjects(sources), sample.StraySubject())
	ids, err := sample.RegisterSchemas(h.t.Context(), registry, subjects...)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.samples, err = sample.NewGenerator(sample.Options{Seed: 1, Sources: sources, IDs: ids}); err != nil {
		h.t.Fatal(err)
	}
}

// newDeadline returns a context that ends after waitTimeout.
func (h *harness) newDeadline() context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), waitTimeout)
	h.t.Cleanup(cancel)
	return ctx
}

// lateAccounts has accounts that CRM.COM does not find at the first lookup, but at every later one.
// It is safe for concurrent use.
type lateAccounts struct {
	otherExists func(identifier string) bool // for accounts that are not late

	mu        sync.Mutex
	requested map[string]bool // whether the account was looked up before, by account number
}

func (a *lateAccounts) addAccount(number string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requested[number] = false
}

func (a *lateAccounts) accountExists(identifier string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	requested, late := a.requested[identifier]
	if !late {
		return a.otherExists(identifier)
	}
	a.requested[identifier] = true
	return requested
}

// responseBlocker blocks the response to one call after the vendor has accepted one of its items.
type responseBlocker struct {
	operation string // operation whose call is blocked; set before anything is produced
	nth       int    // number of the accepted item, from 1, at which it blocks; never if 0
	blocked   chan sandbox.LedgerEntry
	unblocked chan struct{} // closed by unblock
	once      sync.Once

	mu    sync.Mutex
	count int
}

func (b *responseBlocker) unblock() { b.once.Do(func() { close(b.unblocked) }) }

// countEntry counts an accepted item, and reports whether it is the one to block at.
func (b *responseBlocker) countEntry(entry sandbox.LedgerEntry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if entry.Operation != b.operation {
		return false
	}
	b.count++
	return b.count == b.nth
}

func (h *harness) onAccept(entry sandbox.LedgerEntry) {
	h.accepted.Notify()
	if h.blocker.countEntry(entry) {
		h.blocker.blocked <- entry
		<-h.blocker.unblocked
	}
}

// awaitBlockedCall waits for the call whose response is blocked, and returns the item at which it
// is blocked.
func (h *harness) awaitBlockedCall() sandbox.LedgerEntry {
	h.t.Helper()
	select {
	case entry := <-h.blocker.blocked:
		return entry
	case <-h.newDeadline().Done():
		h.t.Fatalf("got no call of %s within %v", h.blocker.operation, waitTimeout)
		return sandbox.LedgerEntry{}
	}
}

// awaitDelivered waits until the vendors have accepted count different items.
func (h *harness) awaitDelivered(count int) {
	h.t.Helper()
	h.awaitAccepted(count, h.produced.operations...)
}

// awaitAccepted waits until the vendors have accepted count different items of the operations.
func (h *harness) awaitAccepted(count int, operations ...string) {
	h.t.Helper()
	ctx := h.newDeadline()
	for {
		next, got := h.accepted.Next(), 0
		for _, operation := range operations {
			got += h.vendors.Ledger().Count(operation) - h.vendors.Ledger().Duplicates(operation)
		}
		if got >= count {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			h.t.Fatalf("got %d different items accepted by the vendors within %v, want %d", got, waitTimeout, count)
		}
	}
}
