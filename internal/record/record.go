// Package record defines what passes through a pipeline: a record as it was read, its origin, and
// finally its outcome.
//
// Records are passed between stages, but Kafka clients are not: nothing here can poll, produce or
// commit.
package record

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/offset"
	"sluice/internal/sink"
)

// Record is one record in flight. Package consume sets its fields before it passes the record on;
// they never change afterwards. Every record must be ended with exactly one call of Settle or
// Release.
type Record struct {
	// Raw is the record as it was read from the source topic or a retry topic.
	Raw *kgo.Record
	// Origin is where it was first read.
	Origin sink.Origin
	// TierDelay is the delay of the retry tier that it was read from, or 0 for the source topic.
	TierDelay time.Duration
	// Attempt is the number of attempts made before it was read this time.
	Attempt int
	// Replays is how often it was replayed from the dead-letter topic.
	Replays int
	// FirstFailed is when its first attempt failed, or zero if none has.
	FirstFailed time.Time
	// OperationName is the operation in the header of a retry record, or empty for a source record.
	OperationName string
	// Sends is the number of calls on which the vendor may have acted before the record was written
	// to the retry topic that it was read from; 0 for a source record.
	Sends int
	// OutcomeUnknown means that an earlier owner committed a send intent for it, and its outcome is
	// unknown.
	OutcomeUnknown bool
	// ResendUnknown means that an earlier owner committed the intent to send it again. It may have
	// been sent any number of times that the operation's policy allows.
	ResendUnknown bool

	// WriterID identifies the assignment in the records that it writes to retry topics.
	WriterID string
	// AssignmentCtx ends when the assignment is fenced. Produce requests that are still waiting
	// then are abandoned.
	AssignmentCtx context.Context
	// Entry is its place in the tracker of its assignment.
	Entry offset.Entry
	// Credits get its credit back when it ends; nil if none was taken.
	Credits *Credits
}

// NotePriorState notes what the tracker of its partition knows about the record.
func (r *Record) NotePriorState(state offset.PriorState) {
	r.OutcomeUnknown = state.MayHaveBeenSent()
	r.ResendUnknown = state == offset.PriorResendIntent
}

// Intent is the send intent of one record.
type Intent struct {
	Record *Record
	// Resend means that an earlier call may have brought the record to the vendor.
	Resend bool
}

// Size returns the bytes that a record counts against credits: key, value and headers.
func Size(raw *kgo.Record) int {
	n := len(raw.Key) + len(raw.Value)
	for _, h := range raw.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Settle marks the record as settled: delivered, skipped by a rule, or confirmed in a retry or
// dead-letter topic.
func (r *Record) Settle() {
	r.Entry.Settle()
	r.returnCredits()
}

// Release ends the record without settling it, because its assignment is ending. Its offset stays
// uncommitted, and the next owner reads it again.
func (r *Record) Release() {
	r.Entry.Release()
	r.returnCredits()
}

// Draining reports whether the record's assignment is ending, and until when a call for the record
// may run.
func (r *Record) Draining() (until time.Time, draining bool) { return r.Entry.Draining() }

// Fenced reports whether the record's assignment has ended. Nothing may then be sent or produced
// for it any more.
func (r *Record) Fenced() bool { return r.Entry.Fenced() }

func (r *Record) returnCredits() {
	if r.Credits != nil {
		r.Credits.Return(1, Size(r.Raw))
	}
}

// Disposition is what happened to a record. The zero value is not a disposition.
type Disposition uint8

// The dispositions.
const (
	DispositionDelivered Disposition = iota + 1
	DispositionSkipped
	DispositionRetried
	DispositionDead
)

// String returns the disposition as metrics name it.
func (d Disposition) String() string {
	return [...]string{"none", "delivered", "skipped", "retried", "dead"}[d]
}

// Cause is why a record was retried or dead-lettered. It is the value of the header sluice.cause.
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

// Stage is the stage of the pipeline at which a record failed.
type Stage string

// The stages.
const (
	StageDecode  Stage = "decode"
	StageRoute   Stage = "route"
	StageDeliver Stage = "deliver"
)

// Outcome is what happened to one record. Every record that is not released has exactly one.
type Outcome struct {
	Record *Record
	// OperationName is the full name, such as "crmcom.purchases", or empty if no operation was
	// found.
	OperationName string
	Disposition   Disposition
	// Cause, Stage and Reason are set for DispositionRetry and DispositionDead. Reason is a text
	// for an operator, without payload or personal data.
	Cause  Cause
	Stage  Stage
	Reason string
	// Result is the vendor's result for the record, or zero if there is none.
	Result sink.Result
	// Attempt is the number of attempts made, including this one.
	Attempt int
	// Sends is the number of calls on which the vendor may have acted. It is 0 if the operation is
	// repeatable.
	Sends int
	// Delay is the delay of the retry tier to which the record goes, with DispositionRetry.
	Delay time.Duration
}
