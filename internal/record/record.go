// Package record is what travels down the line: one record as it was read, where it came from, and in the end its outcome.
//
// A record may travel, a Kafka client may not: nothing here can poll, produce or commit.
package record

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/offset"
	"sluice/internal/sink"
)

// Record is one record in flight. Its fields are set by package consume before it is handed on and never change.
// Exactly one of Done and Drop is called for it, once.
type Record struct {
	// Raw is the record as it was read, from the source topic or a retry topic.
	Raw *kgo.Record
	// Origin is where it was read first.
	Origin sink.Origin
	// TierDelay is the delay of the retry tier that it was read from, 0 for the source topic.
	TierDelay time.Duration
	// Attempt is the number of attempts made before this reading of it.
	Attempt int
	// Replays is how often it was replayed from the dead-letter topic.
	Replays int
	// FirstFailed is when its first attempt failed; zero where none has.
	FirstFailed time.Time
	// OperationName is what a retry record's header names; empty for a source record.
	OperationName string
	// OutcomeUnknown says that an earlier owner committed it as sent and nobody knows what came of it.
	OutcomeUnknown bool

	// WriterID marks, in a retry topic's records, the assignment that wrote them.
	WriterID string
	// AssignmentCtx ends when its assignment is fenced: a write that still waits then is given up.
	AssignmentCtx context.Context
	// Entry is its place in the tracker of its assignment.
	Entry offset.Entry
	// Credits are given back when it is done or dropped; nil where none were taken.
	Credits *Credits
}

// Size is what the record counts against byte credits: key, value and headers.
func Size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Settle says that the record is settled: delivered, skipped by rule, or confirmed in a retry or dead-letter topic.
func (r *Record) Settle() {
	r.Entry.Settle()
	r.returnCredits()
}

// Release lets go of a record that was not settled, because its assignment ends. Its offset stays uncommitted and the next owner reads it again.
func (r *Record) Release() {
	r.Entry.Release()
	r.returnCredits()
}

// Draining tells whether the record's assignment is ending, and until when a call may still run for it.
func (r *Record) Draining() (until time.Time, draining bool) { return r.Entry.Draining() }

// Fenced tells whether the record's assignment has ended: nothing may be sent or written for it any more.
func (r *Record) Fenced() bool { return r.Entry.Fenced() }

func (r *Record) returnCredits() {
	if r.Credits != nil {
		r.Credits.Return(1, Size(r.Raw))
	}
}

// Disposition is what becomes of a record.
type Disposition uint8

// The kinds. The zero value is none of them.
const (
	DispositionDelivered Disposition = iota + 1
	DispositionSkipped
	DispositionRetry
	DispositionDead
)

// String is the kind as it stands in metrics.
func (k Disposition) String() string {
	return [...]string{"none", "delivered", "skipped", "retried", "dead"}[k]
}

// Cause is why a record left for a retry or dead-letter topic, as header sluice.cause has it.
type Cause string

// The causes.
const (
	CauseRejected  Cause = "rejected"
	CauseRetryable Cause = "retryable"
	CauseInvalid   Cause = "invalid"
	CausePoison    Cause = "poison"
	CauseUnmapped  Cause = "unmapped"
	CauseExhausted Cause = "exhausted"
	CauseExpired   Cause = "expired"
	CauseUnknown   Cause = "unknown"
	CauseTooLarge  Cause = "too_large"
	CauseTombstone Cause = "tombstone"
)

// Stage is the step of the line at which a record failed.
type Stage string

// The stages.
const (
	StageDecode  Stage = "decode"
	StageRoute   Stage = "route"
	StageDeliver Stage = "deliver"
)

// Outcome is what becomes of one record. There is exactly one for each record that is not dropped.
type Outcome struct {
	Record *Record
	// OperationName is the full name, such as "crmcom.purchases"; empty where none was found.
	OperationName string
	Disposition   Disposition
	// Cause, Stage and Reason are set with Retry and Dead. Reason is text for an operator, without payload or personal field.
	Cause  Cause
	Stage  Stage
	Reason string
	// Result is what the vendor said, if it said anything.
	Result sink.Result
	// Attempt is the number of attempts made, this one included.
	Attempt int
	// Delay names the retry tier that it goes to, with kind Retry.
	Delay time.Duration
}
