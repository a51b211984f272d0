// Package access gives tests the credentials that the operator has in production: its service account on the hub, under the roles of config/rbac, and
// on each member the account that config/member-rbac makes, both with tokens. A test that ran the operator as an administrator would prove nothing
// about those roles.
package access

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	rbac "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

const (
	// Namespace is where the operator is installed on the hub, and where its account is on each member.
	Namespace = mcnv1alpha1.DefaultNamespace
	// OperatorAccount is the service account of the operator on the hub.
	OperatorAccount = "multicloud-network-operator"
	// MemberAccount is the service account whose token the hub holds for a member.
	MemberAccount = "multicloud-network-member"
)

// patience bounds what an API server needs to do one thing, on a busy machine.
const patience = 2 * time.Minute

// CRDs are what kubectl calls the two kinds.
var CRDs = []string{"crd/memberclusters.multicloud.network", "crd/multicloudnetworks.multicloud.network"}

// InstallHub applies config/default, as the guide says, and waits until the kinds are served. Nothing runs the Deployment. A second call changes nothing.
func InstallHub(t testing.TB, hub *cluster.Cluster) {
	t.Helper()
	Apply(t, hub, "default")
	WaitForKinds(t, hub)
	waitAllowed(t, hub, OperatorAccount, authorizationv1.ResourceAttributes{Group: mcnv1alpha1.GroupVersion.Group, Resource: "memberclusters", Verb: "watch"})
	waitAllowed(t, hub, OperatorAccount, authorizationv1.ResourceAttributes{Namespace: Namespace, Resource: "secrets", Verb: "watch"})
}

// WaitForKinds waits until the API server serves both kinds.
func WaitForKinds(t testing.TB, hub *cluster.Cluster) {
	t.Helper()
	// The first wait is for the second, which fails on a CRD whose list of conditions is still null.
	for _, condition := range []string{"jsonpath={.status.acceptedNames.singular}", "condition=Established"} {
		kubectl(t, hub, append([]string{"wait", "--for=" + condition, "--timeout=60s"}, CRDs...)...)
	}
}

// Apply applies a folder of config to a cluster, as its administrator.
func Apply(t testing.TB, c *cluster.Cluster, folder string) {
	t.Helper()
	kubectl(t, c, "apply", "--server-side", "-k", Config(t, folder))
}

// Config returns the path of a folder of config.
func Config(t testing.TB, folder string) string {
	t.Helper()
	root, err := tools.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "config", folder)
}

// Operator returns the access of the operator's service account to a hub on which InstallHub was called.
func Operator(t testing.TB, hub *cluster.Cluster) *rest.Config {
	t.Helper()
	return Account(t, hub, OperatorAccount)
}

// prepared are the clusters that have config/member-rbac.
var prepared sync.Map // of *cluster.Cluster to *sync.Once

// Member returns the access that a hub gets to a member, and gives the member config/member-rbac first.
func Member(t testing.TB, member *cluster.Cluster) *rest.Config {
	t.Helper()
	once, _ := prepared.LoadOrStore(member, &sync.Once{})
	once.(*sync.Once).Do(func() {
		Apply(t, member, "member-rbac")
		waitAllowed(t, member, MemberAccount, authorizationv1.ResourceAttributes{Resource: "pods", Verb: "watch"})
		waitAllowed(t, member, MemberAccount, authorizationv1.ResourceAttributes{Namespace: "kube-system", Group: "apps", Resource: "daemonsets", Verb: "watch"})
	})
	return Account(t, member, MemberAccount)
}

// MemberKubeconfig returns what the Secret of a member holds.
func MemberKubeconfig(t testing.TB, member *cluster.Cluster) []byte {
	t.Helper()
	return Kubeconfig(t, Member(t, member))
}

// Account returns the access of a service account in the operator's namespace, with a token for an hour.
func Account(t testing.TB, c *cluster.Cluster, name string) *rest.Config {
	t.Helper()
	return Token(t, c, Namespace, name)
}

// Token returns the access of any service account, with a token for an hour.
func Token(t testing.TB, c *cluster.Cluster, namespace, name string) *rest.Config {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	request, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("asking cluster %s for a token of ServiceAccount %s/%s: %v", c.Name, namespace, name, err)
	}
	return &rest.Config{
		Host: c.URL(), BearerToken: request.Status.Token, TLSClientConfig: rest.TLSClientConfig{CAData: c.RESTConfig().CAData}, QPS: -1,
	}
}

// Kubeconfig writes an access by token as a kubeconfig.
func Kubeconfig(t testing.TB, cfg *rest.Config) []byte {
	t.Helper()
	if cfg.BearerToken == "" {
		t.Fatal("only an access by token is written as a kubeconfig: use access.Member or access.Token")
	}
	config := api.NewConfig()
	config.Clusters["member"] = &api.Cluster{Server: cfg.Host, CertificateAuthorityData: cfg.CAData}
	config.AuthInfos["account"] = &api.AuthInfo{Token: cfg.BearerToken}
	config.Contexts["member"] = &api.Context{Cluster: "member", AuthInfo: "account"}
	config.CurrentContext = "member"
	out, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// LocalMember makes the hub a member by itself: the operator's account gets the members' roles there.
func LocalMember(t testing.TB, hub *cluster.Cluster) {
	t.Helper()
	Apply(t, hub, "local")
}

// MemberWithTier is Member, and lets the account write policies of another tier than config/member-rbac names, as a user does who runs the operator
// with --tier.
func MemberWithTier(t testing.TB, member *cluster.Cluster, tier string) *rest.Config {
	t.Helper()
	cfg := Member(t, member)
	name := MemberAccount + "-" + tier
	grant(t, member, func(ctx context.Context, c rbac.RbacV1Interface) error {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"projectcalico.org"}, Resources: []string{"tier.globalnetworkpolicies", "tier.stagedglobalnetworkpolicies"},
			ResourceNames: []string{tier + ".*"}, Verbs: []string{"create", "update", "patch", "delete"},
		}}}
		_, err := c.ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		return err
	})
	grant(t, member, func(ctx context.Context, c rbac.RbacV1Interface) error {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subject(MemberAccount), RoleRef: roleRef("ClusterRole", name)}
		_, err := c.ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
		return err
	})
	waitAllowed(t, member, MemberAccount, authorizationv1.ResourceAttributes{
		Group: "projectcalico.org", Resource: "tier.globalnetworkpolicies", Name: tier + ".*", Verb: "create",
	})
	return cfg
}

func subject(account string) []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: account}}
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

// grant creates something as the administrator; what is there already is fine.
func grant(t testing.TB, c *cluster.Cluster, create func(context.Context, rbac.RbacV1Interface) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := create(ctx, admin.RbacV1()); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("granting on cluster %s: %v", c.Name, err)
	}
}

// waitAllowed waits until the API server has taken in a grant: it reads roles from watches of its own.
func waitAllowed(t testing.TB, c *cluster.Cluster, account string, what authorizationv1.ResourceAttributes) {
	t.Helper()
	admin, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + Namespace + ":" + account, ResourceAttributes: &what,
	}}
	err = wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		out, err := admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && out.Status.Allowed, nil
	})
	if err != nil {
		t.Fatalf("cluster %s does not let %s %s %s: %v", c.Name, account, what.Verb, what.Resource, err)
	}
}

// kubectl runs kubectl as the administrator and returns what it prints.
func kubectl(t testing.TB, c *cluster.Cluster, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := c.Kubectl(ctx, args...)
	if err != nil {
		t.Fatal(fmt.Errorf("on cluster %s: %w", c.Name, err))
	}
	return out
}
