package archtest

import (
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

const sinkPath = "sluice/internal/sink/"

// vendorImport is an import of a vendor's package. Its paths are relative to the module's root.
type vendorImport struct{ file, dir, vendor string }

// Only internal/pipeline imports the packages of vendors, and vendors do not import each other. The
// vendors are those of the registry, so that a new vendor needs no additional rule.
func TestOnlyPipelineImportsVendorPackages(t *testing.T) {
	var vendors []string
	for name := range pipeline.BuiltinVendors() {
		vendors = append(vendors, name)
	}
	imports := findVendorImports(t, vendors)
	wired := map[string]bool{}
	for _, found := range imports {
		wired[found.vendor] = wired[found.vendor] || found.dir == "internal/pipeline"
		if !mayImportVendor(found, vendors) {
			t.Errorf("%s: got an import of vendor %s, want it only in internal/pipeline and unrelated tests",
				found.file, found.vendor)
		}
	}
	for _, name := range vendors {
		if !wired[name] {
			t.Errorf("internal/pipeline: got no import of %s%s, want one for each vendor of the registry",
				sinkPath, name)
		}
	}
}

func TestForbiddenVendorImportsAreFound(t *testing.T) {
	vendors := []string{"one", "two"}
	for _, test := range []struct {
		found vendorImport
		want  bool
	}{
		{vendorImport{"internal/pipeline/vendors.go", "internal/pipeline", "one"}, true},
		{vendorImport{"internal/deliver/gate.go", "internal/deliver", "one"}, false},
		{vendorImport{"internal/sink/jsonwriter/writer.go", "internal/sink/jsonwriter", "one"}, false},
		{vendorImport{"internal/sink/two/two.go", "internal/sink/two", "one"}, false},
		{vendorImport{"internal/sink/two/two_test.go", "internal/sink/two", "one"}, false},
		{vendorImport{"internal/sink/one/one_test.go", "internal/sink/one", "one"}, true},
		{vendorImport{"internal/test/sim/vendor_test.go", "internal/test/sim", "one"}, true},
	} {
		if got := mayImportVendor(test.found, vendors); got != test.want {
			t.Errorf("%+v: got allowed %t, want %t", test.found, got, test.want)
		}
	}
}

func mayImportVendor(found vendorImport, vendors []string) bool {
	if vendor, ok := strings.CutPrefix(found.dir, "internal/sink/"); ok && slices.Contains(vendors, vendor) {
		return vendor == found.vendor // its external test package imports it
	}
	return found.dir == "internal/pipeline" || strings.HasSuffix(found.file, "_test.go")
}

// findVendorImports returns every import of a vendor's package in the module, tests included.
func findVendorImports(t *testing.T, vendors []string) []vendorImport {
	t.Helper()
	var imports []vendorImport
	for _, file := range listGoFiles(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleRoot, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if vendor, ok := strings.CutPrefix(imported, sinkPath); ok && slices.Contains(vendors, vendor) {
				imports = append(imports, vendorImport{file, path.Dir(file), vendor})
			}
		}
	}
	if len(imports) == 0 {
		t.Fatal("got no import of a vendor in the module, want some")
	}
	return imports
}
