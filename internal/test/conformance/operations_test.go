package conformance

import (
	"testing"
	"time"
)

var performedOn = time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)

func TestOperationsConform(t *testing.T) { productSuite().checkOperations(t) }

func (s suite) checkOperations(t *testing.T) {
	s.requireParts(t)
	passed := 0
	for _, o := range s.operations() {
		c := operationCheck{suite: s, operationFixture: o}
		ok := t.Run(o.name, func(t *testing.T) {
			t.Run("clean call", c.checkCleanCall)
			t.Run("caps", c.checkCaps)
			t.Run("responses", c.checkResponses)
			t.Run("item results", c.checkItemResults)
			t.Run("tokens", c.checkTokens)
			t.Run("unreachable vendor", c.checkUnreachable)
		})
		if ok {
			passed++
		}
	}
	t.Logf("%d of %d operations conform", passed, len(s.operations()))
	if want := len(s.operations()); passed != want || want == 0 {
		t.Errorf("got %d conforming operations, want all %d", passed, want)
	}
}

// operationCheck has the suite's checks of one operation.
type operationCheck struct {
	suite suite
	operationFixture
}

func TestCapsMatchTheVendorPages(t *testing.T) { productSuite().checkDocumentedCaps(t) }

func (s suite) checkDocumentedCaps(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		if got := h.operations[o.name].Spec().MaxItems; got != o.maxItems {
			t.Errorf("%s: got a cap of %d items per call, want %d", o.name, got, o.maxItems)
		}
	}
}
