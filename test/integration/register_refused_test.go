package integration

import (
	"maps"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// testRefusedBeforeWritten runs without an operator, so that nobody else writes meanwhile.
func testRefusedBeforeWritten(t *testing.T, p *terminal) {
	hub := p.clients["hub"]
	p.unwritten([]string{`namespaces "nowhere" not found`, "nothing was changed"}, "register", "--context", "aws", "--name", "aws", "-n", "nowhere")

	p.ok("register", "--context", "aws", "--name", "aws", "--labels", "env=prod", "--cluster-id")
	m := p.memberCluster("hub", "aws")
	m.Spec.Role = mcnv1alpha1.RoleSource
	m.Labels["env"] = "dev"
	must(t, hub.Update(t.Context(), m, client.FieldOwner("somebody")))
	p.unwritten([]string{"spec.role", "somebody", "leave out the flag; nothing was changed"}, "register", "--context", "aws", "--name", "aws", "--role", "Managed")
	p.unwritten([]string{"this would be refused", "spec.role", "somebody"}, "register", "--context", "aws", "--name", "aws", "--role", "Managed", "--dry-run")
	p.unwritten([]string{"metadata.labels.env", "somebody"}, "register", "--context", "aws", "--name", "aws", "--labels", "env=prod")
	p.unwritten([]string{"registered as aws already"}, "register", "--context", "aws", "--name", "other")
	p.unwritten([]string{"belongs to another cluster"}, "register", "--context", "gcp", "--name", "aws")

	// A binding cannot be pointed at another role, so that what the member has is refused there.
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "multicloud-network-member"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}
	must(t, p.clients["gcp"].Create(t.Context(), binding.DeepCopy()))
	p.unwritten([]string{"context gcp (member)", "clusterrolebinding", "cannot change roleRef", "nothing was changed"}, "register", "--context", "gcp", "--name", "gcp")
	must(t, p.clients["gcp"].Delete(t.Context(), binding))

	m = p.memberCluster("hub", "aws")
	m.Finalizers = []string{"example.com/hold"}
	must(t, hub.Update(t.Context(), m))
	must(t, hub.Delete(t.Context(), m))
	p.unwritten([]string{"is being removed", "wait until it is gone"}, "register", "--context", "aws", "--name", "aws")
	m = p.memberCluster("hub", "aws")
	m.Finalizers = nil
	must(t, hub.Update(t.Context(), m))

	secret, _ := p.secret("hub", "aws")
	secret.Finalizers = []string{"example.com/hold"}
	must(t, hub.Update(t.Context(), secret))
	must(t, hub.Delete(t.Context(), secret))
	p.unwritten([]string{"is being deleted", "wait until it is gone"}, "register", "--context", "aws", "--name", "aws")
	secret, _ = p.secret("hub", "aws")
	secret.Finalizers = nil
	must(t, hub.Update(t.Context(), secret))
	p.ok("unregister", "--name", "aws", "--context", "aws")
	if left := p.versions("aws"); len(left) != 1 {
		t.Errorf("aws holds %v, want the namespace only", left)
	}
}

// testSelectionIsTold: what a change of labels does to networks is said, before and also without doing it.
func testSelectionIsTold(t *testing.T, p *terminal) {
	hub := p.clients["hub"]
	canary := metav1.LabelSelector{MatchLabels: map[string]string{"ring": "canary"}}
	networks := []*mcnv1alpha1.MultiCloudNetwork{
		flatNetwork("early", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Clusters.Selector = canary }),
		flatNetwork("always", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
			s.Clusters.Selector, s.StagedClusters = metav1.LabelSelector{}, &canary
		}),
	}
	for _, n := range networks {
		must(t, hub.Create(t.Context(), n))
	}
	check := func(want []string, args ...string) {
		t.Helper()
		args = append([]string{"register", "--context", "aws", "--name", "aws"}, args...)
		_, said, code := p.mcn(args...)
		var got []string
		for line := range strings.Lines(said) {
			if strings.Contains(line, "change: ") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		if code != 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("kubectl mcn %q ended with %d and tells of\n%q, want\n%q: %s", args, code, got, want, said)
		}
	}
	check([]string{"would change: multicloudnetwork/always begins to select aws: enforced there"}, "--dry-run")
	check([]string{"change: multicloudnetwork/always begins to select aws: enforced there"}, "--labels", "ring=late")
	check(nil)
	before := p.state()
	check([]string{
		`would change: label ring of aws: "late" -> "canary"`,
		"would change: multicloudnetwork/always still selects aws: enforced there until now, staged from now on",
		"would change: multicloudnetwork/early begins to select aws: enforced there",
	}, "--labels", "ring=canary", "--dry-run")
	if after := p.state(); !maps.Equal(before, after) {
		t.Errorf("the dry run changed %v to %v", before, after)
	}
	check([]string{
		`change: label ring of aws: "late" -> "canary"`,
		"change: multicloudnetwork/always still selects aws: enforced there until now, staged from now on",
		"change: multicloudnetwork/early begins to select aws: enforced there",
	}, "--labels", "ring=canary")
	check([]string{
		`change: label ring of aws: "canary" -> "late"`,
		"change: multicloudnetwork/always still selects aws: staged there until now, enforced from now on",
		"change: multicloudnetwork/early ceases to select aws: enforced there until now",
	}, "--labels", "ring=late")
	for _, n := range networks {
		must(t, hub.Delete(t.Context(), n))
	}
	p.ok("unregister", "--name", "aws", "--context", "aws")
}

// testEarlierFlagsStay: running register once more, as conditions advise, keeps where the hub reaches the member, and the tier. It runs without an operator.
func testEarlierFlagsStay(t *testing.T, p *terminal) {
	const server = "https://localhost:7443"
	check := func(wantServer, wantTier string, args ...string) {
		t.Helper()
		p.ok(append([]string{"register", "--context", "aws", "--name", "aws"}, args...)...)
		_, cfg := p.secret("hub", "aws")
		var role rbacv1.ClusterRole
		must(t, p.clients["aws"].Get(t.Context(), client.ObjectKey{Name: "multicloud-network-member"}, &role))
		tiers := map[string]bool{}
		for _, rule := range role.Rules {
			for _, name := range rule.ResourceNames {
				if tier, ok := strings.CutSuffix(name, ".*"); ok {
					tiers[tier] = true
				}
			}
		}
		if cfg.Host != wantServer || !maps.Equal(tiers, map[string]bool{wantTier: true}) {
			t.Errorf("after register %q the hub uses %s and the tiers %v, want %s and %s", args, cfg.Host, tiers, wantServer, wantTier)
		}
	}
	own := p.clusters["aws"].URL()
	check(own, "multicloud")
	check(server, "east", "--server-for-hub", server, "--tier", "east")
	check(server, "east")
	check(own, "multicloud", "--server-for-hub", own, "--tier", "multicloud")
	check(own, "multicloud")
	p.ok("unregister", "--name", "aws", "--context", "aws")
}
