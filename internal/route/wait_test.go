package route_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/event"
	"sluice/internal/record"
	"sluice/internal/route"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

func (r *rig) webVisit() *record.Record {
	r.t.Helper()
	return r.record(must[[]byte](r.t)(r.encoder.Encode(webVisitID, &event.WebVisit{})))
}

// warm has the registry resolve an id, so that it is known to be the right one.
func (r *rig) warm() {
	r.t.Helper()
	r.handle(r.purchase(purchaseID, "warm"))
	r.wantDelivered("warm")
}

// down makes the registry answer 503 until it is called.
func (r *rig) down() (up func()) {
	r.p.Registry().Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	return r.p.Registry().ClearInterceptors
}

func ordered(c *route.Config) { c.KeepKeyOrder = true }

func TestAnUnknownSchemaIdWaitsAsideAndThoseBehindItGoOn(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.warm()
		r.wantReturned(r.handle(r.purchase(lateID, "late"), r.purchase(purchaseID, "behind")), true)
		r.wantDelivered("warm", "behind")
		r.wantHold("unknown_schema_id")
		r.wantSettled(1, 1)
		testkit.AdvanceClock(idWait / 2)
		r.register(lateID, "sluice.crmcom.Purchase")
		testkit.AdvanceClock(5 * time.Second)
		r.wantDelivered("warm", "behind", "late")
		r.wantHold("")
		r.wantSettled(3, 0)
	})
}

func TestAnIdThatStaysUnknownIsDeadAfterItsWaitAndNotBefore(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.warm()
		began := time.Now()
		r.handle(r.purchase(lateID, "late"))
		testkit.AdvanceClock(idWait - time.Second - time.Since(began))
		r.wantSettled(1, 1)
		testkit.AdvanceClock(5 * time.Second)
		r.wantSettled(2, 0)
		if got := r.deadLetters(1)[0]; got[record.HeaderCause] != "poison" || !strings.Contains(got["__connect.errors.exception.message"], "schema id 100: unknown to the registry since") {
			t.Errorf("dead letter %v", got)
		}
		r.wantHold("")
	})
}

// Bytes of another form that begin with a zero each name an id of their own: more than are remembered at a time. Each is waited for all the same,
// and no longer than others are.
func TestMoreUnknownIdsThanAreRememberedAreDeadAfterTheirWait(t *testing.T) {
	for name, change := range map[string]func(*route.Config){"aside": nil, "in place": ordered} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, change)
				r.warm()
				n := 3
				if change == nil {
					n = 3 * maxIDs
				}
				for i := range n {
					r.handle(r.purchase(lateID+i, "late"))
				}
				up := r.down()
				testkit.AdvanceClock(15 * time.Second)
				up()
				for range 40 { // in place, another pipeline's ids push the record's out
					for i := range maxIDs {
						_, _ = r.decoder.Decode(t.Context(), "other", must[[]byte](t)(r.encoder.Encode(10*lateID+i, &event.Purchase{})))
					}
					testkit.AdvanceClock(idWait / 20)
				}
				r.deadLetters(int64(n))
				r.wantSettled(int64(n)+1, 0)
			})
		})
	}
}

// A registry that is being filled knows some ids before others: until it knows one, its "unknown" says nothing.
func TestTheWaitForAnIdBeginsWhenTheRegistryKnowsOne(t *testing.T) {
	for name, change := range map[string]func(*route.Config){"aside": nil, "in place": ordered} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, change)
				r.handle(r.purchase(lateID, "late"))
				testkit.AdvanceClock(time.Hour)
				r.warm()
				testkit.AdvanceClock(idWait / 2)
				r.wantSettled(0, 1)
				r.deadLetters(0)
				testkit.AdvanceClock(idWait)
				r.wantSettled(2, 0)
				r.deadLetters(1)
			})
		})
	}
}

