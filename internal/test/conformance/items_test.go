package conformance

import (
	"fmt"
	"strings"
	"testing"

	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
)

// faultyItem is the number of the item that the faults affect.
const faultyItem = 2

// checkItemResults checks that the vendor's result for an item is attributed to that item and to no
// other.
func (c operationCheck) checkItemResults(t *testing.T) {
	for name, run := range c.doubtfulResponses() {
		t.Run(name, func(t *testing.T) { run(t) })
	}
	switch {
	case c.itemResults:
		c.checkResultsByItem(t)
	case c.namedRefusals:
		t.Run("named in a refused batch", func(t *testing.T) {
			action := sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true,
				Description: "The field is not valid."}
			c.checkNamedItem(t, action, faultyItem)
		})
		t.Run("refused, and the batch with it", func(t *testing.T) {
			c.checkNamedItem(t, sandbox.Action{Fault: sandbox.FaultRefuseItem}, faultyItem)
		})
	default:
		t.Run("refused", func(t *testing.T) {
			got := c.sendWithItemFault(t, 1, faultyItem, sandbox.Action{Fault: sandbox.FaultRefuseItem})
			wantClass(t, got, sink.Rejected)
		})
	}
}

func (c operationCheck) checkResultsByItem(t *testing.T) {
	for _, test := range []struct {
		name  string
		do    sandbox.Action
		class sink.ResultClass
	}{
		{"refused permanently", c.vendor.rejectItem, sink.Rejected},
		{"refused temporarily", c.vendor.delayItem, sink.Retryable},
		{"missing in the response", sandbox.Action{Fault: sandbox.FaultDropItems}, sink.Unknown},
	} {
		if test.do.Fault == "" {
			continue // the vendor refuses nothing temporarily
		}
		t.Run(test.name, func(t *testing.T) {
			got := c.sendWithItemFault(t, 4, faultyItem, test.do)
			wantItemClasses(t, got, sink.Delivered, test.class, sink.Delivered, sink.Delivered)
			if r := got.ItemResults[1]; r.Status != 200 || test.class != sink.Unknown && r.Message == "" {
				t.Errorf("got item result %+v, want status 200 and the vendor's message", r)
			}
		})
	}
	t.Run("with results of unknown items", func(t *testing.T) {
		got := c.sendWithItemFault(t, 2, 0, sandbox.Action{Fault: sandbox.FaultExtraItems, Count: 3})
		wantItemClasses(t, got, sink.Delivered, sink.Delivered)
	})
	t.Run("without any result", func(t *testing.T) {
		got := c.sendWithItemFault(t, 2, 0, sandbox.Action{Fault: sandbox.FaultDropItems, Count: 2})
		wantItemClasses(t, got, sink.Unknown, sink.Unknown)
	})
	if c.vendor.nameItem == nil {
		return
	}
	t.Run("named in a refused batch", func(t *testing.T) {
		action, byRule := c.vendor.nameItem(c.operationFixture, faultyItem)
		item := 0
		if byRule {
			item = faultyItem
		}
		c.checkNamedItem(t, action, item)
	})
}

// doubtfulResponses returns the checks of responses that a sink must not trust. They run with a
// testing.TB, so that a test can prove that they report known-wrong variants of a sink.
func (c operationCheck) doubtfulResponses() map[string]func(testing.TB) {
	checks := map[string]func(testing.TB){"message with personal data in a refused batch": c.checkBatchMessage}
	if c.itemResults {
		checks["message with personal data in an item result"] = c.checkItemMessage
		checks["two results of an item"] = c.checkRepeatedResult
		if c.vendor.unjudgedResults != nil {
			checks["results that do not state whether the items were accepted"] = c.checkUnjudgedResults
		}
	}
	return checks
}

