package observe

import "github.com/prometheus/client_golang/prometheus"

// metrics are the process's vectors. Label values are names from the configuration and the code; topic and partition are those assigned.
type metrics struct {
	read, readBytes, settled, calls, duplicates   *prometheus.CounterVec
	skipped, commitFailed, produceFailed, dropped *prometheus.CounterVec
	delay, callSeconds, callItems, callFill       *prometheus.HistogramVec
	breaker, hold, started, lag, oldest, inFlight *prometheus.GaugeVec
}

var (
	// From a call that returns at once to a record that waited a day for a vendor.
	delayBuckets = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400}
	// Up to the longest time-out that is sensible for a call.
	callBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120}
	// The vendors' caps are among them: 1, 100, 200, 1000.
	itemBuckets = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
	fillBuckets = []float64{.01, .05, .1, .25, .5, .75, .9, .99, 1}
)

func newMetrics() metrics {
	return metrics{
		read:          counter("records_read_total", "Records polled, from the source topic or a retry topic.", "from"),
		readBytes:     counter("read_bytes_total", "Bytes of records polled: keys, values and headers.", "from"),
		settled:       counter("records_settled_total", "Records settled, by what became of them and why.", "operation", "kind", "cause"),
		calls:         counter("vendor_calls_total", "Vendor calls, by the class of the answer.", "operation", "class"),
		duplicates:    counter("possible_duplicates_total", "Records sent again although an earlier call may have reached the vendor.", "operation"),
		skipped:       counter("records_skipped_settled_total", "Records read again and skipped, since they were settled before.", "cause"),
		commitFailed:  counter("commit_failures_total", "Offset commits that failed and were built anew."),
		produceFailed: counter("produce_failures_total", "Failed writes to a retry or dead-letter topic, tried again.", "topic"),
		dropped:       counter("records_dropped_total", "Records let go unsettled at a revoke or stop, for the next owner to read again."),
		delay:         histogram("delivery_delay_seconds", "Time from a record's first writing to its delivery.", delayBuckets),
		callSeconds:   histogram("vendor_call_duration_seconds", "Time that a vendor call took.", callBuckets),
		callItems:     histogram("vendor_call_items", "Items in a vendor call.", itemBuckets),
		callFill:      histogram("vendor_call_fill_ratio", "Items or bytes of a vendor call against their cap, whichever is fuller; 1 is full.", fillBuckets),
		breaker:       gauge("breaker_state", "1 for the state that the operation's breaker is in: closed, half-open or open.", "operation", "state"),
		hold:          gauge("hold", "1 while the operation, or with none the pipeline's reading, is held for the cause.", "operation", "cause"),
		started:       gauge("pipeline_started", "1 while the pipeline is running."),
		lag:           gauge("partition_lag_records", "Records of the partition that are not settled and committed up to.", "topic", "partition"),
		oldest:        gauge("partition_oldest_unsettled_seconds", "Age of the partition's oldest unsettled record, 0 where there is none.", "topic", "partition"),
		inFlight:      gauge("partition_in_flight_records", "Records of the partition that were read and are not settled.", "topic", "partition"),
	}
}

func (m metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.read, m.readBytes, m.settled, m.calls, m.duplicates, m.skipped, m.commitFailed, m.produceFailed, m.dropped,
		m.delay, m.callSeconds, m.callItems, m.callFill, m.breaker, m.hold, m.started, m.lag, m.oldest, m.inFlight,
	}
}

const namespace = "sluice"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, pipelineAnd(labels))
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, pipelineAnd(labels))
}

func histogram(name, help string, buckets []float64) *prometheus.HistogramVec {
	opts := prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
	return prometheus.NewHistogramVec(opts, pipelineAnd([]string{"operation"}))
}

func pipelineAnd(labels []string) []string { return append([]string{"pipeline"}, labels...) }
