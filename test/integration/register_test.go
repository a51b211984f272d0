package integration

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/cli"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// terminal is where a person runs kubectl mcn: with a kubeconfig that has a context for each cluster, the first of which is the current one.
type terminal struct {
	t          *testing.T
	kubeconfig string
	clusters   map[string]*cluster.Cluster
	clients    map[string]client.Client
}

func newTerminal(t *testing.T, clusters ...*cluster.Cluster) *terminal {
	t.Helper()
	out := &terminal{t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), clusters: map[string]*cluster.Cluster{}, clients: map[string]client.Client{}}
	config := api.NewConfig()
	config.CurrentContext = clusters[0].Name
	for _, c := range clusters {
		one, err := clientcmd.LoadFromFile(c.KubeconfigPath())
		must(t, err)
		current := one.Contexts[one.CurrentContext]
		config.Clusters[c.Name], config.AuthInfos[c.Name] = one.Clusters[current.Cluster], one.AuthInfos[current.AuthInfo]
		config.Contexts[c.Name] = &api.Context{Cluster: c.Name, AuthInfo: c.Name}
		out.clusters[c.Name], out.clients[c.Name] = c, operator.Admin(t, c)
	}
	must(t, clientcmd.WriteToFile(*config, out.kubeconfig))
	return out
}

// mcn runs one command line and returns what it printed, and its exit code.
func (p *terminal) mcn(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	var out, errOut bytes.Buffer
	code = cli.Run(p.t.Context(), genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &errOut}, append(args, "--kubeconfig", p.kubeconfig))
	return out.String(), errOut.String(), code
}

// ok runs one command line that has to succeed.
func (p *terminal) ok(args ...string) string {
	p.t.Helper()
	out, errOut, code := p.mcn(args...)
	if code != 0 {
		p.t.Fatalf("kubectl mcn %q ended with %d: %s%s", args, code, out, errOut)
	}
	return out
}

// refused runs one command line that has to fail, with a message that says all of want.
func (p *terminal) refused(code int, want []string, args ...string) {
	p.t.Helper()
	out, errOut, got := p.mcn(args...)
	if got != code {
		p.t.Errorf("kubectl mcn %q ended with %d, want %d: %s%s", args, got, code, out, errOut)
	}
	for _, text := range want {
		if !strings.Contains(errOut, text) {
			p.t.Errorf("kubectl mcn %q says %q, want %q in it", args, errOut, text)
		}
	}
}

// secret returns a member's Secret and the access that is in it.
func (p *terminal) secret(hub, name string) (*corev1.Secret, *rest.Config) {
	p.t.Helper()
	secret := &corev1.Secret{}
	must(p.t, p.clients[hub].Get(p.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, secret))
	cfg, err := fleet.Vet(secret.Data["kubeconfig"])
	if err != nil {
		p.t.Fatalf("the operator refuses the kubeconfig of %s: %v", name, err)
	}
	return secret, cfg
}

func (p *terminal) memberCluster(hub, name string) *mcnv1alpha1.MemberCluster {
	p.t.Helper()
	out := &mcnv1alpha1.MemberCluster{}
	must(p.t, p.clients[hub].Get(p.t.Context(), client.ObjectKey{Name: name}, out))
	return out
}

// versions are the resource versions of all roles, bindings and accounts of ours on a cluster: what a run changed shows in them.
func (p *terminal) versions(name string) map[string]string {
	p.t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{
		&rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &corev1.ServiceAccountList{},
		&corev1.NamespaceList{},
	} {
		must(p.t, p.clients[name].List(p.t.Context(), list))
		items, err := apimeta.ExtractList(list)
		must(p.t, err)
		for _, item := range items {
			o := item.(client.Object)
			if strings.HasPrefix(o.GetName(), "multicloud-network-") {
				kind, _ := p.clients[name].GroupVersionKindFor(o)
				out[kind.Kind+" "+o.GetNamespace()+"/"+o.GetName()] = o.GetResourceVersion()
			}
		}
	}
	return out
}

