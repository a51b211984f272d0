package faults

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"multicloud.network/operator/test/cluster/tools"
)

const intro = `# Faults

What the operator does when something breaks, row by row. Made by the test that shows it: ` + "`make faults-doc`" + ` breaks a fleet of a hub and
four members with real API servers (Calico aggregated, native, and not installed), with the real operator under the roles of ` + "`config/`" + `, and writes this file.
` + "`make test`" + ` runs the same test and holds that rows and texts are those of the test.

"Byte-identical" means that not one byte of what a member holds has changed, resource versions included. The last column is the time from the end of the
fault to the result, as measured on two busy cores, in classes; it is no promise.

`

// tableHead is that of the table.
const tableHead = "| # | Fault | Injected how | Expected | Result | Recovered within |\n|---|---|---|---|---|---|\n"

func docPath(t *testing.T) string {
	t.Helper()
	root, err := tools.Root()
	must(t, err)
	return filepath.Join(root, "docs", "faults.md")
}

// class rounds a time up.
func class(d time.Duration) string {
	for _, c := range []struct {
		limit time.Duration
		text  string
	}{
		{time.Second, "1 s"}, {5 * time.Second, "5 s"}, {15 * time.Second, "15 s"}, {30 * time.Second, "30 s"}, {time.Minute, "1 min"}, {2 * time.Minute, "2 min"},
	} {
		if d <= c.limit {
			return c.text
		}
	}
	return fmt.Sprintf("%d min", int(d.Minutes())+1)
}

// document is docs/faults.md; times holds the last column by row.
func document(times map[string]string) string {
	rows := allRows()
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(number(a.id), number(b.id)) })
	var out strings.Builder
	out.WriteString(intro + tableHead)
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s |\n", r.id, r.fault, r.injected, r.expected, r.result, cmp.Or(times[r.id], "?"))
	}
	return out.String()
}

func number(id string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "F"))
	if err != nil {
		return 0
	}
	return n
}

var docRow = regexp.MustCompile(`(?m)^\| (F\d+) \|.*\| ([^|]*) \|$`)

// timesIn reads the last column of a document.
func timesIn(text string) map[string]string {
	out := map[string]string{}
	for _, m := range docRow.FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// writeDocs writes the document with what this run measured.
func writeDocs(t *testing.T) {
	t.Helper()
	before, err := os.ReadFile(docPath(t))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	times := timesIn(string(before))
	measured.Range(func(id, took any) bool {
		times[id.(string)] = "-"
		if d := took.(time.Duration); d > 0 {
			times[id.(string)] = class(d)
		}
		return true
	})
	must(t, os.WriteFile(docPath(t), []byte(document(times)), 0o644))
}

// TestDocument holds docs/faults.md up to date: all but the times, which differ from run to run. With -update-docs it renews the texts.
func TestDocument(t *testing.T) {
	if *updateDocs {
		writeDocs(t)
	}
	text, err := os.ReadFile(docPath(t))
	must(t, err)
	times := timesIn(string(text))
	if string(text) != document(times) {
		t.Errorf("docs/faults.md is not what the rows say: make faults-doc")
	}
	seen := map[string]bool{}
	for _, r := range allRows() {
		if seen[r.id] || number(r.id) == 0 || r.run == nil {
			t.Errorf("row %q is there twice, has no number or no test", r.id)
		}
		seen[r.id] = true
		if times[r.id] == "?" {
			t.Errorf("row %s was never measured: make faults-doc", r.id)
		}
	}
	for _, id := range required {
		if !seen[id] {
			t.Errorf("row %s has no test", id)
		}
	}
}

// required are the rows of the fault matrix that a fleet has to pass.
var required = []string{
	"F1", "F2", "F3", "F5", "F11", "F12", "F13", "F14", "F15", "F16", "F17", "F18", "F19", "F22", "F24", "F25", "F26", "F31", "F39", "F41", "F42", "F43", "F44", "F45",
}
