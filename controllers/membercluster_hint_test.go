package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// TestRegisterHint: what is advised is what "kubectl mcn register" does.
func TestRegisterHint(t *testing.T) {
	const command = `run "kubectl mcn register --name aws --context CONTEXT"`
	for name, tc := range map[string]struct {
		ref       mcnv1alpha1.SecretKeyReference
		namespace string
		want      string
	}{
		"its own Secret": {mcnv1alpha1.SecretKeyReference{Name: "aws", Key: "kubeconfig"}, mcnv1alpha1.DefaultNamespace, command},
		"another Secret": {
			mcnv1alpha1.SecretKeyReference{Name: "shared", Key: "kubeconfig"}, mcnv1alpha1.DefaultNamespace,
			"set spec.access.kubeconfig.secretRef to {name: aws} and " + command,
		},
		"another key": {mcnv1alpha1.SecretKeyReference{Name: "aws", Key: "config"}, mcnv1alpha1.DefaultNamespace, "set spec.access.kubeconfig.secretRef to {name: aws} and " + command},
		"another namespace": {
			mcnv1alpha1.SecretKeyReference{Name: "aws", Key: "kubeconfig"}, "elsewhere", `run "kubectl mcn register --name aws --namespace elsewhere --context CONTEXT"`,
		},
	} {
		m := &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "aws"}}
		m.Spec.Access.Kubeconfig = &mcnv1alpha1.KubeconfigAccess{SecretRef: tc.ref}
		got := registerHint(m, tc.namespace, "create it")
		if !strings.HasPrefix(got, tc.want+",") || !strings.HasSuffix(got, ", or create it, or correct spec.access.kubeconfig.secretRef") {
			t.Errorf("%s: the hint is %q, want %q first", name, got, tc.want)
		}
	}
}
