package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// endpoint is one path of a vendor.
type endpoint struct {
	operation string // full name
	method    string
	path      string
	vendor    vendor
	form      bool // the body is a form, not JSON
	whole     bool // the vendor answers for the call as a whole, with no result an item
	handle    func(*call) reply
	instant   func(http.ResponseWriter, *http.Request)
}

// vendor is what a fault needs to speak as the vendor would.
type vendor interface {
	logins() *tokens
	// scripted is the refusal of one item; refuse is the whole call's, naming items where the vendor's answer has a place for that.
	scripted(Action) *refusal
	refuse(c *call, a Action, named []int) reply
}

// item is one element of a call, well formed.
type item struct {
	object                 *object
	id, reference, version string
	upsert                 bool     // the item is meant to come again
	refusal                *refusal // its shape is wrong; nil where it is right
}

// refusal is why an item is not accepted.
type refusal struct{ code, description string }

// call is one request on its way. Only the goroutine that serves it touches it.
type call struct {
	endpoint *endpoint
	request  *http.Request
	body     []byte
	header   http.Header // of the answer

	pending  []*ruleState // rules that wait for the items
	end      *Action      // the fault that takes the answer's place; nil where there is none
	matched  []int        // the items that it is about
	delay    time.Duration
	refusals map[int]*refusal
	dropped  map[int]bool
	extra    int

	items, refused int
	accepted       []LedgerEntry
	owed           []int // of the accepted ones those that the answer names, by their place in the ledger
}

// reply is an answer, or the lack of one.
type reply struct {
	status  int
	media   string
	body    []byte
	failed  bool          // CRM.COM: 200 with another status.code than OK
	hangs   bool          // no answer while the client stays
	atMost  time.Duration // how long it hangs
	aborted bool          // no answer, the connection is closed
}

func (r reply) closes() bool { return r.hangs || r.aborted }

const hangAtMost = 10 * time.Minute

func (s *Server) serve(e *endpoint, w http.ResponseWriter, r *http.Request) {
	if s.opts.Instant && e.instant != nil {
		e.instant(w, r)
		return
	}
	c := &call{endpoint: e, request: r, header: w.Header(), refusals: map[int]*refusal{}, dropped: map[int]bool{}}
	s.mu.Lock()
	s.arrive(c)
	c.delay += s.latency()
	s.mu.Unlock()

	rep, ok := s.read(c, w)
	if ok {
		rep = s.answer(c)
	}
	s.ledger.count(c, rep)
	if s.opts.OnAccept != nil {
		for _, e := range c.accepted {
			s.opts.OnAccept(e)
		}
	}
	if !rep.due(c) {
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
	}
	if c.end == nil {
		s.ledger.tell(e.operation, c.owed)
	}
	rep.send(w)
}

// latency draws the wait of one call. mu must be held.
func (s *Server) latency() time.Duration {
	d := s.opts.Latency.Fixed
	if s.opts.Latency.Jitter > 0 {
		d += time.Duration(s.jitter.Int64N(int64(s.opts.Latency.Jitter)))
	}
	return d
}

// read takes the body in; where there is nothing more to do it gives the answer and false.
func (s *Server) read(c *call, w http.ResponseWriter) (reply, bool) {
	if c.end != nil && c.end.Fault == FaultResetBefore {
		return reply{aborted: true}, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, c.request.Body, s.opts.MaxBodyBytes))
	c.body = body
	switch tooLong := new(http.MaxBytesError); {
	case errors.As(err, &tooLong):
		return textReply(http.StatusRequestEntityTooLarge, "Request Entity Too Large"), false
	case err != nil:
		return reply{aborted: true}, false
	}
	return reply{}, true
}

// answer is what the call is answered, faults and all.
func (s *Server) answer(c *call) reply {
	if c.end != nil && !c.end.Apply {
		return c.ending()
	}
	rep := c.plain()
	if c.end != nil {
		return c.ending()
	}
	return rep
}

