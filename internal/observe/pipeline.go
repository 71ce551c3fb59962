package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pipeline counts for one pipeline. A nil *Pipeline counts nothing, so that a step can be tested alone. Safe for concurrent use.
// Labels are names from the configuration and the code, never anything from a record.
type Pipeline struct {
	name string
	m    *metrics

	source, retry         reading
	commitFailed, dropped prometheus.Counter
	settled               *family[settledKey, prometheus.Counter]
	calls                 *family[callKey, prometheus.Counter]
	duplicates            *family[string, prometheus.Counter]
	skipped               *family[string, prometheus.Counter]
	produceFailed         *family[string, prometheus.Counter]
	histograms            *family[string, histograms]

	mu         sync.Mutex // covers what follows
	started    bool
	breakers   map[string]string
	holds      map[holdKey]Hold
	partitions map[partitionKey]*partition
}

type (
	settledKey   struct{ operation, kind, cause string }
	callKey      struct{ operation, class string }
	partitionKey struct {
		topic     string
		partition int32
	}
	reading    struct{ records, bytes prometheus.Counter }
	histograms struct{ delay, seconds, items, fill prometheus.Observer }
)

func newPipeline(name string, m *metrics) *Pipeline {
	p := &Pipeline{
		name: name, m: m,
		source:       reading{m.read.WithLabelValues(name, "source"), m.readBytes.WithLabelValues(name, "source")},
		retry:        reading{m.read.WithLabelValues(name, "retry"), m.readBytes.WithLabelValues(name, "retry")},
		commitFailed: m.commitFailed.WithLabelValues(name),
		dropped:      m.dropped.WithLabelValues(name),
		settled: newFamily(func(k settledKey) prometheus.Counter {
			return m.settled.WithLabelValues(name, k.operation, k.kind, k.cause)
		}),
		calls:         newFamily(func(k callKey) prometheus.Counter { return m.calls.WithLabelValues(name, k.operation, k.class) }),
		duplicates:    newFamily(func(operation string) prometheus.Counter { return m.duplicates.WithLabelValues(name, operation) }),
		skipped:       newFamily(func(why string) prometheus.Counter { return m.skipped.WithLabelValues(name, why) }),
		produceFailed: newFamily(func(topic string) prometheus.Counter { return m.produceFailed.WithLabelValues(name, topic) }),
		histograms: newFamily(func(operation string) histograms {
			return histograms{
				delay: m.delay.WithLabelValues(name, operation), seconds: m.callSeconds.WithLabelValues(name, operation),
				items: m.callItems.WithLabelValues(name, operation), fill: m.callFill.WithLabelValues(name, operation),
			}
		}),
		breakers:   map[string]string{},
		holds:      map[holdKey]Hold{},
		partitions: map[partitionKey]*partition{},
	}
	m.started.WithLabelValues(name).Set(0)
	return p
}

// RecordsRead counts records polled from the source (retry false) or a retry topic.
func (p *Pipeline) RecordsRead(retry bool, records, bytes int) {
	if p == nil {
		return
	}
	r := p.source
	if retry {
		r = p.retry
	}
	r.records.Add(float64(records))
	r.bytes.Add(float64(bytes))
}

// RecordsSettled counts records settled as kind (delivered, skipped, retried, dead); cause is empty with delivered and skipped. operation may be empty.
func (p *Pipeline) RecordsSettled(operation, kind, cause string, records int) {
	if p == nil {
		return
	}
	p.settled.get(settledKey{operation, kind, cause}).Add(float64(records))
}

// DeliveryDelay takes the time from the record's first writing to its delivery.
func (p *Pipeline) DeliveryDelay(operation string, d time.Duration) {
	if p == nil {
		return
	}
	p.histograms.get(operation).delay.Observe(d.Seconds())
}

// VendorCall counts one vendor call: its class, its items, how full it was (the fuller of items and bytes against their cap; an item that is over
// the bytes alone counts as 1), and how long it took.
func (p *Pipeline) VendorCall(operation, class string, items int, fill float64, took time.Duration) {
	if p == nil {
		return
	}
	p.calls.get(callKey{operation, class}).Inc()
	h := p.histograms.get(operation)
	h.items.Observe(float64(items))
	h.fill.Observe(min(fill, 1))
	h.seconds.Observe(took.Seconds())
}

// PossibleDuplicates counts records sent again although an earlier call may have reached the vendor.
func (p *Pipeline) PossibleDuplicates(operation string, records int) {
	if p == nil {
		return
	}
	p.duplicates.get(operation).Add(float64(records))
}

// RecordsSkippedSettled counts records read again and skipped since they were settled before (found in commit metadata, in a retry topic, or a late copy).
func (p *Pipeline) RecordsSkippedSettled(why string, records int) {
	if p == nil {
		return
	}
	p.skipped.get(why).Add(float64(records))
}

// CommitFailed counts offset commits that failed and will be built anew.
func (p *Pipeline) CommitFailed() {
	if p == nil {
		return
	}
	p.commitFailed.Inc()
}

// ProduceFailed counts failed writes to a retry or dead-letter topic that will be tried again.
func (p *Pipeline) ProduceFailed(topic string) {
	if p == nil {
		return
	}
	p.produceFailed.get(topic).Inc()
}

// RecordsReleased counts records let go unsettled at a revoke or stop; the next owner reads them again.
func (p *Pipeline) RecordsReleased(records int) {
	if p == nil {
		return
	}
	p.dropped.Add(float64(records))
}
