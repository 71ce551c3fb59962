package offset

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"strings"
)

// MaxMetadata is the maximum size of commit metadata in bytes: the default of the broker setting
// offset.metadata.max.bytes.
const MaxMetadata = 4096

// The metadata is "sluice1:" and the base64 encoding of
//
//	topic ID (16 bytes), committed offset (uvarint), form (1 byte), body, CRC-32C (4 bytes)
//
// The metadata of a partition with an owner begins with "sluice2:" and has, between the offset and
// the form,
//
//	marker offset (uvarint), length of the writer ID (1 byte), writer ID
//
// A state is 0 for pending, 1 for an intent, 2 for settled, and 3 for a resend intent. In form 'r',
// the body has a uvarint for each run (length << 2 | state); in form 'm', it is a bitmap with two
// bits for each offset. The shorter form is used: runs for long ranges, the bitmap where lanes
// settle their records out of order.
const (
	metadataPrefix   = "sluice1:"
	ownedPrefix      = "sluice2:" // of the same length
	maxWriterIDBytes = 32
	formRuns         = 'r'
	formBitmap       = 'm'
	maxRawSize       = (MaxMetadata - len(metadataPrefix)) * 3 / 4
	maxOwnerSize     = binary.MaxVarintLen64 + 1 + maxWriterIDBytes
	maxHeaderSize    = 16 + binary.MaxVarintLen64 + maxOwnerSize + 1 + 4
	maxBodySize      = maxRawSize - maxHeaderSize
	maxMappedOffsets = maxBodySize * 4
	maxRunSize       = 5              // bytes of a run of up to 2^33 offsets
	maxEntrySize     = 1 + maxRunSize // bytes of an unsettled offset and the settled ones before it
)

// ErrForeignMetadata reports metadata that was not written for this topic and offset: by another
// program or version, for a deleted topic of the same name, or with another commit.
var ErrForeignMetadata = errors.New("commit metadata was not written by this connector for this topic and offset")

// ErrDamagedMetadata reports metadata that has the connector's prefix but cannot be decoded.
var ErrDamagedMetadata = errors.New("commit metadata is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// run is a range of offsets with one state: from <= offset < to.
type run struct {
	from, to int64
	state    entryState
}

// appendRun appends a run, and merges it with the last one if both have the same state. An empty
// run is ignored.
func appendRun(runs []run, next run) []run {
	if next.from >= next.to {
		return runs
	}
	if n := len(runs); n > 0 && runs[n-1].state == next.state && runs[n-1].to == next.from {
		runs[n-1].to = next.to
		return runs
	}
	return append(runs, next)
}

// runSize returns the encoded size in bytes of a run of this many offsets.
func runSize(offsets int64) int {
	if offsets <= 0 {
		return 0
	}
	return (bits.Len64(uint64(offsets)<<2) + 6) / 7
}

// encodeMetadata encodes an owner and contiguous runs that start at base. Without an owner and
// runs, the metadata is empty. Runs that do not fit are cut off at the end: they are copies that
// recovery found in the retry topics, and the next recovery finds them there again.
func encodeMetadata(topicID [16]byte, base int64, owner Owner, runs []run) string {
	if owner == (Owner{}) && len(runs) == 0 {
		return ""
	}
	raw := append(make([]byte, 0, 512), topicID[:]...)
	raw = binary.AppendUvarint(raw, uint64(base))
	prefix := metadataPrefix
	if owner != (Owner{}) {
		prefix = ownedPrefix
		raw = binary.AppendUvarint(raw, uint64(owner.Marker))
		raw = append(raw, byte(len(owner.WriterID)))
		raw = append(raw, owner.WriterID...)
	}
	raw = appendBody(raw, runs)
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli))
	return prefix + base64.RawStdEncoding.EncodeToString(raw)
}

