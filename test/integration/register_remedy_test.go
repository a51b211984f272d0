package integration

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// testRegisterIsTheRemedy: a member that somebody wrote by hand, without a Secret and then with a kubeconfig that is refused, is told of the command, and the
// command mends it.
func testRegisterIsTheRemedy(t *testing.T, p *terminal) {
	hub := p.clients["hub"]
	m := &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "gcp"}}
	m.Spec.Role = mcnv1alpha1.RoleSource
	m.Spec.Access.Kubeconfig = &mcnv1alpha1.KubeconfigAccess{SecretRef: mcnv1alpha1.SecretKeyReference{Name: "gcp"}}
	must(t, hub.Create(t.Context(), m))
	says := func(want mcnv1alpha1.Reason, text string) {
		t.Helper()
		eventually(t, "gcp to say "+text, func() string {
			c := apimeta.FindStatusCondition(p.memberCluster("hub", "gcp").Status.Conditions, mcnv1alpha1.ConditionReachable)
			switch {
			case c == nil:
				return "nothing yet"
			case c.Reason != string(want) || !strings.Contains(c.Message, text):
				return c.Reason + ": " + c.Message
			}
			return ""
		})
	}
	says(mcnv1alpha1.ReasonSecretNotFound, `run "kubectl mcn register --name gcp --context CONTEXT"`)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "gcp"}}
	secret.Data = map[string][]byte{"kubeconfig": []byte("users: [{name: u, user: {exec: {command: gke-gcloud-auth-plugin}}}]")}
	must(t, hub.Create(t.Context(), secret))
	says(mcnv1alpha1.ReasonKubeconfigRefused, `have "kubectl mcn register" write it`)
	p.ok("register", "--name", "gcp", "--context", "gcp", "--wait")
	if got := p.memberCluster("hub", "gcp").Spec.Role; got != mcnv1alpha1.RoleSource {
		t.Errorf("register changed the role to %s", got)
	}
	p.ok("unregister", "--name", "gcp", "--context", "gcp")
}
