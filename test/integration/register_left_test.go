package integration

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// state is what register may write: the accounts and their rights on all clusters, and the hub's Secrets and MemberClusters, with their resource versions.
func (p *terminal) state() map[string]string {
	p.t.Helper()
	out := map[string]string{}
	for name := range p.clusters {
		for object, version := range p.versions(name) {
			out[name+" "+object] = version
		}
	}
	var secrets corev1.SecretList
	must(p.t, p.clients["hub"].List(p.t.Context(), &secrets))
	for i := range secrets.Items {
		out["hub Secret "+secrets.Items[i].Name] = secrets.Items[i].ResourceVersion
	}
	var members mcnv1alpha1.MemberClusterList
	must(p.t, p.clients["hub"].List(p.t.Context(), &members))
	for i := range members.Items {
		out["hub MemberCluster "+members.Items[i].Name] = members.Items[i].ResourceVersion
	}
	return out
}

// unwritten runs command lines that are refused, and checks that nothing was written to any side.
func (p *terminal) unwritten(want []string, args ...string) {
	p.t.Helper()
	before := p.state()
	p.refused(1, want, args...)
	if after := p.state(); !maps.Equal(before, after) {
		p.t.Errorf("kubectl mcn %q is refused, and yet %v became %v", args, before, after)
	}
}

// wantClean checks that nothing of a registration is left but namespaces.
func (p *terminal) wantClean() {
	p.t.Helper()
	for object := range p.state() {
		if !strings.Contains(object, " Namespace ") && !strings.HasPrefix(object, "hub ClusterRole") && !strings.HasPrefix(object, "hub Role") &&
			!strings.HasPrefix(object, "hub ServiceAccount") || strings.Contains(object, "-local") {
			p.t.Errorf("%s is left", object)
		}
	}
}

// unregister runs unregister, and checks that it says all of want.
func (p *terminal) unregister(want []string, args ...string) {
	p.t.Helper()
	out, said, code := p.mcn(append([]string{"unregister"}, args...)...)
	for _, text := range want {
		if code != 0 || !strings.Contains(out+said, text) {
			p.t.Errorf("kubectl mcn unregister %q ended with %d: %q is not in %s%s", args, code, text, said, out)
		}
	}
}

// forget deletes a MemberCluster as a person does who knows nothing of unregister.
func (p *terminal) forget(name string) {
	p.t.Helper()
	must(p.t, p.clients["hub"].Delete(p.t.Context(), &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// testLeftBehind: what a deleted MemberCluster leaves can be found and removed. It runs without an operator.
func testLeftBehind(t *testing.T, p *terminal) {
	const account = operatorNamespace + "/multicloud-network-member"
	p.ok("register", "--context", "aws", "--name", "left")
	p.forget("left")
	p.unregister([]string{
		"hub has no membercluster/left any more; what is left of it", "found: hub: secret/left", "found: aws: the account " + account,
		"aws: clusterrole.rbac.authorization.k8s.io/multicloud-network-member deleted", "aws: serviceaccount/multicloud-network-member in " + operatorNamespace + " deleted",
		"hub: secret/left in " + operatorNamespace + " deleted",
	}, "--name", "left", "--context", "aws")
	p.wantClean()

	// Without the Secret, the account says who uses it.
	p.ok("register", "--context", "aws", "--name", "left")
	p.forget("left")
	must(t, p.clients["hub"].Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "left"}}))
	p.unwritten([]string{"nothing is registered as left", "neither membercluster/left nor a Secret", "--context"}, "unregister", "--name", "left")
	p.unwritten([]string{"nothing is registered as left", "context gcp has no account"}, "unregister", "--name", "left", "--context", "gcp")
	p.unwritten([]string{"nothing is registered as other", "context aws has no account"}, "unregister", "--name", "other", "--context", "aws")
	p.unwritten([]string{"nothing is registered as left"}, "unregister", "--name", "left", "--keep-member-rbac")
	p.unregister([]string{"found: aws: the account " + account, "serviceaccount/multicloud-network-member"}, "--name", "left", "--context", "aws")
	p.wantClean()

	// The cluster is registered under a new name meanwhile: its account stays.
	p.ok("register", "--context", "aws", "--name", "left")
	p.forget("left")
	p.unwritten([]string{"Secret " + operatorNamespace + "/left is left of another cluster", "unregister --name left"}, "register", "--context", "gcp", "--name", "left")
	p.ok("register", "--context", "aws", "--name", "west")
	p.unregister([]string{account + " stays, because this hub uses it for west", "secret/left in " + operatorNamespace + " deleted"}, "--name", "left", "--context", "aws")
	if p.versions("aws")["ServiceAccount "+account] == "" {
		t.Error("the account that west uses is gone")
	}
	p.unregister(nil, "--name", "west", "--context", "aws")
	p.wantClean()

	p.ok("register", "--local", "--name", "hub")
	p.unwritten([]string{"nothing is registered as other"}, "unregister", "--name", "other", "--context", "hub")
	p.forget("hub")
	p.unregister([]string{
		"found: hub: the rights that the operator's account has there as a member", "hub: clusterrolebinding.rbac.authorization.k8s.io/multicloud-network-member-local deleted",
	}, "--name", "hub", "--context", "hub")
	p.wantClean()
}
