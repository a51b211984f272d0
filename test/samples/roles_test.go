package samples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

const policy = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: TIER.probe}
spec: {tier: TIER, order: 1, selector: app == 'probe', types: [Ingress]}
`

// TestMemberRole proves what the hub's credential can do on a member, and what not.
func TestMemberRole(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	member, err := cluster.Start(ctx, cluster.Options{Name: "roles", Calico: cluster.Aggregated, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := member.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubectl := memberKubectl(ctx, t, member)

	const tier = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: multicloud}\nspec: {order: 500, defaultAction: Pass}\n"
	for _, tc := range []struct {
		name, input, denied string
		args                []string
	}{
		{name: "writes the tier", input: tier, args: []string{"apply", "--server-side", "-f", "-"}},
		{name: "writes a policy of the tier", input: strings.ReplaceAll(policy, "TIER", "multicloud"), args: []string{"apply", "--server-side", "-f", "-"}},
		{name: "removes a policy of the tier", args: []string{"delete", "globalnetworkpolicies.projectcalico.org", "multicloud.probe"}},
		{name: "lists policies of all tiers", args: []string{"get", "globalnetworkpolicies.projectcalico.org,networkpolicies.projectcalico.org", "-A"}},
		{name: "lists what the API server calls", args: []string{"get", "apiservices,customresourcedefinitions,validatingwebhookconfigurations"}},
		{name: "lists pods", args: []string{"get", "pods,services,nodes,namespaces", "-A"}},
		{name: "lists the network plugin", args: []string{"get", "daemonsets", "-n", "kube-system"}},
		{name: "no policy of another tier", input: strings.ReplaceAll(policy, "TIER", "default"),
			args: []string{"apply", "--server-side", "-f", "-"}, denied: "forbidden"},
		{name: "no policy of a namespace", args: []string{"delete", "networkpolicies.projectcalico.org", "-n", "default", "any"}, denied: "forbidden"},
		{name: "no Secret", args: []string{"get", "secrets", "-A"}, denied: "forbidden"},
		{name: "no pod", args: []string{"delete", "pod", "-n", "default", "any"}, denied: "forbidden"},
		{name: "no setting of Felix", args: []string{"delete", "felixconfigurations.projectcalico.org", "default"}, denied: "forbidden"},
	} {
		out, err := kubectl(tc.input, tc.args...)
		switch {
		case tc.denied == "" && err != nil:
			t.Errorf("%s: %v\n%s", tc.name, err, out)
		case tc.denied != "" && (err == nil || !strings.Contains(strings.ToLower(out), tc.denied)):
			t.Errorf("%s: not refused: %v\n%s", tc.name, err, out)
		}
	}
}

// memberKubectl returns a function that runs kubectl with the credential that the hub gets.
func memberKubectl(ctx context.Context, t *testing.T, member *cluster.Cluster) func(input string, args ...string) (string, error) {
	t.Helper()
	paths, err := tools.Ensure(ctx, t.Output(), tools.Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	file := filepath.Join(home, "kubeconfig")
	if err := os.WriteFile(file, access.MemberKubeconfig(t, member), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(input string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, paths[tools.Kubectl], args...)
		cmd.Env = []string{"KUBECONFIG=" + file, "HOME=" + home, "PATH=" + os.Getenv("PATH")}
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}
