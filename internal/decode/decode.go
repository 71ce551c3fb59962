// Package decode turns a record's bytes into a typed event: the Confluent wire format, the writer's schema from a schema registry, and
// Avro's resolution of it against the reader's schema in schemas/.
//
// What goes wrong is said by kind, for the caller decides what to wait for: *Poison and *Unmapped are the record's own fault,
// *UnknownID may pass, an error that wraps the context's is the caller's own, and any other error is the registry's (down, slow, refusing
// or answering rubbish; it never wraps a context's error): nothing is wrong with the record. The package starts no goroutine and never waits for longer than its look-up.
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

// Config is how a Decoder reaches its registry and what it takes. The zero value of a field means its default.
type Config struct {
	// URLs of the schema registry, tried in their order; a base path is kept. At least one.
	URLs []string
	// Username and Password for HTTP basic authentication; none where Username is empty.
	Username, Password string
	// Timeout of one request to the registry; default 10 s.
	Timeout time.Duration
	// MaxBytes is the largest record value taken; default 8 MiB.
	MaxBytes int
	// MaxIDs bounds the schema ids remembered, of the known and of the unknown each; default 1000.
	MaxIDs int
	// UnknownIDCacheTTL is for how long an unknown id is not asked for again; default 2 s.
	UnknownIDCacheTTL time.Duration
	// Transport makes the requests; default a copy of http.DefaultTransport.
	Transport http.RoundTripper
	// Events are the types that records are decoded to; default event.BuiltinTypes.
	Events event.Types
}

func (c Config) withDefaults() Config {
	orDefault(&c.Timeout, 10*time.Second)
	orDefault(&c.MaxBytes, 8<<20)
	orDefault(&c.MaxIDs, 1000)
	orDefault(&c.UnknownIDCacheTTL, 2*time.Second)
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
		if t, ok := c.Transport.(*http.Transport); ok {
			c.Transport = t.Clone() // so that Close ends no connection of others
		}
	}
	return c
}

func orDefault[T int | time.Duration](v *T, standard T) {
	if *v <= 0 {
		*v = standard
	}
}

// DecodedEvent is a record as its event.
type DecodedEvent struct {
	// Name is the writer's full record name, such as "sluice.crmcom.Purchase".
	Name string
	// Event is a pointer to the type in package event.
	Event any
}

// Decoder decodes records. Safe for concurrent use.
type Decoder struct {
	cfg      Config
	registry *registry
	readers  *readers

	mu       sync.Mutex // covers the fields below; never held during a look-up
	codecs   *lru[*codec]
	unknown  *lru[unknown]
	lookups  map[int]*lookup
	resolved time.Time // when the registry knew its first id
}

// unknown is what is remembered of an id that the registry does not know.
type unknown struct{ since, until time.Time }

// lookup is a look-up that is under way, for others to wait for.
type lookup struct {
	done  chan struct{} // closed when the fields below are set
	codec *codec
	err   error
	// abandoned: the context of the caller who made it ended. Another one has to make it again.
	abandoned bool
}

// NewDecoder makes a Decoder for cfg.Events. It makes no request.
func NewDecoder(cfg Config) (*Decoder, error) {
	readers, err := readersOf(cfg.Events)
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
		cfg:      cfg,
		registry: registry,
		readers:  readers,
		codecs:   newLRU[*codec](cfg.MaxIDs),
		unknown:  newLRU[unknown](cfg.MaxIDs),
		lookups:  map[int]*lookup{},
	}, nil
}

// Close lets go of idle connections to the registry.
func (d *Decoder) Close() { d.registry.http.CloseIdleConnections() }

// Decode gives the event of a record's value. It waits for at most one look-up of the schema id, and for none once the id is known.
// The event shares no memory with value. Errors are by kind, see the package.
func (d *Decoder) Decode(ctx context.Context, topic string, value []byte) (DecodedEvent, error) {
	id, body, err := d.split(value)
	if err != nil {
		return DecodedEvent{}, err
	}
	c, err := d.codec(ctx, id)
	if err != nil {
		return DecodedEvent{}, fmt.Errorf("finding the schema of a record of %s: %w", topic, err)
	}
	return c.decode(id, body)
}

