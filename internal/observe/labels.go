package observe

import (
	"sluice/internal/record"
	"sluice/internal/sink"
)

// SkipReason is how a record that was read again was found to be settled. It is the value of the
// label "reason" of sluice_records_skipped_settled_total.
type SkipReason string

// The skip reasons.
const (
	// SkipCommitMetadata: the record's offset was already known to be settled or read, from the
	// commit metadata or from partition recovery.
	SkipCommitMetadata SkipReason = "commit_metadata"
	// SkipOlderCopy: a retry topic has a newer copy of the record.
	SkipOlderCopy SkipReason = "older_copy"
	// SkipLateCopy: an owner wrote the retry record after it had lost the partition.
	SkipLateCopy SkipReason = "late_copy"
)

// labelValue is one allowed value of a label with its meaning.
type labelValue struct{ value, meaning string }

// label is a metric label. A label without listed values has names from the configuration, topics
// or partitions as values; meaning then describes them.
type label struct {
	name    string
	meaning string
	values  []labelValue
}

var (
	pipelineLabel            = label{name: "pipeline", meaning: "a pipeline's name"}
	operationLabel           = label{name: "operation", meaning: "an operation's name, `<account>.<operation>`"}
	operationOrPipelineLabel = label{name: "operation", meaning: "an operation's name, or empty for the pipeline as a whole"}
	operationOrNoneLabel     = label{name: "operation", meaning: "an operation's name, or empty for records that belong to none"}
	topicLabel               = label{name: "topic", meaning: "a topic's name"}
	partitionLabel           = label{name: "partition", meaning: "a partition's number"}
	fromLabel                = label{name: "from", values: readFromValues}
	dispositionLabel         = label{name: "disposition", values: dispositionValues}
	causeLabel               = label{name: "cause", values: causeValues}
	classLabel               = label{name: "class", values: callClassValues}
	stateLabel               = label{name: "state", values: breakerStateValues}
	holdReasonLabel          = label{name: "reason", meaning: "a hold reason, see [Hold reasons](#hold-reasons)"}
	skipReasonLabel          = label{name: "reason", values: skipReasonValues}
	versionLabel             = label{name: "version", meaning: "the release, or `dev`"}
	revisionLabel            = label{name: "revision", meaning: "the commit that was built, or `unknown`"}
	goVersionLabel           = label{name: "goversion", meaning: "the Go version of the build"}
)

const (
	fromSource = "source"
	fromRetry  = "retry"
)

var readFromValues = []labelValue{
	{fromSource, "the source topic"},
	{fromRetry, "a retry topic"},
}

var dispositionValues = []labelValue{
	{record.DispositionDelivered.String(), "the vendor accepted it"},
	{record.DispositionSkipped.String(), "it was skipped by a rule of the configuration"},
	{record.DispositionRetried.String(), "it was produced to a retry topic"},
	{record.DispositionDead.String(), "it was produced to the dead-letter topic"},
}

var causeValues = []labelValue{
	{"", "the record was delivered"},
	{string(record.CauseRejected), "the vendor rejected it for good"},
	{string(record.CauseRetryable), "the vendor refused it for now"},
	{string(record.CauseInvalid), "it breaks a rule of the vendor and was not sent"},
	{string(record.CausePoison), "it cannot be decoded"},
	{string(record.CauseUnmapped), "no operation accepts its event"},
	{string(record.CauseExhausted), "the vendor still refused it at the last retry"},
	{string(record.CauseExpired), "the vendor still refused it at the end of `retry.max_age`"},
	{string(record.CauseUnknown), "it was sent, and it is not known whether the vendor acted"},
	{string(record.CauseTooLarge), "it is too large for the vendor even if it is alone in a call"},
	{string(record.CauseTombstone), "it has no value"},
}

var callClassValues = []labelValue{
	{sink.Delivered.String(), "the vendor processed the call; individual items may still have been refused"},
	{sink.Rejected.String(), "the vendor rejected the whole batch"},
	{sink.Unknown.String(), "it is not known whether the vendor acted"},
	{sink.TooLarge.String(), "the call was too large"},
	{sink.Unauthorized.String(), "the vendor refused the credentials"},
	{sink.Misconfigured.String(), "the endpoint does not match the configuration"},
	{sink.Throttled.String(), "the vendor asked for fewer calls"},
	{sink.Unavailable.String(), "the vendor could not be reached, or reported that it could not process the call"},
}

const breakerClosed = "closed"

var breakerStateValues = []labelValue{
	{breakerClosed, "calls are made"},
	{"half-open", "single calls probe whether the operation has recovered"},
	{"open", "no calls are made"},
}

var skipReasonValues = []labelValue{
	{string(SkipCommitMetadata), "the commit metadata lists its offset as settled"},
	{string(SkipOlderCopy), "a retry topic has a newer copy of it"},
	{string(SkipLateCopy), "an owner wrote it to a retry topic after it had lost the partition"},
}

// The series that exist from the start, with value 0.
var (
	// callClasses are the classes that a call as a whole can have.
	callClasses = []sink.ResultClass{
		sink.Delivered, sink.Rejected, sink.Unknown, sink.TooLarge,
		sink.Unauthorized, sink.Misconfigured, sink.Throttled, sink.Unavailable,
	}
	// operationDispositions are the dispositions of records that belong to an operation.
	operationDispositions = []dispositionCause{
		{record.DispositionDelivered, ""},
		{record.DispositionRetried, record.CauseRetryable},
		{record.DispositionDead, record.CauseRejected},
		{record.DispositionDead, record.CauseInvalid},
		{record.DispositionDead, record.CauseExhausted},
		{record.DispositionDead, record.CauseExpired},
		{record.DispositionDead, record.CauseUnknown},
		{record.DispositionDead, record.CauseTooLarge},
	}
	// unroutedDispositions are the dispositions of records that belong to no operation.
	unroutedDispositions = []dispositionCause{
		{record.DispositionSkipped, record.CauseTombstone},
		{record.DispositionSkipped, record.CauseUnmapped},
		{record.DispositionDead, record.CauseTombstone},
		{record.DispositionDead, record.CauseUnmapped},
		{record.DispositionDead, record.CausePoison},
	}
	skipReasons = []SkipReason{SkipCommitMetadata, SkipOlderCopy, SkipLateCopy}
)

type dispositionCause struct {
	disposition record.Disposition
	cause       record.Cause
}