// may asks whether the owner of a credential may do something.
func may(t *testing.T, cfg *rest.Config, what authorizationv1.ResourceAttributes) bool {
	t.Helper()
	c, err := client.New(cfg, client.Options{})
	must(t, err)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	must(t, c.Create(t.Context(), review))
	return review.Status.Allowed
}

func TestRegister(t *testing.T) {
	t.Parallel()
	all := cluster.AllForTest(t, cluster.Options{Name: "hub", Calico: cluster.Native}, cluster.Options{Name: "aws", Calico: cluster.Native}, cluster.Options{Name: "gcp"})
	p := newTerminal(t, all...)
	access.InstallHub(t, all[0])
	t.Run("a dry run shows everything and writes nothing", func(t *testing.T) { testRegisterDryRun(t, p) })
	t.Run("what is refused writes nothing", func(t *testing.T) { testRefusedBeforeWritten(t, p) })
	t.Run("what an earlier run was told stays", func(t *testing.T) { testEarlierFlagsStay(t, p) })
	t.Run("what labels do to networks is told", func(t *testing.T) { testSelectionIsTold(t, p) })
	t.Run("what a change of the role leaves is told", func(t *testing.T) { testRoleChangeIsTold(t, p) })
	t.Run("what a deleted MemberCluster leaves is removed", func(t *testing.T) { testLeftBehind(t, p) })
	t.Run("kubectl completes the plugin", func(t *testing.T) { testCompletion(t, p) })
	operator.Run(t, all[0], operator.Options{})
	t.Run("a cluster becomes a member", func(t *testing.T) { testRegisterMember(t, p) })
	t.Run("once more only rotates the token", func(t *testing.T) { testRegisterAgain(t, p) })
	t.Run("a Source cannot be written to", func(t *testing.T) { testRegisterSource(t, p) })
	t.Run("what would be wrong is refused", func(t *testing.T) { testRegisterRefusals(t, p) })
	t.Run("what one may not do is named before anything is done", func(t *testing.T) { testRegisterRights(t, p) })
	t.Run("register is the remedy that conditions name", func(t *testing.T) { testRegisterIsTheRemedy(t, p) })
	t.Run("the hub is a member", func(t *testing.T) { testRegisterLocal(t, p) })
	t.Run("unregister leaves nothing but the namespace", func(t *testing.T) { testUnregister(t, p) })
}

func testRegisterDryRun(t *testing.T, p *terminal) {
	out := p.ok("register", "--context", "aws", "--name", "aws", "--labels", "env=prod", "--cluster-id", "--dry-run")
	for _, want := range []string{
		"# To the member: kubectl --context aws", "# To the hub: kubectl --context hub", "kind: ServiceAccount", "kind: ClusterRole", "kind: MemberCluster",
		"kind: Secret", "token: REPLACE-WITH-THE-TOKEN", "create token multicloud-network-member", "clusterID: ", "env: prod",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run does not show %q:\n%s", want, out)
		}
	}
	if left := p.versions("aws"); len(left) > 0 {
		t.Errorf("the dry run wrote %v to the member", left)
	}
	err := p.clients["hub"].Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "aws"}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("after the dry run the Secret is there: %v", err)
	}
	// What it prints is what kubectl takes, of the member's side at least: the hub's side waits for the token.
	member, _, _ := strings.Cut(out, "---\n# To the hub")
	if out, err := p.clusters["aws"].KubectlInput(t.Context(), strings.NewReader(member), "apply", "--server-side", "--dry-run=server", "-f", "-"); err != nil &&
		!strings.Contains(err.Error(), `namespaces "multicloud-network-system" not found`) {
		t.Errorf("kubectl does not take it: %v %s", err, out)
	}
}

