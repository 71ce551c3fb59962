package route_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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

func (h *harness) webVisitRecord() *record.Record {
	h.t.Helper()
	return h.newRecord(mustReturn[[]byte](h.t)(h.encoder.Encode(webVisitID, &event.WebVisit{})))
}

// resolveFirstID makes the registry resolve an ID, which shows that it is not the wrong registry.
func (h *harness) resolveFirstID() {
	h.t.Helper()
	h.handleAsync(h.purchaseRecord(purchaseID, "first"))
	h.checkDelivered("first")
}

// failRegistry makes the registry respond 503 until restore is called.
func (h *harness) failRegistry() (restore func()) {
	h.platform.Registry().Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	return h.platform.Registry().ClearInterceptors
}

func dependencyError(class sink.ResultClass) error {
	return &sink.DependencyError{
		Action: "fetching the column catalogue", Response: sink.Response{Result: sink.Result{Class: class}},
	}
}

func keepOrder(cfg *route.Config) { cfg.KeepKeyOrder = true }

func TestUnknownSchemaIDIsDeferredAndOthersContinue(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.resolveFirstID()
		h.checkReturned(h.handleAsync(h.purchaseRecord(lateID, "late"), h.purchaseRecord(purchaseID, "behind")), true)
		h.checkDelivered("first", "behind")
		h.checkHold("unknown_schema_id")
		h.checkProgress(1, 1)
		testkit.AdvanceClock(idWait / 2)
		h.registerSchema(lateID, "sluice.crmcom.Purchase")
		testkit.AdvanceClock(5 * time.Second)
		h.checkDelivered("first", "behind", "late")
		h.checkHold("")
		h.checkProgress(3, 0)
	})
}

func TestUnknownSchemaIDIsDeadLetteredAfterItsWaitAndNotBefore(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.resolveFirstID()
		began := time.Now()
		h.handleAsync(h.purchaseRecord(lateID, "late"))
		testkit.AdvanceClock(idWait - time.Second - time.Since(began))
		h.checkProgress(1, 1)
		testkit.AdvanceClock(5 * time.Second)
		h.checkProgress(2, 0)
		const reason = "schema id 100: unknown to the registry since"
		got := h.readDeadLetters(1)[0]
		if got[record.HeaderCause] != "poison" || !strings.Contains(got["__connect.errors.exception.message"], reason) {
			t.Errorf("got dead letter %v, want poison with %q", got, reason)
		}
		h.checkHold("")
	})
}

// Values in another format that begin with a zero byte seem to have a schema ID each, and the
// decoder cannot remember so many. Each record waits nevertheless, and no longer than any other.
func TestUnknownIDsBeyondTheDecodersCacheAreDeadLetteredAfterTheirWait(t *testing.T) {
	for name, adjust := range map[string]func(*route.Config){"deferred": nil, "in place": keepOrder} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, adjust)
				h.resolveFirstID()
				n := 3
				if adjust == nil {
					n = 3 * maxIDs
				}
				for i := range n {
					h.handleAsync(h.purchaseRecord(lateID+i, "late"))
				}
				restore := h.failRegistry()
				testkit.AdvanceClock(15 * time.Second)
				restore()
				for range 40 { // if it waits in place, another pipeline's IDs evict the record's
					for i := range maxIDs {
						value := mustReturn[[]byte](t)(h.encoder.Encode(10*lateID+i, &event.Purchase{}))
						_, _ = h.decoder.Decode(t.Context(), "other", value)
					}
					testkit.AdvanceClock(idWait / 20)
				}
				h.readDeadLetters(int64(n))
				h.checkProgress(int64(n)+1, 0)
			})
		})
	}
}

// A registry that is being filled knows some IDs before others. Until it knows one, that it reports
// an ID as unknown means nothing.
func TestUnknownIDWaitBeginsWhenTheRegistryFirstKnowsAnID(t *testing.T) {
	for name, adjust := range map[string]func(*route.Config){"deferred": nil, "in place": keepOrder} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, adjust)
				h.handleAsync(h.purchaseRecord(lateID, "late"))
				testkit.AdvanceClock(time.Hour)
				h.resolveFirstID()
				testkit.AdvanceClock(idWait / 2)
				h.checkProgress(0, 1)
				h.readDeadLetters(0)
				testkit.AdvanceClock(idWait)
				h.checkProgress(2, 0)
				h.readDeadLetters(1)
			})
		})
	}
}

