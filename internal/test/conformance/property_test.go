package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/event"
	"sluice/internal/sink"
)

func TestNoValidEventIsRefusedByTheSandbox(t *testing.T) {
	v := open(t, setup{})
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) { rapid.Check(t, o.taken(v)) })
	}
}

func TestEventsWithEveryFieldAreTaken(t *testing.T) {
	v := open(t, setup{})
	for _, o := range operations {
		op := v.operations[o.name]
		for variant := range variants {
			item, err := op.Encode(t.Context(), unused(everything(op.Spec().Event, variant)), originOf(variant))
			if err != nil {
				t.Fatalf("%s: %v", o.name, err)
			}
			wantItems(t, op.Send(t.Context(), []sink.Item{item}), sink.Delivered)
		}
	}
}

// FuzzNoValidEventIsRefusedByTheSandbox goes on from TestNoValidEventIsRefusedByTheSandbox.
func FuzzNoValidEventIsRefusedByTheSandbox(f *testing.F) {
	v := open(f, setup{})
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		o := rapid.SampledFrom(operations).Draw(t, "operation")
		o.taken(v)(t)
	}))
}

// taken: a few events are encoded and sent in calls as the lanes would make them, and each is accepted.
func (o operation) taken(v *vendors) func(*rapid.T) {
	op := v.operations[o.name]
	spec := op.Spec()
	events := some(spec.Event)
	return func(t *rapid.T) {
		calls := map[string][]sink.Item{}
		entities := map[string]bool{}
		for i := range rapid.IntRange(1, min(spec.MaxItems, 4)).Draw(t, "events") {
			ev := unused(events.Draw(t, "event"))
			item, err := op.Encode(t.Context(), ev, originOf(i))
			if err != nil {
				t.Fatalf("the event %+v is refused: %v", ev, err)
			}
			if item.EntityKey == "" || !entities[item.EntityKey] {
				calls[item.EnvelopeKey] = append(calls[item.EnvelopeKey], item)
			}
			entities[item.EntityKey] = true
		}
		for group, items := range calls {
			a := op.Send(t.Context(), items)
			for i, r := range a.ItemResults {
				if r.Class != sink.Delivered {
					t.Fatalf("the item is %s (%s %s): %s", r.Class, r.Code, r.Message, items[i].Body)
				}
			}
			if a.Class != sink.Delivered || len(a.ItemResults) != len(items) {
				t.Fatalf("the call of group %s is %s (%s %s, %v): %s", group, a.Class, a.Code, a.Message, a.Err, bodies(items))
			}
		}
	}
}

func bodies(items []sink.Item) (all []string) {
	for _, item := range items {
		all = append(all, string(item.Body))
	}
	return all
}

var referred atomic.Int64

// unused gives a referral a participant of its own: the vendor takes one only once, which is no rule for an event's shape.
func unused(ev any) any {
	if r, ok := ev.(*event.Referral); ok {
		r.ReferredRewardsParticipantIdentifier = event.ParticipantIdentifier{Number: new(fmt.Sprint("P", referred.Add(1)))}
	}
	return ev
}

// Every rule is broken once at every field that an event can have.
func TestEachBrokenRuleIsFoundAtItsField(t *testing.T) {
	v := open(t, setup{})
	for _, o := range operations {
		op := v.operations[o.name]
		broken := 0
		for variant := range variants {
			for i := range flaws(everything(op.Spec().Event, variant)) {
				ev := everything(op.Spec().Event, variant)
				f := flaws(ev)[i]
				f.apply()
				if err := refusedAt(t, op, ev, f.path); err != nil {
					t.Errorf("%s: %s %s: %v", o.name, f.path, f.what, err)
				}
				broken++
			}
		}
		if calls := v.sandbox.Ledger().Calls(o.name).Calls; calls != 0 || broken == 0 {
			t.Errorf("%s: %d rules were broken, and %d calls made", o.name, broken, calls)
		}
		t.Logf("%s: %d rules broken", o.name, broken)
	}
}

func TestNoBrokenEventReachesAVendor(t *testing.T) {
	v := open(t, setup{})
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			op := v.operations[o.name]
			events := some(op.Spec().Event)
			rapid.Check(t, func(rt *rapid.T) {
				ev := events.Draw(rt, "event")
				all := flaws(ev)
				if len(all) == 0 {
					rt.Skip("nothing in it that a rule is for")
				}
				f := all[rapid.IntRange(0, len(all)-1).Draw(rt, "flaw")]
				f.apply()
				if err := refusedAt(t, op, ev, f.path); err != nil {
					rt.Fatalf("%s %s: %v", f.path, f.what, err)
				}
			})
		})
	}
}

// refusedAt tells how an event was not refused as one with a fault at the path.
func refusedAt(t testing.TB, op sink.Operation, ev any, path string) error {
	item, err := op.Encode(t.Context(), ev, originOf(0))
	invalid := new(sink.ValidationError)
	switch {
	case err == nil:
		return fmt.Errorf("it was encoded as %s", item.Body)
	case !errors.As(err, &invalid):
		return fmt.Errorf("want a *sink.Invalid: %w", err)
	case !slices.ContainsFunc(invalid.Violations, func(f sink.Violation) bool { return f.Path == path && f.Rule != "" }):
		return fmt.Errorf("other fields are blamed: %w", err)
	}
	return nil
}
