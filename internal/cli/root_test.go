package cli

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

// ran runs a command line that needs no cluster.
func ran(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = Run(t.Context(), genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &errOut}, args)
	return out.String(), errOut.String(), code
}

// TestExitCodes: scripts tell a command line that is wrong (2) from an attempt that failed (1).
func TestExitCodes(t *testing.T) {
	for line, tc := range map[string]struct {
		code int
		says string // on standard error
	}{
		"":                                   {},
		"--help":                             {},
		"help":                               {},
		"help register":                      {},
		"version":                            {},
		"foo":                                {exitUsage, `"foo" is no command of kubectl mcn; see "kubectl mcn --help"`},
		"registr":                            {exitUsage, "(is register meant?)"},
		"registr --name x --context y":       {exitUsage, `"registr" is no command of kubectl mcn (is register meant?)`},
		"help foo":                           {exitUsage, `"foo" is no command of kubectl mcn`},
		"help register foo":                  {exitUsage, `"foo" is no command of kubectl mcn register`},
		"--colour":                           {exitUsage, "unknown flag: --colour"},
		"register --colour":                  {exitUsage, "unknown flag: --colour"},
		"unregister --colour":                {exitUsage, "unknown flag: --colour"},
		"register":                           {exitUsage, "--name"},
		"unregister":                         {exitUsage, "--name"},
		"register --name":                    {exitUsage, "needs an argument"},
		"register --name x":                  {exitUsage, "--context"},
		"register x":                         {exitUsage, "not a flag"},
		"unregister x y":                     {exitUsage, `"x y" is not a flag`},
		"version x":                          {exitUsage, `takes no "x"`},
		"version -o xml":                     {exitUsage, "write json or yaml"},
		"completion":                         {exitUsage, "bash, fish, powershell, zsh"},
		"completion tcsh":                    {exitUsage, "bash, fish, powershell, zsh"},
		"register --timeout soon":            {exitUsage, "invalid argument"},
		"unregister --name x --timeout 0s":   {exitUsage, "--timeout"},
		"unregister --name x --context no":   {exitUsage, "no contexts"},
		"register --name x --context no":     {exitUsage, "no contexts"},
		"unregister --name x --kubeconfig x": {exitFailed, "reading the kubeconfig"},
	} {
		t.Run(line, func(t *testing.T) {
			t.Setenv("KUBECONFIG", "/dev/null")
			out, said, code := ran(t, strings.Fields(line)...)
			if code != tc.code || !strings.Contains(said, tc.says) || (code == 0) != (out != "") {
				t.Errorf("ended with %d, want %d; it says %q, want %q in it; it prints %q", code, tc.code, said, tc.says, out)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	out, _, _ := ran(t, "version")
	if !strings.HasPrefix(out, "Client Version: ") || strings.Count(out, "\n") != 1 {
		t.Errorf("version prints %q", out)
	}
	for format, read := range map[string]func([]byte, any) error{
		"json": json.Unmarshal, "yaml": func(content []byte, into any) error { return yaml.UnmarshalStrict(content, into) },
	} {
		var got map[string]clientVersion
		out, _, code := ran(t, "version", "-o", format)
		if err := read([]byte(out), &got); err != nil || code != 0 || got["clientVersion"].Version == "" || got["clientVersion"].GoVersion == "" {
			t.Errorf("version -o %s prints %q (%v)", format, out, err)
		}
	}
	built := versionOf(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-01T00:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}})
	if built.Version != "v1.2.3" || built.GitCommit != "abc" || built.CommitDate != "2026-01-01T00:00:00Z" || built.GitTreeState != "dirty" {
		t.Errorf("a build with its origin recorded is %+v", built)
	}
}

// TestCompletion: what kubectl asks kubectl_complete-mcn for.
func TestCompletion(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null")
	for line, want := range map[string][]string{
		"":                            {"register\t", "unregister\t", "version\t", "completion\t"},
		"reg":                         {"register\t"},
		"register --role ":            {"Managed\n", "Source\n"},
		"register --deletion-policy ": {"Delete\n", "Orphan\n"},
		"register --hub":              {"--hub-context\t"},
		"version -o ":                 {"json\n", "yaml\n"},
		"completion ":                 {"bash\n", "zsh\n"},
		"unregister --name ":          {":4\n"},
	} {
		out, said, code := ran(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		for _, text := range append(want, ":4\n") {
			if code != 0 || !strings.Contains(out, text) {
				t.Errorf("%q is completed with %q, want %q in it: %d %s", line, out, text, code, said)
			}
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, said, code := ran(t, "completion", shell); code != 0 || !strings.Contains(out, "kubectl-mcn") {
			t.Errorf("the script for %s is %q: %d %s", shell, out, code, said)
		}
	}
}

// TestHelpIsWhole: each command has in its help what one looks for there.
func TestHelpIsWhole(t *testing.T) {
	for _, command := range []string{"register", "unregister", "version", "completion"} {
		out, _, code := ran(t, command, "--help")
		for _, want := range []string{"Examples:\n", "Usage:\n  kubectl mcn " + command, "Flags:\n"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%s --help has no %q:\n%s", command, want, out)
			}
		}
	}
}