func testRegisterMember(t *testing.T, p *terminal) {
	out := p.ok("register", "--context", "aws", "--name", "aws", "--labels", "env=prod,cloud=aws", "--deletion-policy", "Delete", "--wait")
	secret, cfg := p.secret("hub", "aws")
	if strings.Contains(out, cfg.BearerToken) || cfg.BearerToken == "" {
		t.Errorf("the token is printed, or there is none: %s", out)
	}
	if got := secret.Annotations[mcnv1alpha1.RenewAnnotation]; got != operatorNamespace+"/multicloud-network-member" {
		t.Errorf("the Secret says that the token is %q's", got)
	}
	m := p.memberCluster("hub", "aws")
	if m.Labels["env"] != "prod" || m.Labels["cloud"] != "aws" || m.Spec.Role != mcnv1alpha1.RoleManaged || m.Spec.ClusterID != "" {
		t.Errorf("registered is %+v %+v", m.Labels, m.Spec)
	}
	if !apimeta.IsStatusConditionTrue(m.Status.Conditions, mcnv1alpha1.ConditionReady) {
		t.Errorf("--wait came back with %+v", m.Status.Conditions)
	}
	for _, tc := range []struct {
		what authorizationv1.ResourceAttributes
		want bool
	}{
		{authorizationv1.ResourceAttributes{Group: "projectcalico.org", Resource: "tiers", Verb: "create"}, true},
		{authorizationv1.ResourceAttributes{Resource: "serviceaccounts", Subresource: "token", Namespace: operatorNamespace, Name: "multicloud-network-member", Verb: "create"}, true},
		{authorizationv1.ResourceAttributes{Resource: "serviceaccounts", Subresource: "token", Namespace: operatorNamespace, Name: "another", Verb: "create"}, false},
		{authorizationv1.ResourceAttributes{Resource: "serviceaccounts", Subresource: "token", Namespace: "kube-system", Name: "multicloud-network-member", Verb: "create"}, false},
		{authorizationv1.ResourceAttributes{Resource: "secrets", Namespace: operatorNamespace, Verb: "get"}, false},
	} {
		if got := may(t, cfg, tc.what); got != tc.want {
			t.Errorf("the token may %+v: %t, want %t", tc.what, got, tc.want)
		}
	}
}

func testRegisterAgain(t *testing.T, p *terminal) {
	// What others wrote to it in the meantime is theirs.
	m := p.memberCluster("hub", "aws")
	m.Labels["team"] = "network"
	m.Spec.Updates = mcnv1alpha1.UpdatesHeld
	must(t, p.clients["hub"].Update(t.Context(), m))
	before, beforeMember := p.memberCluster("hub", "aws"), p.versions("aws")
	_, old := p.secret("hub", "aws")

	p.ok("register", "--context", "aws", "--name", "aws", "--wait")
	after, afterMember := p.memberCluster("hub", "aws"), p.versions("aws")
	_, now := p.secret("hub", "aws")
	if old.BearerToken == now.BearerToken {
		t.Error("the token is the old one")
	}
	if !maps.Equal(beforeMember, afterMember) {
		t.Errorf("on the member %v became %v", beforeMember, afterMember)
	}
	if before.Generation != after.Generation || !maps.Equal(before.Labels, after.Labels) || !maps.Equal(before.Annotations, after.Annotations) {
		t.Errorf("the MemberCluster was changed: %+v became %+v", before, after)
	}

	p.ok("register", "--context", "aws", "--name", "aws", "--labels", "canary=true")
	if labels := p.memberCluster("hub", "aws").Labels; labels["canary"] != "true" || labels["env"] != "prod" || labels["team"] != "network" {
		t.Errorf("after --labels canary=true the labels are %v", labels)
	}
	// A field that somebody else set is not taken over.
	m = p.memberCluster("hub", "aws")
	m.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan
	must(t, p.clients["hub"].Update(t.Context(), m, client.FieldOwner("somebody")))
	p.refused(1, []string{"deletionPolicy", "somebody", "change it there"}, "register", "--context", "aws", "--name", "aws", "--deletion-policy", "Delete")
	p.ok("register", "--context", "aws", "--name", "aws")
	if got := p.memberCluster("hub", "aws").Spec.DeletionPolicy; got != mcnv1alpha1.DeletionOrphan {
		t.Errorf("deletionPolicy is %s, want somebody's", got)
	}
	m = p.memberCluster("hub", "aws")
	m.Spec.DeletionPolicy, m.Spec.Updates = mcnv1alpha1.DeletionDelete, mcnv1alpha1.UpdatesAutomatic
	must(t, p.clients["hub"].Update(t.Context(), m, client.FieldOwner("somebody")))
}

