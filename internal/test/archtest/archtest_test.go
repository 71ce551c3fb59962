// Package archtest checks what no linter knows: which packages start goroutines.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goroutines says how many places start one, by package folder, and who ends them. docs/architecture.md says it at length. A package that is
// not named starts none.
var goroutines = map[string]int{
	"cmd/connector":          3, // run's admin server and its listening for signals, the sandbox's servers: ended and awaited by the command
	"internal/admin":         1, // the HTTP server, ended and awaited by ServeOn
	"internal/consume":       6, // source and retry fetcher, recovery, committer: ended and awaited by Run; a timer that cuts leaving short
	"internal/demo":          3, // the connector, the traffic, the vendors' servers: ended and awaited by Run
	"internal/deliver":       1, // one a lane, ended by Close and awaited by Run
	"internal/demo/embedded": 1, // the registry's HTTP server, ended and awaited by Close
	"internal/pipeline":      4, // the pipelines, in each its lanes and its router, and the pace of the accounts: awaited by Run
	"internal/test/testkit":  1, // Serve, ended and awaited by the test's clean-up
}

func TestGoroutinesAreStartedWhereTheListSays(t *testing.T) {
	found := startsByFolder(t, "../../..")
	for _, folder := range slices.Sorted(maps.Keys(found)) {
		if len(found[folder]) != goroutines[folder] {
			t.Errorf("%s starts goroutines in %d places, the list says %d: change both, and docs/architecture.md\n\t%s",
				folder, len(found[folder]), goroutines[folder], strings.Join(found[folder], "\n\t"))
		}
	}
	for folder, want := range goroutines {
		if len(found[folder]) == 0 {
			t.Errorf("%s starts no goroutine, the list says %d", folder, want)
		}
	}
}

func TestEachWayToStartAGoroutineIsFound(t *testing.T) {
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
	for _, pos := range starts(file) {
		lines = append(lines, fset.Position(pos).Line)
	}
	if want := []int{3, 4, 4, 5, 6, 7, 8}; !slices.Equal(lines, want) {
		t.Errorf("found starts in lines %v, want %v", lines, want)
	}
}

// startsByFolder reads every Go file below root but tests, and gives where goroutines are started, by folder relative to root.
func startsByFolder(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, pos := range starts(file) {
			found[filepath.ToSlash(folder)] = append(found[filepath.ToSlash(folder)], fset.Position(pos).String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatalf("no Go file below %s", root)
	}
	return found
}

// starts finds go statements, calls of a method Go (sync.WaitGroup, errgroup) and of AfterFunc, which runs its function in a goroutine of its own.
func starts(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, n.Pos())
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Go" || sel.Sel.Name == "AfterFunc") {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}
