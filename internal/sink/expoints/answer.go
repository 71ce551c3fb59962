package expoints

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// readAnswer says what came of a call with n items. The page documents statuses and no body: a 2xx takes the whole call, whatever its body, save
// for a page for people. None of the formats of the API is HTML: a proxy's login or maintenance page says nothing of the call.
func readAnswer(r vendorhttp.Exchange, n int) sink.Response {
	a := vendorhttp.ClassifyExchange(r)
	if r.Status >= 200 && r.Status < 300 {
		if isPage(r.Body) {
			a.Class, a.Err = sink.Unknown, errPage
			return a
		}
		a.Class, a.Err = sink.Delivered, nil
		a.ItemResults = slices.Repeat([]sink.Result{{Class: sink.Delivered, Status: r.Status}}, n)
		return a
	}
	lines := messages(r.Body)
	a.Message = message(lines)
	if a.Class == sink.Rejected {
		a.ItemErrors = named(lines, n, a.Result)
	}
	return a
}

var errPage = errors.New("reading the answer: it is an HTML page, which the API never gives")

func isPage(body []byte) bool { return strings.HasPrefix(http.DetectContentType(body), "text/html") }

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