// What was unknown before an outage may have been registered in it, and a registry that comes back may not have read its schemas yet.
func TestAnOutageOfTheRegistryIsNoPartOfTheWaitForAnId(t *testing.T) {
	for name, change := range map[string]func(*route.Config){"aside": nil, "in place": ordered} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, change)
				r.warm()
				r.handle(r.purchase(lateID, "late"))
				testkit.AdvanceClock(idWait / 2)
				up := r.down()
				testkit.AdvanceClock(10 * idWait)
				up()
				testkit.AdvanceClock(idWait / 2)
				r.wantSettled(1, 1)
				r.deadLetters(0)
				testkit.AdvanceClock(idWait)
				r.wantSettled(2, 0)
				r.deadLetters(1)
			})
		})
	}
}

// With an order to keep, nothing may overtake the record: it waits in place.
func TestInOrderAnUnknownSchemaIdWaitsInPlace(t *testing.T) {
	for name, known := range map[string]bool{"then known": true, "then dead": false} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, ordered)
				r.warm()
				returned := r.handle(r.purchase(lateID, "late"), r.purchase(purchaseID, "behind"))
				testkit.AdvanceClock(idWait / 2)
				r.wantReturned(returned, false)
				r.wantDelivered("warm")
				r.wantHold("unknown_schema_id")
				if known {
					r.register(lateID, "sluice.crmcom.Purchase")
				}
				testkit.AdvanceClock(idWait)
				r.wantReturned(returned, true)
				r.wantHold("")
				if known {
					r.wantDelivered("warm", "late", "behind")
				} else {
					r.wantDelivered("warm", "behind")
					r.deadLetters(1)
				}
				r.wantSettled(3, 0)
			})
		})
	}
}

// A registry that never knew an id may be the wrong one: its "unknown" blames no record, however long it says so.
func TestARegistryThatNeverKnewAnIdHoldsThePipeline(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		returned := r.handle(r.purchase(lateID, "late"), r.purchase(lateID, "behind"))
		testkit.AdvanceClock(time.Hour)
		r.wantReturned(returned, false)
		r.wantHold("registry")
		r.wantSettled(0, 2)
		r.deadLetters(0)
		r.register(lateID, "sluice.crmcom.Purchase")
		testkit.AdvanceClock(15 * time.Second)
		r.wantReturned(returned, true)
		r.wantDelivered("late", "behind")
		r.wantHold("")
	})
}

func TestARegistryThatIsDownIsWaitedFor(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		up := r.down()
		returned := r.handle(r.purchase(purchaseID, "a"), r.purchase(purchaseID, "b"))
		testkit.AdvanceClock(time.Hour)
		r.wantReturned(returned, false)
		r.wantHold("registry")
		r.wantSettled(0, 2)
		r.deadLetters(0)
		up()
		testkit.AdvanceClock(10*time.Second + time.Millisecond)
		r.wantReturned(returned, true)
		r.wantDelivered("a", "b")
		r.wantHold("")
	})
}

// Two outages are two warnings, and each end is told.
func TestEachOutageIsLoggedOnceWithItsEnd(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range 2 {
			r.vendor.script("a", &sink.DependencyError{Action: "fetching", Response: sink.Response{Result: sink.Result{Class: sink.Unavailable}}})
			r.handle(r.purchase(purchaseID, "a"))
			testkit.AdvanceClock(time.Hour)
			r.vendor.script("a", nil)
			testkit.AdvanceClock(15 * time.Second)
		}
		var got []string
		for _, line := range r.logs.All() {
			got = append(got, fmt.Sprint(line.Level, " ", line.ContextMap()["reason"]))
		}
		if want := "[warn unavailable info unavailable warn unavailable info unavailable]"; fmt.Sprint(got) != want {
			t.Errorf("logged %v, want %s", got, want)
		}
	})
}

