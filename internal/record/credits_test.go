package record_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"sluice/internal/offset"
	"sluice/internal/record"
)

// tryAcquire acquires credits without waiting: with a context that has ended, Acquire returns 0
// where it would wait.
func tryAcquire(c *record.Credits, limit int) int {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Acquire(ctx, limit)
}

// The model has two counters: Acquire returns the free records up to its limit as long as a byte is
// free.
func TestCreditsAreNeverGrantedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, bytes := rapid.IntRange(1, 20).Draw(t, "records"), rapid.IntRange(1, 100).Draw(t, "bytes")
		c := record.NewCredits(records, bytes)
		free, freeBytes := records, bytes
		var inFlight []int // sizes of the records in flight
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				limit := rapid.IntRange(1, 8).Draw(t, "limit")
				want := min(limit, free)
				if freeBytes <= 0 {
					want = 0
				}
				got := tryAcquire(c, limit)
				if got != want {
					t.Fatalf("got %d of %d, want %d (free: %d records, %d bytes)", got, limit, want, free, freeBytes)
				}
				free -= got
				for range got {
					size := rapid.IntRange(0, 60).Draw(t, "size")
					c.ChargeBytes(size)
					freeBytes -= size
					inFlight = append(inFlight, size)
				}
			},
			"return": func(t *rapid.T) {
				if len(inFlight) == 0 {
					t.Skip("nothing is in flight")
				}
				i := rapid.IntRange(0, len(inFlight)-1).Draw(t, "which")
				c.Return(1, inFlight[i])
				free, freeBytes = free+1, freeBytes+inFlight[i]
				inFlight = append(inFlight[:i], inFlight[i+1:]...)
			},
			"": func(t *rapid.T) {
				if free < 0 || free+len(inFlight) != records {
					t.Fatalf("got %d free and %d in flight, want %d in all", free, len(inFlight), records)
				}
			},
		})
	})
}

func TestAcquireWaitsForAFreeRecordAndByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := record.NewCredits(2, 100)
		if n := c.Acquire(t.Context(), 5); n != 2 {
			t.Fatalf("got %d, want both", n)
		}
		c.ChargeBytes(150) // one poll may return more than is free
		got := make(chan int, 1)
		go func() { got <- c.Acquire(t.Context(), 5) }()
		for _, step := range []struct {
			records, bytes int
			wakes          bool
		}{{1, 0, false}, {0, 50, false}, {1, 1, true}} {
			synctest.Wait()
			if len(got) != 0 {
				t.Fatalf("got %d before any was free, want none", <-got)
			}
			c.Return(step.records, step.bytes)
			synctest.Wait()
			if woken := len(got) == 1; woken != step.wakes {
				t.Fatalf("after returning %+v: got woken %t, want %t", step, woken, step.wakes)
			}
		}
		if n := <-got; n != 2 {
			t.Errorf("got %d, want both records that were returned", n)
		}
	})
}

func TestEveryWaiterGetsACredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := record.NewCredits(1, 1)
		c.Acquire(t.Context(), 1)
		const waiters = 10
		got := make(chan int, waiters)
		for range waiters {
			go func() { got <- c.Acquire(t.Context(), 1) }()
		}
		for i := range waiters {
			c.Return(1, 0)
			synctest.Wait()
			if len(got) != i+1 {
				t.Fatalf("got %d waiters woken, want one for each of %d credits", len(got), i+1)
			}
		}
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := record.NewCredits(1, 1)
		c.Acquire(t.Context(), 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if n := c.Acquire(ctx, 1); n != 0 || time.Since(began) != time.Minute {
			t.Errorf("got %d after %v, want 0 after 1m", n, time.Since(began))
		}
	})
}

// Settling and releasing a record both return its credits; only Settle moves the committable
// offset.
func TestSettleAndReleaseReturnCredits(t *testing.T) {
	for name, end := range map[string]func(*record.Record){
		"settled": (*record.Record).Settle, "released": (*record.Record).Release,
	} {
		t.Run(name, func(t *testing.T) {
			tracker := offset.NewTracker([16]byte{1}, 10, nil)
			rec := &record.Record{Raw: &kgo.Record{Value: []byte("four")}, Credits: record.NewCredits(1, 4)}
			tracker.Track(&rec.Entry, 10, 0, time.Now())
			if n := rec.Credits.Acquire(t.Context(), 1); n != 1 {
				t.Fatalf("got %d, want 1", n)
			}
			rec.Credits.ChargeBytes(4)
			if n := tryAcquire(rec.Credits, 1); n != 0 {
				t.Fatalf("got %d while the record is in flight, want 0", n)
			}
			end(rec)
			if n := tryAcquire(rec.Credits, 1); n != 1 {
				t.Errorf("got %d after the record ended, want 1", n)
			}
			want := int64(10)
			if name == "settled" {
				want = 11
			}
			if s := tracker.Progress(); s.Committable != want {
				t.Errorf("got committable offset %d, want %d", s.Committable, want)
			}
		})
	}
}

func TestDispositionsAreNamedAsInMetrics(t *testing.T) {
	for disposition, want := range map[record.Disposition]string{
		0: "none", record.DispositionDelivered: "delivered", record.DispositionSkipped: "skipped",
		record.DispositionRetried: "retried", record.DispositionDead: "dead",
	} {
		if got := disposition.String(); got != want {
			t.Errorf("disposition %d: got %q, want %q", disposition, got, want)
		}
	}
}
