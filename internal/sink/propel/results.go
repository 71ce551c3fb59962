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

// itemResult is one element of "data" in the body of a 200. Its members are kept raw, so that a
// member of an unexpected type invalidates only this element.
type itemResult struct {
	Key     json.RawMessage `json:"key"`
	Success json.RawMessage `json:"success"`
	Error   json.RawMessage `json:"error"`
	Message json.RawMessage `json:"message"`
}

var errNoData = errors.New("reading the response: it has no array \"data\"")

// parseItemResults parses the body of a 200 and returns one result per item. Results are matched to
// items by key, which is the sourceId, because they need not be in the order of the request. The
// body's "messages" are ignored: they are "Completed" even if items failed. whole is the result of
// the call.
func parseItemResults(
	body []byte, items []sink.Item, whole sink.Result, transientErrors []*regexp.Regexp,
) ([]sink.Result, error) {
	var parsed struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil || parsed.Data == nil {
		return nil, errNoData
	}
	elements := make([]itemResult, len(parsed.Data))
	matches := make([]int, len(items)) // number of elements per item
	latest := make([]*itemResult, len(items))
	index := newKeyIndex(items)
	for i, raw := range parsed.Data {
		if json.Unmarshal(raw, &elements[i]) != nil {
			continue
		}
		if item, ok := index.findItem(elements[i].Key, i, len(elements)); ok {
			matches[item]++
			latest[item] = &elements[i]
		}
	}
	unknown := sink.Result{Class: sink.Unknown, Status: whole.Status, RequestID: whole.RequestID}
	results := slices.Repeat([]sink.Result{unknown}, len(items))
	for i, element := range latest {
		if matches[i] == 1 {
			results[i].Class, results[i].Message = element.classifyOutcome(transientErrors)
		}
	}
	return results, nil
}

// classifyOutcome returns the element's class and message. Only the literals true and false are
// accepted as success; with any other value the outcome is unknown.
func (r *itemResult) classifyOutcome(transientErrors []*regexp.Regexp) (sink.ResultClass, string) {
	switch {
	case bytes.Equal(r.Success, []byte("true")):
		return sink.Delivered, ""
	case !bytes.Equal(r.Success, []byte("false")):
		return sink.Unknown, ""
	}
	text := textOrJSON(r.Error)
	if text == "" {
		text = textOrJSON(r.Message)
	}
	class := sink.Rejected
	if slices.ContainsFunc(transientErrors, func(p *regexp.Regexp) bool { return p.MatchString(text) }) {
		class = sink.Retryable
	}
	return class, maskedMessage(text)
}

// textOrJSON returns the text of a JSON string, or the JSON itself if it is any other value.
func textOrJSON(raw json.RawMessage) string {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// keyIndex finds items by the key with which the vendor echoes their sourceId: a string, or a
// number that may have lost leading zeros or precision.
type keyIndex struct {
	itemCount int
	exact     map[string][]int
	numeric   map[float64][]int
}

func newKeyIndex(items []sink.Item) keyIndex {
	index := keyIndex{
		itemCount: len(items),
		exact:     make(map[string][]int, len(items)),
		numeric:   make(map[float64][]int),
	}
	for i, item := range items {
		index.exact[item.ID] = append(index.exact[item.ID], i)
		if f, ok := parseNumber(item.ID); ok && isDigits(item.ID) {
			index.numeric[f] = append(index.numeric[f], i)
		}
	}
	return index
}

// findItem returns the index of the only item to which the key refers. If it refers to several, the
// position of the result decides, provided that there are as many results as items.
func (x keyIndex) findItem(key json.RawMessage, position, resultCount int) (int, bool) {
	candidates := x.findCandidates(key)
	if len(candidates) == 1 {
		return candidates[0], true
	}
	if resultCount == x.itemCount && slices.Contains(candidates, position) {
		return position, true
	}
	return 0, false
}

// findCandidates returns the indices of the items to which the key may refer.
func (x keyIndex) findCandidates(key json.RawMessage) []int {
	if len(key) == 0 {
		return nil
	}
	if key[0] == '"' {
		return x.exact[textOrJSON(key)]
	}
	if exact := x.exact[string(key)]; len(exact) > 0 {
		return exact
	}
	if f, ok := parseNumber(string(key)); ok {
		return x.numeric[f]
	}
	return nil
}

// parseNumber parses a decimal number, with or without leading zeros. The check of the first
// character excludes other forms that ParseFloat accepts, such as NaN and +1.
func parseNumber(text string) (float64, bool) {
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsInf(f, 0)
}
