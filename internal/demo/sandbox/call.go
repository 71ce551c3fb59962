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
	operation  string // full name
	method     string
	path       string
	vendor     vendorBehavior
	formBody   bool // the body is a form, not JSON
	wholeBatch bool // the vendor answers for the call as a whole, with no result an item
	handle     func(*vendorCall) response
	instant    func(http.ResponseWriter, *http.Request)
}

// vendorBehavior is what a fault needs to speak as the vendor would.
type vendorBehavior interface {
	tokenStore() *tokenStore
	// itemRefusal is the refusal of one item; refuse is the whole call's, naming items where the vendor's answer has a place for that.
	itemRefusal(Action) *refusal
	refuseCall(call *vendorCall, action Action, named []int) response
}

// callItem is one element of a call, well formed.
type callItem struct {
	object                 *jsonObject
	id, reference, version string
	upsert                 bool     // the item is meant to come again
	refusal                *refusal // its shape is wrong; nil where it is right
}

// refusal is why an item is not accepted.
type refusal struct{ code, description string }

// vendorCall is one request on its way. Only the goroutine that serves it touches it.
type vendorCall struct {
	endpoint       *endpoint
	request        *http.Request
	body           []byte
	responseHeader http.Header // of the answer

	pendingRules []*ruleState // rules that wait for the items
	endingFault  *Action      // the fault that takes the answer's place; nil where there is none
	matchedItems []int        // the items that it is about
	delay        time.Duration
	refusals     map[int]*refusal
	droppedItems map[int]bool
	extraItems   int

	itemCount, refusedCount int
	accepted                []LedgerEntry
	confirmable             []int // of the accepted ones those that the answer names, by their place in the ledger
}

// response is an answer, or the lack of one.
type response struct {
	status         int
	contentType    string
	body           []byte
	envelopeFailed bool          // CRM.COM: 200 with another status.code than OK
	hangs          bool          // no answer while the client stays
	hangFor        time.Duration // how long it hangs
	aborted        bool          // no answer, the connection is closed
}

func (r response) closesConnection() bool { return r.hangs || r.aborted }

const maxHang = 10 * time.Minute

func (s *Server) serveCall(target *endpoint, w http.ResponseWriter, r *http.Request) {
	if s.opts.Instant && target.instant != nil {
		target.instant(w, r)
		return
	}
	call := &vendorCall{endpoint: target, request: r, responseHeader: w.Header(), refusals: map[int]*refusal{}, droppedItems: map[int]bool{}}
	s.mu.Lock()
	s.applyCallRules(call)
	call.delay += s.drawLatency()
	s.mu.Unlock()

	resp, ok := s.readBody(call, w)
	if ok {
		resp = s.respondTo(call)
	}
	s.ledger.recordCall(call, resp)
	if s.opts.OnAccept != nil {
		for _, entry := range call.accepted {
			s.opts.OnAccept(entry)
		}
	}
	if !resp.waitUntilDue(call) {
		panic(http.ErrAbortHandler) // net/http's way to close a connection without an answer
	}
	if call.endingFault == nil {
		s.ledger.confirmEntries(target.operation, call.confirmable)
	}
	resp.writeTo(w)
}

// drawLatency draws the wait of one call. mu must be held.
func (s *Server) drawLatency() time.Duration {
	delay := s.opts.Latency.Fixed
	if s.opts.Latency.Jitter > 0 {
		delay += time.Duration(s.latencyRand.Int64N(int64(s.opts.Latency.Jitter)))
	}
	return delay
}

// readBody takes the body in; where there is nothing more to do it gives the answer and false.
func (s *Server) readBody(call *vendorCall, w http.ResponseWriter) (response, bool) {
	if call.endingFault != nil && call.endingFault.Fault == FaultResetBefore {
		return response{aborted: true}, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, call.request.Body, s.opts.MaxBodyBytes))
	call.body = body
	switch tooLong := new(http.MaxBytesError); {
	case errors.As(err, &tooLong):
		return textResponse(http.StatusRequestEntityTooLarge, "Request Entity Too Large"), false
	case err != nil:
		return response{aborted: true}, false
	}
	return response{}, true
}

// respondTo is what the call is answered, faults and all.
func (s *Server) respondTo(call *vendorCall) response {
	if call.endingFault != nil && !call.endingFault.Apply {
		return call.faultResponse()
	}
	resp := call.regularResponse()
	if call.endingFault != nil {
		return call.faultResponse()
	}
	return resp
}

