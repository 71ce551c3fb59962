package settle

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"sluice/internal/observe"
	"sluice/internal/record"
)

const (
	// firstWait and longestWait are between two writes of a record, before jitter.
	firstWait   = 250 * time.Millisecond
	longestWait = 5 * time.Second
	// slowAfter is how long a write may take before it is told; the client tries again by itself what may pass, without an end and without a word.
	slowAfter = 30 * time.Second
)

// errSlow stands for a write that has no answer yet.
var errSlow = errors.New("no answer; the client goes on trying")

// leaving are the records of one Settle that leave for a retry or dead-letter topic. Each is under way, or failed, or no longer in it.
type leaving struct {
	s        *Settler
	underWay map[int]record.Outcome // by the order of writing
	failed   []failure
	written  int
	answers  chan answer // has room for all
	held     bool        // it was told that a write is not taken for now
}

type answer struct {
	n   int
	err error
}

type failure struct {
	o   record.Outcome
	err error
}

// leave writes records until each is confirmed. All are written at once; one that fails is written again after a wait, whatever the others do, unless
// its assignment is ending: then the next owner reads it again.
func (s *Settler) leave(ctx context.Context, outcomes []record.Outcome, counts map[counted]int) {
	l := &leaving{s: s, underWay: map[int]record.Outcome{}, answers: make(chan answer, len(outcomes))}
	l.write(outcomes)
	defer l.release()
	slow := time.NewTicker(slowAfter)
	defer slow.Stop()
	var again <-chan time.Time // while some have failed
	done, wait := ctx.Done(), firstWait
	for {
		flushed := s.flushed.Next()
		l.dropEnding(ctx)
		if len(l.underWay)+len(l.failed) == 0 {
			return
		}
		if again == nil && len(l.failed) > 0 {
			again = time.After(wait/2 + rand.N(wait))
			wait = min(2*wait, longestWait)
		}
		select {
		case a := <-l.answers:
			l.take(a, counts)
		case <-again:
			again = nil
			l.writeAgain()
		case <-slow.C:
			l.noteSlow()
		case <-flushed:
		case <-done:
			done = nil // it was seen; what is under way ends with its assignment or the producer
		}
	}
}

// write produces records; each gives one answer.
func (l *leaving) write(outcomes []record.Outcome) {
	now := time.Now()
	for _, o := range outcomes {
		n := l.written
		l.written++
		l.underWay[n] = o
		r, err := l.s.leaving(o, now)
		if err != nil {
			l.answers <- answer{n, err}
			continue
		}
		l.s.producer.Produce(o.Record.AssignmentCtx, r, func(_ *kgo.Record, err error) { l.answers <- answer{n, err} })
	}
}

func (l *leaving) take(a answer, counts map[counted]int) {
	o := l.underWay[a.n]
	delete(l.underWay, a.n)
	if a.err == nil {
		l.s.finish(o, counts)
		return
	}
	l.failed = append(l.failed, failure{o, a.err})
}

func (l *leaving) writeAgain() {
	l.hold()
	l.s.note(l.failed)
	outcomes := make([]record.Outcome, len(l.failed))
	for i, f := range l.failed {
		outcomes[i] = f.o
	}
	l.failed = nil
	l.write(outcomes)
}

func (l *leaving) noteSlow() {
	var slow []failure
	for _, o := range l.underWay {
		slow = append(slow, failure{o, errSlow})
	}
	l.hold()
	l.s.note(slow)
}

// unwritable is the reason of the hold that stands while writes are not taken.
const unwritable = observe.HoldUnwritable

// hold states that records wait for their write, until release.
func (l *leaving) hold() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.held {
		return
	}
	l.held = true
	l.s.waiting++
	l.s.obs.SetWriteHold(unwritable)
}

func (l *leaving) release() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.held {
		return
	}
	if l.s.waiting--; l.s.waiting == 0 {
		l.s.obs.SetWriteHold("")
	}
}

// dropEnding lets go of failed records that nobody waits for any more.
func (l *leaving) dropEnding(ctx context.Context) {
	var live []failure
	for _, f := range l.failed {
		if _, draining := f.o.Record.Draining(); draining || ctx.Err() != nil {
			f.o.Record.Release()
			l.s.obs.RecordsReleased(1)
			continue
		}
		live = append(live, f)
	}
	l.failed = live
}

// note counts what failed, and logs it in one line for each topic, however many records it is.
func (s *Settler) note(failures []failure) {
	records := map[string]int{}
	first := map[string]failure{}
	for _, f := range failures {
		topic, _ := s.topic(f.o)
		s.obs.ProduceFailed(topic)
		if records[topic]++; records[topic] == 1 || f.o.Record.Origin.Offset < first[topic].o.Record.Origin.Offset {
			first[topic] = f
		}
	}
	for topic, f := range first {
		s.log.Warn("writing to a retry or dead-letter topic failed; the records' offsets wait", zap.String("topic", topic),
			zap.Int("records", records[topic]), zap.String("first_origin", f.o.Record.Origin.ID()), zap.Error(f.err))
	}
}
