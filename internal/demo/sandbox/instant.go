package sandbox

import (
	"bytes"
	"io"
	"net/http"
)

// itemDepth is where an item's own keys are: body, array, item.
const itemDepth = 3

// instant answers a call at once: write makes the answer of the ids found under key in the items, each in its quotes.
func (s *Server) instant(key string, write func(out *bytes.Buffer, ids [][]byte)) func(http.ResponseWriter, *http.Request) {
	quoted := []byte(`"` + key + `"`)
	return func(w http.ResponseWriter, r *http.Request) {
		in, out := s.buffer(), s.buffer()
		defer s.buffers.Put(in)
		defer s.buffers.Put(out)
		if _, err := in.ReadFrom(http.MaxBytesReader(w, r.Body, s.opts.MaxBodyBytes)); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		write(out, itemTexts(in.Bytes(), quoted))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out.Bytes()) // a client that left is its own matter
	}
}

func (s *Server) buffer() *bytes.Buffer {
	if b, ok := s.buffers.Get().(*bytes.Buffer); ok {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

// itemTexts finds the strings at a key of the items, quotes included. It trusts its input to be JSON; of other bytes it makes anything, but no panic.
func itemTexts(in, key []byte) [][]byte {
	var texts [][]byte
	depth, wanted := 0, false
	for i := 0; i < len(in); i++ {
		switch in[i] {
		case '{', '[':
			depth++
			wanted = false
		case '}', ']':
			depth--
			wanted = false
		case ',':
			wanted = false
		case '"':
			end := textEnd(in, i)
			text := in[i:end]
			if wanted {
				texts = append(texts, text)
			}
			wanted = !wanted && depth == itemDepth && bytes.Equal(text, key)
			i = end - 1
		}
	}
	return texts
}

// textEnd is the index after the closing quote of the string at start, or the input's end.
func textEnd(in []byte, start int) int {
	for i := start + 1; i < len(in); {
		n := bytes.IndexByte(in[i:], '"')
		if n < 0 {
			break
		}
		i += n + 1
		if !escaped(in, start+1, i-1) {
			return i
		}
	}
	return len(in)
}

// escaped tells whether an odd number of backslashes stands before the quote.
func escaped(in []byte, start, quote int) bool {
	n := 0
	for quote-1-n >= start && in[quote-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func crmInstant(out *bytes.Buffer, ids [][]byte) {
	out.WriteString(`{"data":{"unprocessed_customer_events_set":[],"processed_customer_events_set":[`)
	separated(out, ids, `{"number":"1","id":"00000000000000000000000000000001","request_unique_identifier":`, `}`)
	out.WriteString(`]},"status":{"code":"OK","description":"","message":""}}`)
}

func propelInstant(out *bytes.Buffer, ids [][]byte) {
	out.WriteString(`{"data":[`)
	separated(out, ids, `{"action":"update","id":1,"lookupKey":"sourceId","success":true,"key":`, `}`)
	out.WriteString(`],"messages":["Completed"]}`)
}

func separated(out *bytes.Buffer, ids [][]byte, before, after string) {
	for i, id := range ids {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(before)
		out.Write(id)
		out.WriteString(after)
	}
}

func expointsInstant(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // whatever was sent is answered 200
}
