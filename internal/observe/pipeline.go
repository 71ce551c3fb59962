package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/record"
	"sluice/internal/sink"
)

// Pipeline records the counts and the state of one pipeline. A nil *Pipeline records nothing, so
// that a component can be tested on its own. It is safe for concurrent use.
type Pipeline struct {
	name    string
	metrics *metrics

	source, retry          readCounters
	commitFailed, released prometheus.Counter
	settled                *family[settledKey, prometheus.Counter]
	calls                  *family[callKey, prometheus.Counter]
	possibleDuplicates     *family[string, prometheus.Counter]
	skipped                *family[SkipReason, prometheus.Counter]
	produceFailed          *family[string, prometheus.Counter]
	histograms             *family[string, histograms]

	mu         sync.Mutex // guards the fields below
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

func newPipeline(name string, vectors *metrics) *Pipeline {
	p := &Pipeline{
		name: name, metrics: vectors,
		source: newReadCounters(vectors, name, fromSource), retry: newReadCounters(vectors, name, fromRetry),
		commitFailed: vectors.commitFailed.WithLabelValues(name),
		released:     vectors.released.WithLabelValues(name),
		settled: newFamily(func(key settledKey) prometheus.Counter {
			return vectors.settled.WithLabelValues(name, key.operation, key.disposition.String(), string(key.cause))
		}),
		calls: newFamily(func(key callKey) prometheus.Counter {
			return vectors.calls.WithLabelValues(name, key.operation, key.class.String())
		}),
		possibleDuplicates: newFamily(func(operation string) prometheus.Counter {
			return vectors.duplicates.WithLabelValues(name, operation)
		}),
		skipped: newFamily(func(reason SkipReason) prometheus.Counter {
			return vectors.skipped.WithLabelValues(name, string(reason))
		}),
		produceFailed: newFamily(func(topic string) prometheus.Counter {
			return vectors.produceFailed.WithLabelValues(name, topic)
		}),
		histograms: newFamily(func(operation string) histograms {
			return histograms{
				delay:   vectors.delay.WithLabelValues(name, operation),
				seconds: vectors.callSeconds.WithLabelValues(name, operation),
				items:   vectors.callItems.WithLabelValues(name, operation),
				fill:    vectors.callFill.WithLabelValues(name, operation),
			}
		}),
		breakers:   map[string]string{},
		holds:      map[holdKey]Hold{},
		partitions: map[partitionKey]*partition{},
	}
	p.declarePipeline()
	return p
}

func newReadCounters(vectors *metrics, pipeline, from string) readCounters {
	return readCounters{vectors.read.WithLabelValues(pipeline, from), vectors.readBytes.WithLabelValues(pipeline, from)}
}

// RecordsRead counts records fetched from the source topic, or from a retry topic if retry is true.
// bytes is the size of their keys, values and headers.
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

// RecordsSettled counts settled records. operation is empty for records that belong to no
// operation, and cause is empty for delivered ones.
func (p *Pipeline) RecordsSettled(
	operation string, disposition record.Disposition, cause record.Cause, records int,
) {
	if p == nil {
		return
	}
	p.settled.memberFor(settledKey{operation, dispositionCause{disposition, cause}}).Add(float64(records))
}

// DeliveryDelay observes the time from a record's timestamp in the source topic to its delivery.
func (p *Pipeline) DeliveryDelay(operation string, delay time.Duration) {
	if p == nil {
		return
	}
	p.histograms.memberFor(operation).delay.Observe(delay.Seconds())
}

// VendorCall counts one vendor call and observes its number of items, how full it was and its
// duration. fill is the number of items or of bytes relative to its limit, whichever ratio is
// higher; values above 1, which a single oversized item causes, count as 1.
func (p *Pipeline) VendorCall(
	operation string, class sink.ResultClass, items int, fill float64, duration time.Duration,
) {
	if p == nil {
		return
	}
	p.calls.memberFor(callKey{operation, class}).Inc()
	h := p.histograms.memberFor(operation)
	h.items.Observe(float64(items))
	h.fill.Observe(min(fill, 1))
	h.seconds.Observe(duration.Seconds())
}

// PossibleDuplicates counts records sent again although an earlier call may have reached the
// vendor.
func (p *Pipeline) PossibleDuplicates(operation string, records int) {
	if p == nil {
		return
	}
	p.possibleDuplicates.memberFor(operation).Add(float64(records))
}

// RecordsSkippedSettled counts records that were read again and skipped because they had been
// settled before.
func (p *Pipeline) RecordsSkippedSettled(reason SkipReason, records int) {
	if p == nil {
		return
	}
	p.skipped.memberFor(reason).Add(float64(records))
}

// CommitFailed counts an offset commit that failed and will be retried.
func (p *Pipeline) CommitFailed() {
	if p == nil {
		return
	}
	p.commitFailed.Inc()
}

// ProduceFailed counts a record that could not be produced to a retry or dead-letter topic and will
// be produced again.
func (p *Pipeline) ProduceFailed(topic string) {
	if p == nil {
		return
	}
	p.produceFailed.memberFor(topic).Inc()
}

// RecordsReleased counts records released without being settled because their assignment ended.
func (p *Pipeline) RecordsReleased(records int) {
	if p == nil {
		return
	}
	p.released.Add(float64(records))
}
