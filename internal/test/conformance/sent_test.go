package conformance

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"sluice/internal/sink"
)

// A field that an encoder omits would be lost silently, and one that the vendor does not know may
// be refused.
func TestRequestsHaveExactlyTheFieldsOfThePages(t *testing.T) { productSuite().checkSentFields(t) }

func (s suite) checkSentFields(t *testing.T) {
	s.requireParts(t)
	h := s.newHarness(t, setup{everyField: true})
	for _, o := range s.operations() {
		for page, sections := range o.vendor.pages {
			lists := s.readFieldLists(t, page)
			for _, section := range sections {
				if o.name == o.vendorName()+"."+section.operation {
					s.checkSentSection(t, h, o, lists[section.operation])
				}
			}
		}
	}
}

func (s suite) checkSentSection(t *testing.T, h *harness, o operationFixture, page map[string]pageField) {
	t.Helper()
	sent := s.sentPaths(t, h, o)
	for path := range page {
		if o.vendor.sentNames != nil {
			path = o.vendor.sentNames.Replace(path)
		}
		if !sent[path] && !slices.Contains(o.vendor.neverSent, path) {
			t.Errorf("%s: %s of the page is never sent", o.name, path)
		}
		delete(sent, path)
	}
	if unknown := slices.Sorted(maps.Keys(sent)); len(unknown) > 0 {
		t.Errorf("%s: %v are sent and on no page", o.name, unknown)
	}
}

// sentPaths returns the JSON paths in the requests of full events.
func (s suite) sentPaths(t *testing.T, h *harness, o operationFixture) map[string]bool {
	t.Helper()
	op := h.operations[o.name]
	paths := map[string]bool{}
	for variant := range variantCount {
		item, err := op.Encode(t.Context(), s.fullEvent(o, op.Spec().Event, variant), originOf(variant))
		if err != nil {
			t.Fatal(err)
		}
		op.Send(t.Context(), []sink.Item{item})
		var body any
		if err := json.Unmarshal(h.lastRequest(o.endpoint), &body); err != nil {
			t.Fatal(err)
		}
		collectPaths(body, "", paths)
	}
	return paths
}

func collectPaths(value any, at string, paths map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			paths[joinPath(at, key)] = true
			collectPaths(member, joinPath(at, key), paths)
		}
	case []any:
		for _, element := range value {
			collectPaths(element, at+"[]", paths)
		}
	}
}
