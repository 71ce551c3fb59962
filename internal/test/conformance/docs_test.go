package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// An operator reads the page and not the code.
func TestTheDocumentationHasEveryOperationAsItIs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	v := open(t, setup{})
	for _, o := range operations {
		spec := v.operations[o.name].Spec()
		endpoint := strings.TrimPrefix(strings.TrimPrefix(o.endpoint, "/crmapi/rest/v2/"), "/v2/")
		row := fmt.Sprintf("| `%s` | `%s` | `%s` | %d ", o.name, spec.Event, endpoint, spec.MaxItems)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/vendors.md has no row that begins %s", row)
		}
	}
}