// An ID may have been registered during an outage, and a registry that restarts may not have loaded
// its schemas yet.
func TestUnknownIDWaitRestartsAfterARegistryOutage(t *testing.T) {
	for name, adjust := range map[string]func(*route.Config){"deferred": nil, "in place": keepOrder} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, adjust)
				h.resolveFirstID()
				h.handleAsync(h.purchaseRecord(lateID, "late"))
				testkit.AdvanceClock(idWait / 2)
				restore := h.failRegistry()
				testkit.AdvanceClock(10 * idWait)
				restore()
				testkit.AdvanceClock(idWait / 2)
				h.checkProgress(1, 1)
				h.readDeadLetters(0)
				testkit.AdvanceClock(idWait)
				h.checkProgress(2, 0)
				h.readDeadLetters(1)
			})
		})
	}
}

// If order is kept, no record may overtake the waiting one.
func TestUnknownSchemaIDWaitsInPlaceIfOrderIsKept(t *testing.T) {
	for name, known := range map[string]bool{"then known": true, "then dead-lettered": false} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, keepOrder)
				h.resolveFirstID()
				returned := h.handleAsync(h.purchaseRecord(lateID, "late"), h.purchaseRecord(purchaseID, "behind"))
				testkit.AdvanceClock(idWait / 2)
				h.checkReturned(returned, false)
				h.checkDelivered("first")
				h.checkHold("unknown_schema_id")
				if known {
					h.registerSchema(lateID, "sluice.crmcom.Purchase")
				}
				testkit.AdvanceClock(idWait)
				h.checkReturned(returned, true)
				h.checkHold("")
				if known {
					h.checkDelivered("first", "late", "behind")
				} else {
					h.checkDelivered("first", "behind")
					h.readDeadLetters(1)
				}
				h.checkProgress(3, 0)
			})
		})
	}
}

// A registry that has never known an ID may be the wrong one, so no record is at fault for an
// unknown ID.
func TestRegistryThatKnowsNoIDHoldsThePipeline(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		returned := h.handleAsync(h.purchaseRecord(lateID, "late"), h.purchaseRecord(lateID, "behind"))
		testkit.AdvanceClock(time.Hour)
		h.checkReturned(returned, false)
		h.checkHold("registry")
		h.checkProgress(0, 2)
		h.readDeadLetters(0)
		h.registerSchema(lateID, "sluice.crmcom.Purchase")
		testkit.AdvanceClock(15 * time.Second)
		h.checkReturned(returned, true)
		h.checkDelivered("late", "behind")
		h.checkHold("")
	})
}

func TestRecordsWaitForAnUnavailableRegistry(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		restore := h.failRegistry()
		returned := h.handleAsync(h.purchaseRecord(purchaseID, "a"), h.purchaseRecord(purchaseID, "b"))
		testkit.AdvanceClock(time.Hour)
		h.checkReturned(returned, false)
		h.checkHold("registry")
		h.checkProgress(0, 2)
		h.readDeadLetters(0)
		restore()
		testkit.AdvanceClock(10*time.Second + time.Millisecond)
		h.checkReturned(returned, true)
		h.checkDelivered("a", "b")
		h.checkHold("")
	})
}

func TestBeginAndEndOfEachOutageAreLoggedOnce(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		for range 2 {
			h.vendor.setEncodeError("a", dependencyError(sink.Unavailable))
			h.handleAsync(h.purchaseRecord(purchaseID, "a"))
			testkit.AdvanceClock(time.Hour)
			h.vendor.setEncodeError("a", nil)
			testkit.AdvanceClock(15 * time.Second)
		}
		var got []string
		for _, line := range h.logs.All() {
			got = append(got, fmt.Sprint(line.Level, " ", line.ContextMap()["reason"]))
		}
		if want := "[warn unavailable info unavailable warn unavailable info unavailable]"; fmt.Sprint(got) != want {
			t.Errorf("got log %v, want %s", got, want)
		}
	})
}

