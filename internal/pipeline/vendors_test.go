package pipeline

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sluice/internal/config"
	"sluice/internal/event"
)

// Each vendor has defaults, and each event has exactly one operation.
func TestEveryVendorIsRegisteredWithDefaults(t *testing.T) {
	types := VendorTypes()
	if got, want := slices.Sorted(maps.Keys(types)), vendorFolders(t); !slices.Equal(got, want) {
		t.Fatalf("got vendors %v, want one for each folder of internal/sink: %v; add a line to builtinVendors",
			got, want)
	}
	events := map[string]string{}
	for name, v := range types {
		cfg := v.NewConfig()
		if cfg == nil || cfg == v.NewConfig() {
			t.Errorf("%s: two accounts would share one struct", name)
		}
		for _, o := range v.Operations(cfg) {
			if other, twice := events[o.Event]; twice {
				t.Errorf("event %s: operations %s and %s.%s", o.Event, other, name, o.Name)
			}
			events[o.Event] = name + "." + o.Name
			if o.MaxItems < 1 || o.DefaultItems > o.MaxItems {
				t.Errorf("%s.%s: cap %d, default %d", name, o.Name, o.MaxItems, o.DefaultItems)
			}
			if !o.Repeatable && o.Unknown.Policy == "" {
				t.Errorf("%s.%s: not repeatable, and no policy for unknown outcomes", name, o.Name)
			}
		}
	}
	for _, e := range event.EventNames() {
		if events[e] == "" {
			t.Errorf("event %s has no operation", e)
		}
	}
}

// vendorFolders returns the names of the vendors' packages: those below internal/sink that have
// default settings.
func vendorFolders(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../sink/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(filepath.Dir(file)); bytes.Contains(text, []byte("\nfunc Default() Config {")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Every event of schemas/ belongs to one vendor, and a vendor's records can be decoded.
func TestEveryOperationHasItsEventType(t *testing.T) {
	for name, vendor := range builtinVendors {
		for _, spec := range vendor.Specs() {
			if _, ok := vendor.Events.Find(spec.Event); !ok {
				t.Errorf("%s.%s: no type for event %s: add its schema to schemas/ and run go generate ./internal/event",
					name, spec.Name, spec.Event)
			}
		}
	}
	if got, want := len(builtinVendors.Events()), len(event.BuiltinTypes()); got != want {
		t.Errorf("got %d event types over all vendors, want the %d of schemas/", got, want)
	}
}

// An ordered pipeline has one operation, so a default pipeline that keeps order must have one
// event.
func TestOrderedDefaultPipelinesHaveOneOperation(t *testing.T) {
	operations := map[string][]string{}
	ordered := map[string]bool{}
	for name, vendor := range builtinVendors {
		for _, spec := range vendor.Specs() {
			operations[spec.DefaultPipeline] = append(operations[spec.DefaultPipeline], name+"."+spec.Name)
			ordered[spec.DefaultPipeline] = ordered[spec.DefaultPipeline] || spec.KeepOrder
		}
	}
	for pipeline, names := range operations {
		if ordered[pipeline] && len(names) != 1 {
			t.Errorf("default pipeline %s keeps order and has %d operations, want 1: %v", pipeline, len(names), names)
		}
	}
}

// An account opens the operations that the configuration was checked against.
func TestAccountOpensListedOperations(t *testing.T) {
	for name, v := range builtinVendors {
		cfg := v.NewConfig()
		opened, err := v.Open("account", cfg, http.DefaultClient)
		if err != nil {
			continue // the defaults alone are not a valid account; the vendor's own tests cover that
		}
		var got, want []string
		for _, o := range opened {
			got = append(got, o.Spec().Name)
		}
		for _, o := range v.Operations(cfg) {
			want = append(want, o.Name)
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s opens %v, lists %v", name, got, want)
		}
	}
}

// The item cap that an account sets applies to its calls, even if it is above the default.
func TestAccountMaxItemsReachesPipeline(t *testing.T) {
	for given, want := range map[string]int{"": 100, "max_items: 7, ": 7, "max_items: 500, ": 500} {
		text := `
kafka: {brokers: ["localhost:9092"]}
vendors: {propel: {` + given + `auth: {client_id: c, client_secret: s}}}
`
		cfg, err := config.Parse("test.yaml", []byte(text), config.Options{Vendors: VendorTypes()})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := builtinVendors["propel"].Open("propel", cfg.Accounts["propel"].Settings(), http.DefaultClient)
		if err != nil {
			t.Fatal(err)
		}
		if got, spec := cfg.Pipelines[0].Routes[0].MaxItems, opened[0].Spec(); got != want || spec.MaxItems != want {
			t.Errorf("%q: %d items a call, the operation takes %d, want %d", given, got, spec.MaxItems, want)
		}
	}
}

func TestSettingsOfOtherTypeAreRefused(t *testing.T) {
	for name, v := range builtinVendors {
		for _, settings := range []any{nil, 42, "text", struct{}{}} {
			if opened, err := v.Open("account", settings, http.DefaultClient); err == nil || opened != nil {
				t.Errorf("%s: settings %#v gave %v, error %v", name, settings, opened, err)
			}
		}
	}
}
