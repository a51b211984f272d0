package dataplane

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"multicloud.network/operator/test/cluster/tools"
)

const docIntro = `# Verification

That the models mean what the specification says is shown by packets. This file is made by the runs that show it: ` + "`make dataplane-doc`" + `.

Three member clusters stand on one machine, each with its own kube-apiserver and Calico API server; their nodes are network namespaces in which the real
Felix programs the kernel, joined by a router that also leads to hosts outside; their pods are namespaces that listen and send. The operator is the
program that is shipped, under the roles that are shipped. What should pass is computed from the specification by a package that knows no compiled
object ([test/dataplane/intent](../test/dataplane/intent)). A cell is one new connection (TCP, UDP or an echo request) between two places of which
one is a pod; it counts as wrong when it passes and should not, does not and should, or when the receiver sees another address than it should.
`

const docMutants = `
## Deliberate faults

` + "`make mutants`" + ` builds the operator with each of these faults and expects that packets catch it.

`

// block is a part of the document that a run writes.
var block = regexp.MustCompile("(?s)<!-- begin ([a-z]+) -->\n(.*?)<!-- end [a-z]+ -->\n")

func docPath(t *testing.T) string {
	t.Helper()
	root, err := tools.Root()
	must(t, err)
	return filepath.Join(root, "docs", "verification.md")
}

// document is docs/verification.md; blocks are the parts that runs wrote.
func document(blocks map[string]string) string {
	var out strings.Builder
	out.WriteString(docIntro)
	part := func(name string) {
		fmt.Fprintf(&out, "<!-- begin %s -->\n%s<!-- end %s -->\n", name, blocks[name], name)
	}
	out.WriteString("\n## Figures of the last runs\n\n")
	part("iptables")
	part("nftables")
	out.WriteString("\n## Cases\n\nEach is tried with every flow between all places, on all clusters; beside them come random networks.\n\n")
	for _, group := range caseGroups {
		fmt.Fprintf(&out, "- %s: %s\n", group.name, names(group.cases))
	}
	fmt.Fprintf(&out, "- beside an application team's NetworkPolicy: %s\n", names(localCases))
	var states []string
	for _, c := range stateCases {
		states = append(states, c.name)
	}
	fmt.Fprintf(&out, "- changes and modes: %s\n", strings.Join(states, "; "))
	out.WriteString(docMutants)
	part("mutants")
	return out.String()
}

func names(cases []one) string {
	var out []string
	for _, c := range cases {
		out = append(out, c.name)
	}
	return strings.Join(out, "; ")
}

func blocksIn(text string) map[string]string {
	out := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// writeBlock renews the document with what this run has seen.
func writeBlock(t *testing.T, name, text string) {
	t.Helper()
	before, err := os.ReadFile(docPath(t))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	blocks := blocksIn(string(before))
	blocks[name] = text
	must(t, os.WriteFile(docPath(t), []byte(document(blocks)), 0o644))
}

// TestDocument holds docs/verification.md up to date: all but what runs have seen. With -update-docs it renews the texts.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(docPath(t))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	want := document(blocksIn(string(text)))
	if *updateDocs {
		must(t, os.WriteFile(docPath(t), []byte(want), 0o644))
	} else if string(text) != want {
		t.Error("docs/verification.md is not what the cases say: make dataplane-doc")
	}
}
