package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// adminMay are the functions to which a test may hand an administrator's access: clients for the test's own hands, which no operator uses.
var adminMay = map[string]bool{
	"client.New": true, "kubernetes.NewForConfig": true, "dynamic.NewForConfig": true, "discovery.NewDiscoveryClientForConfig": true,
	"envtest.InstallCRDs": true,
}

// withoutOperator are folders of tests in which no operator runs: the clusters' own, the credentials' maker, and the schema's.
var withoutOperator = []string{"test/cluster", "test/access", "test/crd"}

// TestNoOperatorIsAdministrator keeps tests from running the operator, or from registering a member, with an administrator's credential: such a test passes
// whatever config/rbac and config/member-rbac grant. Package access has the credentials to use.
func TestNoOperatorIsAdministrator(t *testing.T) {
	set := token.NewFileSet()
	for _, folder := range []string{"controllers", "internal", "test"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			for _, skip := range withoutOperator {
				if strings.HasPrefix(path, filepath.Join(root, skip)+string(filepath.Separator)) {
					return nil
				}
			}
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, at := range adminLeaks(file) {
				t.Errorf("%s: an administrator's credential goes where the operator may get it; use package access, or make a client with %s",
					set.Position(at), "client.New")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// adminLeaks returns where a file takes an administrator's credential in its hand: Cluster.Kubeconfig, and Cluster.RESTConfig that is not an argument
// of what adminMay names.
func adminLeaks(file *ast.File) []token.Pos {
	var out []token.Pos
	fine := map[ast.Node]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if receiver, ok := selector.X.(*ast.Ident); ok && adminMay[receiver.Name+"."+selector.Sel.Name] {
			for _, argument := range call.Args {
				fine[argument] = true
			}
		}
		switch {
		case len(call.Args) > 0 || fine[call]:
		case selector.Sel.Name == "Kubeconfig", selector.Sel.Name == "RESTConfig":
			out = append(out, call.Pos())
		}
		return true
	})
	return out
}

func TestAdminLeaksAreFound(t *testing.T) {
	const text = `package p
func f() {
	c, _ := client.New(hub.RESTConfig(), client.Options{})
	mgr, _ := ctrl.NewManager(hub.RESTConfig(), ctrl.Options{})
	cfg := f.members["a"].RESTConfig()
	kubeconfig, _ := member.Kubeconfig()
	good := access.Kubeconfig(t, cfg)
}`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, at := range adminLeaks(file) {
		lines = append(lines, set.Position(at).Line)
	}
	if len(lines) != 3 || lines[0] != 4 || lines[1] != 5 || lines[2] != 6 {
		t.Errorf("found leaks in lines %v, want 4, 5 and 6", lines)
	}
}
