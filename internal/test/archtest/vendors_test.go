package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

const sinkPath = "sluice/internal/sink/"

// vendorImport is an import of a vendor's package.
type vendorImport struct{ file, folder, vendor string }

// A vendor's package is known to those who wire it, and vendors do not know each other. The list of
// vendors is the registry's, so a new one needs no rule of its own.
func TestVendorPackagesAreImportedOnlyWhereTheyAreWired(t *testing.T) {
	var vendors []string
	for name := range pipeline.BuiltinVendors() {
		vendors = append(vendors, name)
	}
	imports := findVendorImports(t, "../../..", vendors)
	wired := map[string]bool{}
	for _, found := range imports {
		wired[found.vendor] = wired[found.vendor] || found.folder == "internal/pipeline"
		if !mayImportVendor(found, vendors) {
			t.Errorf("%s imports vendor %s: only internal/pipeline may, and tests outside the vendors' packages", found.file, found.vendor)
		}
	}
	for _, name := range vendors {
		if !wired[name] {
			t.Errorf("internal/pipeline does not import %s%s, which its registry names", sinkPath, name)
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
	if vendor, ok := strings.CutPrefix(found.folder, "internal/sink/"); ok && slices.Contains(vendors, vendor) {
		return vendor == found.vendor // its external test package imports it
	}
	return found.folder == "internal/pipeline" || strings.HasSuffix(found.file, "_test.go")
}

// findVendorImports returns every import of a vendor's package below root, tests included.
func findVendorImports(t *testing.T, root string, vendors []string) []vendorImport {
	t.Helper()
	var imports []vendorImport
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if vendor, ok := strings.CutPrefix(imported, sinkPath); ok && slices.Contains(vendors, vendor) {
				imports = append(imports, vendorImport{filepath.ToSlash(file), filepath.ToSlash(filepath.Dir(file)), vendor})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) == 0 {
		t.Fatalf("no import of a vendor below %s", root)
	}
	return imports
}
