package member

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/snapshot"
)

// TestPolicyNamesTellTheirRole holds compile's names and our reading of them together: what is left of an old generation is told by its name alone.
func TestPolicyNamesTellTheirRole(t *testing.T) {
	everywhere := &mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{}}
	long := strings.Repeat("a", 19) + "-" + strings.Repeat("p", 40) // cut right behind a dash
	var networks []*mcnv1alpha1.MultiCloudNetwork
	for _, name := range []string{"x-p", "p", "c-d", "d-c-p", long, "web-d-abcdefghijkl"} {
		vlan := &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}}
		vlan.Spec.Model = mcnv1alpha1.ModelVLAN
		vlan.Spec.VLAN = &mcnv1alpha1.VLANSpec{}
		calico := &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: "c-" + name[:min(61, len(name))]}}
		calico.Spec.Model = mcnv1alpha1.ModelCalico
		calico.Spec.Calico = &mcnv1alpha1.CalicoSpec{}
		for _, part := range []string{"x-p", "d", "a-c", "p-d-c", long} {
			vlan.Spec.VLAN.Segments = append(vlan.Spec.VLAN.Segments, mcnv1alpha1.Segment{Name: part, Pods: everywhere})
			calico.Spec.Calico.Policies = append(calico.Spec.Calico.Policies, mcnv1alpha1.CalicoPolicy{
				Name: part, Pods: *everywhere, Types: []mcnv1alpha1.PolicyType{"Ingress"}, Ingress: []mcnv1alpha1.Rule{{Action: "Allow"}},
			})
		}
		networks = append(networks, vlan, calico)
	}
	compiler := compile.New(compile.Input{
		Settings: compile.Settings{OwnerID: "o", Tier: "multi-p-cloud", TierOrder: 500}, Networks: networks,
		Fleet: snapshot.Fleet{Members: []snapshot.Member{{Name: "m", Role: mcnv1alpha1.RoleManaged}}},
	})
	seen := map[compile.Role]int{}
	for _, n := range networks {
		result := compiler.Network(n.Name)
		if len(result.Errors) > 0 || len(result.Clusters) == 0 {
			t.Fatalf("%s: %v", n.Name, result.Errors)
		}
		for _, o := range result.Clusters[0].Objects {
			u, err := apply.Intended(o.Resource)
			if err != nil {
				t.Fatal(err)
			}
			want := map[compile.Role]phase{compile.RolePermit: phaseDropPermits, compile.RoleRules: phaseDropPermits, compile.RoleDeny: phaseDropDenies, compile.RoleSet: phaseDropBase}[o.Role]
			if got := dropPhase(u); got != want {
				t.Errorf("%s goes with the %s, want %s", o.Key().Name, got, want)
			}
			if got := isRules(o.Key()); got != (o.Role == compile.RoleRules) {
				t.Errorf("%s counts as a list of rules: %v", o.Key().Name, got)
			}
			seen[o.Role]++
		}
	}
	for _, role := range []compile.Role{compile.RolePermit, compile.RoleRules, compile.RoleDeny} {
		if seen[role] < len(networks) {
			t.Errorf("%d policies with role %d were compiled, want some of each network", seen[role], role)
		}
	}
	if got := dropPhase(thing(apply.KindPolicy, "multi-p-cloud.unknown", "net", nil)); got != phaseDropDenies {
		t.Errorf("a policy whose name says nothing goes with the %s, want the denials", got)
	}
}
