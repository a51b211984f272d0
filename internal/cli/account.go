package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	memberrbac "multicloud.network/operator/config/member-rbac"
)

// Names that config/member-rbac, config/local and config/rbac use, and the names that replace the first where another account is meant: a cluster may be a hub
// of its own and a Source of other hubs at once, and each account has the rights of its own use only.
const (
	managedAccount  = "multicloud-network-member"
	sourceAccount   = "multicloud-network-source"
	localAccount    = "multicloud-network-member-local"
	operatorAccount = "multicloud-network-operator"
)

// account is who the operator is on a member: its name, and what it may do.
type account struct {
	// name is that of the roles and bindings, and of the ServiceAccount unless local.
	name string
	// namespace is where the ServiceAccount is.
	namespace string
	// role Source has no right to write.
	role mcnv1alpha1.MemberRole
	// local means that the rights go to the operator's own account on the hub.
	local bool
	// tier is the operator's --tier.
	tier string
}

// newAccount names the account for a way to use a cluster.
func newAccount(namespace string, role mcnv1alpha1.MemberRole, local bool, tier string) account {
	a := account{name: managedAccount, namespace: namespace, role: role, local: local, tier: tier}
	switch {
	case local:
		a.name = localAccount
	case role == mcnv1alpha1.RoleSource:
		a.name = sourceAccount
	}
	return a
}

// objects returns what gives the account its rights: the manifests of config/member-rbac, fitted.
func (a account) objects() ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(memberrbac.Manifests()), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading config/member-rbac: %w", err)
		}
		fitted, err := a.fit(object)
		if err != nil {
			return nil, fmt.Errorf("fitting %s: %w", nameOf(object), err)
		}
		if fitted != nil {
			out = append(out, fitted)
		}
	}
}

// fit changes names, namespace and rights of one manifest. It returns nil for what the account does not need.
func (a account) fit(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	kind, home := object.GetKind(), object.GetNamespace() == mcnv1alpha1.DefaultNamespace
	// The operator's own account on the hub is there, and its token is the kubelet's business.
	if a.local && (home || kind == "Namespace") {
		return nil, nil
	}
	if kind == "Namespace" {
		object.SetName(a.namespace)
		return object, nil
	}
	object.SetName(a.name)
	if home {
		object.SetNamespace(a.namespace)
	}
	switch kind {
	case "ClusterRole", "Role":
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			return nil, err
		}
		return object, setRules(object, a.rules(role.Rules))
	case "ClusterRoleBinding", "RoleBinding":
		subject := map[string]any{"kind": "ServiceAccount", "name": a.name, "namespace": a.namespace}
		if a.local {
			subject["name"] = operatorAccount
		}
		if err := unstructured.SetNestedField(object.Object, a.name, "roleRef", "name"); err != nil {
			return nil, err
		}
		return object, unstructured.SetNestedSlice(object.Object, []any{subject}, "subjects")
	}
	return object, nil
}

// rules fits the rules of a role: another tier, another account's token, and for a Source nothing that changes anything.
func (a account) rules(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, rule := range rules {
		for i, name := range rule.ResourceNames {
			switch name {
			case mcnv1alpha1.DefaultTier + ".*":
				rule.ResourceNames[i] = a.tier + ".*"
			case managedAccount:
				rule.ResourceNames[i] = a.name
			}
		}
		// To ask for a token of one's own stores nothing in the cluster; without it no token of a Source could be renewed.
		if a.role == mcnv1alpha1.RoleSource && !slices.Equal(rule.Resources, []string{"serviceaccounts/token"}) {
			rule.Verbs = slices.DeleteFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) })
		}
		if len(rule.Verbs) > 0 {
			out = append(out, rule)
		}
	}
	return out
}

// setRules writes the rules of a role.
func setRules(object *unstructured.Unstructured, rules []rbacv1.PolicyRule) error {
	list := make([]any, 0, len(rules))
	for i := range rules {
		one, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&rules[i])
		if err != nil {
			return err
		}
		list = append(list, one)
	}
	return unstructured.SetNestedSlice(object.Object, list, "rules")
}

// tierOf is the tier in which an account that is there may write; "" if there is none, or it writes nothing, or it may not be looked at.
func (s *side) tierOf(ctx context.Context, a account) string {
	var role rbacv1.ClusterRole
	if err := s.client.Get(ctx, client.ObjectKey{Name: a.name}, &role); err != nil {
		return ""
	}
	for _, rule := range role.Rules {
		for _, name := range rule.ResourceNames {
			if tier, ok := strings.CutSuffix(name, ".*"); ok {
				return tier
			}
		}
	}
	return ""
}
