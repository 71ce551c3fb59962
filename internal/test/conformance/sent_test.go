package conformance

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/expoints"
)

// printed are the names that the requests have in place of the page's.
var printed = strings.NewReplacer("payment_medium_type_identifier(2)", "payment_medium_brand_identifier")

// never are the pages' fields that no request has; exceptions.txt says why.
var never = []string{"fields_set"}

// A field that an encoder forgets would be lost without a word, and one that a vendor does not know may be refused.
func TestRequestsHaveEveryFieldOfThePagesAndNoOther(t *testing.T) {
	v := open(t, setup{
		// The page prints the set of financial statements by its old name.
		crmcom: func(c *crmcom.Config) { c.FinancialStatementsSet = "financial_achievement_customer_events_set" },
		expoints: func(c *expoints.Config) {
			b := &c.Batch
			b.EndAfter, b.SendTime, b.NotificationEmailAddresses, b.BatchName = 24*time.Hour, "11:30", []string{"desk@example.org"}, "connector"
		},
	})
	for page, sections := range pages {
		lists := readFields(t, page)
		for _, s := range sections {
			o := operations[slices.IndexFunc(operations, func(o operation) bool { return strings.HasSuffix(o.name, "."+s.name) })]
			sent := v.sent(t, o)
			for path := range lists[s.name] {
				path = printed.Replace(path)
				if !sent[path] && !slices.Contains(never, path) {
					t.Errorf("%s: %s of the page is never sent", o.name, path)
				}
				delete(sent, path)
			}
			if left := slices.Sorted(maps.Keys(sent)); len(left) > 0 {
				t.Errorf("%s: %v are sent and on no page", o.name, left)
			}
		}
	}
}

// sent are the paths in the requests of events with everything set.
func (v *vendors) sent(t *testing.T, o operation) map[string]bool {
	t.Helper()
	op := v.operations[o.name]
	paths := map[string]bool{}
	for variant := range variants {
		item, err := op.Encode(t.Context(), everything(op.Spec().Event, variant), originOf(variant))
		if err != nil {
			t.Fatal(err)
		}
		op.Send(t.Context(), []sink.Item{item})
		var body any
		if err := json.Unmarshal(v.requested(o.endpoint), &body); err != nil {
			t.Fatal(err)
		}
		collect(body, "", paths)
	}
	return paths
}

func collect(v any, at string, paths map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			paths[join(at, key)] = true
			collect(value, join(at, key), paths)
		}
	case []any:
		for _, element := range v {
			collect(element, at+"[]", paths)
		}
	}
}