func testRegisterSource(t *testing.T, p *terminal) {
	p.ok("register", "--context", "gcp", "--name", "gcp", "--role", "Source", "--wait")
	_, cfg := p.secret("hub", "gcp")
	if m := p.memberCluster("hub", "gcp"); m.Spec.Role != mcnv1alpha1.RoleSource {
		t.Errorf("the role is %s", m.Spec.Role)
	}
	var roles rbacv1.ClusterRoleList
	must(t, p.clients["gcp"].List(t.Context(), &roles))
	var rules []rbacv1.PolicyRule
	for _, role := range roles.Items {
		if strings.HasPrefix(role.Name, "multicloud-network-") {
			rules = append(rules, role.Rules...)
		}
	}
	if len(rules) == 0 {
		t.Error("the Source has no rules")
	}
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			if !slices.Contains([]string{"get", "list", "watch"}, verb) {
				t.Errorf("a Source may %s %v", verb, rule.Resources)
			}
		}
	}
	own := authorizationv1.ResourceAttributes{
		Resource: "serviceaccounts", Subresource: "token", Namespace: operatorNamespace, Name: "multicloud-network-source", Verb: "create",
	}
	if !may(t, cfg, own) {
		t.Error("a Source's token cannot be renewed")
	}
	if may(t, cfg, authorizationv1.ResourceAttributes{Group: "projectcalico.org", Resource: "tiers", Verb: "create"}) {
		t.Error("a Source may create tiers")
	}
	// The role that is not named stays.
	p.ok("register", "--context", "gcp", "--name", "gcp")
	if m := p.memberCluster("hub", "gcp"); m.Spec.Role != mcnv1alpha1.RoleSource {
		t.Errorf("the role became %s", m.Spec.Role)
	}
}

func testRegisterRefusals(t *testing.T, p *terminal) {
	const failed, usage = 1, 2
	p.refused(failed, []string{"registered as aws already", "unregister --name aws --context aws"}, "register", "--context", "aws", "--name", "other")
	p.refused(failed, []string{"the name aws belongs to another cluster", "choose another --name"}, "register", "--context", "gcp", "--name", "aws")
	p.refused(failed, []string{"are the same cluster", "--local"}, "register", "--context", "hub", "--name", "hub")
	p.refused(failed, []string{"other kind of access"}, "register", "--local", "--name", "aws")
	p.refused(usage, []string{`no context "nowhere"`, "--context", "aws, gcp, hub"}, "register", "--context", "nowhere", "--name", "x")
	p.refused(usage, []string{"--context", "--local"}, "register", "--name", "x")
	p.refused(usage, []string{"--name"}, "register", "--context", "aws")
	p.refused(usage, []string{"--name", "a lowercase RFC 1123 label"}, "register", "--context", "aws", "--name", "No.Name")
	p.refused(usage, []string{"write Managed or Source"}, "register", "--context", "aws", "--name", "x", "--role", "source")
	p.refused(usage, []string{"10m"}, "register", "--context", "aws", "--name", "x", "--token-lifetime", "1m")
	p.refused(usage, []string{"unknown flag", "--help"}, "register", "--colour")
	p.refused(usage, []string{`"aws" is not a flag`, "--name"}, "register", "aws")
	p.refused(failed, []string{"not https", "--server-for-hub"}, "register", "--context", "aws", "--name", "aws", "--server-for-hub", "http://aws.example.com")
	p.refused(failed, []string{"kinds are not installed", "config/default"}, "register", "--hub-context", "gcp", "--context", "aws", "--name", "aws")

	config, err := clientcmd.LoadFromFile(p.kubeconfig)
	must(t, err)
	config.Clusters["aws"].CertificateAuthorityData, config.Clusters["aws"].InsecureSkipTLSVerify = nil, true
	insecure := &terminal{t: t, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	must(t, clientcmd.WriteToFile(*config, insecure.kubeconfig))
	insecure.refused(failed, []string{"no certificate authority", "--embed-certs"}, "register", "--context", "aws", "--name", "aws")

	must(t, p.clients["hub"].Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "taken"}}))
	free := newTerminal(t, p.clusters["hub"], p.clusters["gcp"])
	p.ok("unregister", "--name", "gcp", "--context", "gcp")
	free.refused(failed, []string{"did not write", "another --name"}, "register", "--context", "gcp", "--name", "taken")
	going := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "going", Finalizers: []string{"example.com/hold"}}}
	must(t, p.clients["hub"].Create(t.Context(), going))
	must(t, p.clients["hub"].Delete(t.Context(), going))
	free.refused(failed, []string{"is being deleted", "wait until it is gone"}, "register", "--context", "gcp", "--name", "going")
	if left := p.versions("gcp"); len(left) != 1 {
		t.Errorf("a refusal, or unregister, left %v on the member, want the namespace only", left)
	}
}