// What a vendor has to be asked for before encoding is waited for, whatever keeps it away, and the hold says what that is now.
func TestWhatEncodingNeedsIsWaitedFor(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		unready := func(c sink.ResultClass) error {
			return &sink.DependencyError{Action: "fetching the column catalogue", Response: sink.Response{Result: sink.Result{Class: c}}}
		}
		r.vendor.script("a", unready(sink.Unavailable))
		returned := r.handle(r.purchase(purchaseID, "a"), r.purchase(purchaseID, "b"))
		for _, class := range []sink.ResultClass{sink.Unavailable, sink.Unauthorized, sink.Throttled, sink.Misconfigured} {
			r.vendor.script("a", unready(class))
			testkit.AdvanceClock(time.Hour)
			r.wantReturned(returned, false)
			r.wantHold(class.String())
		}
		r.wantDelivered()
		r.vendor.script("a", nil)
		testkit.AdvanceClock(15 * time.Second)
		r.wantReturned(returned, true)
		r.wantDelivered("a", "b")
		r.wantHold("")
		r.deadLetters(0)
	})
}

// The readers of the source and of the retry topics share the router: as long as one waits, the pipeline is held.
func TestAHoldStandsUntilNobodyWaits(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		for _, number := range []string{"a", "b"} {
			r.vendor.script(number, &sink.DependencyError{Response: sink.Response{Result: sink.Result{Class: sink.Unavailable}}})
		}
		source, retries := r.handle(r.purchase(purchaseID, "a")), r.handle(r.purchase(purchaseID, "b"))
		testkit.AdvanceClock(time.Minute)
		r.vendor.script("b", nil)
		testkit.AdvanceClock(10*time.Second + time.Millisecond)
		r.wantReturned(retries, true)
		r.wantReturned(source, false)
		r.wantHold("unavailable")
		r.vendor.script("a", nil)
		testkit.AdvanceClock(10*time.Second + time.Millisecond)
		r.wantReturned(source, true)
		r.wantHold("")
	})
}

// While the registry does not answer, each look-up takes its whole time-out. Dead letters, drains and the end must not wait for one a record.
func TestRecordsAsideDoNotHoldUpWhatIsSettledAside(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.warm()
		for i := range 50 {
			r.handle(r.purchase(lateID+i, "late"))
		}
		var asked atomic.Int32
		r.p.Registry().Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
			asked.Add(1)
			<-req.Context().Done()
			return true
		})
		testkit.AdvanceClock(time.Hour)
		r.wantSettled(1, 50)
		r.wantHold("registry")
		if n := asked.Load(); n < 100 || n > 400 {
			t.Errorf("asked %d times in an hour", n)
		}
		r.handle(r.record(nil))
		testkit.AdvanceClock(30 * time.Second)
		if n := r.obs.Snapshot().Dead["tombstone"]; n != 1 {
			t.Errorf("%d tombstones are dead, want 1", n)
		}
		began := time.Now()
		r.drain(r.tracker)
		<-r.tracker.Idle()
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("let go after %v", took)
		}
	})
}

