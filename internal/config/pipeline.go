package config

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// Pipeline is one source topic, read by one consumer group.
type Pipeline struct {
	// Name is its key in the file; Group is the consumer group.
	Name  string `yaml:"-"`
	Group string `yaml:"-"`

	Topic            string            `yaml:"topic" allow:"topic" doc:"source topic; default: the pipeline's name"`
	Events           map[string]Target `yaml:"events" doc:"event (Avro name, full or short) -> account.operation, or {operation: account.operation}; empty: the event's own operation"`
	Start            Start             `yaml:"start" doc:"earliest, latest or an RFC 3339 time; once, where the group has no offset at all"`
	OnOffsetLost     string            `yaml:"on_offset_lost" allow:"stop|earliest|latest" doc:"what to do where a committed offset is out of range"`
	Concurrency      int               `yaml:"concurrency" allow:"1..64" doc:"lanes of each operation, one request in flight in each"`
	Batch            Batch             `yaml:"batch"`
	MaxInFlight      int               `yaml:"max_in_flight" allow:"1..1000000" doc:"records read and not settled"`
	MaxInFlightBytes Size              `yaml:"max_in_flight_bytes" allow:"1MiB..16GiB" doc:"their bytes"`
	Retry            Retry             `yaml:"retry"`
	Ordering         string            `yaml:"ordering" allow:"none|key" doc:"key: records of one Kafka key keep their order, also across retries; needs exactly one operation in the pipeline"`
	Unknown          Unknown           `yaml:"unknown"`
	Unmapped         string            `yaml:"unmapped" allow:"dead_letter|skip" doc:"what becomes of a record whose name has no operation"`
	Tombstones       string            `yaml:"tombstones" allow:"dead_letter|skip" doc:"what becomes of a record without a value"`
	Breaker          Breaker           `yaml:"breaker"`
	DeadLetter       DeadLetter        `yaml:"dead_letter"`

	// Routes are the events with their operations, by event. They are resolved from Events.
	Routes []Route `yaml:"-"`
}

// The words that a pipeline's settings are made of.
const (
	OffsetStop     = "stop"
	OffsetEarliest = "earliest"
	OffsetLatest   = "latest"

	OrderingNone = "none"
	OrderingKey  = "key"

	ToDeadLetter = "dead_letter"
	Skip         = "skip"

	UnknownRetry      = "retry"
	UnknownDeadLetter = "dead_letter"
)

// Target is where an event goes.
type Target struct {
	Operation string `yaml:"operation" scalar:"true" doc:"account.operation"`
}

// Batch bounds one vendor call.
type Batch struct {
	MaxItems int           `yaml:"max_items" allow:"0..1000" doc:"items a call; 0: each operation's own default; an operation with a smaller cap keeps that"`
	MaxBytes Size          `yaml:"max_bytes" allow:"1KiB..64MiB" doc:"bytes a call, envelope included"`
	Linger   time.Duration `yaml:"linger" allow:"0s..1m" doc:"how long the first item of a batch waits for others"`
}

// Retry is the way of a record that a vendor refused for now.
type Retry struct {
	Delays []time.Duration `yaml:"delays" allow:"1s..24h" doc:"delay of each tier, ascending, 1 to 16 of them; one topic each"`
	MaxAge time.Duration   `yaml:"max_age" allow:"1s..8760h" doc:"time from the first failure after which a record is dead; holds and open breakers do not count"`
}

// Unknown is what is done with an item of which nobody knows whether the vendor took it.
type Unknown struct {
	Policy  string `yaml:"policy" allow:"retry|dead_letter" doc:"default: the operation's; operations that are repeatable have none"`
	Resends int    `yaml:"resends" allow:"1..10" doc:"times that a record is sent again with policy retry; default: the operation's"`
}

// Breaker is when an operation's calls are held for its vendor's sake.
type Breaker struct {
	Failures int           `yaml:"failures" allow:"1..1000" doc:"failures in a row that open it"`
	Ratio    float64       `yaml:"ratio" allow:"0.01..1" doc:"share of failures within the window that opens it"`
	Window   time.Duration `yaml:"window" allow:"1s..1h" doc:"rolling time over which the ratio is taken"`
	OpenFor  time.Duration `yaml:"open_for" allow:"1s..1h" doc:"time from opening to the first probe"`
}

