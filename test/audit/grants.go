package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"multicloud.network/operator/test/cluster"
)

// Grant is one right: one verb on one resource, or on one name of it.
type Grant struct {
	// Namespace is where it holds; empty for everywhere.
	Namespace string
	// Group, Resource (with "/" and the subresource), Name and Verb are as in a rule; an empty Name is any.
	Group, Resource, Name, Verb string
}

// String says it as kubectl would.
func (g Grant) String() string {
	out := g.Verb + " " + g.Resource
	if g.Group != "" {
		out += "." + g.Group
	}
	if g.Name != "" {
		out += " " + g.Name
	}
	if g.Namespace != "" {
		out += " in " + g.Namespace
	}
	return out
}

// covers says whether one grant gives all that another gives.
func (g Grant) covers(other Grant) bool {
	return (g.Namespace == "" || g.Namespace == other.Namespace) && g.Group == other.Group && g.Resource == other.Resource && g.Verb == other.Verb &&
		(g.Name == "" || g.Name == other.Name)
}

// Grants returns every single right that a service account has on a cluster by bindings of its own, one by one and sorted. What everybody has who is
// authenticated, such as discovery, is not among them.
func Grants(t testing.TB, c *cluster.Cluster, namespace, account string) []Grant {
	t.Helper()
	ctx := context.Background()
	admin, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	var out []Grant
	add := func(where string, rules []rbacv1.PolicyRule, err error) {
		if err != nil {
			t.Fatalf("reading a role of %s on cluster %s: %v", account, c.Name, err)
		}
		out = append(out, expand(where, rules)...)
	}
	clusterRole := func(where, name string) {
		role, err := admin.RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{})
		add(where, role.Rules, err)
	}
	bindings, err := admin.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bindings.Items {
		if bound(b.Subjects, namespace, account) {
			clusterRole("", b.RoleRef.Name)
		}
	}
	namespaced, err := admin.RbacV1().RoleBindings("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range namespaced.Items {
		switch {
		case !bound(b.Subjects, namespace, account):
		case b.RoleRef.Kind == "ClusterRole":
			clusterRole(b.Namespace, b.RoleRef.Name)
		default:
			role, err := admin.RbacV1().Roles(b.Namespace).Get(ctx, b.RoleRef.Name, metav1.GetOptions{})
			add(b.Namespace, role.Rules, err)
		}
	}
	slices.SortFunc(out, func(a, b Grant) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func bound(subjects []rbacv1.Subject, namespace, account string) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == namespace && s.Name == account
	})
}

// expand takes rules apart.
func expand(namespace string, rules []rbacv1.PolicyRule) []Grant {
	var out []Grant
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					for _, verb := range rule.Verbs {
						out = append(out, Grant{Namespace: namespace, Group: group, Resource: resource, Name: name, Verb: verb})
					}
				}
			}
		}
		for _, url := range rule.NonResourceURLs {
			for _, verb := range rule.Verbs {
				out = append(out, Grant{Resource: url, Verb: verb})
			}
		}
	}
	return out
}

// Redundant returns grants that another of them gives already.
func Redundant(grants []Grant) []string {
	var out []string
	for i, g := range grants {
		for j, other := range grants {
			if i != j && other.covers(g) && (other != g || j < i) {
				out = append(out, fmt.Sprintf("%s, because of %s", g, other))
			}
		}
	}
	return out
}

// Uses returns the rights that a service account made use of: what its requests needed, unless they were refused, whatever else came of them; and what
// calico-apiserver asked the API server about on its behalf.
func Uses(events []Event, namespace, account string) map[Grant]bool {
	out := map[Grant]bool{}
	user := ServiceAccount(namespace, account)
	for _, e := range events {
		if use, ok := reviewed(&e, user); ok {
			out[use] = true
		}
		if e.User.Username != user || e.ObjectRef == nil || e.Code() == 401 || e.Code() == 403 {
			continue
		}
		use := Grant{Namespace: e.ObjectRef.Namespace, Group: e.ObjectRef.APIGroup, Resource: e.ObjectRef.Resource, Name: e.ObjectRef.Name, Verb: e.Verb}
		if e.ObjectRef.Subresource != "" {
			use.Resource += "/" + e.ObjectRef.Subresource
		}
		out[use] = true
		// Server-side apply of what was not there takes both.
		if e.Verb == "patch" && e.Code() == 201 {
			use.Verb = "create"
			out[use] = true
		}
	}
	return out
}

// reviewed returns the right about which an access review was answered with yes.
func reviewed(e *Event, user string) (Grant, bool) {
	if e.RequestObject == nil || e.ResponseObject == nil || e.RequestObject.Spec.User != user || !e.ResponseObject.Status.Allowed {
		return Grant{}, false
	}
	a := e.RequestObject.Spec.ResourceAttributes
	if a == nil {
		return Grant{}, false
	}
	out := Grant{Namespace: a.Namespace, Group: a.Group, Resource: a.Resource, Name: a.Name, Verb: a.Verb}
	if a.Subresource != "" {
		out.Resource += "/" + a.Subresource
	}
	return out, true
}

// Unused returns the grants of which no use was made.
func Unused(grants []Grant, uses map[Grant]bool) []Grant {
	var out []Grant
	for _, g := range grants {
		used := false
		for use := range uses {
			used = used || g.covers(use)
		}
		if !used {
			out = append(out, g)
		}
	}
	return out
}