// testRegisterRights proves that the roles for people are enough, together with the right to Secrets that the guide names, and that what is missing is
// said by name.
func testRegisterRights(t *testing.T, p *terminal) {
	bind := func(where, kind, role, namespace string) {
		t.Helper()
		subjects := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jane"}}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role}
		meta := metav1.ObjectMeta{Name: "jane-" + strings.ToLower(role), Namespace: namespace}
		if namespace == "" {
			must(t, p.clients[where].Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}))
			return
		}
		must(t, p.clients[where].Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}))
	}
	register := []string{"register", "--context", "gcp", "--name", "gcp", "--role", "Source", "--as", "jane"}
	p.refused(1, []string{"context hub (hub)", "forbidden"}, register...)
	bind("hub", "ClusterRole", "membercluster-editor", "")
	must(t, p.clients["hub"].Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "secrets"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
	}))
	bind("hub", "Role", "secrets", operatorNamespace)
	bind("gcp", "ClusterRole", "view", "")
	must(t, p.clients["gcp"].Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "namespaces"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"namespaces", "serviceaccounts"}, Verbs: []string{"get", "create", "patch"}}},
	}))
	bind("gcp", "ClusterRole", "namespaces", "")
	before := p.versions("gcp")
	eventually(t, "the missing rights on the member", func() string {
		_, said, code := p.mcn(register...)
		for _, want := range []string{
			"context gcp (member): you may not create clusterroles.rbac.authorization.k8s.io", "patch roles.rbac.authorization.k8s.io in the namespace kube-system",
			"create serviceaccounts/token in the namespace multicloud-network-system", "nothing was changed",
		} {
			if code != 1 || !strings.Contains(said, want) {
				return said
			}
		}
		return ""
	})
	bind("gcp", "ClusterRole", "cluster-admin", "")
	eventually(t, "the missing rights on the hub", func() string {
		_, said, code := p.mcn(register...)
		if code == 1 && strings.Contains(said, "context hub (hub): you may not create secrets in the namespace multicloud-network-system, patch secrets") {
			return ""
		}
		return said
	})
	if after := p.versions("gcp"); !maps.Equal(before, after) {
		t.Errorf("without the rights %v became %v", before, after)
	}
	role := &rbacv1.Role{}
	must(t, p.clients["hub"].Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "secrets"}, role))
	role.Rules[0].Verbs = []string{"get", "create", "patch", "delete"}
	must(t, p.clients["hub"].Update(t.Context(), role))
	eventually(t, "registering with the documented rights", func() string {
		_, said, code := p.mcn(append(register, "--wait")...)
		if code != 0 || strings.Contains(said, "may not list") {
			return said
		}
		return ""
	})
	p.ok("unregister", "--name", "gcp", "--context", "gcp", "--as", "jane")
}

