package settle

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/backoff"
	"sluice/internal/record"
)

// retryPolicy spaces the attempts to produce a record, before jitter.
var retryPolicy = backoff.Policy{Min: 250 * time.Millisecond, Max: 5 * time.Second}

// slowAfter is how long producing may take before it is reported as a failure. The client itself
// retries transient errors, without limit and without logging.
const slowAfter = 30 * time.Second

// errSlow is the error reported for a record that the client has neither produced nor given up on.
var errSlow = errors.New("no response yet, the client is retrying")

// produceBatch is the records of one Settle that go to retry and dead-letter topics. Each of them
// is in flight, has failed and waits to be produced again, or has left the batch.
type produceBatch struct {
	settler  *Settler
	counts   settledCounts
	inFlight map[int]record.Outcome // by the order in which they were produced
	failed   []produceFailure
	produced int
	results  chan produceResult // has room for all records, so that the client never blocks on it
	// reported are the topics that the batch has reported as unwritable, and confirmed those that
	// have accepted one of its records.
	reported, confirmed map[string]bool
}

type produceResult struct {
	number int
	err    error
}

type produceFailure struct {
	outcome record.Outcome
	err     error
}

// produceAll produces all outcomes at once and returns once each is confirmed. A record that fails
// is produced again after a back-off, independently of the others. If its assignment is ending, it
// is released for the next owner instead.
func (s *Settler) produceAll(ctx context.Context, outcomes []record.Outcome, counts settledCounts) {
	b := &produceBatch{
		settler: s, counts: counts, inFlight: map[int]record.Outcome{},
		results:  make(chan produceResult, len(outcomes)),
		reported: map[string]bool{}, confirmed: map[string]bool{},
	}
	b.produceOutcomes(outcomes)
	defer func() { s.topics.endBatch(b.reported, b.confirmed) }()
	b.awaitResults(ctx)
}

func (b *produceBatch) awaitResults(ctx context.Context) {
	slow := time.NewTicker(slowAfter)
	defer slow.Stop()
	var retries backoff.Counter
	var retry <-chan time.Time // nil unless failed records wait to be produced again
	done := ctx.Done()
	for {
		draining := b.settler.draining.Next()
		b.releaseEnding(ctx)
		if len(b.inFlight)+len(b.failed) == 0 {
			return
		}
		if retry == nil && len(b.failed) > 0 {
			delay := retries.Next(retryPolicy)
			retry = time.After(delay/2 + rand.N(delay))
		}
		select {
		case result := <-b.results:
			b.handleResult(result)
		case <-retry:
			retry = nil
			b.retryFailed()
		case <-slow.C:
			b.reportSlow()
		case <-draining:
		case <-done:
			// Records in flight may have been written, so only the end of their assignment or of
			// the producer ends the wait for them.
			done = nil
		}
	}
}

// produceOutcomes starts producing the records. Exactly one result arrives for each of them.
func (b *produceBatch) produceOutcomes(outcomes []record.Outcome) {
	now := time.Now()
	for _, outcome := range outcomes {
		number := b.produced
		b.produced++
		b.inFlight[number] = outcome
		outgoing, err := b.settler.outgoingRecord(outcome, now)
		if err != nil {
			b.results <- produceResult{number, err}
			continue
		}
		b.settler.producer.Produce(outcome.Record.AssignmentCtx, outgoing, func(_ *kgo.Record, err error) {
			b.results <- produceResult{number, err}
		})
	}
}

func (b *produceBatch) handleResult(result produceResult) {
	outcome := b.inFlight[result.number]
	delete(b.inFlight, result.number)
	if result.err != nil {
		b.failed = append(b.failed, produceFailure{outcome, result.err})
		return
	}
	topic, _ := b.settler.topicFor(outcome) // no error, or the record could not have been produced
	b.confirmed[topic] = true
	b.settler.settleRecord(outcome, b.counts)
}

func (b *produceBatch) retryFailed() {
	b.reportFailures(b.failed)
	outcomes := make([]record.Outcome, len(b.failed))
	for i, f := range b.failed {
		outcomes[i] = f.outcome
	}
	b.failed = nil
	b.produceOutcomes(outcomes)
}

// reportSlow reports all records in flight as failed, although they remain in flight.
func (b *produceBatch) reportSlow() {
	var slow []produceFailure
	for _, outcome := range b.inFlight {
		slow = append(slow, produceFailure{outcome, errSlow})
	}
	b.reportFailures(slow)
}

func (b *produceBatch) reportFailures(failures []produceFailure) {
	byTopic := map[string][]produceFailure{}
	for _, f := range failures {
		topic, _ := b.settler.topicFor(f.outcome) // empty for a delay without a tier
		byTopic[topic] = append(byTopic[topic], f)
	}
	for topic, failures := range byTopic {
		b.settler.topics.reportFailures(topic, failures, !b.reported[topic])
		b.reported[topic] = true
	}
}

// releaseEnding releases the failed records whose assignment is ending, or all of them once ctx has
// ended.
func (b *produceBatch) releaseEnding(ctx context.Context) {
	var remaining []produceFailure
	for _, f := range b.failed {
		if _, draining := f.outcome.Record.Draining(); draining || ctx.Err() != nil {
			b.settler.releaseRecord(f.outcome.Record)
			continue
		}
		remaining = append(remaining, f)
	}
	b.failed = remaining
}
