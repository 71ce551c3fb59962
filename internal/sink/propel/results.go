package propel

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"

	"sluice/internal/sink"
)

// result is one item's part of a 200. Members are kept raw, so that one of an unforeseen type costs no more than itself.
type result struct {
	Key     json.RawMessage `json:"key"`
	Success json.RawMessage `json:"success"`
	Error   json.RawMessage `json:"error"`
	Message json.RawMessage `json:"message"`
}

var errNoData = errors.New("reading the answer: it has no array data")

// readResults reads a 200: each item's result is found by key, which is the sourceId. "messages" says "Completed" in any case, and results
// need not be in the order sent.
func readResults(body []byte, items []sink.Item, whole sink.Result, transient []*regexp.Regexp) ([]sink.Result, error) {
	var answer struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Data == nil {
		return nil, errNoData
	}
	results := make([]result, len(answer.Data))
	answered := make([]int, len(items)) // how many results each item has
	last := make([]*result, len(items))
	keys := newKeys(items)
	for i, raw := range answer.Data {
		if json.Unmarshal(raw, &results[i]) != nil {
			continue
		}
		if item, ok := keys.item(results[i].Key, i, len(results)); ok {
			answered[item]++
			last[item] = &results[i]
		}
	}
	out := slices.Repeat([]sink.Result{{Class: sink.Unknown, Status: whole.Status, RequestID: whole.RequestID}}, len(items))
	for i, r := range last {
		if answered[i] == 1 {
			out[i].Class, out[i].Message = r.outcome(transient)
		}
	}
	return out, nil
}

// outcome takes nothing but the words true and false for an answer.
func (r *result) outcome(transient []*regexp.Regexp) (sink.ResultClass, string) {
	switch {
	case bytes.Equal(r.Success, []byte("true")):
		return sink.Delivered, ""
	case !bytes.Equal(r.Success, []byte("false")):
		return sink.Unknown, ""
	}
	text := plain(r.Error)
	if text == "" {
		text = plain(r.Message)
	}
	class := sink.Rejected
	if slices.ContainsFunc(transient, func(p *regexp.Regexp) bool { return p.MatchString(text) }) {
		class = sink.Retryable
	}
	return class, message(text)
}

// plain is a JSON string's text, or the JSON itself where it is something else.
func plain(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// keys finds items by what the vendor echoes of their sourceId: a string, or a number that may have lost leading zeros or precision.
type keys struct {
	items   int
	exact   map[string][]int
	numeric map[float64][]int
}

func newKeys(items []sink.Item) keys {
	k := keys{items: len(items), exact: make(map[string][]int, len(items)), numeric: make(map[float64][]int)}
	for i, item := range items {
		k.exact[item.ID] = append(k.exact[item.ID], i)
		if f, ok := number(item.ID); ok && isDigits(item.ID) {
			k.numeric[f] = append(k.numeric[f], i)
		}
	}
	return k
}

// item gives the one item that a key names. Where it names several, the result's own place decides, if there are as many results as items.
func (k keys) item(key json.RawMessage, place, results int) (int, bool) {
	named := k.named(key)
	if len(named) == 1 {
		return named[0], true
	}
	if results == k.items && slices.Contains(named, place) {
		return place, true
	}
	return 0, false
}

func (k keys) named(key json.RawMessage) []int {
	if len(key) == 0 {
		return nil
	}
	if key[0] == '"' {
		return k.exact[plain(key)]
	}
	if exact := k.exact[string(key)]; len(exact) > 0 {
		return exact
	}
	if f, ok := number(string(key)); ok {
		return k.numeric[f]
	}
	return nil
}

func number(s string) (float64, bool) {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return 0, false // not a number of JSON: ParseFloat takes more
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}