// DeadLetter is how a pipeline gives records up.
type DeadLetter struct {
	Guard Guard `yaml:"guard"`
}

// Guard holds a pipeline that would empty its topic into the dead-letter topic.
type Guard struct {
	MaxRatio float64 `yaml:"max_ratio" allow:"0.01..1" doc:"share of refusals above which the pipeline is held; 1: never"`
	Window   int     `yaml:"window" allow:"20..10000" doc:"last records of different keys over which the share is taken"`
}

// Route is one event with its operation.
type Route struct {
	// Event is the full Avro name.
	Event string
	// Account and Operation are the two halves of the operation's full name.
	Account   string
	Operation string
	// MaxItems is the cap of items a call: the configured one, or the operation's default, never over the operation's cap.
	MaxItems int
	// Repeatable says that sending an item twice does no harm; Unknown is empty then.
	Repeatable bool
	// Unknown is the policy for unknown outcomes, the operation's default applied.
	Unknown Unknown
}

// FullName is account.operation.
func (r Route) FullName() string { return r.Account + "." + r.Operation }

// Start is where a group begins that has no offset at all. The zero value is earliest.
type Start struct {
	// Latest: only what is written from now on. Otherwise At, or the earliest record where At is zero.
	Latest bool
	At     time.Time
}

// String is earliest, latest or the time in RFC 3339.
func (s Start) String() string {
	switch {
	case s.Latest:
		return OffsetLatest
	case s.At.IsZero():
		return OffsetEarliest
	}
	return s.At.Format(time.RFC3339Nano)
}

// MarshalText gives String.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String writes.
func (s *Start) UnmarshalText(text []byte) error {
	switch string(text) {
	case OffsetEarliest:
		*s = Start{}
	case OffsetLatest:
		*s = Start{Latest: true}
	default:
		at, err := time.Parse(time.RFC3339, string(text))
		if err != nil || at.IsZero() {
			return errors.New("must be earliest, latest or a time such as 2026-01-31T12:00:00Z")
		}
		*s = Start{At: at}
	}
	return nil
}

// DefaultPipeline is a pipeline with all defaults, topic and events left out.
func DefaultPipeline(name string) Pipeline {
	return Pipeline{
		Name:             name,
		Topic:            name,
		OnOffsetLost:     OffsetStop,
		Concurrency:      4,
		Batch:            Batch{MaxBytes: 1 << 20, Linger: 250 * time.Millisecond},
		MaxInFlight:      10000,
		MaxInFlightBytes: 64 << 20,
		Retry:            Retry{Delays: []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute}, MaxAge: 24 * time.Hour},
		Ordering:         OrderingNone,
		Unmapped:         ToDeadLetter,
		Tombstones:       ToDeadLetter,
		Breaker:          Breaker{Failures: 5, Ratio: 0.5, Window: 30 * time.Second, OpenFor: 15 * time.Second},
		DeadLetter:       DeadLetter{Guard: Guard{MaxRatio: 0.5, Window: 200}},
	}
}

// defaultPipeline is a pipeline that exists without being configured, where an account takes its
// events. A configured pipeline of the same name inherits its events and ordering.
type defaultPipeline struct {
	name     string
	ordering string
	events   []string
}

// defaultPipelines collects the default pipelines that the operations of all vendors name: by vendor,
// in the order of their operations.
func defaultPipelines(vendors map[string]VendorType) []defaultPipeline {
	var pipelines []defaultPipeline
	for _, vendor := range slices.Sorted(maps.Keys(vendors)) {
		kind := vendors[vendor]
		for _, operation := range kind.Operations(kind.NewConfig()) {
			if operation.DefaultPipeline != "" {
				pipelines = addToDefaultPipeline(pipelines, operation)
			}
		}
	}
	return pipelines
}

func addToDefaultPipeline(pipelines []defaultPipeline, operation OperationSpec) []defaultPipeline {
	i := slices.IndexFunc(pipelines, func(p defaultPipeline) bool { return p.name == operation.DefaultPipeline })
	if i < 0 {
		i = len(pipelines)
		pipelines = append(pipelines, defaultPipeline{name: operation.DefaultPipeline, ordering: OrderingNone})
	}
	p := &pipelines[i]
	if operation.KeepOrder {
		p.ordering = OrderingKey
	}
	if !slices.Contains(p.events, operation.Event) {
		p.events = append(p.events, operation.Event)
	}
	return pipelines
}
