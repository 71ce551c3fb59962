package observe

import "github.com/prometheus/client_golang/prometheus"

const namespace = "sluice"

// metricType is the type of a metric as Prometheus names it.
type metricType string

const (
	counterType   metricType = "counter"
	gaugeType     metricType = "gauge"
	histogramType metricType = "histogram"
)

// definition describes one metric. The registered vectors and docs/metrics.md are generated from
// it. The name does not include the namespace.
type definition struct {
	name    string
	kind    metricType
	help    string
	labels  []label
	buckets []float64
}

var (
	recordsRead = definition{
		name: "records_read_total", kind: counterType, labels: []label{pipelineLabel, fromLabel},
		help: "Records fetched.",
	}
	readBytes = definition{
		name: "read_bytes_total", kind: counterType, labels: []label{pipelineLabel, fromLabel},
		help: "Bytes of the records fetched: keys, values and headers.",
	}
	recordsSettled = definition{
		name: "records_settled_total", kind: counterType,
		labels: []label{pipelineLabel, operationOrNoneLabel, dispositionLabel, causeLabel},
		help:   "Records settled, by disposition and cause.",
	}
	recordsSkippedSettled = definition{
		name: "records_skipped_settled_total", kind: counterType, labels: []label{pipelineLabel, skipReasonLabel},
		help: "Records that were read again and skipped because they had been settled before.",
	}
	recordsReleased = definition{
		name: "records_released_total", kind: counterType, labels: []label{pipelineLabel},
		help: "Records released without being settled because their assignment ended; the next owner reads them again.",
	}
	vendorCalls = definition{
		name: "vendor_calls_total", kind: counterType, labels: []label{pipelineLabel, operationLabel, classLabel},
		help: "Vendor calls, by result class.",
	}
	possibleDuplicates = definition{
		name: "possible_duplicates_total", kind: counterType, labels: []label{pipelineLabel, operationLabel},
		help: "Records sent again although an earlier call may have reached the vendor.",
	}
	commitFailures = definition{
		name: "commit_failures_total", kind: counterType, labels: []label{pipelineLabel},
		help: "Offset commits that failed; each is retried, except the final one of an assignment.",
	}
	produceFailures = definition{
		name: "produce_failures_total", kind: counterType, labels: []label{pipelineLabel, topicLabel},
		help: "Failed attempts to produce a record to a retry or dead-letter topic; each is retried.",
	}
	deliveryDelay = definition{
		name: "delivery_delay_seconds", kind: histogramType, labels: []label{pipelineLabel, operationLabel},
		help: "Time from a record's timestamp in the source topic to its delivery.",
		// From a call that returns at once to a record that waited for a vendor for a day.
		buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400},
	}
	callDuration = definition{
		name: "vendor_call_duration_seconds", kind: histogramType, labels: []label{pipelineLabel, operationLabel},
		help: "Duration of vendor calls.",
		// Up to the longest timeout that makes sense for a call.
		buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120},
	}
	callItems = definition{
		name: "vendor_call_items", kind: histogramType, labels: []label{pipelineLabel, operationLabel},
		help: "Items per vendor call.",
		// The vendors' limits are among them: 1, 100, 200, 1000.
		buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000},
	}
	callFill = definition{
		name: "vendor_call_fill_ratio", kind: histogramType, labels: []label{pipelineLabel, operationLabel},
		help:    "How full vendor calls are: items or bytes relative to their limit, whichever is higher; 1 means full.",
		buckets: []float64{.01, .05, .1, .25, .5, .75, .9, .99, 1},
	}
	breakerState = definition{
		name: "breaker_state", kind: gaugeType, labels: []label{pipelineLabel, operationLabel, stateLabel},
		help: "1 for the current state of the operation's circuit breaker, 0 for the others.",
	}
	holdGauge = definition{
		name: "hold", kind: gaugeType, labels: []label{pipelineLabel, operationOrPipelineLabel, holdReasonLabel},
		help: "1 while the operation, or the pipeline if the operation is empty, is held for the reason, 0 otherwise.",
	}
	pipelineStarted = definition{
		name: "pipeline_started", kind: gaugeType, labels: []label{pipelineLabel},
		help: "1 while the pipeline is running, 0 otherwise.",
	}
	partitionLag = definition{
		name: "partition_lag_records", kind: gaugeType, labels: []label{pipelineLabel, topicLabel, partitionLabel},
		help: "Records of the assigned partition past the settled prefix.",
	}
	partitionOldest = definition{
		name: "partition_oldest_unsettled_seconds", kind: gaugeType,
		labels: []label{pipelineLabel, topicLabel, partitionLabel},
		help:   "Age of the oldest unsettled record of the assigned partition, 0 if there is none.",
	}
	partitionInFlight = definition{
		name: "partition_in_flight_records", kind: gaugeType,
		labels: []label{pipelineLabel, topicLabel, partitionLabel},
		help:   "Records of the assigned partition that have been read and are not settled.",
	}
	buildInfo = definition{
		name: "build_info", kind: gaugeType, labels: []label{versionLabel, revisionLabel, goVersionLabel},
		help: "Always 1; the labels describe the build.",
	}
)