// checkRepeatedResult checks that an item with two results has an unknown outcome: the results may
// contradict each other, or one of them may belong to another item.
func (c operationCheck) checkRepeatedResult(t testing.TB) {
	got := c.sendWithItemFault(t, 4, faultyItem, sandbox.Action{Fault: sandbox.FaultRepeatItems})
	if len(got.ItemResults) > 1 && got.ItemResults[1].Class != sink.Unknown {
		t.Fatalf("got class %s for an item with two results, want unknown; the page in the sandbox has two results "+
			"for an item only if it uses vendorCall.resultCount", got.ItemResults[1].Class)
	}
	wantItemClasses(t, got, sink.Delivered, sink.Unknown, sink.Delivered, sink.Delivered)
}

// checkUnjudgedResults checks that a result is neither a delivery nor a rejection if it does not
// state whether the vendor accepted the item.
func (c operationCheck) checkUnjudgedResults(t testing.TB) {
	marks := []string{c.markOf(1), c.markOf(2)}
	body := c.vendor.unjudgedResults(c.name[len(c.vendorName())+1:], marks)
	got := c.sendWithItemFault(t, len(marks), 0, sandbox.Action{Fault: sandbox.FaultGarbageBody, Body: body, Apply: true})
	if got.Class != sink.Unknown {
		wantItemClasses(t, got, sink.Unknown, sink.Unknown)
	}
}

// personalMessage is a vendor's message that quotes personal data of the request, as validation
// messages often do.
const (
	personalAddress = "jane.doe@example.org"
	personalMessage = "The address " + personalAddress + " is not allowed."
)

func (c operationCheck) checkBatchMessage(t testing.TB) {
	got := c.sendWithItemFault(t, 2, 0, refuseBatch("", personalMessage))
	wantClass(t, got, sink.Rejected)
	wantRedacted(t, got)
}

func (c operationCheck) checkItemMessage(t testing.TB) {
	action := c.vendor.rejectItem
	action.Description = personalMessage
	got := c.sendWithItemFault(t, 2, 2, action)
	wantItemClasses(t, got, sink.Delivered, sink.Rejected)
	wantRedacted(t, got)
}

// wantRedacted reports personal data in any text of a response.
func wantRedacted(t testing.TB, resp sink.Response) {
	t.Helper()
	texts := []string{resp.Message, resp.Code, fmt.Sprint(resp.Err)}
	for _, r := range resp.ItemResults {
		texts = append(texts, r.Message, r.Code)
	}
	for _, r := range resp.ItemErrors {
		texts = append(texts, r.Message, r.Code)
	}
	for _, text := range texts {
		if strings.Contains(text, personalAddress) {
			t.Errorf("got %q in a response, want it without the address, as vendorhttp.Redact returns it", text)
		}
	}
}

// checkNamedItem checks that the response to a batch that is refused as a whole names one item, by
// its index.
func (c operationCheck) checkNamedItem(t *testing.T, do sandbox.Action, item int) {
	got := c.sendWithItemFault(t, 4, item, do)
	wantClass(t, got, sink.Rejected)
	if len(got.ItemErrors) != 1 || got.ItemErrors[0].Index != 1 || got.ItemErrors[0].Class != sink.Rejected || got.ItemResults != nil {
		t.Errorf("got item errors %+v, want one at index 1", got.ItemErrors)
	}
}

// sendWithItemFault sends n items to a vendor with a fault that affects the item with the given
// number, or the whole call if item is 0.
func (c operationCheck) sendWithItemFault(t testing.TB, n, item int, do sandbox.Action) sink.Response {
	t.Helper()
	rule := sandbox.Rule{Do: do}
	first := 1
	if item != 0 {
		rule.When.Items = sandbox.Items{Field: c.markField, Prefix: c.markOf(item)}
	}
	if n == 1 {
		first = item
	}
	h, op := c.suite.openWithFault(t, c.operationFixture, setup{}, rule)
	got := op.Send(t.Context(), c.encodeItems(t, op, first, first+n))
	if fired := h.sandbox.Faults()["fault"]; fired != 1 {
		t.Fatalf("the fault fired %d times, want once", fired)
	}
	return got
}
