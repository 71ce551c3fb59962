package vendorhttp

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"sluice/internal/sink"
)

func TestBodyJoinsItsPiecesWithCommasBetweenItems(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SliceOf(rapid.Byte()).Draw(t, "prefix")
		suffix := rapid.SliceOf(rapid.Byte()).Draw(t, "suffix")
		bodies := rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "items")
		items := make([]sink.Item, len(bodies))
		for i, b := range bodies {
			items[i].Body = b
		}
		want := append(append(bytes.Clone(prefix), bytes.Join(bodies, []byte(","))...), suffix...)

		body, length, again := Body(prefix, items, suffix)
		if length != int64(len(want)) {
			t.Fatalf("length %d, want %d", length, len(want))
		}
		step := rapid.IntRange(1, 20).Draw(t, "step")
		checkBodyBytes(t, body, want, step)
		for range 2 {
			body, err := again()
			if err != nil {
				t.Fatal(err)
			}
			checkBodyBytes(t, body, want, step)
		}
	})
}

func checkBodyBytes(t *rapid.T, body io.ReadCloser, want []byte, step int) {
	var got bytes.Buffer
	if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{body}, make([]byte, step)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("got %q, want %q", got.Bytes(), want)
	}
}

func TestBodyIsAValidReader(t *testing.T) {
	items := []sink.Item{{Body: []byte(`{"a":1}`)}, {Body: []byte(`{"b":2}`)}, {}}
	body, _, _ := Body([]byte(`{"items":[`), items, []byte(`]}`))
	if err := iotest.TestReader(body, []byte(`{"items":[{"a":1},{"b":2},]}`)); err != nil {
		t.Fatal(err)
	}
}
