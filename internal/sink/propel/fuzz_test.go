package propel

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

var itemClasses = []sink.ResultClass{sink.Delivered, sink.Rejected, sink.Retryable, sink.Unknown}

func FuzzParseResponse(f *testing.F) {
	f.Add(200, readGolden(f, "bulk-customers-by-source-id-200.json"))
	f.Add(400, readGolden(f, "bulk-customers-by-source-id-400-invalid-schema.json"))
	f.Add(200, []byte(`{"data":[{"key":7,"success":true},{"key":1.2345678901234567e19,"success":true},`+
		`{"key":"K7","success":false,"error":"x"},{"key":12345678901234567891,"success":true}]}`))
	operation := newTestOperation(f, Default())
	items := itemsWithIDs("007", "12345678901234567890", "K7", "12345678901234567891")
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		response := operation.parseResponse(vendorhttp.Exchange{Status: status, Body: body, RequestWritten: true}, items)
		isDelivered, results := response.Class == sink.Delivered, response.ItemResults
		if isDelivered != (results != nil) || results != nil && len(results) != len(items) {
			t.Fatalf("%v: got %d item results, want %d only when delivered", response.Class, len(results), len(items))
		}
		for i, result := range response.ItemResults {
			if result.Class == sink.Delivered && !reportsSuccess(body, items[i].ID) {
				t.Fatalf("item %s is delivered, but the body does not report its success: %s", items[i].ID, body)
			}
			if !slices.Contains(itemClasses, result.Class) {
				t.Fatalf("got item class %v, want one of %v", result.Class, itemClasses)
			}
		}
		last := -1
		for _, itemError := range response.ItemErrors {
			if itemError.Index <= last || itemError.Index >= len(items) || response.Class != sink.Rejected {
				t.Fatalf("%v: got item errors %+v, want ascending indices, only when rejected",
					response.Class, response.ItemErrors)
			}
			last = itemError.Index
		}
		if len(response.Message) > 512 || !utf8.ValidString(response.Message) {
			t.Fatalf("got message %q of %d bytes, want UTF-8 of at most 512", response.Message, len(response.Message))
		}
	})
}

// reportsSuccess is an oracle independent of the parser: it reports whether the body has an element
// with success true whose key is the id, as a string or as a number.
func reportsSuccess(body []byte, id string) bool {
	var response map[string]json.RawMessage
	if json.Unmarshal(body, &response) != nil {
		return false
	}
	for name, data := range response {
		var elements []json.RawMessage
		if !strings.EqualFold(name, "data") || json.Unmarshal(data, &elements) != nil {
			continue
		}
		for _, raw := range elements {
			if isSuccessOf(raw, id) {
				return true
			}
		}
	}
	return false
}

// isSuccessOf reports whether one element of the body has success true and the id as its key.
func isSuccessOf(raw json.RawMessage, id string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return false
	}
	var key, success bool
	for name, value := range members {
		switch {
		case strings.EqualFold(name, "success"):
			success = success || bytes.Equal(value, []byte("true"))
		case strings.EqualFold(name, "key"):
			var text string
			want, idErr := strconv.ParseFloat(id, 64)
			got, keyErr := strconv.ParseFloat(string(value), 64)
			isText := json.Unmarshal(value, &text) == nil && text == id
			isNumber := idErr == nil && keyErr == nil && got == want
			key = key || isText || isNumber
		}
	}
	return key && success
}
