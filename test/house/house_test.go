// Package house holds the rules of this repository that no linter knows: how long Reconcile may be, that the records are true, that the
// documents' links lead somewhere.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// reconcileLines is how long a Reconcile may be: it gathers and hands on, and decides nothing.
const reconcileLines = 60

func TestReconcileIsShort(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "controllers", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no controllers: %v", err)
	}
	found := 0
	set := token.NewFileSet()
	for _, name := range files {
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Name.Name != "Reconcile" || strings.HasSuffix(name, "_test.go") {
				continue
			}
			found++
			if lines := set.Position(function.End()).Line - set.Position(function.Pos()).Line + 1; lines > reconcileLines {
				t.Errorf("%s: Reconcile has %d lines, more than %d", name, lines, reconcileLines)
			}
		}
	}
	if found == 0 {
		t.Error("no Reconcile in controllers")
	}
}

// TestModuleReplacesNothing keeps the module usable as a dependency, and "go install" working.
func TestModuleReplacesNothing(t *testing.T) {
	content := read(t, "go.mod")
	if regexp.MustCompile(`(?m)^replace\b`).MatchString(content) {
		t.Error("go.mod has a replace directive")
	}
}

// TestProjectIsTrue compares kubebuilder's record with the tree.
func TestProjectIsTrue(t *testing.T) {
	var project struct {
		Repo      string
		Resources []struct{ Group, Domain, Kind, Path, Version string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "PROJECT")), &project); err != nil {
		t.Fatal(err)
	}
	if want := "module " + project.Repo + "\n"; !strings.HasPrefix(read(t, "go.mod"), want) {
		t.Errorf("go.mod does not begin with %q", want)
	}
	for _, r := range project.Resources {
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Scope    string
				Versions []struct{ Name string }
			}
		}
		group := r.Group + "." + r.Domain
		name := filepath.Join("config", "crd", "bases", group+"_"+strings.ToLower(r.Kind)+"s.yaml")
		if err := yaml.Unmarshal([]byte(read(t, name)), &crd); err != nil {
			t.Fatal(err)
		}
		if crd.Spec.Names.Kind != r.Kind || crd.Spec.Scope != "Cluster" || crd.Spec.Versions[0].Name != r.Version {
			t.Errorf("%s is not what PROJECT says: %+v", name, crd.Spec)
		}
		if want := filepath.Join(project.Repo, "api", r.Version); r.Path != want {
			t.Errorf("path of %s is %s, want %s", r.Kind, r.Path, want)
		}
	}
}

// link is a Markdown link to a file of the repository, without the anchor.
var link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

// code is what stands between backticks.
var code = regexp.MustCompile("`[^`\n]*`")

func TestLinksLeadSomewhere(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(string(content), ""), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), match[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, match[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// target is a mention of a make target in a document.
var target = regexp.MustCompile("(?m)(?:^|`)make ([a-z][-a-z]*)")

func TestMentionedTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/guide.md", "docs/architecture.md"} {
		for _, match := range target.FindAllStringSubmatch(read(t, name), -1) {
			if !strings.Contains(makefile, "\n"+match[1]+":") {
				t.Errorf("%s mentions \"make %s\", which is no target", name, match[1])
			}
		}
	}
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
