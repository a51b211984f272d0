package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// reasonsFile declares the reasons and warnings.
const reasonsFile = "api/v1alpha1/condition_types.go"

// TestEveryReasonIsReached: a reason or warning that nothing reports, or that no test has seen reported, is a promise that nobody keeps.
//
// It counts as reported where code other than tests names the constant. It counts as reached where a test of a package that reports it, or one that runs
// several of them together (test/...), expects it. What is expected stands in a comparison, in a matcher or a wait, or under a name that begins with
// "want"; what a test feeds in stands elsewhere and does not count. The compiler's warnings are also expected in its golden files.
func TestEveryReasonIsReached(t *testing.T) {
	declared := reasonConstants(t)
	if len(declared) < 40 {
		t.Fatalf("found %d reasons and warnings in %s", len(declared), reasonsFile)
	}
	reported, expected := places{}, places{}
	eachGoFile(t, func(path string, file *ast.File) {
		switch {
		case path == filepath.Join(root, reasonsFile):
		case strings.HasSuffix(path, "_test.go"):
			inspectExpectations(file, func(e ast.Expr) { noteReasons(e, declared, filepath.Dir(path), expected) })
		default:
			ast.Inspect(file, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					reported.note(id.Name, filepath.Dir(path))
				}
				return true
			})
		}
	})
	golden := goldenWarnings(t)
	for name, value := range declared {
		if len(reported[name]) == 0 {
			t.Errorf("%s is reported by no code: report it, or remove it from %s", name, reasonsFile)
		}
		reached := strings.HasPrefix(name, "Warning") && golden[value]
		for dir := range expected[name] {
			reached = reached || reported[name][dir] || strings.HasPrefix(dir, filepath.Join(root, "test")+string(filepath.Separator))
		}
		if !reached {
			t.Errorf("%s is expected by no test of a package that reports it: add one", name)
		}
	}
}

// places are the folders in which each name stands.
type places map[string]map[string]bool

func (p places) note(name, dir string) {
	if p[name] == nil {
		p[name] = map[string]bool{}
	}
	p[name][dir] = true
}

// reasonConstants returns the constants of type Reason and WarningCode, with their values.
func reasonConstants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, reasonsFile), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && (kind.Name == "Reason" || kind.Name == "WarningCode") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out[spec.Names[0].Name] = value
		}
		return true
	})
	return out
}

// eachGoFile parses every Go file of the module.
func eachGoFile(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || isModule(path)) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isModule tells whether a folder is a module of its own.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// expects is a function that compares, or waits for, what it is given.
var expects = regexp.MustCompile(`^(want|wait|expect|eventually|Equal|Have|Contain|Consist|And|Or)`)

// inspectExpectations visits the expressions of a test that say what is expected.
func inspectExpectations(file *ast.File, visit func(ast.Expr)) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				visit(n.X)
				visit(n.Y)
			}
		case *ast.CallExpr:
			if expects.MatchString(nameOf(n.Fun)) {
				for _, argument := range n.Args {
					visit(argument)
				}
			}
		case *ast.KeyValueExpr:
			if strings.HasPrefix(nameOf(n.Key), "want") {
				visit(n.Value)
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if strings.HasPrefix(nameOf(left), "want") && i < len(n.Rhs) {
					visit(n.Rhs[i])
				}
			}
		}
		return true
	})
}

// nameOf is the last part of a name.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// noteReasons notes the constants that an expression names, and the reasons that its texts hold behind a condition's status, as in "False/Invalid".
func noteReasons(e ast.Expr, declared map[string]string, dir string, expected places) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			expected.note(n.Name, dir)
		case *ast.BasicLit:
			for _, match := range statusAndReason.FindAllStringSubmatch(n.Value, -1) {
				for name, value := range declared {
					if value == match[1] && strings.HasPrefix(name, "Reason") {
						expected.note(name, dir)
					}
				}
			}
		}
		return true
	})
}

// statusAndReason is how tests write a condition in short.
var statusAndReason = regexp.MustCompile(`\b(?:True|False|Unknown)[ /]([A-Za-z]+)\b`)

// goldenWarnings are the warnings in the compiler's golden files.
func goldenWarnings(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "internal", "compile", "testdata", "scenarios", "*", "golden", "networks.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	out := map[string]bool{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`: warning ([A-Za-z]+)`).FindAllStringSubmatch(string(content), -1) {
			out[match[1]] = true
		}
	}
	return out
}
