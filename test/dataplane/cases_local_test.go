package dataplane

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// localCases are of networks beside a policy of an application team.
var localCases = []one{
	{"honored by Flat", list{flat("n", of("shop", ""), mcnv1alpha1.BoundaryClosed)},
		[]string{"b/shop/web -> b/shop/api TCP/80", "a/shop/web -> b/shop/db TCP/80"}, []string{"a/shop/web -> b/shop/api TCP/80", "b/shop/db -> b/shop/api TCP/80"}},
	{"overridden by Flat", list{flat("n", of("shop", ""), mcnv1alpha1.BoundaryClosed, override)},
		[]string{"a/shop/web -> b/shop/api TCP/80", "b/shop/db -> b/shop/api TCP/80"}, []string{"b/bank/web -> b/shop/api TCP/80"}},
	{"overridden by Flat that is open", list{flat("n", of("shop", ""), mcnv1alpha1.BoundaryOpen, override)},
		[]string{"a/shop/web -> b/shop/api TCP/80"}, []string{"b/bank/web -> b/shop/api TCP/80"}},
	{"one network overrides, one honors", list{flat("n1", of("shop", ""), mcnv1alpha1.BoundaryClosed), vlan("n2", tiers("shop"), chain, override)},
		[]string{"a/shop/web -> b/shop/api TCP/80"}, []string{"a/shop/web -> b/shop/api TCP/8080", "a/shop/db -> b/shop/api TCP/80"}},
	{"a Calico rule's Allow is literal, its Pass is not", list{calico("n", policies{policy("api", 0, of("shop", "api"), rules{
		rule("Allow", matching("", "tier == 'db'"), nil, ""), rule("Pass", nil, nil, ""),
	}, nil)})}, []string{"a/shop/db -> b/shop/api TCP/80", "b/shop/web -> b/shop/api TCP/80"}, []string{"a/shop/web -> b/shop/api TCP/80"}},
}

// testLocalPolicies has an application team isolate its api pods in cluster b: nobody but the web pods of the same cluster may reach them. A network that
// honors that opens nothing more; one that overrides it does.
func (w *world) testLocalPolicies(t *testing.T) {
	tier := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"tier": name}}
	}
	w.local(t, "b", networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *tier("api"), PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: tier("web")}}}},
		},
	})
	for _, c := range localCases {
		t.Run(c.name, func(t *testing.T) {
			w.set(t, c.networks...)
			w.check(t, c)
			w.compare(t, everything)
		})
	}
}
