package vendorhttp

import (
	"io"

	"sluice/internal/sink"
)

// Body is a request's body made of prefix, the items' bodies with commas between them, and suffix, without copying any of them:
//
//	req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, suffix)
//
// length is in bytes. The pieces must not change until the call has ended.
func Body(prefix []byte, items []sink.Item, suffix []byte) (body io.ReadCloser, length int64, again func() (io.ReadCloser, error)) {
	length = int64(len(prefix) + len(suffix) + max(len(items)-1, 0))
	for _, item := range items {
		length += int64(len(item.Body))
	}
	fresh := func() io.ReadCloser { return &pieces{rest: prefix, items: items, suffix: suffix} }
	return fresh(), length, func() (io.ReadCloser, error) { return fresh(), nil }
}

var comma = []byte{','}

// pieces reads what is left of rest, then the items from next on, then suffix.
type pieces struct {
	rest   []byte
	items  []sink.Item
	next   int
	comma  bool // a comma stands before the next item and was not given yet
	suffix []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		for len(p.rest) == 0 {
			if !p.advance() {
				if n == 0 {
					return 0, io.EOF
				}
				return n, nil
			}
		}
		m := copy(b[n:], p.rest)
		p.rest = p.rest[m:]
		n += m
	}
	return n, nil
}

// advance moves rest to the next piece; false where there is none.
func (p *pieces) advance() bool {
	switch {
	case p.next < len(p.items) && p.comma:
		p.rest, p.comma = comma, false
	case p.next < len(p.items):
		p.rest = p.items[p.next].Body
		p.next++
		p.comma = true
	case p.suffix != nil:
		p.rest, p.suffix = p.suffix, nil
	default:
		return false
	}
	return true
}

func (p *pieces) Close() error { return nil }
