// Package sandbox is the vendors as one server, true to their documents and stricter than their servers may be: what a page calls mandatory,
// exclusive, limited or typed is refused, and so is every key that the page does not name.
//
// It is written from the vendors' pages alone and shares no code with the sinks, so that a misreading on either side shows as a refused call. Where a
// page is silent (CRM.COM's failed envelope, Expoints' 400 body, Propel's 401), the form most likely for the vendor's framework is given, and the
// place says so.
//
// A call passes these steps: rules of the script that need no item, login, shape, rules that need items, the vendor's own refusals, ledger, answer.
// What the ledger holds was accepted; nothing that was refused is ever in it. The server starts no goroutine and has no global state.
package sandbox

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Vendor is the name of a vendor, as in the configuration.
type Vendor string

// The vendors.
const (
	CRMCOM   Vendor = "crmcom"
	Expoints Vendor = "expoints"
	Propel   Vendor = "propel"
)

// Options configure a server. The zero value is a server with the default credentials, no latency and no faults.
type Options struct {
	CRMCOM   CRMCOMOptions
	Expoints ExpointsOptions
	Propel   PropelOptions
	// AdditionalPages are vendors besides the product's, each of a name of its own.
	AdditionalPages []Page
	// Script holds the faults; the zero value has none.
	Script Script
	// Latency is waited before each answer, after the call was acted upon.
	Latency Latency
	// MaxBodyBytes bounds a request's body; a longer one is answered 413. 0: 10 MiB.
	MaxBodyBytes int64
	// KeepBodies keeps each accepted item's JSON in the ledger.
	KeepBodies bool
	// OnAccept, where set, is called for each accepted item, after it stands in the ledger and before the call is answered. Calls may be concurrent.
	OnAccept func(LedgerEntry)
	// Instant answers calls with items at once, without checks, script, latency or ledger: a vendor that costs a benchmark next to nothing.
	Instant bool
}

// Latency is a fixed wait and a random one on top, evenly spread over [0, Jitter). The same seed gives the same sequence.
type Latency struct {
	Fixed  time.Duration
	Jitter time.Duration
	Seed   uint64
}

// Server is the vendors. All methods are safe for concurrent use.
type Server struct {
	opts      Options
	handlers  map[Vendor]http.Handler
	endpoints []*endpoint // of all vendors
	ledger    Ledger
	buffers   sync.Pool // of *bytes.Buffer, for Instant

	mu          sync.Mutex // covers the rules' counts, the vendors' states and jitter; taken before the ledger's own
	rules       []*ruleState
	latencyRand *rand.Rand
	startedAt   time.Time
}

const defaultMaxBodyBytes = 10 << 20

// New makes a server. The script's times count from here.
func New(opts Options) *Server {
	if opts.MaxBodyBytes == 0 {
		opts.MaxBodyBytes = defaultMaxBodyBytes
	}
	s := &Server{
		opts:        opts,
		rules:       opts.Script.newRuleStates(),
		latencyRand: rand.New(rand.NewPCG(opts.Latency.Seed, 0)),
		startedAt:   time.Now(),
	}
	s.ledger.keepBodies = opts.KeepBodies
	s.handlers = map[Vendor]http.Handler{}
	for _, page := range allPages(opts) {
		endpoints := page.newEndpoints(s)
		s.handlers[page.Vendor] = s.newMux(endpoints)
		s.endpoints = append(s.endpoints, endpoints...)
	}
	return s
}

// Handler is one vendor. The caller serves it on a listener of its choice; for a vendor that the server does not play it answers 404.
func (s *Server) Handler(vendor Vendor) http.Handler {
	if handler, ok := s.handlers[vendor]; ok {
		return handler
	}
	return http.NotFoundHandler()
}

// Ledger is what the vendors accepted, and what was asked of them.
func (s *Server) Ledger() *Ledger { return &s.ledger }

// Faults counts by rule how often it fired; a rule that never did is there with 0.
func (s *Server) Faults() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := make(map[string]int, len(s.rules))
	for _, rule := range s.rules {
		fired[rule.Name] = rule.fired
	}
	return fired
}

func (s *Server) newMux(endpoints []*endpoint) http.Handler {
	mux := http.NewServeMux()
	for _, target := range endpoints {
		mux.HandleFunc(target.path, func(w http.ResponseWriter, r *http.Request) { s.serveCall(target, w, r) })
	}
	return mux
}
