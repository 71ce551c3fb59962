package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/record"
	"sluice/internal/sink"
)

// Pipeline records the counts and the state of one pipeline. A nil *Pipeline records nothing, so that
// a component can be tested alone. It is safe for concurrent use.
type Pipeline struct {
	name string
	m    *metrics

	source, retry          readCounters
	commitFailed, released prometheus.Counter
	settled                *family[settledKey, prometheus.Counter]
	calls                  *family[callKey, prometheus.Counter]
	duplicates             *family[string, prometheus.Counter]
	skipped                *family[SkipReason, prometheus.Counter]
	produceFailed          *family[string, prometheus.Counter]
	histograms             *family[string, histograms]

	mu         sync.Mutex // guards all below
	started    bool
	breakers   map[string]string
	holds      map[holdKey]Hold
	partitions map[partitionKey]*partition
}

type (
	settledKey struct {
		operation string
		dispositionCause
	}
	callKey struct {
		operation string
		class     sink.ResultClass
	}
	partitionKey struct {
		topic     string
		partition int32
	}
	readCounters struct{ records, bytes prometheus.Counter }
	histograms   struct{ delay, seconds, items, fill prometheus.Observer }
)

func newPipeline(name string, m *metrics) *Pipeline {
	p := &Pipeline{
		name: name, m: m,
		source: newReadCounters(m, name, fromSource), retry: newReadCounters(m, name, fromRetry),
		commitFailed: m.commitFailed.WithLabelValues(name),
		released:     m.released.WithLabelValues(name),
		settled: newFamily(func(k settledKey) prometheus.Counter {
			return m.settled.WithLabelValues(name, k.operation, k.disposition.String(), string(k.cause))
		}),
		calls: newFamily(func(k callKey) prometheus.Counter {
			return m.calls.WithLabelValues(name, k.operation, k.class.String())
		}),
		duplicates: newFamily(func(operation string) prometheus.Counter {
			return m.duplicates.WithLabelValues(name, operation)
		}),
		skipped: newFamily(func(reason SkipReason) prometheus.Counter {
			return m.skipped.WithLabelValues(name, string(reason))
		}),
		produceFailed: newFamily(func(topic string) prometheus.Counter {
			return m.produceFailed.WithLabelValues(name, topic)
		}),
		histograms: newFamily(func(operation string) histograms {
			return histograms{
				delay:   m.delay.WithLabelValues(name, operation),
				seconds: m.callSeconds.WithLabelValues(name, operation),
				items:   m.callItems.WithLabelValues(name, operation),
				fill:    m.callFill.WithLabelValues(name, operation),
			}
		}),
		breakers:   map[string]string{},
		holds:      map[holdKey]Hold{},
		partitions: map[partitionKey]*partition{},
	}
	p.declarePipeline()
	return p
}

func newReadCounters(m *metrics, pipeline, from string) readCounters {
	return readCounters{m.read.WithLabelValues(pipeline, from), m.readBytes.WithLabelValues(pipeline, from)}
}

// RecordsRead counts records fetched from the source topic, or with retry from a retry topic. bytes
// is the size of their keys, values and headers.
func (p *Pipeline) RecordsRead(retry bool, records, bytes int) {
	if p == nil {
		return
	}
	counters := p.source
	if retry {
		counters = p.retry
	}
	counters.records.Add(float64(records))
	counters.bytes.Add(float64(bytes))
}

// RecordsSettled counts settled records. operation is empty for records that belong to none, cause
// for delivered ones.
func (p *Pipeline) RecordsSettled(
	operation string, disposition record.Disposition, cause record.Cause, records int,
) {
	if p == nil {
		return
	}
	p.settled.member(settledKey{operation, dispositionCause{disposition, cause}}).Add(float64(records))
}

// DeliveryDelay observes the time from a record's timestamp in the source topic to its delivery.
func (p *Pipeline) DeliveryDelay(operation string, delay time.Duration) {
	if p == nil {
		return
	}
	p.histograms.member(operation).delay.Observe(delay.Seconds())
}

// VendorCall counts one vendor call and observes its number of items, how full it was and its
// duration. fill is items or bytes relative to their limit, whichever is higher; a single item that
// exceeds the limit of bytes counts as 1.
func (p *Pipeline) VendorCall(
	operation string, class sink.ResultClass, items int, fill float64, duration time.Duration,
) {
	if p == nil {
		return
	}
	p.calls.member(callKey{operation, class}).Inc()
	h := p.histograms.member(operation)
	h.items.Observe(float64(items))
	h.fill.Observe(min(fill, 1))
	h.seconds.Observe(duration.Seconds())
}

// PossibleDuplicates counts records sent again although an earlier call may have reached the vendor.
func (p *Pipeline) PossibleDuplicates(operation string, records int) {
	if p == nil {
		return
	}
	p.duplicates.member(operation).Add(float64(records))
}

// RecordsSkippedSettled counts records that were read again and skipped because they had been settled
// before.
func (p *Pipeline) RecordsSkippedSettled(reason SkipReason, records int) {
	if p == nil {
		return
	}
	p.skipped.member(reason).Add(float64(records))
}

// CommitFailed counts an offset commit that failed and is retried.
func (p *Pipeline) CommitFailed() {
	if p == nil {
		return
	}
	p.commitFailed.Inc()
}

// ProduceFailed counts a record that could not be produced to a retry or dead-letter topic and is
// produced again.
func (p *Pipeline) ProduceFailed(topic string) {
	if p == nil {
		return
	}
	p.produceFailed.member(topic).Inc()
}

// RecordsReleased counts records released without being settled because their assignment ended.
func (p *Pipeline) RecordsReleased(records int) {
	if p == nil {
		return
	}
	p.released.Add(float64(records))
}
