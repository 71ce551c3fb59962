package crmcom

import (
	"encoding/json"
	"errors"
	"strings"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// envelope is what the vendor answers, refusals included: {"data": {...}, "status": {...}}. Names
// of members count whatever their case.
type envelope struct {
	processed   rows
	unprocessed rows
	status      status
}

// read takes an answer. An answer has up to 1000 rows, and encoding/json's reflection would make
// them the dearest step of a call: it validates the whole and reads the status, and a cursor walks
// over the rest.
func (e *envelope) read(body []byte) error {
	if !json.Valid(body) {
		return errUnreadable
	}
	c := &cursor{b: body}
	return c.object(func(name string) error {
		switch {
		case strings.EqualFold(name, "data"):
			return e.readSets(c)
		case strings.EqualFold(name, "status"):
			return json.Unmarshal(c.token(), &e.status)
		}
		c.skip()
		return nil
	})
}

func (e *envelope) readSets(c *cursor) error {
	return c.object(func(name string) error {
		switch {
		case strings.EqualFold(name, "processed_customer_events_set"):
			return e.processed.read(c)
		case strings.EqualFold(name, "unprocessed_customer_events_set"):
			return e.unprocessed.read(c)
		}
		c.skip()
		return nil
	})
}

type status struct {
	Code        text `json:"code"`
	Message     text `json:"message"`
	Description text `json:"description"`
}

func (s status) ok() bool { return strings.EqualFold(string(s.Code), "OK") }

// text is a string; anything else, such as a number or null, is empty. It only tells why, and must
// not make an answer unreadable.
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = ""
	}
	*t = text(s)
	return nil
}

// errUnreadable does not carry the cause: encoding/json's errors hold values of the answer.
var errUnreadable = errors.New("the answer is not CRM.COM's JSON")

// told is a text or code of the vendor's, fit for a header and a log line: without the call's token
// and without the values that it repeats of the request, of which an account's name is one that
// Redact cannot know.
func told(s, token string) string {
	s = strings.ReplaceAll(s, token, "***")
	return vendorhttp.Redact(values.ReplaceAllString(s, "$1$3$5***$2$4$6"))
}

// read makes the answer of a call with items of what came back.
func (a *account) read(reply vendorhttp.Exchange, items []sink.Item, token string) sink.Response {
	answer := vendorhttp.ClassifyExchange(reply)
	if reply.Body == nil {
		return answer
	}
	var env envelope
	unreadable := env.read(reply.Body) != nil || env.status.Code == ""
	answer.Code, answer.Message = told(string(env.status.Code), token), told(env.status.text(), token)
	switch {
	case answer.Class == sink.Delivered && unreadable:
		answer.Class, answer.Err = sink.Unknown, errUnreadable
	case answer.Class == sink.Delivered && env.status.ok():
		answer.ItemResults = a.results(answer.Status, &env, items, token)
	case answer.Class == sink.Delivered, answer.Class == sink.Rejected && !unreadable:
		a.refused(&answer, &env, items)
	}
	return answer
}

func (s status) text() string {
	if s.Message == s.Description {
		return string(s.Message)
	}
	return strings.TrimSpace(string(s.Message) + " " + string(s.Description))
}

// results gives each item its own result. What the answer says of identifiers that are not in the
// call is nothing to any item.
func (a *account) results(httpStatus int, env *envelope, items []sink.Item, token string) []sink.Result {
	results := make([]sink.Result, len(items))
	index := make(map[string]int, len(items))
	for i := range items {
		index[items[i].ID] = i
	}
	give := func(id []byte, r sink.Result) {
		i, ours := index[string(id)]
		if !ours {
			return
		}
		r.Status = httpStatus
		if results[i].Class != 0 {
			r = sink.Result{Class: sink.Unknown, Status: httpStatus, Message: "the answer has the item more than once"}
		}
		results[i] = r
	}
	for i := range env.processed.list {
		give(env.processed.list[i].id, sink.Result{Class: sink.Delivered})
	}
	for i := range env.unprocessed.list {
		u := &env.unprocessed.list[i]
		give(u.id, a.unprocessed(u, token))
	}
	for i := range results {
		if results[i].Class == 0 {
			results[i] = sink.Result{Class: sink.Unknown, Status: httpStatus, Message: "the answer does not have the item"}
		}
	}
	return results
}

func (a *account) unprocessed(u *row, token string) sink.Result {
	return sink.Result{Class: a.meaning(u.code).class(), Code: told(u.code, token), Message: told(u.description, token)}
}
