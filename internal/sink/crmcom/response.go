package crmcom

import (
	"encoding/json"
	"errors"
	"strings"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// envelope is the body of every response, including refusals: {"data": {...}, "status": {...}}.
// Member names are matched case-insensitively.
type envelope struct {
	processed   rowSet
	unprocessed rowSet
	status      status
}

// decode decodes a body. A response has up to 1,000 rows, and decoding them with the reflection of
// encoding/json would be the most expensive step of a call. So encoding/json only validates the
// body and decodes the status, and a cursor reads the rest.
func (e *envelope) decode(body []byte) error {
	if !json.Valid(body) {
		return errUnreadable
	}
	c := &cursor{json: body}
	return c.readObject(func(name string) error {
		switch {
		case strings.EqualFold(name, "data"):
			return e.decodeSets(c)
		case strings.EqualFold(name, "status"):
			return json.Unmarshal(c.readValue(), &e.status)
		}
		c.skipValue()
		return nil
	})
}

func (e *envelope) decodeSets(c *cursor) error {
	return c.readObject(func(name string) error {
		switch {
		case strings.EqualFold(name, "processed_customer_events_set"):
			return e.processed.decode(c)
		case strings.EqualFold(name, "unprocessed_customer_events_set"):
			return e.unprocessed.decode(c)
		}
		c.skipValue()
		return nil
	})
}

// status is whether the vendor accepted the call and, if not, why.
type status struct {
	Code        lenientString `json:"code"`
	Message     lenientString `json:"message"`
	Description lenientString `json:"description"`
}

func (s status) isOK() bool { return strings.EqualFold(string(s.Code), "OK") }

// fullText joins the message and the description unless they are the same.
func (s status) fullText() string {
	if s.Message == s.Description {
		return string(s.Message)
	}
	return strings.TrimSpace(string(s.Message) + " " + string(s.Description))
}

// lenientString is a JSON string. Any other value, such as a number or null, is decoded as empty:
// the text is only explanatory and must not make a response unreadable.
type lenientString string

// UnmarshalJSON never fails.
func (s *lenientString) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = ""
	}
	*s = lenientString(text)
	return nil
}

// errUnreadable omits the underlying error, because encoding/json quotes values of the response.
var errUnreadable = errors.New("the response is not CRM.COM's JSON")

// redactText makes a text or code of the vendor safe for headers and log lines. In addition to what
// vendorhttp.Redact masks, it masks the call's token and the values that the vendor repeats from
// the request, such as an account's name.
func redactText(text, token string) string {
	text = strings.ReplaceAll(text, token, "***")
	return vendorhttp.Redact(repeatedValue.ReplaceAllString(text, "$1$3$5***$2$4$6"))
}

// readResponse classifies the exchange of a call that carried the items.
func (a *account) readResponse(exchange vendorhttp.Exchange, items []sink.Item, token string) sink.Response {
	response := vendorhttp.ClassifyExchange(exchange)
	if exchange.Body == nil {
		return response
	}
	var env envelope
	unreadable := env.decode(exchange.Body) != nil || env.status.Code == ""
	response.Code = redactText(string(env.status.Code), token)
	response.Message = redactText(env.status.fullText(), token)
	switch {
	case response.Class == sink.Delivered && unreadable:
		response.Class, response.Err = sink.Unknown, errUnreadable
	case response.Class == sink.Delivered && env.status.isOK():
		response.ItemResults = a.itemResults(response.Status, &env, items, token)
	case response.Class == sink.Delivered, response.Class == sink.Rejected && !unreadable:
		a.classifyRefusal(&response, &env, items)
	}
	return response
}

// itemResults returns one result per item. Rows whose identifier is not in the call are ignored.
func (a *account) itemResults(httpStatus int, env *envelope, items []sink.Item, token string) []sink.Result {
	results := make([]sink.Result, len(items))
	indexByID := make(map[string]int, len(items))
	for i := range items {
		indexByID[items[i].ID] = i
	}
	setResult := func(id []byte, result sink.Result) {
		i, known := indexByID[string(id)]
		if !known {
			return
		}
		result.Status = httpStatus
		if results[i].Class != 0 {
			result = unknownResult(httpStatus, "the response has the item more than once")
		}
		results[i] = result
	}
	for i := range env.processed.rows {
		setResult(env.processed.rows[i].id, sink.Result{Class: sink.Delivered})
	}
	for i := range env.unprocessed.rows {
		row := &env.unprocessed.rows[i]
		setResult(row.id, a.unprocessedResult(row, token))
	}
	for i := range results {
		if results[i].Class == 0 {
			results[i] = unknownResult(httpStatus, "the response does not have the item")
		}
	}
	return results
}

func unknownResult(httpStatus int, message string) sink.Result {
	return sink.Result{Class: sink.Unknown, Status: httpStatus, Message: message}
}

func (a *account) unprocessedResult(row *row, token string) sink.Result {
	return sink.Result{
		Class:   a.meaningOf(row.code).resultClass(),
		Code:    redactText(row.code, token),
		Message: redactText(row.description, token),
	}
}
