// Package decode turns the value of a record into a typed event. It reads the Confluent wire
// format, fetches the writer schema from a schema registry, and resolves it against the reader
// schema in schemas/ by Avro's rules.
//
// Errors are of four kinds, so that the caller can decide whether to wait. With a *PoisonError or
// an *UnmappedError, the record itself is at fault. An *UnknownSchemaError may be temporary. An
// error that wraps ctx.Err() means that the caller's context has ended. Any other error means that
// the registry is unavailable, slow or responds with something unusable; it never wraps the error
// of a context. The package starts no goroutine, and a call waits for at most one lookup.
package decode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"sluice/internal/event"
)

// Config configures a Decoder. The zero value of a field means its default.
type Config struct {
	// URLs are the base URLs of the schema registry, tried in order. At least one is required.
	URLs []string
	// Username and Password are used for HTTP basic authentication unless Username is empty.
	Username, Password string
	// Timeout bounds one request to the registry. The default is 10 seconds.
	Timeout time.Duration
	// MaxBytes is the largest record value accepted. The default is 8 MiB.
	MaxBytes int
	// MaxIDs bounds the number of cached schema IDs, separately for known and unknown ones. The
	// default is 1000.
	MaxIDs int
	// UnknownIDCacheTTL is how long an unknown ID is not looked up again. The default is 2 seconds.
	UnknownIDCacheTTL time.Duration
	// Transport sends the requests. The default is a clone of http.DefaultTransport.
	Transport http.RoundTripper
	// Events are the types that records are decoded to. The default is event.BuiltinTypes.
	Events event.Types
}

func (c Config) withDefaults() Config {
	setDefault(&c.Timeout, 10*time.Second)
	setDefault(&c.MaxBytes, 8<<20)
	setDefault(&c.MaxIDs, 1000)
	setDefault(&c.UnknownIDCacheTTL, 2*time.Second)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
		if t, ok := c.Transport.(*http.Transport); ok {
			c.Transport = t.Clone() // so that Close does not close the connections of other users
		}
	}
	return c
}

func setDefault[T int | time.Duration](value *T, defaultValue T) {
	if *value <= 0 {
		*value = defaultValue
	}
}

// DecodedEvent is the event that a record contains.
type DecodedEvent struct {
	// Name is the full record name in the writer schema, such as "sluice.crmcom.Purchase".
	Name string
	// Event is a pointer to a type of package event.
	Event any
}

// Decoder decodes records. It is safe for concurrent use.
type Decoder struct {
	cfg      Config
	registry *registry
	readers  *readers

	mu            sync.Mutex // guards the fields below; never held during a lookup
	codecs        *lru[*codec]
	unknownIDs    *lru[unknownID]
	lookups       map[int]*lookup
	firstResolved time.Time // when the registry first knew an ID
}

// unknownID is the cache entry of a schema ID that the registry does not know. The ID is not looked
// up again before the time until.
type unknownID struct{ since, until time.Time }

// lookup is a lookup in progress that other callers can wait for.
type lookup struct {
	done  chan struct{} // closed when the fields below are set
	codec *codec
	err   error
	// abandoned means that the context of the caller that made the lookup ended, so that another
	// caller has to repeat it.
	abandoned bool
}

// NewDecoder returns a decoder for cfg.Events. It sends no request.
func NewDecoder(cfg Config) (*Decoder, error) {
	readers, err := readersFor(cfg.Events)
	if err != nil {
		return nil, err
	}
	return newDecoder(cfg, readers)
}

func newDecoder(cfg Config, readers *readers) (*Decoder, error) {
	cfg = cfg.withDefaults()
	registry, err := newRegistry(cfg)
	if err != nil {
		return nil, err
	}
	return &Decoder{
		cfg:        cfg,
		registry:   registry,
		readers:    readers,
		codecs:     newLRU[*codec](cfg.MaxIDs),
		unknownIDs: newLRU[unknownID](cfg.MaxIDs),
		lookups:    map[int]*lookup{},
	}, nil
}

// Close closes idle connections to the registry.
func (d *Decoder) Close() { d.registry.http.CloseIdleConnections() }

// Decode returns the event that a record's value contains. It waits for at most one lookup of the
// schema ID, and for none if the ID is cached. The event shares no memory with value. The package
// comment describes the errors.
func (d *Decoder) Decode(ctx context.Context, topic string, value []byte) (DecodedEvent, error) {
	id, body, err := d.splitHeader(value)
	if err != nil {
		return DecodedEvent{}, err
	}
	c, err := d.codecFor(ctx, id)
	if err != nil {
		return DecodedEvent{}, fmt.Errorf("finding the schema of a record in %s: %w", topic, err)
	}
	return c.decodeBody(id, body)
}

