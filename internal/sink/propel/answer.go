package propel

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// readAnswer says what came of a call.
func (a *account) readAnswer(r vendorhttp.Exchange, items []sink.Item) sink.Response {
	answer := vendorhttp.ClassifyExchange(r)
	answer.RequestID = word(r.Header.Get("X-Request-Id"))
	if answer.Class == sink.Delivered {
		results, err := readResults(r.Body, items, answer.Result, a.transient)
		if err != nil {
			answer.Class, answer.Err = sink.Unknown, err
		}
		answer.ItemResults = results
		return answer
	}
	var texts []string
	answer.Code, texts = readRefusal(r.Body)
	answer.Message = message(texts...)
	answer.Class = a.class(answer.Result)
	if answer.Class == sink.Rejected {
		answer.ItemErrors = named(texts, len(items), answer.Result)
	}
	return answer
}

// class lets the vendor's code decide where one status is used both for the data and for the caller's set-up.
func (a *account) class(r sink.Result) sink.ResultClass {
	switch {
	case r.Class == sink.Rejected && a.codes[r.Code] == codeMisconfigured:
		return sink.Misconfigured
	case (r.Status == http.StatusNotFound || r.Status == http.StatusMethodNotAllowed) && slices.Contains(a.cfg.DataCodes, r.Code):
		return sink.Rejected
	}
	return r.Class
}

// readRefusal reads {"error": {"code", "messages"}}, with code as a number (the page's example) or a string (its table), or the gateway's
// {"fault": {"faultstring", "detail": {"errorcode"}}}. Any other body gives its text.
func readRefusal(body []byte) (code string, texts []string) {
	var refusal struct {
		Error struct {
			Code     json.RawMessage `json:"code"`
			Type     json.RawMessage `json:"type"`
			Messages json.RawMessage `json:"messages"`
		} `json:"error"`
		Fault struct {
			Text   json.RawMessage `json:"faultstring"`
			Detail struct {
				Code json.RawMessage `json:"errorcode"`
			} `json:"detail"`
		} `json:"fault"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return "", []string{string(body)}
	}
	e, f := refusal.Error, refusal.Fault
	if code = word(plain(e.Code)); code == "" {
		code = word(plain(f.Detail.Code))
	}
	for _, raw := range append(elements(e.Messages), f.Text) {
		if text := plain(raw); text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		texts = append(texts, plain(e.Type))
	}
	return code, texts
}

// elements are those of a list; what is none is its own one element.
func elements(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	return []json.RawMessage{raw}
}

// values finds the texts of the schema check (everit-org/json-schema) that repeat what was sent: "#/customers/0/gender: x is not a valid enum
// value", "string [x] does not match pattern ...", "[x] is not a valid email address".
var values = regexp.MustCompile(`(: ).*( is not a valid enum value)|(string \[).*(\] does not match pattern)|(\[).*(\] is not a valid)`)

// message is what the vendor said, without what was sent.
func message(texts ...string) string {
	quiet := make([]string, len(texts))
	for i, text := range texts {
		quiet[i] = values.ReplaceAllString(text, "${1}${3}${5}***${2}${4}${6}")
	}
	return vendorhttp.Redact(strings.Join(quiet, "; "))
}

// place is a pointer to a customer of the request, as a message of the schema check begins: "#/customers/0: extraneous key [company] is not permitted".
var place = regexp.MustCompile(`^#/customers/(\d{1,9})(?:[/:\s]|$)`)

// named gives a result to each customer that a message points to, in the order of the call.
func named(texts []string, n int, whole sink.Result) []sink.ItemError {
	blame := make(map[int][]string)
	for _, text := range texts {
		m := place.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if i, err := strconv.Atoi(m[1]); err == nil && i < n {
			blame[i] = append(blame[i], text)
		}
	}
	var out []sink.ItemError
	for i := range n {
		if own := blame[i]; own != nil {
			result := whole
			result.Class, result.Message = sink.Rejected, message(own...)
			out = append(out, sink.ItemError{Index: i, Result: result})
		}
	}
	return out
}

// word is s where it is one word that can stand in a header, such as an id or a code; else nothing.
func word(s string) string {
	const most = 128
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}
