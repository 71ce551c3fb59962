package propel

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

func FuzzAnswer(f *testing.F) {
	f.Add(200, golden(f, "bulk-customers-by-source-id-200.json"))
	f.Add(400, golden(f, "bulk-customers-by-source-id-400-invalid-schema.json"))
	f.Add(200, []byte(`{"data":[{"key":7,"success":true},{"key":1.2345678901234567e19,"success":true},{"key":"K7","success":false,"error":"x"},{"key":12345678901234567891,"success":true}]}`))
	a := reader(f, Default())
	items := itemsOf("007", "12345678901234567890", "K7", "12345678901234567891")
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		answer := a.readAnswer(vendorhttp.Exchange{Status: status, Body: body, RequestWritten: true}, items)
		if (answer.Class == sink.Delivered) != (answer.ItemResults != nil) || answer.ItemResults != nil && len(answer.ItemResults) != len(items) {
			t.Fatalf("%v with %d results", answer.Class, len(answer.ItemResults))
		}
		for i, r := range answer.ItemResults {
			if r.Class == sink.Delivered && !saysTrue(body, items[i].ID) {
				t.Fatalf("%s is delivered without a reason: %s", items[i].ID, body)
			}
			if r.Class != sink.Delivered && r.Class != sink.Rejected && r.Class != sink.Retryable && r.Class != sink.Unknown {
				t.Fatalf("an item is %v", r.Class)
			}
		}
		last := -1
		for _, named := range answer.ItemErrors {
			if named.Index <= last || named.Index >= len(items) || answer.Class != sink.Rejected {
				t.Fatalf("%v with wrong blame %+v", answer.Class, answer.ItemErrors)
			}
			last = named.Index
		}
		if len(answer.Message) > 512 || !utf8.ValidString(answer.Message) {
			t.Fatalf("message of %d bytes: %q", len(answer.Message), answer.Message)
		}
	})
}

// saysTrue looks for a result with success true whose key is the id, as a text or as a number.
func saysTrue(body []byte, id string) bool {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return false
	}
	for name, data := range answer {
		var results []json.RawMessage
		if !strings.EqualFold(name, "data") || json.Unmarshal(data, &results) != nil {
			continue
		}
		for _, raw := range results {
			if one(raw, id) {
				return true
			}
		}
	}
	return false
}

func one(raw json.RawMessage, id string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return false
	}
	var key, success bool
	for name, v := range members {
		switch {
		case strings.EqualFold(name, "success"):
			success = success || bytes.Equal(v, []byte("true"))
		case strings.EqualFold(name, "key"):
			var s string
			want, wrong := strconv.ParseFloat(id, 64)
			f, err := strconv.ParseFloat(string(v), 64)
			key = key || json.Unmarshal(v, &s) == nil && s == id || wrong == nil && err == nil && f == want
		}
	}
	return key && success
}
