package vendorhttp

import (
	"io"

	"sluice/internal/sink"
)

// Body returns the body of a request, which consists of prefix, the items' bodies separated by
// commas, and suffix. It copies none of them:
//
//	req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, suffix)
//
// length is in bytes. The pieces must not be modified until the call has ended.
func Body(prefix []byte, items []sink.Item, suffix []byte) (
	body io.ReadCloser, length int64, getBody func() (io.ReadCloser, error),
) {
	length = int64(len(prefix) + len(suffix) + max(len(items)-1, 0))
	for _, item := range items {
		length += int64(len(item.Body))
	}
	newReader := func() io.ReadCloser { return &bodyReader{rest: prefix, items: items, suffix: suffix} }
	return newReader(), length, func() (io.ReadCloser, error) { return newReader(), nil }
}

var comma = []byte{','}

// bodyReader reads the rest of the current piece, then the items from index next on, then suffix.
type bodyReader struct {
	rest     []byte
	items    []sink.Item
	next     int
	commaDue bool // before the next item
	suffix   []byte
}

func (r *bodyReader) Read(buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		for len(r.rest) == 0 {
			if !r.nextPiece() {
				if n == 0 {
					return 0, io.EOF
				}
				return n, nil
			}
		}
		copied := copy(buf[n:], r.rest)
		r.rest = r.rest[copied:]
		n += copied
	}
	return n, nil
}

// nextPiece makes the next piece the current one and reports whether there was one.
func (r *bodyReader) nextPiece() bool {
	switch {
	case r.next < len(r.items) && r.commaDue:
		r.rest, r.commaDue = comma, false
	case r.next < len(r.items):
		r.rest = r.items[r.next].Body
		r.next++
		r.commaDue = true
	case r.suffix != nil:
		r.rest, r.suffix = r.suffix, nil
	default:
		return false
	}
	return true
}

func (r *bodyReader) Close() error { return nil }
