// Package archtest checks rules of the architecture that no linter can check: which packages start
// goroutines, and that those packages' tests check for leaked goroutines.
package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// moduleRoot is the module's root as seen from this package.
const moduleRoot = "../../.."

// goroutines is the number of places that start a goroutine, by package directory. A package that
// is not listed starts none. docs/architecture.md lists who owns each goroutine and how it ends.
var goroutines = map[string]int{
	// The admin server and the signal handler of run; the servers of sandbox. The command stops
	// them and waits for them.
	"cmd/connector": 3,
	// The HTTP server. ServeOn stops it and waits for it.
	"internal/admin": 1,
	// Source fetcher, retry fetcher, recovery and committer, which Run stops and waits for; and the
	// two AfterFuncs that limit how long leaving the group may take.
	"internal/consume": 6,
	// The connector, the traffic, the breaker watch and the vendors' servers. The demo stops them
	// and waits for them.
	"internal/demo": 4,
	// One for each lane. Close stops it, and Run waits for it.
	"internal/deliver": 1,
	// The registry's HTTP server. Close stops it and waits for it.
	"internal/demo/embedded": 1,
	// One for each pipeline, in each its dispatchers and its router, and one that sets the quotas
	// of the accounts. Run waits for them.
	"internal/pipeline": 4,
	// The server of ServeHTTP. The test's cleanup stops it and waits for it.
	"internal/test/testkit": 1,
}

func TestGoroutinesStartOnlyWhereListed(t *testing.T) {
	found := goroutinesByPackage(t)
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		if len(found[dir]) != goroutines[dir] {
			t.Errorf("%s: got %d goroutine starts, want %d; change the list and docs/architecture.md together\n\t%s",
				dir, len(found[dir]), goroutines[dir], strings.Join(found[dir], "\n\t"))
		}
	}
	for dir, want := range goroutines {
		if len(found[dir]) == 0 {
			t.Errorf("%s: got no goroutine start, want %d", dir, want)
		}
	}
}

func TestPackagesWithGoroutinesCheckForLeaks(t *testing.T) {
	for _, dir := range slices.Sorted(maps.Keys(goroutines)) {
		testFiles, err := filepath.Glob(filepath.Join(moduleRoot, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(testFiles, func(file string) bool { return checksForLeaks(t, file) }) {
			t.Errorf("%s: got no leak check in its tests, want goleak.VerifyTestMain or goleak.Find in TestMain", dir)
		}
	}
}

func checksForLeaks(t *testing.T, file string) bool {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(source, []byte("func TestMain(")) &&
		(bytes.Contains(source, []byte("goleak.VerifyTestMain(")) || bytes.Contains(source, []byte("goleak.Find(")))
}

func TestEveryFormOfGoroutineStartIsFound(t *testing.T) {
	const src = `package p
func f() {
	go g()
	go func() { go g() }()
	wg.Go(g)
	a.group.Go(func() error { return nil })
	time.AfterFunc(d, g)
	context.AfterFunc(ctx, g)
	x.Gone()
	Go()
}`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, pos := range goroutineStarts(file) {
		lines = append(lines, fset.Position(pos).Line)
	}
	if want := []int{3, 4, 4, 5, 6, 7, 8}; !slices.Equal(lines, want) {
		t.Errorf("got goroutine starts in lines %v, want %v", lines, want)
	}
}

// goroutinesByPackage returns the positions that start a goroutine, by package directory. Tests are
// left out.
func goroutinesByPackage(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, name := range listGoFiles(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(moduleRoot, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, pos := range goroutineStarts(file) {
			found[path.Dir(name)] = append(found[path.Dir(name)], fset.Position(pos).String())
		}
	}
	return found
}

// listGoFiles returns the slash-separated paths of the module's Go files, relative to its root.
func listGoFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS(moduleRoot), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(name, ".go") {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("got no Go file below %s, want some", moduleRoot)
	}
	return files
}

// goroutineStarts finds go statements, calls of a method Go (sync.WaitGroup, errgroup), and calls
// of AfterFunc, which runs its function in a goroutine of its own.
func goroutineStarts(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.GoStmt:
			found = append(found, node.Pos())
		case *ast.CallExpr:
			if sel, ok := node.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Go" || sel.Sel.Name == "AfterFunc") {
				found = append(found, node.Pos())
			}
		}
		return true
	})
	return found
}