// plain is the answer of a vendor that is well.
func (c *call) plain() reply {
	if c.request.Method != c.endpoint.method {
		c.header.Set("Allow", c.endpoint.method)
		return textReply(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	media, _, _ := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	if c.request.Method == http.MethodPost && !c.endpoint.form && media != "application/json" {
		return textReply(http.StatusUnsupportedMediaType, "Unsupported Media Type")
	}
	return c.endpoint.handle(c)
}

// ending is the answer that a fault gives in place of the vendor's.
func (c *call) ending() reply {
	a := c.end
	switch a.Fault {
	case FaultStatus:
		c.retryAfter()
		return textReply(a.Code, a.Body)
	case FaultTooLarge:
		return textReply(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	case FaultRedirect:
		c.header.Set("Location", a.Location)
		return reply{status: http.StatusTemporaryRedirect}
	case FaultTimeout:
		if a.Delay > 0 {
			return reply{hangs: true, atMost: a.Delay}
		}
		return reply{hangs: true, atMost: hangAtMost}
	case FaultGarbageBody:
		if a.Body != "" {
			return textReply(http.StatusOK, a.Body)
		}
		return textReply(http.StatusOK, `{"data": {`)
	case FaultEmptyBody:
		return reply{status: http.StatusOK}
	case FaultRefuseBatch:
		if a.Named {
			return c.endpoint.vendor.refuse(c, *a, c.matched)
		}
		return c.endpoint.vendor.refuse(c, *a, nil)
	default: // FaultResetBefore, FaultResetAfter
		return reply{aborted: true}
	}
}

func (c *call) retryAfter() {
	switch a := c.end; {
	case a.RetryAfter == 0:
	case a.RetryAfterDate:
		c.header.Set("Retry-After", time.Now().Add(a.RetryAfter).UTC().Format(http.TimeFormat))
	default:
		c.header.Set("Retry-After", strconv.Itoa(int(a.RetryAfter/time.Second)))
	}
}

// judge settles the items: the script's refusals, the shape's, then the vendor's own. It gives one verdict an item, nil for accepted, and false
// where nothing was done, because a fault ended the call, or the vendor takes only whole batches and an item was refused. decide runs with
// Server.mu held, right before its item is accepted, in the order of the items.
func (s *Server) judge(c *call, items []item, decide func(item) *refusal) ([]*refusal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.items = len(items)
	s.onItems(c, items)
	verdicts := make([]*refusal, len(items))
	if c.end != nil && !c.end.Apply || c.endpoint.whole && len(c.refusals) > 0 {
		if c.end == nil || c.end.Fault == FaultRefuseBatch {
			c.refused = len(items)
		}
		for i, r := range c.refusals {
			verdicts[i] = r
		}
		return verdicts, false
	}
	for i, it := range items {
		if verdicts[i] = s.verdict(c, i, it, decide); verdicts[i] != nil {
			c.refused++
			continue
		}
		e, at := s.ledger.accept(c.endpoint.operation, it)
		c.accepted = append(c.accepted, e)
		if !c.dropped[i] {
			c.owed = append(c.owed, at)
		}
	}
	return verdicts, true
}

func (s *Server) verdict(c *call, i int, it item, decide func(item) *refusal) *refusal {
	if scripted := c.refusals[i]; scripted != nil {
		return scripted
	}
	if it.refusal != nil || decide == nil {
		return it.refusal
	}
	return decide(it)
}

// due waits for as long as the call takes, and tells whether there is an answer and a client that still waits for it.
func (r reply) due(c *call) bool {
	stayed := pause(c.request, c.delay)
	if r.hangs {
		pause(c.request, r.atMost)
	}
	return stayed && !r.closes()
}

func (r reply) send(w http.ResponseWriter) {
	if r.media != "" {
		w.Header().Set("Content-Type", r.media)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a client that left is its own matter
}

// pause waits, and tells whether the client stayed.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func textReply(status int, body string) reply {
	media := "text/plain; charset=utf-8"
	if json.Valid([]byte(body)) {
		media = "application/json"
	}
	return reply{status: status, media: media, body: []byte(body)}
}

func jsonReply(status int, v any) reply {
	body, err := json.Marshal(v)
	if err != nil {
		return textReply(http.StatusInternalServerError, fmt.Sprint("encoding the answer: ", err))
	}
	return reply{status: status, media: "application/json", body: body}
}
