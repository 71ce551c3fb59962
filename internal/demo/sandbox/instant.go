package sandbox

import (
	"bytes"
	"io"
	"net/http"
)

// itemDepth is the nesting depth of an item's own keys: body, array, item.
const itemDepth = 3

// instantHandler responds immediately. writeBody writes the response body for the ids found under
// key in the items, each including its quotes.
func (s *Server) instantHandler(
	key string, writeBody func(out *bytes.Buffer, ids [][]byte),
) func(http.ResponseWriter, *http.Request) {
	quoted := []byte(`"` + key + `"`)
	return func(w http.ResponseWriter, req *http.Request) {
		in, out := s.borrowBuffer(), s.borrowBuffer()
		defer s.buffers.Put(in)
		defer s.buffers.Put(out)
		if _, err := in.ReadFrom(http.MaxBytesReader(w, req.Body, s.opts.MaxBodyBytes)); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		writeBody(out, itemTexts(in.Bytes(), quoted))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out.Bytes()) // a client that has disconnected is not an error of the sandbox
	}
}

func (s *Server) borrowBuffer() *bytes.Buffer {
	if buffer, ok := s.buffers.Get().(*bytes.Buffer); ok {
		buffer.Reset()
		return buffer
	}
	return new(bytes.Buffer)
}

// itemTexts returns the strings, quotes included, that the items have under key. The input should
// be valid JSON; for anything else the result is arbitrary, but the function does not panic.
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
			end := endOfText(in, i)
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

// endOfText returns the index after the closing quote of the string at start, or len(in).
func endOfText(in []byte, start int) int {
	for i := start + 1; i < len(in); {
		count := bytes.IndexByte(in[i:], '"')
		if count < 0 {
			break
		}
		i += count + 1
		if !isEscaped(in, start+1, i-1) {
			return i
		}
	}
	return len(in)
}

// isEscaped reports whether an odd number of backslashes precedes the quote.
func isEscaped(in []byte, start, quote int) bool {
	count := 0
	for quote-1-count >= start && in[quote-1-count] == '\\' {
		count++
	}
	return count%2 == 1
}

func writeInstantCRM(out *bytes.Buffer, ids [][]byte) {
	out.WriteString(`{"data":{"unprocessed_customer_events_set":[],"processed_customer_events_set":[`)
	writeSeparated(out, ids, `{"number":"1","id":"00000000000000000000000000000001","request_unique_identifier":`, `}`)
	out.WriteString(`]},"status":{"code":"OK","description":"","message":""}}`)
}

func writeInstantPropel(out *bytes.Buffer, ids [][]byte) {
	out.WriteString(`{"data":[`)
	writeSeparated(out, ids, `{"action":"update","id":1,"lookupKey":"sourceId","success":true,"key":`, `}`)
	out.WriteString(`],"messages":["Completed"]}`)
}

func writeSeparated(out *bytes.Buffer, ids [][]byte, before, after string) {
	for i, id := range ids {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(before)
		out.Write(id)
		out.WriteString(after)
	}
}

func serveInstantExpoints(_ http.ResponseWriter, request *http.Request) {
	_, _ = io.Copy(io.Discard, request.Body) // every request succeeds
}
