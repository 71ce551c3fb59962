package expoints

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// readAnswer says what came of a call with n items. The page documents statuses and no body: a 2xx
// takes the whole call, unless its body shows that it does not mean so.
func readAnswer(r vendorhttp.Exchange, n int) sink.Response {
	a := vendorhttp.ClassifyExchange(r)
	text := vendorhttp.DecodeBodyText(r.Body)
	if a.Class == sink.Delivered {
		return readSuccess(r, a, text, n)
	}
	if r.Status >= 200 && r.Status < 300 {
		return a
	}
	return refuse(a, text, n)
}

// readSuccess reads the body of a 2xx. None is documented, so any is taken, save for what no API
// responds to a call that it has taken: a page of something before it, a body that is cut off or not
// text, and a failure in JSON.
func readSuccess(r vendorhttp.Exchange, a sink.Response, text []byte, n int) sink.Response {
	if vendorhttp.IsHTMLPage(r) {
		a.Class, a.Err = sink.Unknown, errPage
		return a
	}
	body, err := readBody(text)
	if err != nil {
		a.Class, a.Err = sink.Unknown, err
		return a
	}
	switch c := readClaims(body, n); {
	case c.partial, c.success && (c.failure || c.status != 0):
		a.Class, a.Err = sink.Unknown, errContradiction
		return a
	case c.status != 0:
		stated := vendorhttp.ClassifyExchange(vendorhttp.Exchange{Status: c.status, Header: r.Header, RequestWritten: true})
		a.Class, a.MayHaveActed, a.RetryAfter = stated.Class, stated.MayHaveActed, stated.RetryAfter
		return refuse(a, text, n)
	case c.failure:
		a.Class = sink.Rejected
		return refuse(a, text, n)
	}
	a.ItemResults = slices.Repeat([]sink.Result{{Class: sink.Delivered, Status: r.Status}}, n)
	return a
}

// refuse adds to a call that was not taken what its response says, and of whom.
func refuse(a sink.Response, text []byte, n int) sink.Response {
	lines := messages(text)
	a.Message = message(lines)
	if a.Class == sink.Rejected {
		a.ItemErrors = named(lines, n, a.Result)
	}
	return a
}

var (
	errPage          = errors.New("reading the response: it is an HTML page, which the API never gives")
	errCutOff        = errors.New("reading the response: its JSON is cut off or broken")
	errNotText       = errors.New("reading the response: it is no text")
	errContradiction = errors.New("reading the response: it states a failure of a part of the call, or success and failure at once")
)

// readBody gives the JSON of a response; nil where it is none, such as plain text or XML.
func readBody(text []byte) (any, error) {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errNotText
	}
	var body any
	if err := json.Unmarshal(text, &body); err == nil {
		return body, nil
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && strings.IndexByte(`{["`, trimmed[0]) >= 0 {
		return nil, errCutOff
	}
	return nil, nil
}

// place finds the customer in a model path such as "request.Customers[3].Email", however the action names its parameter.
var place = regexp.MustCompile(`(?i)\bCustomers\[(\d{1,9})\]`)

// named gives a result to each customer that a line of the answer places, in the order of the call.
func named(lines []string, n int, whole sink.Result) []sink.ItemError {
	blame := make(map[int][]string)
	for _, line := range lines {
		for _, m := range place.FindAllStringSubmatch(line, -1) {
			i, err := strconv.Atoi(m[1])
			if err != nil || i >= n || slices.Contains(blame[i], line) {
				continue
			}
			blame[i] = append(blame[i], line)
		}
	}
	var out []sink.ItemError
	for i, own := range blame {
		result := whole
		result.Message = message(own)
		out = append(out, sink.ItemError{Index: i, Result: result})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Index < out[j].Index })
	return out
}

// values finds the texts of ASP.NET and Json.NET that repeat what was sent: "The value 'x' is not valid for Priority.", "Error converting value "x"
// to type", "Could not convert string to integer: x. Path 'Customers[0].Priority'".
var values = regexp.MustCompile(`(?i)(\bvalue )("[^"]*"|'[^']*'|\{[^}]*\})|(\bcould not convert [^:]*: ).*?(\. Path |$)`)

// message is what the vendor said, without what was sent.
func message(lines []string) string {
	return vendorhttp.Redact(values.ReplaceAllString(strings.Join(lines, "; "), "${1}${3}***${4}"))
}

// messages gives what an answer says, a line for each text: "path: text" for JSON of any shape (ASP.NET answers {"Message", "ModelState"}, or a
// string), else the body's own lines.
func messages(body []byte) []string {
	var v any
	if err := json.Unmarshal(body, &v); err == nil {
		return flatten(nil, "", v)
	}
	return strings.FieldsFunc(string(body), func(r rune) bool { return r == '\n' || r == '\r' })
}

func flatten(lines []string, path string, v any) []string {
	switch v := v.(type) {
	case string:
		return append(lines, path+v)
	case []any:
		for _, e := range v {
			lines = flatten(lines, path, e)
		}
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			lines = flatten(lines, path+k+": ", v[k])
		}
	}
	return lines
}