const headerBytes = 5 // magic 0x00 and a 4-byte big-endian id: Confluent's wire format

// split takes the header off a value.
func (d *Decoder) split(value []byte) (id int, body []byte, err error) {
	switch {
	case len(value) > d.cfg.MaxBytes:
		return 0, nil, &PoisonError{Reason: fmt.Sprintf("value of %d bytes, at most %d are allowed", len(value), d.cfg.MaxBytes)}
	case len(value) < headerBytes:
		return 0, nil, &PoisonError{Reason: fmt.Sprintf("value of %d bytes, the header alone has %d", len(value), headerBytes)}
	case value[0] != 0:
		return 0, nil, &PoisonError{Reason: fmt.Sprintf("first byte 0x%02x, want 0x00 (Confluent's wire format)", value[0])}
	}
	id = int(binary.BigEndian.Uint32(value[1:headerBytes]))
	if id > math.MaxInt32 {
		return 0, nil, &PoisonError{Reason: fmt.Sprintf("schema id %d, at most %d is possible", id, math.MaxInt32)}
	}
	return id, value[headerBytes:], nil
}

// codec gives the codec of an id, looked up at most once at a time.
func (d *Decoder) codec(ctx context.Context, id int) (*codec, error) {
	for {
		c, flight, mine, err := d.known(id)
		if c != nil || err != nil {
			return c, err
		}
		if mine {
			c, err := d.lookUp(ctx, id)
			return d.land(id, flight, c, err, ctx.Err() != nil)
		}
		select {
		case <-flight.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !flight.abandoned {
			return flight.codec, flight.err
		}
	}
}

// known gives what is remembered of an id, or else the look-up to wait for; mine says that the caller has to make it.
func (d *Decoder) known(id int) (c *codec, flight *lookup, mine bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.codecs.get(id); ok {
		return c, nil, false, nil
	}
	if u, ok := d.unknown.get(id); ok && time.Now().Before(u.until) {
		return nil, nil, false, d.isUnknown(id, u)
	}
	if flight, ok := d.lookups[id]; ok {
		return nil, flight, false, nil
	}
	flight = &lookup{done: make(chan struct{})}
	d.lookups[id] = flight
	return nil, flight, true, nil
}

// land remembers a look-up's result and hands it to those who wait.
func (d *Decoder) land(id int, flight *lookup, c *codec, err error, abandoned bool) (*codec, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(err, errNotFound) {
		err = d.rememberUnknown(id)
	}
	if c != nil {
		d.codecs.put(id, c)
		d.unknown.remove(id)
		if d.resolved.IsZero() {
			d.resolved = time.Now()
		}
	}
	flight.codec, flight.err, flight.abandoned = c, err, c == nil && abandoned
	delete(d.lookups, id)
	close(flight.done)
	return c, err
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (d *Decoder) rememberUnknown(id int) error {
	now := time.Now()
	u, ok := d.unknown.get(id)
	if !ok {
		u.since = now
	}
	u.until = now.Add(d.cfg.UnknownIDCacheTTL)
	d.unknown.put(id, u)
	return d.isUnknown(id, u)
}

// isUnknown is the error of an id that the registry does not know. The caller holds d.mu.
func (d *Decoder) isUnknown(id int, u unknown) *UnknownSchemaError {
	trusted := later(d.resolved, d.registry.lastFailure())
	return &UnknownSchemaError{ID: id, FirstSeen: later(u.since, trusted), TrustedSince: trusted, EverResolved: !d.resolved.IsZero()}
}

// lookUp asks the registry for an id and resolves its schema. A schema that can never be read is a codec too: one that says so.
func (d *Decoder) lookUp(ctx context.Context, id int) (*codec, error) {
	writer, err := d.registry.writer(ctx, id)
	var bad *PoisonError
	switch {
	case err == nil:
		return d.readers.codec(id, writer), nil
	case errors.As(err, &bad):
		return &codec{err: bad}, nil
	}
	return nil, fmt.Errorf("looking up schema id %d: %w", id, err)
}
