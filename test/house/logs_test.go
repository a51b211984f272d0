package house

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// notCluster are keys under which a log might name a member, but for the one that all use: cluster.
var notCluster = regexp.MustCompile(`(?i)^(members?|member_?cluster|cluster_?name|member_?name|target_?cluster)$`)

// TestLogsNameMembersByOneKey: who searches the logs for a cluster needs one key.
func TestLogsNameMembersByOneKey(t *testing.T) {
	found := 0
	eachGoFile(t, func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, key := range logKeys(call) {
				if notCluster.MatchString(key) {
					t.Errorf("%s logs a member under the key %q: write \"cluster\"", path, key)
				}
				if key == "cluster" {
					found++
				}
			}
			return true
		})
	})
	if found < 3 {
		t.Errorf("only %d logs have the key cluster: does the test still see them?", found)
	}
}

// logKeys are the keys that a call to a logger carries.
func logKeys(call *ast.CallExpr) []string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	// Where the keys begin: behind the message, and behind the error.
	begin, known := map[string]int{"WithValues": 0, "Info": 1, "Error": 2}[selector.Sel.Name]
	if !known {
		return nil
	}
	var out []string
	for i := begin; i < len(call.Args); i += 2 {
		if literal, ok := call.Args[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if key, err := strconv.Unquote(literal.Value); err == nil {
				out = append(out, key)
			}
		}
	}
	return out
}
