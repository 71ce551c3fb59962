package conformance

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/sink"
)

func TestSandboxAcceptsEveryValidEvent(t *testing.T) { productSuite().checkValidEvents(t) }

func (s suite) checkValidEvents(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		t.Run(o.name, func(t *testing.T) { rapid.Check(t, s.sendValidEvents(h, o)) })
	}
}

func TestEventsWithEveryFieldAreAccepted(t *testing.T) { productSuite().checkFullEvents(t) }

func (s suite) checkFullEvents(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		op := h.operations[o.name]
		for variant := range variantCount {
			ev := o.makeUnique(s.fullEvent(o, op.Spec().Event, variant))
			item, err := op.Encode(t.Context(), ev, originOf(variant))
			if err != nil {
				t.Fatalf("%s: %v", o.name, err)
			}
			wantItemClasses(t, op.Send(t.Context(), []sink.Item{item}), sink.Delivered)
		}
	}
}

// FuzzSandboxAcceptsEveryValidEvent continues TestSandboxAcceptsEveryValidEvent.
func FuzzSandboxAcceptsEveryValidEvent(f *testing.F) {
	s := productSuite()
	s.requireParts(f)
	h := s.newHarness(f, setup{})
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		o := rapid.SampledFrom(s.operations()).Draw(t, "operation")
		s.sendValidEvents(h, o)(t)
	}))
}

// sendValidEvents encodes a few events and sends them, grouped into calls as a lane would group
// them. Each event must be accepted.
func (s suite) sendValidEvents(h *harness, o operationFixture) func(*rapid.T) {
	op := h.operations[o.name]
	spec := op.Spec()
	events := s.someEvents(o, spec.Event)
	return func(t *rapid.T) {
		calls := map[string][]sink.Item{}
		entities := map[string]bool{}
		for i := range rapid.IntRange(1, min(spec.MaxItems, 4)).Draw(t, "events") {
			ev := o.makeUnique(events.Draw(t, "event"))
			item, err := op.Encode(t.Context(), ev, originOf(i))
			if err != nil {
				t.Fatalf("encoding the valid event %+v: %v", ev, err)
			}
			if item.EntityKey == "" || !entities[item.EntityKey] {
				calls[item.EnvelopeKey] = append(calls[item.EnvelopeKey], item)
			}
			entities[item.EntityKey] = true
		}
		for envelope, items := range calls {
			resp := op.Send(t.Context(), items)
			for i, r := range resp.ItemResults {
				if r.Class != sink.Delivered {
					t.Fatalf("got class %s (%s %s) for item %s, want delivered", r.Class, r.Code, r.Message,
						items[i].Body)
				}
			}
			if resp.Class != sink.Delivered || len(resp.ItemResults) != len(items) {
				t.Fatalf("got class %s (%s %s, %v) for the call of envelope %s with %s, want delivered",
					resp.Class, resp.Code, resp.Message, resp.Err, envelope, bodiesOf(items))
			}
		}
	}
}

// makeUnique changes the values that the vendor accepts only once, and returns the event.
func (o operationFixture) makeUnique(ev any) any {
	if o.vendor.events.makeUnique != nil {
		o.vendor.events.makeUnique(ev)
	}
	return ev
}

func bodiesOf(items []sink.Item) (all []string) {
	for _, item := range items {
		all = append(all, string(item.Body))
	}
	return all
}

// Every rule is violated once at every field that an event can have.
func TestEachBrokenRuleIsReportedAtItsField(t *testing.T) { productSuite().checkEachFlaw(t) }

func (s suite) checkEachFlaw(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		op := h.operations[o.name]
		rules := o.vendor.events
		broken := 0
		for variant := range variantCount {
			for i := range flawsOf(rules, s.fullEvent(o, op.Spec().Event, variant)) {
				ev := s.fullEvent(o, op.Spec().Event, variant)
				f := flawsOf(rules, ev)[i]
				f.apply()
				if err := checkViolationAt(t, op, ev, f.path); err != nil {
					t.Errorf("%s: %s %s: %v", o.name, f.path, f.what, err)
				}
				broken++
			}
		}
		if calls := h.sandbox.Ledger().Calls(o.name).Calls; calls != 0 || broken == 0 {
			t.Errorf("%s: %d rules were broken and %d calls made, want some and none", o.name, broken, calls)
		}
		t.Logf("%s: %d rules broken", o.name, broken)
	}
}

func TestNoInvalidEventReachesAVendor(t *testing.T) { productSuite().checkInvalidEvents(t) }

func (s suite) checkInvalidEvents(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		t.Run(o.name, func(t *testing.T) {
			op := h.operations[o.name]
			events := s.someEvents(o, op.Spec().Event)
			rapid.Check(t, func(rt *rapid.T) {
				ev := events.Draw(rt, "event")
				all := flawsOf(o.vendor.events, ev)
				if len(all) == 0 {
					rt.Skip("no rule applies to this event")
				}
				f := all[rapid.IntRange(0, len(all)-1).Draw(rt, "flaw")]
				f.apply()
				if err := checkViolationAt(t, op, ev, f.path); err != nil {
					rt.Fatalf("%s %s: %v", f.path, f.what, err)
				}
			})
		})
	}
}

// checkViolationAt returns an error unless the event is refused with a violation at the path.
func checkViolationAt(t testing.TB, op sink.Operation, ev any, path string) error {
	item, err := op.Encode(t.Context(), ev, originOf(0))
	invalid := new(sink.ValidationError)
	switch {
	case err == nil:
		return fmt.Errorf("it was encoded as %s", item.Body)
	case !errors.As(err, &invalid):
		return fmt.Errorf("want a *sink.ValidationError: %w", err)
	case !slices.ContainsFunc(invalid.Violations,
		func(v sink.Violation) bool { return v.Path == path && v.Rule != "" }):
		return fmt.Errorf("the violations are at other fields: %w", err)
	}
	return nil
}
