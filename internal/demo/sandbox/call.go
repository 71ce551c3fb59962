package sandbox

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"time"
)

// endpoint is one path of a vendor's API.
type endpoint struct {
	operation  string // full operation name, such as "crmcom.purchases"
	method     string
	path       string
	vendor     vendorBehavior
	formBody   bool // the request body is a form instead of JSON
	wholeBatch bool // the vendor accepts or refuses a batch as a whole and returns no result per item
	handle     func(*vendorCall) response
	instant    func(http.ResponseWriter, *http.Request)
}

// vendorBehavior is what a scripted fault needs in order to respond in the vendor's own format.
type vendorBehavior interface {
	// tokenStore returns nil if the vendor issues no tokens.
	tokenStore() *tokenStore
	// itemRefusal returns the refusal of a single item. refuseCall returns the response that
	// refuses the whole call; it names the items at the given indexes if the vendor's format has a
	// place for them.
	itemRefusal(Action) *refusal
	refuseCall(call *vendorCall, action Action, named []int) response
}

// callItem is one well-formed element of a call's batch.
type callItem struct {
	object                 *jsonObject
	id, reference, version string
	upsert                 bool     // writing the item again is an update, not a duplicate
	refusal                *refusal // why the item fails validation; nil if it is valid
}

// refusal is the reason why an item is not accepted.
type refusal struct{ code, description string }

// vendorCall is the state of one request. Only the goroutine that serves the request uses it.
type vendorCall struct {
	endpoint       *endpoint
	request        *http.Request
	body           []byte
	responseHeader http.Header // of the response

	pendingRules []*ruleState // rules that can only be evaluated once the items are known
	endingFault  *Action      // the fault that replaces the response; nil if there is none
	matchedItems []int        // indexes of the items that endingFault is about
	delay        time.Duration
	refusals     map[int]*refusal
	// droppedItems and repeatedItems are the items, by index, that the response omits and has
	// twice.
	droppedItems, repeatedItems map[int]bool
	extraItems                  int // number of results for unknown items

	itemCount, refusedCount int
	accepted                []LedgerEntry
	confirmable             []int // ledger indexes of the accepted items that the response reports once
}

// serveCall processes one request: it applies the faults, builds the response, records the call in
// the ledger, waits for the scripted delay and responds.
func (s *Server) serveCall(target *endpoint, w http.ResponseWriter, req *http.Request) {
	if s.opts.Instant && target.instant != nil {
		target.instant(w, req)
		return
	}
	call := &vendorCall{
		endpoint: target, request: req, responseHeader: w.Header(),
		refusals: map[int]*refusal{}, droppedItems: map[int]bool{}, repeatedItems: map[int]bool{},
	}
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
		panic(http.ErrAbortHandler) // net/http closes the connection without a response
	}
	if call.endingFault == nil {
		s.ledger.confirmEntries(target.operation, call.confirmable)
	}
	resp.writeTo(w)
}

// drawLatency draws the latency of one call. The caller must hold s.mu.
func (s *Server) drawLatency() time.Duration {
	delay := s.opts.Latency.Fixed
	if s.opts.Latency.Jitter > 0 {
		delay += time.Duration(s.latencyRand.Int64N(int64(s.opts.Latency.Jitter)))
	}
	return delay
}

// readBody reads the request body. It returns false, with the response to send, if the call ends
// here.
func (s *Server) readBody(call *vendorCall, w http.ResponseWriter) (response, bool) {
	if call.endingFault != nil && call.endingFault.Fault == FaultResetBefore {
		return response{aborted: true}, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, call.request.Body, s.opts.MaxBodyBytes))
	call.body = body
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return textResponse(http.StatusRequestEntityTooLarge, "Request Entity Too Large"), false
	}
	if err != nil {
		return response{aborted: true}, false
	}
	return response{}, true
}

// respondTo returns the response to a call, with scripted faults applied.
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

// regularResponse returns what the vendor responds when no fault interferes.
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

// judgeItems decides about each item of a call: first by the script, then by validation, then by
// checkItem, the vendor's own rules. The result has one entry per item, nil for an accepted one. It
// returns false if no item was written, because a fault ended the call or because the vendor
// accepts only whole batches and one of the items was refused. checkItem, if not nil, runs with
// s.mu held, in item order, immediately before its item is accepted.
func (s *Server) judgeItems(call *vendorCall, items []callItem, checkItem func(callItem) *refusal) ([]*refusal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call.itemCount = len(items)
	s.applyItemRules(call, items)
	refusals := make([]*refusal, len(items))
	if call.endingFault != nil && !call.endingFault.Apply || call.endpoint.wholeBatch && len(call.refusals) > 0 {
		if call.endingFault == nil || call.endingFault.Fault == FaultRefuseBatch {
			call.refusedCount = len(items)
		}
		for i, refused := range call.refusals {
			refusals[i] = refused
		}
		return refusals, false
	}
	for i, item := range items {
		if refusals[i] = s.judgeItem(call, i, item, checkItem); refusals[i] != nil {
			call.refusedCount++
			continue
		}
		entry, index := s.ledger.recordAccepted(call.endpoint.operation, item)
		call.accepted = append(call.accepted, entry)
		if call.resultCount(i) == 1 {
			call.confirmable = append(call.confirmable, index)
		}
	}
	return refusals, true
}

// resultCount returns how many results the response has for an item: one, unless a fault drops or
// repeats it.
func (c *vendorCall) resultCount(index int) int {
	switch {
	case c.droppedItems[index]:
		return 0
	case c.repeatedItems[index]:
		return 2
	}
	return 1
}

func (s *Server) judgeItem(call *vendorCall, index int, item callItem, checkItem func(callItem) *refusal) *refusal {
	if scripted := call.refusals[index]; scripted != nil {
		return scripted
	}
	if item.refusal != nil || checkItem == nil {
		return item.refusal
	}
	return checkItem(item)
}