// A record that is released did not get what it waited for, so its release is not a recovery.
func TestEndOfAWaitIsLoggedAsRecoveryOrRelease(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(h *harness, restore func())
		want string
	}{
		"recovery": {func(_ *harness, restore func()) { restore() }, "schema registry recovered"},
		"release":  {func(h *harness, _ func()) { h.drainAssignment(h.tracker) }, "waiting records released"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, nil)
				restore := h.failRegistry()
				h.handleAsync(h.purchaseRecord(purchaseID, "a"))
				testkit.AdvanceClock(time.Minute)
				test.end(h, restore)
				testkit.AdvanceClock(15 * time.Second)
				var got []string
				for _, line := range h.logs.All() {
					got = append(got, line.Message)
				}
				want := []string{"schema registry unavailable, records wait", test.want}
				if !slices.Equal(got, want) {
					t.Errorf("got log %q, want %q", got, want)
				}
				restore()
			})
		})
	}
}

// Records wait while a dependency of encoding is unavailable for any reason, and the hold has the
// current reason.
func TestRecordsWaitForTheDependenciesOfEncoding(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.vendor.setEncodeError("a", dependencyError(sink.Unavailable))
		returned := h.handleAsync(h.purchaseRecord(purchaseID, "a"), h.purchaseRecord(purchaseID, "b"))
		for _, class := range []sink.ResultClass{
			sink.Unavailable, sink.Unauthorized, sink.Throttled, sink.Misconfigured,
		} {
			h.vendor.setEncodeError("a", dependencyError(class))
			testkit.AdvanceClock(time.Hour)
			h.checkReturned(returned, false)
			h.checkHold(class.String())
		}
		h.checkDelivered()
		h.vendor.setEncodeError("a", nil)
		testkit.AdvanceClock(15 * time.Second)
		h.checkReturned(returned, true)
		h.checkDelivered("a", "b")
		h.checkHold("")
		h.readDeadLetters(0)
	})
}

// The fetchers of the source topic and of the retry topics share the router. The pipeline is held
// while either of them waits.
func TestHoldLastsWhileAnyRecordWaits(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		for _, number := range []string{"a", "b"} {
			h.vendor.setEncodeError(number, dependencyError(sink.Unavailable))
		}
		source := h.handleAsync(h.purchaseRecord(purchaseID, "a"))
		retries := h.handleAsync(h.purchaseRecord(purchaseID, "b"))
		testkit.AdvanceClock(time.Minute)
		h.vendor.setEncodeError("b", nil)
		testkit.AdvanceClock(10*time.Second + time.Millisecond)
		h.checkReturned(retries, true)
		h.checkReturned(source, false)
		h.checkHold("unavailable")
		h.vendor.setEncodeError("a", nil)
		testkit.AdvanceClock(10*time.Second + time.Millisecond)
		h.checkReturned(source, true)
		h.checkHold("")
	})
}

// While the registry does not respond, each lookup takes its full timeout. Dead letters, drains and
// the shutdown must not wait for one lookup per record.
func TestDeferredRecordsDoNotDelaySettling(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.resolveFirstID()
		for i := range 50 {
			h.handleAsync(h.purchaseRecord(lateID+i, "late"))
		}
		var lookups atomic.Int32
		h.platform.Registry().Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
			lookups.Add(1)
			<-req.Context().Done()
			return true
		})
		testkit.AdvanceClock(time.Hour)
		h.checkProgress(1, 50)
		h.checkHold("registry")
		if n := lookups.Load(); n < 100 || n > 400 {
			t.Errorf("got %d lookups in an hour, want 100 to 400", n)
		}
		h.handleAsync(h.newRecord(nil))
		testkit.AdvanceClock(30 * time.Second)
		if n := h.obs.Snapshot().Dead["tombstone"]; n != 1 {
			t.Errorf("got %d dead tombstones, want 1", n)
		}
		began := time.Now()
		h.drainAssignment(h.tracker)
		<-h.tracker.Idle()
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the records were released after %v, want at most 30s", took)
		}
	})
}

