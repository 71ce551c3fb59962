package config

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// Pipeline configures one source topic, consumed by one consumer group.
type Pipeline struct {
	// Name is its key in the file. ConsumerGroup is derived from it.
	Name          string `yaml:"-"`
	ConsumerGroup string `yaml:"-"`

	Topic            string            `yaml:"topic" allow:"topic" doc:"source topic; default: the pipeline's name"`
	Events           map[string]Target `yaml:"events" doc:"event (full or short Avro name) -> account.operation, or {operation: account.operation}; empty: the operation for that event"`
	Start            Start             `yaml:"start" doc:"earliest, latest or an RFC 3339 time; used only once, while the group has no committed offset at all"`
	OnOffsetLost     string            `yaml:"on_offset_lost" allow:"stop|earliest|latest" doc:"what to do if a committed offset is out of range"`
	Concurrency      int               `yaml:"concurrency" allow:"1..64" doc:"lanes per operation, with one call in flight each"`
	Batch            Batch             `yaml:"batch"`
	MaxInFlight      int               `yaml:"max_in_flight" allow:"1..1000000" doc:"maximum number of records read and not settled"`
	MaxInFlightBytes Size              `yaml:"max_in_flight_bytes" allow:"1MiB..16GiB" doc:"maximum size of these records"`
	Retry            Retry             `yaml:"retry"`
	Ordering         string            `yaml:"ordering" allow:"none|key" doc:"key: records with the same Kafka key keep their order, including across retries; requires exactly one operation in the pipeline"`
	Unknown          UnknownOutcome    `yaml:"unknown"`
	Unmapped         string            `yaml:"unmapped" allow:"dead_letter|skip" doc:"what to do with a record whose event no operation accepts"`
	Tombstones       string            `yaml:"tombstones" allow:"dead_letter|skip" doc:"what to do with a record without a value"`
	Breaker          Breaker           `yaml:"breaker"`
	DeadLetter       DeadLetter        `yaml:"dead_letter"`

	// Routes has the events with their operations, sorted by event. It is resolved from Events.
	Routes []Route `yaml:"-"`
}

// Values of a pipeline's settings.
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

// Target is the destination of an event.
type Target struct {
	Operation string `yaml:"operation" scalar:"true" doc:"account.operation"`
}

// Batch limits one vendor call.
type Batch struct {
	MaxItems int           `yaml:"max_items" allow:"0..1000" doc:"items per call; 0: each operation's default; an operation with a smaller cap keeps its cap"`
	MaxBytes Size          `yaml:"max_bytes" allow:"1KiB..64MiB" doc:"bytes per call, including the envelope"`
	Linger   time.Duration `yaml:"linger" allow:"0s..1m" doc:"how long the first item of a batch waits for others"`
}

// Retry configures the retry tiers for records that a vendor refused for now.
type Retry struct {
	Delays []time.Duration `yaml:"delays" allow:"1s..24h" doc:"delay of each retry tier, ascending, 1 to 16 of them; each has a topic"`
	MaxAge time.Duration   `yaml:"max_age" allow:"1s..8760h" doc:"time after its first failure at which a record is dead-lettered; holds and open breakers do not count"`
}

// UnknownOutcome configures what happens to a record of unknown outcome.
type UnknownOutcome struct {
	Policy  string `yaml:"policy" allow:"retry|dead_letter" doc:"default: the operation's; repeatable operations have none"`
	Resends int    `yaml:"resends" allow:"1..10" doc:"how often a record that the vendor may have acted on is sent again with policy retry, in all, across crashes and retry tiers; default: the operation's"`
}

// Breaker configures the circuit breaker of an operation.
type Breaker struct {
	Failures int           `yaml:"failures" allow:"1..1000" doc:"consecutive failures that open the breaker"`
	Ratio    float64       `yaml:"ratio" allow:"0.01..1" doc:"ratio of failures within the window that opens the breaker"`
	Window   time.Duration `yaml:"window" allow:"1s..1h" doc:"rolling window for the ratio"`
	OpenFor  time.Duration `yaml:"open_for" allow:"1s..1h" doc:"time from opening until the first probe"`
}

// DeadLetter configures dead-lettering.
type DeadLetter struct {
	Guard Guard `yaml:"guard"`
}

// Guard configures the flood guard, which keeps a pipeline from emptying its topic into the
// dead-letter topic.
type Guard struct {
	MaxRatio float64 `yaml:"max_ratio" allow:"0.01..1" doc:"ratio of refused records above which the pipeline is held; 1: never"`
	Window   int     `yaml:"window" allow:"20..10000" doc:"number of last records with different keys over which the ratio is taken"`
}

// Route is one event with its operation.
type Route struct {
	// Event is the full Avro name.
	Event string
	// Account and Operation are the two parts of the operation name.
	Account   string
	Operation string
	// MaxItems is the effective cap of items per call: the configured one or the operation's
	// default, and never more than the operation's cap.
	MaxItems int
	// Repeatable means that sending an item twice does no harm; Unknown is then empty.
	Repeatable bool
	// Unknown is the policy for unknown outcomes, with the operation's default applied.
	Unknown UnknownOutcome
}

// OperationName returns account.operation.
func (r Route) OperationName() string { return r.Account + "." + r.Operation }

// Start is the position from which a group without any committed offset consumes. The zero value is
// earliest.
type Start struct {
	// Latest starts with records written from now on. Otherwise the group starts at time At, or at
	// the earliest record if At is zero.
	Latest bool
	At     time.Time
}

// String returns earliest, latest or the time in RFC 3339.
func (s Start) String() string {
	switch {
	case s.Latest:
		return OffsetLatest
	case s.At.IsZero():
		return OffsetEarliest
	}
	return s.At.Format(time.RFC3339Nano)
}

// MarshalText returns String.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText parses the format of String.
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

// DefaultPipeline returns a pipeline with all defaults, without events.
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

// defaultPipeline is a pipeline that exists without being configured, if an account accepts its
// events. A configured pipeline of the same name inherits its events and ordering.
type defaultPipeline struct {
	name     string
	ordering string
	events   []string
}

// defaultPipelines collects the default pipelines that the vendors' operations name: by vendor, in
// the order of the vendor's operations.
func defaultPipelines(vendors map[string]VendorType) []defaultPipeline {
	var pipelines []defaultPipeline
	for _, vendor := range slices.Sorted(maps.Keys(vendors)) {
		kind := vendors[vendor]
		for _, operation := range kind.Operations(kind.NewConfig()) {
			if operation.DefaultPipeline != "" {
				pipelines = addDefaultOperation(pipelines, operation)
			}
		}
	}
	return pipelines
}

func addDefaultOperation(pipelines []defaultPipeline, operation OperationSpec) []defaultPipeline {
	i := slices.IndexFunc(pipelines, func(pipeline defaultPipeline) bool { return pipeline.name == operation.DefaultPipeline })
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