func appendBody(raw []byte, runs []run) []byte {
	form := len(raw)
	raw = append(raw, formRuns)
	cut := false
	for _, r := range runs {
		if cut = len(raw)-form-1+runSize(r.to-r.from) > maxBodySize; cut {
			break
		}
		raw = binary.AppendUvarint(raw, uint64(r.to-r.from)<<2|uint64(r.state))
	}
	if len(runs) == 0 {
		return raw
	}
	from := runs[0].from
	bitmapSize := (runs[len(runs)-1].to - from + 3) / 4
	if bitmapSize > int64(maxBodySize) || !cut && bitmapSize >= int64(len(raw)-form-1) {
		return raw
	}
	raw = append(raw[:form], formBitmap)
	raw = append(raw, make([]byte, bitmapSize)...)
	pairs := raw[form+1:]
	for _, r := range runs {
		for o := r.from - from; o < r.to-from; o++ {
			pairs[o/4] |= byte(r.state) << (o % 4 * 2)
		}
	}
	return raw
}

// decodeMetadata decodes metadata that encodeMetadata wrote for this topic and committed offset,
// and leaves out the pending runs. Empty metadata has no owner and no runs.
func decodeMetadata(metadata string, topicID [16]byte, base int64) (Owner, []run, error) {
	if metadata == "" {
		return Owner{}, nil, nil
	}
	encoded, ours := strings.CutPrefix(metadata, metadataPrefix)
	owned := false
	if !ours {
		if encoded, owned = strings.CutPrefix(metadata, ownedPrefix); !owned {
			return Owner{}, nil, ErrForeignMetadata
		}
	}
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil || len(raw) < 16+1+1+4 {
		return Owner{}, nil, ErrDamagedMetadata
	}
	body, sum := raw[:len(raw)-4], binary.BigEndian.Uint32(raw[len(raw)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return Owner{}, nil, ErrDamagedMetadata
	}
	at, n := binary.Uvarint(body[16:])
	if n <= 0 || len(body) < 16+n+1 {
		return Owner{}, nil, ErrDamagedMetadata
	}
	if [16]byte(body[:16]) != topicID || at != uint64(base) {
		return Owner{}, nil, fmt.Errorf("%w (it is for offset %d)", ErrForeignMetadata, at)
	}
	var owner Owner
	rest := body[16+n:]
	if owned {
		if owner, rest, err = decodeOwner(rest); err != nil {
			return Owner{}, nil, err
		}
	}
	runs, err := decodeBody(rest[0], rest[1:], base)
	if err != nil {
		return Owner{}, nil, err
	}
	return owner, runs, nil
}

// decodeOwner returns the owner and what follows it, which is not empty.
func decodeOwner(raw []byte) (Owner, []byte, error) {
	marker, n := binary.Uvarint(raw)
	if n <= 0 || marker > math.MaxInt64 || len(raw) <= n {
		return Owner{}, nil, ErrDamagedMetadata
	}
	size := int(raw[n])
	rest := raw[n+1:]
	if size == 0 || size > maxWriterIDBytes || len(rest) <= size {
		return Owner{}, nil, ErrDamagedMetadata
	}
	return Owner{WriterID: string(rest[:size]), Marker: int64(marker)}, rest[size:], nil
}

func decodeBody(form byte, body []byte, base int64) ([]run, error) {
	switch form {
	case formRuns:
		return decodeRuns(body, base)
	case formBitmap:
		return decodeBitmap(body, base)
	default:
		return nil, ErrDamagedMetadata
	}
}

func decodeRuns(body []byte, base int64) ([]run, error) {
	var runs []run
	for at := base; len(body) > 0; {
		v, n := binary.Uvarint(body)
		length, state := v>>2, entryState(v&3)
		if n <= 0 || length == 0 || length > uint64(math.MaxInt64-at) {
			return nil, ErrDamagedMetadata
		}
		r := run{at, at + int64(length), state}
		if state != statePending {
			runs = appendRun(runs, r)
		}
		at, body = r.to, body[n:]
	}
	return runs, nil
}

func decodeBitmap(body []byte, base int64) ([]run, error) {
	if base > math.MaxInt64-int64(len(body))*4 {
		return nil, ErrDamagedMetadata
	}
	var runs []run
	for i := range int64(len(body)) * 4 {
		state := entryState(body[i/4] >> (i % 4 * 2) & 3)
		if state != statePending {
			runs = appendRun(runs, run{base + i, base + i + 1, state})
		}
	}
	return runs, nil
}
