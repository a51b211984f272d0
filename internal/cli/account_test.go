package cli

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// described lists an account's objects, and its rules as "verb group/resource name".
func described(t *testing.T, a account) (objects, rules []string) {
	t.Helper()
	all, err := a.objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range all {
		objects = append(objects, nameOf(object))
		if !strings.HasSuffix(object.GetKind(), "Role") {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				for _, resource := range rule.Resources {
					rules = append(rules, verb+" "+rule.APIGroups[0]+"/"+resource+" "+strings.Join(rule.ResourceNames, ","))
				}
			}
		}
	}
	return objects, rules
}

func TestManagedAccountIsThatOfTheManifests(t *testing.T) {
	objects, rules := described(t, newAccount(mcnv1alpha1.DefaultNamespace, mcnv1alpha1.RoleManaged, false, mcnv1alpha1.DefaultTier))
	want := []string{
		"namespace/multicloud-network-system",
		"serviceaccount/multicloud-network-member in multicloud-network-system",
		"clusterrole.rbac.authorization.k8s.io/multicloud-network-member",
		"role.rbac.authorization.k8s.io/multicloud-network-member in kube-system",
		"role.rbac.authorization.k8s.io/multicloud-network-member in default",
		"role.rbac.authorization.k8s.io/multicloud-network-member in multicloud-network-system",
		"clusterrolebinding.rbac.authorization.k8s.io/multicloud-network-member",
		"rolebinding.rbac.authorization.k8s.io/multicloud-network-member in kube-system",
		"rolebinding.rbac.authorization.k8s.io/multicloud-network-member in default",
		"rolebinding.rbac.authorization.k8s.io/multicloud-network-member in multicloud-network-system",
	}
	if !slices.Equal(objects, want) {
		t.Errorf("the account is %q, want %q", objects, want)
	}
	for _, want := range []string{"create projectcalico.org/tiers ", "create projectcalico.org/tier.globalnetworkpolicies multicloud.*", "create /serviceaccounts/token multicloud-network-member"} {
		if !slices.Contains(rules, want) {
			t.Errorf("the account may not %q", want)
		}
	}
}

func TestAccountsFollowNamespaceAndTier(t *testing.T) {
	objects, rules := described(t, newAccount("elsewhere", mcnv1alpha1.RoleManaged, false, "east"))
	if !slices.Contains(objects, "namespace/elsewhere") || !slices.Contains(objects, "role.rbac.authorization.k8s.io/multicloud-network-member in elsewhere") {
		t.Errorf("in another namespace the account is %q", objects)
	}
	if !slices.Contains(rules, "patch projectcalico.org/tier.globalnetworkpolicies east.*") || slices.ContainsFunc(rules, func(r string) bool { return strings.HasSuffix(r, " multicloud.*") }) {
		t.Errorf("with another tier the rules are %q", rules)
	}
}

// TestSourceWritesNothing holds for whatever config/member-rbac grants.
func TestSourceWritesNothing(t *testing.T) {
	objects, rules := described(t, newAccount(mcnv1alpha1.DefaultNamespace, mcnv1alpha1.RoleSource, false, mcnv1alpha1.DefaultTier))
	if slices.ContainsFunc(objects, func(o string) bool { return strings.Contains(o, managedAccount) }) {
		t.Errorf("a Source shares names with a Managed member: %q", objects)
	}
	const renews = "create /serviceaccounts/token multicloud-network-source"
	if !slices.Contains(rules, renews) || !slices.Contains(rules, "watch /pods ") {
		t.Errorf("a Source may not read, or not renew its token: %q", rules)
	}
	for _, rule := range rules {
		verb, _, _ := strings.Cut(rule, " ")
		if !slices.Contains([]string{"get", "list", "watch"}, verb) && rule != renews {
			t.Errorf("a Source may %q", rule)
		}
	}
}

// TestLocalAccountIsThatOfTheManifests compares with the names of config/local; its rights are those of config/member-rbac there too.
func TestLocalAccountIsThatOfTheManifests(t *testing.T) {
	a := newAccount(mcnv1alpha1.DefaultNamespace, mcnv1alpha1.RoleManaged, true, mcnv1alpha1.DefaultTier)
	objects, rules := described(t, a)
	want := []string{
		"clusterrole.rbac.authorization.k8s.io/multicloud-network-member-local",
		"role.rbac.authorization.k8s.io/multicloud-network-member-local in kube-system",
		"role.rbac.authorization.k8s.io/multicloud-network-member-local in default",
		"clusterrolebinding.rbac.authorization.k8s.io/multicloud-network-member-local",
		"rolebinding.rbac.authorization.k8s.io/multicloud-network-member-local in kube-system",
		"rolebinding.rbac.authorization.k8s.io/multicloud-network-member-local in default",
	}
	if !slices.Equal(objects, want) {
		t.Errorf("the account is %q, want %q", objects, want)
	}
	if slices.ContainsFunc(rules, func(r string) bool { return strings.Contains(r, "serviceaccounts") }) {
		t.Errorf("the operator's own account may ask for tokens: %q", rules)
	}
	all, err := a.objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range all {
		if subjects, ok := object.Object["subjects"].([]any); ok && subjects[0].(map[string]any)["name"] != operatorAccount {
			t.Errorf("%s is for %v", nameOf(object), subjects)
		}
	}
}
