package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Operators read the document and not the code.
func TestDocumentationHasEveryOperation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	s := productSuite()
	s.requireParts(t)
	h := s.newHarness(t, setup{})
	for _, o := range s.operations() {
		spec := h.operations[o.name].Spec()
		endpoint := strings.TrimPrefix(o.endpoint, o.vendor.apiBase)
		row := fmt.Sprintf("| `%s` | `%s` | `%s` | %d ", o.name, spec.Event, endpoint, spec.MaxItems)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/vendors.md has no row that begins %s", row)
		}
	}
}
