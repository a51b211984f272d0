package integration

import (
	"strings"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// commandsIn returns what follows a label in what was printed.
func commandsIn(said, label string) [][]string {
	var out [][]string
	for line := range strings.Lines(said) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), label); ok {
			out = append(out, strings.Fields(command))
		}
	}
	return out
}

// testRoleChangeIsTold: what a Managed member keeps as a Source is counted, and the commands that are printed show and remove it. It runs without an operator.
func testRoleChangeIsTold(t *testing.T, p *terminal) {
	p.ok("register", "--context", "aws", "--name", "aws")
	for _, name := range []string{"one", "two"} {
		must(t, p.clients["aws"].Create(t.Context(), &calicov3.GlobalNetworkSet{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{mcnv1alpha1.OwnerLabel: "fleet"}},
		}))
	}
	must(t, p.clients["aws"].Create(t.Context(), &calicov3.GlobalNetworkSet{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}))
	_, dry, _ := p.mcn("register", "--context", "aws", "--name", "aws", "--role", "Source", "--dry-run")
	_, said, code := p.mcn("register", "--context", "aws", "--name", "aws", "--role", "Source")
	for _, want := range []string{
		`the owner ID "fleet"`, "globalnetworksets 2", "the account " + operatorNamespace + "/multicloud-network-member, which aws used until now",
		"clusterrolebindings 1, clusterroles 1, rolebindings 3, roles 3, serviceaccounts 1",
	} {
		if code != 0 || !strings.Contains(said, want) || !strings.Contains(dry, want) {
			t.Errorf("the change of the role ended with %d: %q is not in %s, or not in the dry run's %s", code, want, said, dry)
		}
	}
	if p.versions("aws")["ClusterRole /multicloud-network-member"] == "" {
		t.Error("the former account's rights are gone")
	}
	shown := ""
	for label, wanted := range map[string]int{"show it:": 2, "remove it:": 2} {
		if got := commandsIn(said, label); len(got) != wanted {
			t.Fatalf("%d commands say %q, want %d: %s", len(got), label, wanted, said)
		}
	}
	for _, command := range append(commandsIn(said, "show it:"), commandsIn(said, "remove it:")...) {
		out, err := p.kubectl(command)
		if err != nil {
			t.Errorf("%q: %v %s", command, err, out)
		}
		shown += out
	}
	for _, want := range []string{
		"one", "two", "serviceaccount/multicloud-network-member ", "clusterrole.rbac.authorization.k8s.io/multicloud-network-member ",
		`globalnetworkset.projectcalico.org "one" deleted`, `clusterrolebinding.rbac.authorization.k8s.io "multicloud-network-member" deleted`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the commands do not print %q: %s", want, shown)
		}
	}
	for object := range p.versions("aws") {
		if strings.HasSuffix(object, "multicloud-network-member") {
			t.Errorf("after the command that removes it, %s is left", object)
		}
	}
	if objects, err := oursOn(t.Context(), p.clients["aws"]); err != nil || len(objects) > 0 {
		t.Errorf("after the command that removes it, aws holds %v (%v)", objects, err)
	}
	must(t, p.clients["aws"].Delete(t.Context(), &calicov3.GlobalNetworkSet{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}))

	// Without those commands, unregister takes both accounts away.
	p.ok("register", "--context", "aws", "--name", "aws", "--role", "Managed")
	p.unregister([]string{"/multicloud-network-member\n", "/multicloud-network-source\n"}, "--name", "aws", "--context", "aws")
	p.wantClean()
}