func testRegisterLocal(t *testing.T, p *terminal) {
	p.ok("register", "--local", "--name", "hub", "--labels", "env=prod", "--role", "Source", "--wait")
	if m := p.memberCluster("hub", "hub"); m.Spec.Access.Local == nil || m.Status.ClusterID == "" {
		t.Errorf("the hub is registered as %+v", m)
	}
	p.ok("register", "--local", "--name", "hub", "--role", "Managed")
	bindings := p.versions("hub")
	for _, want := range []string{"ClusterRole /multicloud-network-member-local", "RoleBinding kube-system/multicloud-network-member-local"} {
		if bindings[want] == "" {
			t.Errorf("the hub has no %s: %v", want, bindings)
		}
	}
	account := access.Operator(t, p.clusters["hub"])
	if !may(t, account, authorizationv1.ResourceAttributes{Group: "projectcalico.org", Resource: "tiers", Verb: "create"}) {
		t.Error("the operator's account on the hub did not get the member's rights")
	}
	p.refused(1, []string{"registered as hub already"}, "register", "--local", "--name", "other")
	p.ok("unregister", "--name", "hub")
	for name := range p.versions("hub") {
		if strings.Contains(name, "local") {
			t.Errorf("unregister left %s", name)
		}
	}
	if may(t, account, authorizationv1.ResourceAttributes{Group: "projectcalico.org", Resource: "tiers", Verb: "create"}) {
		eventually(t, "the operator's account to lose the member's rights", func() string {
			if may(t, account, authorizationv1.ResourceAttributes{Group: "projectcalico.org", Resource: "tiers", Verb: "create"}) {
				return "it still may create tiers"
			}
			return ""
		})
	}
}

func testUnregister(t *testing.T, p *terminal) {
	// Another hub uses the account too.
	account := &corev1.ServiceAccount{}
	must(t, p.clients["aws"].Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "multicloud-network-member"}, account))
	account.Annotations[mcnv1alpha1.HubAnnotationPrefix+"another"] = "east"
	must(t, p.clients["aws"].Update(t.Context(), account))
	_, cfg := p.secret("hub", "aws")

	p.refused(1, []string{"nothing is registered as unknown", "get memberclusters"}, "unregister", "--name", "unknown")
	p.refused(2, []string{"--context", "--keep-member-rbac"}, "unregister", "--name", "aws")
	p.refused(1, []string{"is not the cluster that is registered as aws"}, "unregister", "--name", "aws", "--context", "gcp")
	must(t, p.clients["hub"].Create(t.Context(), flatNetwork("everywhere", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Clusters.Selector = metav1.LabelSelector{}
	})))
	eventually(t, "the network on aws", func() string {
		objects, err := oursOn(t.Context(), p.clients["aws"])
		if err == nil && countKind(slices.Collect(maps.Keys(objects)), "GlobalNetworkPolicy") > 1 {
			return ""
		}
		return "it is not there"
	})
	_, said, code := p.mcn("unregister", "--name", "aws", "--context", "aws")
	if code != 0 || !strings.Contains(said, "other hubs use it: another (there as east)") {
		t.Errorf("unregister ended with %d: %s", code, said)
	}
	if objects, err := oursOn(t.Context(), p.clients["aws"]); err != nil || len(objects) > 0 {
		t.Errorf("after unregister aws holds %v (%v)", objects, err)
	}
	err := p.clients["hub"].Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "aws"}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("after unregister the Secret is there: %v", err)
	}
	c, err := client.New(cfg, client.Options{})
	must(t, err)
	must(t, c.List(t.Context(), &corev1.PodList{}))

	must(t, p.clients["aws"].Get(t.Context(), client.ObjectKeyFromObject(account), account))
	delete(account.Annotations, mcnv1alpha1.HubAnnotationPrefix+"another")
	must(t, p.clients["aws"].Update(t.Context(), account))
	p.ok("register", "--context", "aws", "--name", "west")
	p.forget("west")
	eventually(t, "the operator to let go of west", func() string {
		if err := p.clients["hub"].Get(t.Context(), client.ObjectKey{Name: "west"}, &mcnv1alpha1.MemberCluster{}); !apierrors.IsNotFound(err) {
			return "it is there"
		}
		return ""
	})
	p.unregister([]string{"hub has no membercluster/west any more", "secret/west in " + operatorNamespace + " deleted"}, "--name", "west", "--context", "aws")
	if left := p.versions("aws"); len(left) != 1 || left["Namespace /multicloud-network-system"] == "" {
		t.Errorf("unregister left %v on the member, want the namespace only", left)
	}
	eventually(t, "the old token to be refused", func() string {
		err := c.Create(t.Context(), &authenticationv1.SelfSubjectReview{})
		if apierrors.IsUnauthorized(err) {
			return ""
		}
		return "the API server still takes it"
	})
}
