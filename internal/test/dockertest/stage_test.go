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

// patience bounds every wait of these tests.
const patience = 90 * time.Second

// partitions is the partition count of the source topics.
const partitions = 6

// platform is what scenarios share: a broker and a registry.
type platform struct {
	kafka    *Kafka
	registry string
}

// configuration is the connector's file: every default pipeline, over topics of the scenario's own. Delays are short, so that a run sees all of them.
const configuration = `
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

// pipelineLines are the configuration's pipelines, each with its tiers, a breaker that opens for a second, and no flood guard: the bad records are
// found before the first good one is answered.
func pipelineLines(name string, pipelines map[string]string) string {
	var b strings.Builder
	for p, more := range pipelines {
		fmt.Fprintf(&b, "  %[2]s: {topic: %[1]s-%[2]s, concurrency: 2, batch: {max_items: 40, linger: 20ms}, retry: {delays: [1s, 2s]}, "+
			"breaker: {failures: 3, window: 10s, open_for: 1s}, dead_letter: {guard: {max_ratio: 1}}%[3]s}\n", name, p, more)
	}
	return b.String()
}

// stage is one scenario: its topics and schemas, the vendors in this process, and the books of what was produced.
type stage struct {
	t       *testing.T
	cfg     *config.Config
	file    string // the configuration's
	client  *kgo.Client
	adm     *kadm.Client
	samples *sample.Generator
	vendors *sandbox.Server
	late    *lateAccounts
	books   *books
	gate    gate
	grown   notify.Broadcaster // the vendors have accepted something
}

func newStage(t *testing.T, p platform, name, protocol string, pipelines map[string]string, rules ...sandbox.Rule) *stage {
	t.Helper()
	s := &stage{t: t, late: &lateAccounts{refused: map[string]bool{}}, gate: gate{held: make(chan sandbox.LedgerEntry, 1), open: make(chan struct{})}}
	options, err := sample.SandboxOptions(rules...)
	if err != nil {
		t.Fatal(err)
	}
	s.late.exists = options.CRMCOM.AccountExists
	options.CRMCOM.AccountExists = s.late.exist
	options.OnAccept = s.onAccept
	s.vendors = sandbox.New(options)
	web := httptest.NewServer(mux(s.vendors))
	t.Cleanup(web.Close)
	t.Cleanup(s.gate.free)
	s.configure(p, name, protocol, web.URL, pipelines)
	s.client = newClient(t, p.kafka, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	s.adm = kadm.NewClient(s.client)
	s.makeSources()
	s.register(p.registry)
	s.books = newBooks(t, s.cfg)
	return s
}

func mux(server *sandbox.Server) http.Handler {
	m := http.NewServeMux()
	for _, v := range sandbox.Vendors() {
		m.Handle("/"+string(v)+"/", http.StripPrefix("/"+string(v), server.Handler(v)))
	}
	return m
}

func (s *stage) configure(p platform, name, protocol, web string, pipelines map[string]string) {
	s.t.Helper()
	text := fmt.Sprintf(configuration, name, p.kafka.Brokers[0], protocol, p.registry, web, sandbox.DefaultWebAPIKey, sandbox.ExpointsTokenPath,
		sandbox.DefaultClientID, sandbox.DefaultClientSecret, sandbox.PropelTokenPath) + pipelineLines(name, pipelines)
	s.file = filepath.Join(s.t.TempDir(), "connector.yaml")
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	var err error
	if s.cfg, err = config.Load(s.file, config.Options{Vendors: pipeline.VendorTypes()}); err != nil {
		s.t.Fatal(err)
	}
}

// makeSources makes the source topics alone: the connector makes its own at its start.
func (s *stage) makeSources() {
	s.t.Helper()
	var names []string
	for _, p := range s.cfg.Pipelines {
		if _, err := s.adm.CreateTopic(s.t.Context(), partitions, 1, nil, p.Topic); err != nil {
			s.t.Fatal(err)
		}
		names = append(names, p.Topic)
	}
	if err := topics.AwaitTopics(s.t.Context(), s.adm, names...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) register(url string) {
	s.t.Helper()
	registry, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		s.t.Fatal(err)
	}
	sources := sample.Sources(s.cfg)
	ids, err := sample.RegisterSchemas(s.t.Context(), registry, append(sample.Subjects(sources), sample.StraySubject())...)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.samples, err = sample.NewGenerator(sample.Options{Seed: 1, Sources: sources, IDs: ids}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) deadline() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// lateAccounts are accounts that CRM.COM does not have when it is first asked for them, and has from then on. Safe for concurrent use.
type lateAccounts struct {
	exists func(identifier string) bool

	mu      sync.Mutex
	refused map[string]bool // by number; false: not asked for yet
}

func (a *lateAccounts) add(number string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused[number] = false
}

func (a *lateAccounts) exist(identifier string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, late := a.refused[identifier]
	if !late {
		return a.exists(identifier)
	}
	a.refused[identifier] = true
	return before
}

// gate keeps one call from being answered.
type gate struct {
	operation string // whose call; set before anything is produced
	at        int    // the acceptance of that operation that is held, counted from 1; 0: none
	held      chan sandbox.LedgerEntry
	open      chan struct{} // closed by free
	once      sync.Once

	mu   sync.Mutex
	seen int
}

func (g *gate) free() { g.once.Do(func() { close(g.open) }) }

// due counts an acceptance and tells whether it is the one.
func (g *gate) due(e sandbox.LedgerEntry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.Operation != g.operation {
		return false
	}
	g.seen++
	return g.seen == g.at
}

func (s *stage) onAccept(e sandbox.LedgerEntry) {
	s.grown.Notify()
	if s.gate.due(e) {
		s.gate.held <- e
		<-s.gate.open
	}
}

// awaitHeld waits for the call that the gate holds.
func (s *stage) awaitHeld() sandbox.LedgerEntry {
	s.t.Helper()
	select {
	case e := <-s.gate.held:
		return e
	case <-s.deadline().Done():
		s.t.Fatalf("no call of %s was made", s.gate.operation)
		return sandbox.LedgerEntry{}
	}
}

// awaitDelivered waits until the vendors have accepted so many different items.
func (s *stage) awaitDelivered(n int) {
	s.t.Helper()
	s.awaitAccepted(n, s.books.operations...)
}

// awaitAccepted is awaitDelivered for some operations alone.
func (s *stage) awaitAccepted(n int, operations ...string) {
	s.t.Helper()
	ctx := s.deadline()
	for {
		next, got := s.grown.Next(), 0
		for _, operation := range operations {
			got += s.vendors.Ledger().Count(operation) - s.vendors.Ledger().Duplicates(operation)
		}
		if got >= n {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			s.t.Fatalf("the vendors accepted %d different items, want %d", got, n)
		}
	}
}
