package integration

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"multicloud.network/operator/test/cluster"
)

// token asks the cluster for a short-lived token of a ServiceAccount.
func token(t *testing.T, c *cluster.Cluster, account *corev1.ServiceAccount) string {
	t.Helper()
	admin, err := client.New(c.RESTConfig(), client.Options{})
	must(t, err)
	request := &authenticationv1.TokenRequest{}
	must(t, admin.SubResource("token").Create(t.Context(), account, request))
	return request.Status.Token
}