// regularResponse is the answer of a vendor that is well.
func (c *vendorCall) regularResponse() response {
	if c.request.Method != c.endpoint.method {
		c.responseHeader.Set("Allow", c.endpoint.method)
		return textResponse(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	media, _, _ := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	if c.request.Method == http.MethodPost && !c.endpoint.formBody && media != "application/json" {
		return textResponse(http.StatusUnsupportedMediaType, "Unsupported Media Type")
	}
	return c.endpoint.handle(c)
}

// faultResponse is the answer that a fault gives in place of the vendor's.
func (c *vendorCall) faultResponse() response {
	action := c.endingFault
	switch action.Fault {
	case FaultStatus:
		c.setRetryAfter()
		return textResponse(action.Code, action.Body)
	case FaultTooLarge:
		return textResponse(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	case FaultRedirect:
		c.responseHeader.Set("Location", action.Location)
		return response{status: http.StatusTemporaryRedirect}
	case FaultTimeout:
		if action.Delay > 0 {
			return response{hangs: true, hangFor: action.Delay}
		}
		return response{hangs: true, hangFor: maxHang}
	case FaultGarbageBody:
		if action.Body != "" {
			return textResponse(http.StatusOK, action.Body)
		}
		return textResponse(http.StatusOK, `{"data": {`)
	case FaultEmptyBody:
		return response{status: http.StatusOK}
	case FaultRefuseBatch:
		if action.Named {
			return c.endpoint.vendor.refuseCall(c, *action, c.matchedItems)
		}
		return c.endpoint.vendor.refuseCall(c, *action, nil)
	default: // FaultResetBefore, FaultResetAfter
		return response{aborted: true}
	}
}

func (c *vendorCall) setRetryAfter() {
	switch action := c.endingFault; {
	case action.RetryAfter == 0:
	case action.RetryAfterDate:
		c.responseHeader.Set("Retry-After", time.Now().Add(action.RetryAfter).UTC().Format(http.TimeFormat))
	default:
		c.responseHeader.Set("Retry-After", strconv.Itoa(int(action.RetryAfter/time.Second)))
	}
}

// judgeItems settles the items: the script's refusals, the shape's, then the vendor's own. It gives one verdict an item, nil for accepted, and false
// where nothing was done, because a fault ended the call, or the vendor takes only whole batches and an item was refused. decide runs with
// Server.mu held, right before its item is accepted, in the order of the items.
func (s *Server) judgeItems(call *vendorCall, items []callItem, decide func(callItem) *refusal) ([]*refusal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call.itemCount = len(items)
	s.applyItemRules(call, items)
	verdicts := make([]*refusal, len(items))
	if call.endingFault != nil && !call.endingFault.Apply || call.endpoint.wholeBatch && len(call.refusals) > 0 {
		if call.endingFault == nil || call.endingFault.Fault == FaultRefuseBatch {
			call.refusedCount = len(items)
		}
		for i, refused := range call.refusals {
			verdicts[i] = refused
		}
		return verdicts, false
	}
	for i, item := range items {
		if verdicts[i] = s.judgeItem(call, i, item, decide); verdicts[i] != nil {
			call.refusedCount++
			continue
		}
		entry, at := s.ledger.recordAccepted(call.endpoint.operation, item)
		call.accepted = append(call.accepted, entry)
		if !call.droppedItems[i] {
			call.confirmable = append(call.confirmable, at)
		}
	}
	return verdicts, true
}

func (s *Server) judgeItem(call *vendorCall, index int, item callItem, decide func(callItem) *refusal) *refusal {
	if scripted := call.refusals[index]; scripted != nil {
		return scripted
	}
	if item.refusal != nil || decide == nil {
		return item.refusal
	}
	return decide(item)
}

// waitUntilDue waits for as long as the call takes, and tells whether there is an answer and a client that still waits for it.
func (r response) waitUntilDue(call *vendorCall) bool {
	stayed := waitFor(call.request, call.delay)
	if r.hangs {
		waitFor(call.request, r.hangFor)
	}
	return stayed && !r.closesConnection()
}

func (r response) writeTo(w http.ResponseWriter) {
	if r.contentType != "" {
		w.Header().Set("Content-Type", r.contentType)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a client that left is its own matter
}

// waitFor waits, and tells whether the client stayed.
func waitFor(request *http.Request, delay time.Duration) bool {
	if delay <= 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-request.Context().Done():
		return false
	}
}

func textResponse(status int, body string) response {
	media := "text/plain; charset=utf-8"
	if json.Valid([]byte(body)) {
		media = "application/json"
	}
	return response{status: status, contentType: media, body: []byte(body)}
}

func jsonResponse(status int, value any) response {
	body, err := json.Marshal(value)
	if err != nil {
		return textResponse(http.StatusInternalServerError, fmt.Sprint("encoding the answer: ", err))
	}
	return response{status: status, contentType: "application/json", body: body}
}
