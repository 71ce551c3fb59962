// Package sandbox plays the vendors in one server. It follows their documents and may be
// stricter than their servers: it refuses whatever violates a documented requirement, limit or
// type, and every key that the documents do not name.
//
// The package is written from the vendors' documents alone and shares no code with the sinks, so
// that a misreading on either side shows up as a refused call. Where a document leaves something
// open (CRM.COM's failed envelope, the body of Expoints' 400, Propel's 401), the sandbox responds
// in the format most likely for the vendor's framework, and a comment says so.
//
// A call is processed in this order: rules of the script that do not depend on items, login, schema
// validation, rules that depend on items, the vendor's own rules, ledger, response. The ledger
// contains accepted items only. The server starts no goroutines and has no global state.
package sandbox

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Vendor is the name of a vendor, as in the configuration.
type Vendor string

// The built-in vendors.
const (
	CRMCOM   Vendor = "crmcom"
	Expoints Vendor = "expoints"
	Propel   Vendor = "propel"
)

// Options configure a server. The zero value has the default credentials, no latency and no faults.
type Options struct {
	CRMCOM   CRMCOMOptions
	Expoints ExpointsOptions
	Propel   PropelOptions
	// AdditionalPages are vendors in addition to the built-in ones. Their names must be unique.
	AdditionalPages []Page
	// Script contains the faults to inject.
	Script Script
	// Latency is added to each call after it was processed and before its response.
	Latency Latency
	// MaxBodyBytes limits a request's body; a larger one gets a 413. The default is 10 MiB.
	MaxBodyBytes int64
	// KeepBodies keeps the JSON of each accepted item in the ledger.
	KeepBodies bool
	// OnAccept, if not nil, is called for each accepted item, after it was added to the ledger and
	// before the response is sent. It may be called concurrently.
	OnAccept func(LedgerEntry)
	// Instant responds to calls with items immediately, without validation, script, latency or
	// ledger, so that the vendor costs a benchmark next to nothing.
	Instant bool
}

// Latency is a fixed duration plus a random one, uniformly distributed over [0, Jitter). The same
// seed yields the same sequence.
type Latency struct {
	Fixed  time.Duration
	Jitter time.Duration
	Seed   uint64
}

// Server plays the vendors. All methods are safe for concurrent use.
type Server struct {
	opts      Options
	handlers  map[Vendor]http.Handler
	endpoints []*endpoint // of all vendors
	ledger    Ledger
	buffers   sync.Pool // of *bytes.Buffer, for Instant

	// mu guards the fields below and the vendors' state. It is locked before the ledger's own
	// mutex.
	mu          sync.Mutex
	rules       []*ruleState
	latencyRand *rand.Rand
	startedAt   time.Time
}

const defaultMaxBodyBytes = 10 << 20

// New returns a server. The times in the script are relative to this call.
func New(opts Options) *Server {
	if opts.MaxBodyBytes == 0 {
		opts.MaxBodyBytes = defaultMaxBodyBytes
	}
	server := &Server{
		opts:        opts,
		rules:       opts.Script.newRuleStates(),
		latencyRand: rand.New(rand.NewPCG(opts.Latency.Seed, 0)),
		startedAt:   time.Now(),
	}
	server.ledger.keepBodies = opts.KeepBodies
	server.handlers = map[Vendor]http.Handler{}
	for _, page := range allPages(opts) {
		endpoints := page.newEndpoints(server)
		server.handlers[page.Vendor] = server.newMux(endpoints)
		server.endpoints = append(server.endpoints, endpoints...)
	}
	return server
}

// Handler returns the handler of one vendor, to be served on a listener of the caller's choice. It
// responds with 404 for a vendor that the server does not play.
func (s *Server) Handler(vendor Vendor) http.Handler {
	if handler, ok := s.handlers[vendor]; ok {
		return handler
	}
	return http.NotFoundHandler()
}

// Ledger returns the ledger of accepted items and calls.
func (s *Server) Ledger() *Ledger { return &s.ledger }

// Faults returns how often each rule has fired, including rules that never have.
func (s *Server) Faults() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := make(map[string]int, len(s.rules))
	for _, rule := range s.rules {
		fired[rule.Name] = rule.fired
	}
	return fired
}

// StopRule prevents the rule with the given name from ever firing again. It does nothing if there
// is no such rule.
func (s *Server) StopRule(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range s.rules {
		if rule.Name == name {
			rule.stopped = true
		}
	}
}

func (s *Server) newMux(endpoints []*endpoint) http.Handler {
	mux := http.NewServeMux()
	for _, target := range endpoints {
		mux.HandleFunc(target.path, func(w http.ResponseWriter, req *http.Request) { s.serveCall(target, w, req) })
	}
	return mux
}
