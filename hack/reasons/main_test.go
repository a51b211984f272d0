package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestPageIsUpToDate(t *testing.T) {
	groups, err := parse(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(render(string(text), groups), string(text)); diff != "" {
		t.Errorf("%s is not up to date; run: go run ./hack/reasons (-want +got):\n%s", page, diff)
	}
}

func TestReasonsAreComplete(t *testing.T) {
	groups, err := parse(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, g := range groups {
		got += len(g.entries)
	}
	if want := strings.Count(string(text), " Reason = ") + strings.Count(string(text), " WarningCode = "); got != want || want == 0 {
		t.Errorf("got %d reasons and warnings, want %d", got, want)
	}
}

func TestRender(t *testing.T) {
	groups := []group{
		{title: "Reasons", entries: []entry{{"A", "First.", "None."}, {"B", "Second.", "Wait."}}},
		{title: "Warnings", entries: []entry{{"A", "Third.", "Look."}}},
	}
	cases := map[string]struct{ page, want string }{
		"a new page": {
			page: "# Title\n\nText.\n",
			want: "# Title\n\nText.\n\n## Reasons\n\n### A\n\nFirst.\n\n**Next step:** None.\n\n### B\n\nSecond.\n\n**Next step:** Wait.\n" +
				"\n## Warnings\n\n### A\n\nThird.\n\n**Next step:** Look.\n",
		},
		"notes stay, what Go no longer has goes, sections around stay": {
			page: "# Title\n\n## First steps\n\nDo.\n\n## Reasons\n\n### B\n\nOld\n\n**Next step:** Old\ntoo.\n\nA note.\n\n    command\n\n### Gone\n\nX.\n\n**Next step:** Y.\n\nZ.\n\n## Last\n\nEnd.\n",
			want: "# Title\n\n## First steps\n\nDo.\n\n## Reasons\n\n### A\n\nFirst.\n\n**Next step:** None.\n\n### B\n\nSecond.\n\n**Next step:** Wait.\n\nA note.\n\n    command\n" +
				"\n## Warnings\n\n### A\n\nThird.\n\n**Next step:** Look.\n\n## Last\n\nEnd.\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := render(tc.page, groups)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, render(got, groups)); diff != "" {
				t.Errorf("a second run changes the page:\n%s", diff)
			}
		})
	}
}

func TestParseRefusesAReasonWithoutNextStep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "reasons.go")
	text := "package p\n\n// Reasons.\nconst (\n\t// ReasonX: it is so.\n\tReasonX Reason = \"X\"\n)\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := parse(file); err == nil || !strings.Contains(err.Error(), "ReasonX: the comment must read") {
		t.Errorf("got %v, want an error about ReasonX", err)
	}
}
