// Command reasons keeps docs/troubleshooting.md true to the reasons and warnings in api/v1alpha1/condition_types.go: a heading for each, with
// the meaning and the next step that stand in the Go comment. What people wrote below a next step stays. Run it from the repository's root:
//
//	go run ./hack/reasons
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
)

// The files that belong together, from the repository's root.
const (
	source = "api/v1alpha1/condition_types.go"
	page   = "docs/troubleshooting.md"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reasons:", err)
		os.Exit(1)
	}
}

// run rewrites the page.
func run() error {
	groups, err := parse(source)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(render(string(text), groups)), 0o644)
}

// group is a block of constants; its title is the comment above it, without the full stop.
type group struct {
	title   string
	entries []entry
}

// entry is one reason or warning.
type entry struct{ name, meaning, nextStep string }

// parse reads the typed constants Reason and WarningCode of a Go file. A comment without "Next step:" is an error.
func parse(file string) ([]group, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, declaration := range tree.Decls {
		block, isBlock := declaration.(*ast.GenDecl)
		if !isBlock || block.Tok != token.CONST {
			continue
		}
		g := group{title: strings.TrimSuffix(oneLine(block.Doc.Text()), ".")}
		for _, spec := range block.Specs {
			e, ours, err := parseEntry(spec.(*ast.ValueSpec))
			if err != nil {
				return nil, err
			}
			if ours {
				g.entries = append(g.entries, e)
			}
		}
		if len(g.entries) > 0 {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// parseEntry reads one constant; ours is false for constants of other types.
func parseEntry(spec *ast.ValueSpec) (e entry, ours bool, err error) {
	if kind, named := spec.Type.(*ast.Ident); !named || (kind.Name != "Reason" && kind.Name != "WarningCode") {
		return entry{}, false, nil
	}
	identifier := spec.Names[0].Name
	meaning, nextStep, found := strings.Cut(oneLine(spec.Doc.Text()), " Next step: ")
	meaning, named := strings.CutPrefix(meaning, identifier+": ")
	if !found || !named {
		return entry{}, false, fmt.Errorf("%s: the comment must read %q", identifier, identifier+": <meaning>. Next step: <what to do>.")
	}
	name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
	return entry{name: name, meaning: sentence(meaning), nextStep: sentence(nextStep)}, true, err
}

// render returns the page with one section for each group and one heading for each entry. It keeps the text before and after these sections,
// and the notes below each next step.
func render(page string, groups []group) string {
	titles := map[string]bool{}
	for _, g := range groups {
		titles[g.title] = true
	}
	var before, after strings.Builder
	notes := map[string]string{}
	seenGroup := false
	for i, section := range splitBefore(page, "\n## ") {
		title, _, _ := strings.Cut(strings.TrimPrefix(section, "## "), "\n")
		switch {
		case i > 0 && titles[title]:
			seenGroup = true
			readNotes(notes, title, section)
		case seenGroup:
			after.WriteString("\n" + section)
		default:
			before.WriteString(section + "\n")
		}
	}
	out := strings.TrimRight(before.String(), "\n") + "\n"
	for _, g := range groups {
		out += "\n## " + g.title + "\n"
		for _, e := range g.entries {
			out += "\n### " + e.name + "\n\n" + e.meaning + "\n\n" + nextStepMark + e.nextStep + "\n"
			if note := notes[g.title+"/"+e.name]; note != "" {
				out += "\n" + note + "\n"
			}
		}
	}
	return strings.TrimRight(out+after.String(), "\n") + "\n"
}

// nextStepMark begins the paragraph after which people write.
const nextStepMark = "**Next step:** "

// readNotes collects what people wrote in a group's section: all that follows the paragraph with the next step.
func readNotes(notes map[string]string, title, section string) {
	for _, part := range splitBefore(section, "\n### ")[1:] {
		name, rest, _ := strings.Cut(strings.TrimPrefix(part, "### "), "\n")
		_, rest, found := strings.Cut(rest, nextStepMark)
		if !found {
			continue
		}
		_, note, _ := strings.Cut(rest, "\n\n")
		notes[title+"/"+name] = strings.TrimSpace(note)
	}
}

// splitBefore cuts the text before each mark, which begins with a line break that is dropped.
func splitBefore(text, mark string) []string {
	parts := strings.Split(text, mark)
	for i := 1; i < len(parts); i++ {
		parts[i] = mark[1:] + parts[i]
	}
	return parts
}

// oneLine joins a comment's lines.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// sentence gives a text a capital and a full stop.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
