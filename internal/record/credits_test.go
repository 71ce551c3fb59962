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

// taken tries to take without waiting: a context that has ended makes Take give 0 where it would wait.
func taken(c *record.Credits, most int) int {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return c.Acquire(ctx, most)
}

// The model is two counters: a taker gets what is free of the records, at most what it asks for, as long as a byte is free too.
func TestCreditsAreNeverGivenTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, bytes := rapid.IntRange(1, 20).Draw(t, "records"), rapid.IntRange(1, 100).Draw(t, "bytes")
		c := record.NewCredits(records, bytes)
		free, freeBytes := records, bytes
		var out []int // sizes of the records that are out
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				most := rapid.IntRange(1, 8).Draw(t, "most")
				want := min(most, free)
				if freeBytes <= 0 {
					want = 0
				}
				got := taken(c, most)
				if got != want {
					t.Fatalf("took %d of %d, want %d (free: %d records, %d bytes)", got, most, want, free, freeBytes)
				}
				free -= got
				for range got {
					size := rapid.IntRange(0, 60).Draw(t, "size")
					c.ChargeBytes(size)
					freeBytes -= size
					out = append(out, size)
				}
			},
			"put": func(t *rapid.T) {
				if len(out) == 0 {
					t.Skip("nothing is out")
				}
				i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				c.Return(1, out[i])
				free, freeBytes = free+1, freeBytes+out[i]
				out = append(out[:i], out[i+1:]...)
			},
			"": func(t *rapid.T) {
				if free < 0 || free+len(out) != records {
					t.Fatalf("%d free and %d out of %d", free, len(out), records)
				}
			},
		})
	})
}

func TestATakerWaitsUntilARecordAndAByteAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := record.NewCredits(2, 100)
		if n := c.Acquire(t.Context(), 5); n != 2 {
			t.Fatalf("took %d, want both", n)
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
				t.Fatalf("took %d too early", <-got)
			}
			c.Return(step.records, step.bytes)
			synctest.Wait()
			if woken := len(got) == 1; woken != step.wakes {
				t.Fatalf("after %+v: woken %t", step, woken)
			}
		}
		if n := <-got; n != 2 {
			t.Errorf("took %d, want both records that were given back", n)
		}
	})
}

func TestEachWaiterGetsItsCredit(t *testing.T) {
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
				t.Fatalf("%d were woken by %d credits", len(got), i+1)
			}
		}
	})
}

func TestATakerGivesUpWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := record.NewCredits(1, 1)
		c.Acquire(t.Context(), 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if n := c.Acquire(ctx, 1); n != 0 || time.Since(began) != time.Minute {
			t.Errorf("took %d after %v", n, time.Since(began))
		}
	})
}

// Either end of a record gives its credits back; only Done moves the offset that may be committed.
func TestARecordsEndGivesItsCreditsBack(t *testing.T) {
	for name, end := range map[string]func(*record.Record){"done": (*record.Record).Settle, "dropped": (*record.Record).Release} {
		t.Run(name, func(t *testing.T) {
			tracker := offset.NewTracker([16]byte{1}, 10, nil)
			rec := &record.Record{Raw: &kgo.Record{Value: []byte("four")}, Credits: record.NewCredits(1, 4)}
			tracker.Track(&rec.Entry, 10, 0, time.Now())
			if n := rec.Credits.Acquire(t.Context(), 1); n != 1 {
				t.Fatalf("took %d", n)
			}
			rec.Credits.ChargeBytes(4)
			if n := taken(rec.Credits, 1); n != 0 {
				t.Fatalf("took %d of what is out", n)
			}
			end(rec)
			if n := taken(rec.Credits, 1); n != 1 {
				t.Errorf("the record's credit did not come back")
			}
			want := int64(10)
			if name == "done" {
				want = 11
			}
			if s := tracker.Progress(); s.Committable != want {
				t.Errorf("committable %d, want %d", s.Committable, want)
			}
		})
	}
}

func TestAKindIsNamedAsInMetrics(t *testing.T) {
	for kind, want := range map[record.Disposition]string{0: "none", record.DispositionDelivered: "delivered", record.DispositionSkipped: "skipped", record.DispositionRetry: "retried", record.DispositionDead: "dead"} {
		if kind.String() != want {
			t.Errorf("kind %d is %s, want %s", kind, kind, want)
		}
	}
}