// An ending assignment's records are let go at once, wherever they wait, and the others' are not.
func TestAFlushLetsGoOfEndingAssignmentsRecordsInEveryWait(t *testing.T) {
	unready := &sink.DependencyError{Response: sink.Response{Result: sink.Result{Class: sink.Unavailable}}}
	waits := map[string]struct {
		cfg   func(*route.Config)
		begin func(r *rig) (end func())
		id    int
	}{
		"aside for a schema id":    {nil, func(r *rig) func() { return func() { r.register(lateID, "sluice.crmcom.Purchase") } }, lateID},
		"in place for a schema id": {ordered, func(r *rig) func() { return func() { r.register(lateID, "sluice.crmcom.Purchase") } }, lateID},
		"for the registry": {nil, func(r *rig) func() {
			up := r.down()
			return func() { up(); r.register(lateID, "sluice.crmcom.Purchase") }
		}, lateID},
		"for what encoding needs": {nil, func(r *rig) func() {
			r.vendor.script("ends", unready)
			r.vendor.script("stays", unready)
			return func() { r.vendor.script("stays", nil) }
		}, purchaseID},
	}
	for name, test := range waits {
		for _, order := range []string{"the ending one first", "the ending one behind"} {
			t.Run(name+", "+order, func(t *testing.T) {
				testkit.RunInBubble(t, func(t *testing.T) {
					r := newRig(t, test.cfg)
					r.warm()
					ending := r.tracker
					ends := r.purchase(test.id, "ends")
					r.assign()
					stays := r.purchase(test.id, "stays")
					end := test.begin(r)
					records := []*record.Record{ends, stays}
					if order == "the ending one behind" {
						records = []*record.Record{stays, ends}
					}
					r.handle(records...)
					testkit.AdvanceClock(20 * time.Second)
					began := time.Now()
					r.drain(ending)
					<-ending.Idle()
					if took := time.Since(began); took > 10*time.Millisecond {
						t.Errorf("let go after %v", took)
					}
					if s := ending.Progress(); s.Unsettled != 1 {
						t.Errorf("%d unsettled of the ending assignment, want its record", s.Unsettled)
					}
					end()
					testkit.AdvanceClock(15 * time.Second)
					r.wantDelivered("warm", "stays")
					r.wantHold("")
				})
			})
		}
	}
}

// What is refused while the assignment ends is still written if that can be; what cannot be is let go, although other records wait on.
func TestAFlushLetsGoOfDeadLettersThatCannotBeWritten(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.p.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		r.handle(r.record(nil))
		testkit.AdvanceClock(time.Minute)
		r.wantSettled(0, 1)
		began := time.Now()
		r.drain(r.tracker)
		<-r.tracker.Idle()
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("let go after %v", took)
		}
		r.wantSettled(0, 1)
	})
}

// The end of work leaves nobody holding a record: neither who waits, nor who comes later.
func TestTheEndOfWorkLetsGoOfEverything(t *testing.T) {
	for name, cfg := range map[string]func(*route.Config){"aside": nil, "in place": ordered} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, cfg)
				r.warm()
				returned := r.handle(r.purchase(lateID, "late"), r.purchase(lateID, "later"))
				testkit.AdvanceClock(10 * time.Second)
				r.cut()
				synctest.Wait()
				r.wantReturned(returned, true)
				r.wantReturned(r.handle(r.purchase(lateID, "too late"), r.record([]byte("poison")), r.purchase(purchaseID, "too late")), true)
				r.fence()
				testkit.AdvanceClock(time.Second)
				<-r.tracker.Idle()
				r.wantSettled(1, 5)
				r.wantDelivered("warm")
				r.wantHold("")
			})
		})
	}
}

// What encoding asks a vendor for fails when work ends, and that is nobody's fault.
func TestAnEncodingThatTheEndOfWorkBreaksOffBlamesNoRecord(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.warm()
		r.vendor.script("a", fmt.Errorf("fetching the column catalogue: %w", context.Canceled))
		r.cut()
		r.wantReturned(r.handle(r.purchase(purchaseID, "a")), true)
		r.deadLetters(0)
		r.wantSettled(1, 1)
	})
}

func TestAfterCloseRunEndsOnceNothingIsLeftAside(t *testing.T) {
	ways := map[string]func(r *rig){
		"it goes on":      func(r *rig) { r.register(lateID, "sluice.crmcom.Purchase") },
		"it is dead":      func(*rig) {},
		"it is let go of": func(r *rig) { r.drain(r.tracker) },
	}
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.warm()
				r.handle(r.purchase(lateID, "late"))
				r.router.Close()
				testkit.AdvanceClock(idWait / 2)
				select {
				case <-r.routed:
					t.Fatal("Run ended while a record waits aside")
				default:
				}
				end(r)
				<-r.routed
				r.wantHold("")
			})
		})
	}
}