// headerBytes is the size of the Confluent wire format's header: the magic byte 0x00 and the schema
// ID in four bytes, big-endian.
const headerBytes = 5

// splitHeader returns the schema ID in the header of a value and the body that follows it.
func (d *Decoder) splitHeader(value []byte) (id int, body []byte, err error) {
	switch {
	case len(value) > d.cfg.MaxBytes:
		return 0, nil, newPoisonError("value of %d bytes, at most %d are allowed", len(value), d.cfg.MaxBytes)
	case len(value) < headerBytes:
		return 0, nil, newPoisonError("value of %d bytes, the header alone has %d", len(value), headerBytes)
	case value[0] != 0:
		return 0, nil, newPoisonError("first byte 0x%02x, want 0x00 (Confluent's wire format)", value[0])
	}
	id = int(binary.BigEndian.Uint32(value[1:headerBytes]))
	if id > math.MaxInt32 {
		return 0, nil, newPoisonError("schema id %d, at most %d is possible", id, math.MaxInt32)
	}
	return id, value[headerBytes:], nil
}

func newPoisonError(format string, args ...any) *PoisonError {
	return &PoisonError{Reason: fmt.Sprintf(format, args...)}
}

// codecFor returns the codec for a schema ID. Concurrent callers share one lookup.
func (d *Decoder) codecFor(ctx context.Context, id int) (*codec, error) {
	for {
		c, shared, started, err := d.cachedOrLookup(id)
		if c != nil || err != nil {
			return c, err
		}
		if started {
			c, err := d.fetchCodec(ctx, id)
			return d.finishLookup(id, shared, c, err, ctx.Err() != nil)
		}
		select {
		case <-shared.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !shared.abandoned {
			return shared.codec, shared.err
		}
	}
}

// cachedOrLookup returns the codec or the error that is cached for an ID. If neither is, it returns
// the lookup to wait for; started means that this call started the lookup, so that the caller has
// to make it.
func (d *Decoder) cachedOrLookup(id int) (c *codec, shared *lookup, started bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.codecs.get(id); ok {
		return c, nil, false, nil
	}
	if u, ok := d.unknownIDs.get(id); ok && time.Now().Before(u.until) {
		return nil, nil, false, d.unknownError(id, u)
	}
	if shared, ok := d.lookups[id]; ok {
		return nil, shared, false, nil
	}
	shared = &lookup{done: make(chan struct{})}
	d.lookups[id] = shared
	return nil, shared, true, nil
}

// finishLookup caches the result of a lookup, passes it to the callers that wait for it, and
// returns it.
func (d *Decoder) finishLookup(id int, shared *lookup, c *codec, err error, abandoned bool) (*codec, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(err, errNotFound) {
		err = d.rememberUnknown(id)
	}
	if c != nil {
		d.codecs.put(id, c)
		d.unknownIDs.removeEntry(id)
		if d.firstResolved.IsZero() {
			d.firstResolved = time.Now()
		}
	}
	shared.codec, shared.err, shared.abandoned = c, err, c == nil && abandoned
	delete(d.lookups, id)
	close(shared.done)
	return c, err
}

func laterTime(first, second time.Time) time.Time {
	if first.Before(second) {
		return second
	}
	return first
}

func (d *Decoder) rememberUnknown(id int) error {
	now := time.Now()
	u, ok := d.unknownIDs.get(id)
	if !ok {
		u.since = now
	}
	u.until = now.Add(d.cfg.UnknownIDCacheTTL)
	d.unknownIDs.put(id, u)
	return d.unknownError(id, u)
}

// unknownError returns the error for an ID that the registry does not know. The caller holds d.mu.
func (d *Decoder) unknownError(id int, cached unknownID) *UnknownSchemaError {
	trusted := laterTime(d.firstResolved, d.registry.lastFailure())
	return &UnknownSchemaError{
		ID: id, FirstSeen: laterTime(cached.since, trusted), TrustedSince: trusted, EverResolved: !d.firstResolved.IsZero(),
	}
}

// fetchCodec fetches the schema of an ID and resolves it. For a schema that can never be used it
// returns a codec that rejects all records.
func (d *Decoder) fetchCodec(ctx context.Context, id int) (*codec, error) {
	writer, err := d.registry.writerSchema(ctx, id)
	var poison *PoisonError
	switch {
	case err == nil:
		return d.readers.newCodec(id, writer), nil
	case errors.As(err, &poison):
		return &codec{err: poison}, nil
	}
	return nil, fmt.Errorf("looking up schema id %d: %w", id, err)
}
