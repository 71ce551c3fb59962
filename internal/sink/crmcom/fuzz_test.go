package crmcom

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// FuzzResponse checks results against an independent decoding of the response: an item is delivered
// only if it occurs exactly once in the processed set and nowhere else.
func FuzzResponse(f *testing.F) {
	a, b := "events-0-0", "events-0-1"
	for _, seed := range []string{
		bulkResponse(processedRows(a, b), "[]"),
		bulkResponse(processedRows(a), unprocessedRows("NotFoundAPIValueException", b)),
		bulkResponse(processedRows(a, a), unprocessedRows("X", b, a)),
		refusedResponse("InvalidTokenException", "events-0-1"),
		`{"data":{"Processed_Customer_Events_Set":[{"request_unique_identifier":"events-0-0"}]},"status":{"code":"OK"}}`,
		strings.Replace(bulkResponse(processedRows(a), "[]"), "unprocessed_", "processed_", 1), "", "null",
	} {
		f.Add(200, []byte(seed))
		f.Add(400, []byte(seed))
	}
	account := newTestAccount(f, nil)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		items := newTestItems(2)
		got := account.readResponse(vendorhttp.Exchange{Status: status, Header: http.Header{}, Body: body,
			RequestWritten: true}, items, "tok")
		if (got.Class == sink.Delivered) != (len(got.ItemResults) == len(items)) || got.Class == 0 {
			t.Fatalf("got class %v with %d items", got.Class, len(got.ItemResults))
		}
		for i, r := range got.ItemResults {
			if processed, unprocessed := countMentions(body, items[i].ID); r.Class == sink.Delivered &&
				(processed != 1 || unprocessed != 0) {
				t.Fatalf("item %d is delivered, got it %d times in the processed set and %d times in the unprocessed one", i, processed, unprocessed)
			} else if r.Class == 0 {
				t.Fatalf("item %d has no class", i)
			}
		}
		for _, n := range got.ItemErrors {
			if !strings.Contains(got.Class.String(), "rejected") || n.Index < 0 || n.Index >= len(items) {
				t.Fatalf("got class %v with item %d named", got.Class, n.Index)
			}
		}
	})
}

// FuzzRows compares the cursor with encoding/json.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		processedRows("a", "b"), unprocessedRows("X", "a"), "null", "[]", "[null]", "[7]", "{}", `"x"`,
		" [ { } , { \"error_code\" : \"\\u00e9\\\\\" } ] ",
		`[{"a":[{"b":"]\""},-1.5e3,true],"request_unique_identifier":"1","request_unique_identifier":null}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		if !json.Valid(set) {
			return
		}
		var got rowSet
		err := got.decode(&cursor{json: set})
		var want []map[string]any
		dec := json.NewDecoder(bytes.NewReader(set))
		dec.UseNumber() // any number is valid JSON, not every one is a float64
		if wantErr := dec.Decode(&want); (err == nil) != (wantErr == nil) {
			t.Fatalf("got error %v, encoding/json has %v", err, wantErr)
		}
		want = slices.DeleteFunc(want, func(m map[string]any) bool { return m == nil })
		if err != nil {
			return
		}
		if len(got.rows) != len(want) {
			t.Fatalf("got %d rows, want %d", len(got.rows), len(want))
		}
		for i, r := range got.rows {
			id, _ := want[i]["request_unique_identifier"].(string)
			code, _ := want[i]["error_code"].(string)
			description, _ := want[i]["error_description"].(string)
			if string(r.id) != id || r.code != code || r.description != description {
				t.Fatalf("row %d: got %+v, want %q, %q, %q", i, r, id, code, description)
			}
		}
	})
}

// countMentions counts, from the JSON tokens of the response, how often each set contains an
// identifier. Sets with the same name are counted together.
func countMentions(body []byte, id string) (processed, unprocessed int) {
	var path []string // the members that lead to the token; "" for an array
	dec := json.NewDecoder(bytes.NewReader(body))
	var walk func() bool
	walk = func() bool {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'):
			last := ""
			for dec.More() {
				key, err := dec.Token()
				if err != nil {
					return false
				}
				name, _ := key.(string)
				path = append(path, name)
				if name == "request_unique_identifier" {
					last = ""
					if value, ok := nextString(dec, body); ok {
						last = value
					}
				}
				if !walk() {
					return false
				}
				path = path[:len(path)-1]
			}
			if last == id && len(path) == 3 && strings.EqualFold(path[0], "data") {
				switch {
				case strings.EqualFold(path[1], "processed_customer_events_set"):
					processed++
				case strings.EqualFold(path[1], "unprocessed_customer_events_set"):
					unprocessed++
				}
			}
			_, err = dec.Token()
		case json.Delim('['):
			for dec.More() {
				path = append(path, "")
				if !walk() {
					return false
				}
				path = path[:len(path)-1]
			}
			_, err = dec.Token()
		}
		return err == nil
	}
	walk()
	return processed, unprocessed
}

// nextString returns the value that follows if it is a string. It does not move the decoder.
func nextString(dec *json.Decoder, body []byte) (string, bool) {
	rest := bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n:")
	var s string
	err := json.NewDecoder(bytes.NewReader(rest)).Decode(&s)
	return s, err == nil && len(rest) > 0 && rest[0] == '"'
}
