package offset

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// MaxMetadata is the most bytes that commit metadata may have: the broker's default offset.metadata.max.bytes.
const MaxMetadata = 4096

// The text form is "sluice1:" and base64 of
//
//	topic id (16 bytes), base offset (uvarint), form (1 byte), what the form holds, CRC-32C of all that (4 bytes)
//
// where form 'r' is a uvarint a run (length << 2 | state) and form 'm' is a map of two bits an offset. The shorter one is taken: runs for long
// stretches, the map where lanes have settled their records in no order.
const (
	prefix      = "sluice1:"
	formRuns    = 'r'
	formMap     = 'm'
	maxRaw      = (MaxMetadata - len(prefix)) * 3 / 4
	maxOverhead = 16 + binary.MaxVarintLen64 + 1 + 4
	maxRunBytes = maxRaw - maxOverhead
	maxMapped   = maxRunBytes * 4
	worstRun    = 5            // bytes of a run of up to 2^33 offsets
	worstEntry  = 1 + worstRun // bytes of an unsettled offset and the settled ones before it
)

// ErrForeignMetadata is metadata that is not ours for this topic and offset: another program's, another version's, of a topic since
// deleted and made anew, or of another commit. It is ignored.
var ErrForeignMetadata = errors.New("commit metadata is not this connector's for this topic and offset")

// ErrDamagedMetadata is metadata that says it is ours and cannot be read. It is ignored.
var ErrDamagedMetadata = errors.New("commit metadata is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// run is a stretch of offsets of one state, from <= offset < to.
type run struct {
	from, to int64
	state    state
}

// appendRun adds a run, joined to the last one where both are alike; an empty one is left out.
func appendRun(runs []run, r run) []run {
	if r.from >= r.to {
		return runs
	}
	if n := len(runs); n > 0 && runs[n-1].state == r.state && runs[n-1].to == r.from {
		runs[n-1].to = r.to
		return runs
	}
	return append(runs, r)
}

// overlaySettled gives runs with single offsets, ascending, settled in them.
func overlaySettled(runs []run, offsets []int64) []run {
	var out []run
	for _, o := range offsets {
		for len(runs) > 0 && runs[0].to <= o {
			out, runs = appendRun(out, runs[0]), runs[1:]
		}
		if len(runs) > 0 && runs[0].from < o {
			out = appendRun(out, run{runs[0].from, o, runs[0].state})
		}
		out = appendRun(out, run{o, o + 1, done})
		if len(runs) > 0 && runs[0].from <= o {
			runs = slices.Clone(runs)
			runs[0].from = o + 1
		}
	}
	for _, r := range runs {
		out = appendRun(out, r)
	}
	return out
}

// runSize is the bytes of a run of so many offsets.
func runSize(offsets int64) int {
	if offsets <= 0 {
		return 0
	}
	return (bits.Len64(uint64(offsets)<<2) + 6) / 7
}

// encodeMetadata writes contiguous runs from base on; nothing where there is nothing to say. What does not fit is cut at the far end: it is what a take-over found
// in the retry topics, and the next one finds there again.
func encodeMetadata(topicID [16]byte, base int64, runs []run) string {
	if len(runs) == 0 {
		return ""
	}
	raw := append(make([]byte, 0, 512), topicID[:]...)
	raw = binary.AppendUvarint(raw, uint64(base))
	raw = appendBody(raw, runs)
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli))
	return prefix + base64.RawStdEncoding.EncodeToString(raw)
}

func appendBody(raw []byte, runs []run) []byte {
	form := len(raw)
	raw = append(raw, formRuns)
	cut := false
	for _, r := range runs {
		if cut = len(raw)-form-1+runSize(r.to-r.from) > maxRunBytes; cut {
			break
		}
		raw = binary.AppendUvarint(raw, uint64(r.to-r.from)<<2|uint64(r.state))
	}
	from := runs[0].from
	mapped := (runs[len(runs)-1].to - from + 3) / 4
	if mapped > int64(maxRunBytes) || !cut && mapped >= int64(len(raw)-form-1) {
		return raw
	}
	raw = append(raw[:form], formMap)
	raw = append(raw, make([]byte, mapped)...)
	pairs := raw[form+1:]
	for _, r := range runs {
		for o := r.from - from; o < r.to-from; o++ {
			pairs[o/4] |= byte(r.state) << (o % 4 * 2)
		}
	}
	return raw
}

// decodeMetadata reads what encodeMetadata wrote for this topic and committed offset, without the runs that are pending. Empty metadata
// gives no runs.
func decodeMetadata(text string, topicID [16]byte, base int64) ([]run, error) {
	if text == "" {
		return nil, nil
	}
	b64, ours := strings.CutPrefix(text, prefix)
	if !ours {
		return nil, ErrForeignMetadata
	}
	raw, err := base64.RawStdEncoding.DecodeString(b64)
	if err != nil || len(raw) < 16+1+1+4 {
		return nil, ErrDamagedMetadata
	}
	body, sum := raw[:len(raw)-4], binary.BigEndian.Uint32(raw[len(raw)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, ErrDamagedMetadata
	}
	at, n := binary.Uvarint(body[16:])
	if n <= 0 || len(body) < 16+n+1 {
		return nil, ErrDamagedMetadata
	}
	if [16]byte(body[:16]) != topicID || at != uint64(base) {
		return nil, fmt.Errorf("%w (it is for offset %d)", ErrForeignMetadata, at)
	}
	return decodeBody(body[16+n], body[16+n+1:], base)
}

func decodeBody(form byte, body []byte, base int64) ([]run, error) {
	switch form {
	case formRuns:
		return decodeRuns(body, base)
	case formMap:
		return decodeMap(body, base)
	default:
		return nil, ErrDamagedMetadata
	}
}

func decodeRuns(body []byte, at int64) ([]run, error) {
	var out []run
	for len(body) > 0 {
		v, n := binary.Uvarint(body)
		length := v >> 2
		if n <= 0 || state(v&3) > done || length == 0 || length > uint64(math.MaxInt64-at) {
			return nil, ErrDamagedMetadata
		}
		r := run{at, at + int64(length), state(v & 3)}
		if r.state != pending {
			out = appendRun(out, r)
		}
		at, body = r.to, body[n:]
	}
	return out, nil
}

func decodeMap(body []byte, base int64) ([]run, error) {
	if base > math.MaxInt64-int64(len(body))*4 {
		return nil, ErrDamagedMetadata
	}
	var out []run
	for i := range int64(len(body)) * 4 {
		s := state(body[i/4] >> (i % 4 * 2) & 3)
		if s > done {
			return nil, ErrDamagedMetadata
		}
		if s != pending {
			out = appendRun(out, run{base + i, base + i + 1, s})
		}
	}
	return out, nil
}