// definitions are all metrics, in the order of docs/metrics.md.
func definitions() []definition {
	return []definition{
		recordsRead, readBytes, recordsSettled, recordsSkippedSettled, recordsReleased,
		vendorCalls, possibleDuplicates, deliveryDelay, callDuration, callItems, callFill,
		breakerState, holdGauge, pipelineStarted, commitFailures, produceFailures,
		partitionLag, partitionOldest, partitionInFlight, buildInfo,
	}
}

// metrics holds the metric vectors of a process. Label values are names from the configuration and
// the code, and assigned topics and partitions, but never anything from a record.
type metrics struct {
	read, readBytes, settled, skipped, released             *prometheus.CounterVec
	calls, duplicates, commitFailed, produceFailed          *prometheus.CounterVec
	delay, callSeconds, callItems, callFill                 *prometheus.HistogramVec
	breaker, hold, started, lag, oldest, inFlight, revision *prometheus.GaugeVec
}

func newMetrics() metrics {
	return metrics{
		read: recordsRead.counterVec(), readBytes: readBytes.counterVec(), settled: recordsSettled.counterVec(),
		skipped: recordsSkippedSettled.counterVec(), released: recordsReleased.counterVec(),
		calls: vendorCalls.counterVec(), duplicates: possibleDuplicates.counterVec(),
		commitFailed: commitFailures.counterVec(), produceFailed: produceFailures.counterVec(),
		delay: deliveryDelay.histogramVec(), callSeconds: callDuration.histogramVec(),
		callItems: callItems.histogramVec(), callFill: callFill.histogramVec(),
		breaker: breakerState.gaugeVec(), hold: holdGauge.gaugeVec(), started: pipelineStarted.gaugeVec(),
		lag: partitionLag.gaugeVec(), oldest: partitionOldest.gaugeVec(), inFlight: partitionInFlight.gaugeVec(),
		revision: buildInfo.gaugeVec(),
	}
}

func (m metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.read, m.readBytes, m.settled, m.skipped, m.released, m.calls, m.duplicates, m.commitFailed, m.produceFailed,
		m.delay, m.callSeconds, m.callItems, m.callFill, m.breaker, m.hold, m.started, m.lag, m.oldest, m.inFlight,
		m.revision,
	}
}

func (d definition) counterVec() *prometheus.CounterVec {
	opts := prometheus.CounterOpts{Namespace: namespace, Name: d.name, Help: d.help}
	return prometheus.NewCounterVec(opts, d.labelNames())
}

func (d definition) gaugeVec() *prometheus.GaugeVec {
	opts := prometheus.GaugeOpts{Namespace: namespace, Name: d.name, Help: d.help}
	return prometheus.NewGaugeVec(opts, d.labelNames())
}

func (d definition) histogramVec() *prometheus.HistogramVec {
	opts := prometheus.HistogramOpts{Namespace: namespace, Name: d.name, Help: d.help, Buckets: d.buckets}
	return prometheus.NewHistogramVec(opts, d.labelNames())
}

func (d definition) labelNames() []string {
	names := make([]string, len(d.labels))
	for i, l := range d.labels {
		names[i] = l.name
	}
	return names
}