// Wherever records wait, exactly those of an ending assignment are released at once.
func TestDrainReleasesWaitingRecordsOfTheEndingAssignment(t *testing.T) {
	waits := map[string]struct {
		adjust func(*route.Config)
		begin  func(h *harness) (end func())
		id     int
	}{
		"deferred for a schema ID": {nil, func(h *harness) func() {
			return func() { h.registerSchema(lateID, "sluice.crmcom.Purchase") }
		}, lateID},
		"in place for a schema ID": {keepOrder, func(h *harness) func() {
			return func() { h.registerSchema(lateID, "sluice.crmcom.Purchase") }
		}, lateID},
		"for the registry": {nil, func(h *harness) func() {
			restore := h.failRegistry()
			return func() { restore(); h.registerSchema(lateID, "sluice.crmcom.Purchase") }
		}, lateID},
		"for a dependency of encoding": {nil, func(h *harness) func() {
			h.vendor.setEncodeError("ends", dependencyError(sink.Unavailable))
			h.vendor.setEncodeError("stays", dependencyError(sink.Unavailable))
			return func() { h.vendor.setEncodeError("stays", nil) }
		}, purchaseID},
	}
	for name, test := range waits {
		for _, order := range []string{"ending first", "ending behind"} {
			t.Run(name+", "+order, func(t *testing.T) {
				testkit.RunInBubble(t, func(t *testing.T) {
					h := newHarness(t, test.adjust)
					h.resolveFirstID()
					ending := h.tracker
					ends := h.purchaseRecord(test.id, "ends")
					h.startAssignment()
					stays := h.purchaseRecord(test.id, "stays")
					end := test.begin(h)
					records := []*record.Record{ends, stays}
					if order == "ending behind" {
						records = []*record.Record{stays, ends}
					}
					h.handleAsync(records...)
					testkit.AdvanceClock(20 * time.Second)
					began := time.Now()
					h.drainAssignment(ending)
					<-ending.Idle()
					if took := time.Since(began); took > 10*time.Millisecond {
						t.Errorf("the records were released after %v, want at once", took)
					}
					if s := ending.Progress(); s.Unsettled != 1 {
						t.Errorf("got %d unsettled in the ending assignment, want 1", s.Unsettled)
					}
					end()
					testkit.AdvanceClock(15 * time.Second)
					h.checkDelivered("first", "stays")
					h.checkHold("")
				})
			})
		}
	}
}

// Dead letters of an ending assignment are produced if possible, and released otherwise.
func TestDrainReleasesDeadLettersThatCannotBeProduced(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.platform.Cluster().Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1,
		})
		h.handleAsync(h.newRecord(nil))
		testkit.AdvanceClock(time.Minute)
		h.checkProgress(0, 1)
		began := time.Now()
		h.drainAssignment(h.tracker)
		<-h.tracker.Idle()
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("the records were released after %v, want at once", took)
		}
		h.checkProgress(0, 1)
	})
}

// Once the work context has ended, no record stays in flight, whether it was waiting or arrives
// later.
func TestEndOfWorkContextReleasesEverything(t *testing.T) {
	for name, adjust := range map[string]func(*route.Config){"deferred": nil, "in place": keepOrder} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, adjust)
				h.resolveFirstID()
				returned := h.handleAsync(h.purchaseRecord(lateID, "late"), h.purchaseRecord(lateID, "later"))
				testkit.AdvanceClock(10 * time.Second)
				h.endWork()
				synctest.Wait()
				h.checkReturned(returned, true)
				h.checkReturned(h.handleAsync(h.purchaseRecord(lateID, "too late"),
					h.newRecord([]byte("poison")), h.purchaseRecord(purchaseID, "too late")), true)
				h.fenceAssignment()
				testkit.AdvanceClock(time.Second)
				<-h.tracker.Idle()
				h.checkProgress(1, 5)
				h.checkDelivered("first")
				h.checkHold("")
			})
		})
	}
}

// If encoding fails because the work context has ended, no record is at fault.
func TestEncodingCanceledByTheWorkContextRejectsNoRecord(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.resolveFirstID()
		h.vendor.setEncodeError("a", fmt.Errorf("fetching the column catalogue: %w", context.Canceled))
		h.endWork()
		h.checkReturned(h.handleAsync(h.purchaseRecord(purchaseID, "a")), true)
		h.readDeadLetters(0)
		h.checkProgress(1, 1)
	})
}

func TestRunReturnsAfterCloseOnceNothingIsDeferred(t *testing.T) {
	ways := map[string]func(h *harness){
		"dispatched":    func(h *harness) { h.registerSchema(lateID, "sluice.crmcom.Purchase") },
		"dead-lettered": func(*harness) {},
		"released":      func(h *harness) { h.drainAssignment(h.tracker) },
	}
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				h := newHarness(t, nil)
				h.resolveFirstID()
				h.handleAsync(h.purchaseRecord(lateID, "late"))
				h.router.Close()
				testkit.AdvanceClock(idWait / 2)
				select {
				case <-h.runReturned:
					t.Fatal("Run has returned while a record is deferred")
				default:
				}
				end(h)
				<-h.runReturned
				h.checkHold("")
			})
		})
	}
}
