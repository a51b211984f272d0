package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"multicloud.network/operator/test/cluster/tools"
)

// kubectl runs a command line that was printed, with the terminal's kubeconfig.
func (p *terminal) kubectl(command []string, env ...string) (string, error) {
	p.t.Helper()
	paths, err := tools.Ensure(p.t.Context(), nil, tools.Kubectl)
	must(p.t, err)
	if command[0] != "kubectl" {
		p.t.Fatalf("%q is not kubectl", command)
	}
	cmd := exec.CommandContext(p.t.Context(), paths[tools.Kubectl], command[1:]...)
	cmd.Env = append([]string{"KUBECONFIG=" + p.kubeconfig, "HOME=" + p.t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// testCompletion: kubectl completes the plugin's commands, flags and names, by the program that "make plugin" puts beside it.
func testCompletion(t *testing.T, p *terminal) {
	p.ok("register", "--context", "aws", "--name", "aws")
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join("..", "..", "cmd", "kubectl-mcn", "kubectl_complete-mcn"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "kubectl_complete-mcn"), script, 0o755))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "multicloud.network/operator/cmd/kubectl-mcn")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")
	for line, want := range map[string]string{
		"kubectl __complete mcn regis":                    "register\t",
		"kubectl __complete mcn register --context gc":    "gcp\n",
		"kubectl __complete mcn register --role S":        "Source\n",
		"kubectl __complete mcn unregister --name a":      "aws\n",
		"kubectl __complete mcn unregister --keep-member": "--keep-member-rbac\t",
	} {
		out, err := p.kubectl(strings.Fields(line), path)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%q prints %q (%v), want %q in it", line, out, err, want)
		}
	}
	p.ok("unregister", "--name", "aws", "--context", "aws")
}
