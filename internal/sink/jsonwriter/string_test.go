package jsonwriter

import (
	"bytes"
	"encoding/json"
	"testing"
)

func FuzzAppendStringMatchesEncodingJSON(f *testing.F) {
	for _, s := range []string{"", "plain", `quote " and \`, "\b\f\n\r\t\x00\x1f\x7f", "<a&b>",
		"€ 😀 \u2028\u2029 \uFFFD", "\xff\xfe cut \xe2\x82", "a\xf0\x9f\x98"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		prefix := []byte("before")
		got := AppendString(prefix, s)
		if !bytes.Equal(got, append([]byte("before"), bytes.TrimSuffix(want.Bytes(), []byte("\n"))...)) {
			t.Fatalf("%q: got %s, want %s", s, got[len("before"):], want.Bytes())
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	s := "an address of common length, Kerkstraat 12, Amsterdam"
	buf := make([]byte, 0, 256)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendString(buf[:0], s)
	}
}
