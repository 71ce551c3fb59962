package conformance

import (
	"testing"

	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
)

// blamed is the item, of those sent after the first, that the faults are about.
const blamed = 2

// items: what the vendor says of single items is each item's own, and of no other.
func (o operation) items(t *testing.T) {
	switch {
	case o.perItem:
		o.answeredByItem(t)
	case o.name == "expoints.add":
		t.Run("named in a refused batch", func(t *testing.T) {
			o.named(t, sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true, Description: "The field is not valid."}, blamed)
		})
		t.Run("refused, and the batch with it", func(t *testing.T) { o.named(t, sandbox.Action{Fault: sandbox.FaultRefuseItem}, blamed) })
	default:
		t.Run("refused", func(t *testing.T) {
			a := o.sendTo(t, 1, blamed, sandbox.Action{Fault: sandbox.FaultRefuseItem})
			want(t, a, sink.Rejected)
		})
	}
}

func (o operation) answeredByItem(t *testing.T) {
	refused := sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: "ReferredByAnotherParticipantException", Description: "Refused for good."}
	later := sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: "NotFoundAPIValueException", Description: "Try again later."}
	for _, c := range []struct {
		name  string
		do    sandbox.Action
		class sink.ResultClass
	}{
		{"refused for good", refused, sink.Rejected},
		{"refused for now", later, sink.Retryable},
		{"left out of the answer", sandbox.Action{Fault: sandbox.FaultDropItems}, sink.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := o.sendTo(t, 4, blamed, c.do)
			wantItems(t, a, sink.Delivered, c.class, sink.Delivered, sink.Delivered)
			if r := a.ItemResults[1]; r.Status != 200 || c.class != sink.Unknown && r.Message == "" {
				t.Errorf("the item's result is %+v", r)
			}
		})
	}
	t.Run("with results of unknown items", func(t *testing.T) {
		a := o.sendTo(t, 2, 0, sandbox.Action{Fault: sandbox.FaultExtraItems, Count: 3})
		wantItems(t, a, sink.Delivered, sink.Delivered)
	})
	t.Run("none answered", func(t *testing.T) {
		a := o.sendTo(t, 2, 0, sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2})
		wantItems(t, a, sink.Unknown, sink.Unknown)
	})
	t.Run("named in a refused batch", func(t *testing.T) {
		if o.vendor() == "propel" {
			o.named(t, sandbox.Action{Fault: sandbox.FaultRefuseBatch, ErrorCode: "10007", Named: true, Description: "extraneous key [x] is not permitted"}, blamed)
			return
		}
		o.named(t, sandbox.Action{Fault: sandbox.FaultRefuseBatch, ErrorCode: "InvalidAPIParameterException", Description: "Error in " + o.mark(blamed) + "."}, 0)
	})
}

// named: a batch that is refused as a whole names one item by its index; nothing was done.
func (o operation) named(t *testing.T, do sandbox.Action, item int) {
	a := o.sendTo(t, 4, item, do)
	want(t, a, sink.Rejected)
	if len(a.ItemErrors) != 1 || a.ItemErrors[0].Index != 1 || a.ItemErrors[0].Class != sink.Rejected || a.ItemResults != nil {
		t.Errorf("named are %+v, want the item at index 1", a.ItemErrors)
	}
}

// sendTo sends n items to a vendor with a fault about the item numbered so; 0: about the call.
func (o operation) sendTo(t *testing.T, n, item int, do sandbox.Action) sink.Response {
	t.Helper()
	rule := sandbox.Rule{Do: do}
	from := 1
	if item != 0 {
		rule.When.Items = sandbox.Items{Field: o.field, Prefix: o.mark(item)}
	}
	if n == 1 {
		from = item
	}
	v, op := o.calmly(t, setup{}, rule)
	a := op.Send(t.Context(), o.encode(t, op, from, from+n))
	if fired := v.sandbox.Faults()["fault"]; fired != 1 {
		t.Fatalf("the fault fired %d times", fired)
	}
	return a
}
