package gather

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"multicloud.network/operator/internal/snapshot"
)

// NetworkSetSection converts the network sets that are not ours, sorted.
func NetworkSetSection(lists ...[]unstructured.Unstructured) []snapshot.NetworkSet {
	var out []snapshot.NetworkSet
	for _, list := range lists {
		for i := range list {
			if !isOurs(list[i].GetLabels()) {
				out = append(out, snapshot.NetworkSet{Namespace: list[i].GetNamespace(), Name: list[i].GetName(), Labels: list[i].GetLabels()})
			}
		}
	}
	slices.SortFunc(out, func(a, b snapshot.NetworkSet) int { return compareNames(a.Namespace, a.Name, b.Namespace, b.Name) })
	return out
}

// PolicySection converts the Calico policies that are not ours and whose rules select peers by label, sorted. The peer is the source of an ingress rule
// and the destination of an egress rule: a network set is never the policy's own end.
func PolicySection(lists ...[]unstructured.Unstructured) []snapshot.Policy {
	var out []snapshot.Policy
	for _, list := range lists {
		for i := range list {
			if isOurs(list[i].GetLabels()) {
				continue
			}
			peers := append(rulePeers(&list[i], "ingress", "source"), rulePeers(&list[i], "egress", "destination")...)
			if len(peers) > 0 {
				out = append(out, snapshot.Policy{Kind: list[i].GetKind(), Namespace: list[i].GetNamespace(), Name: list[i].GetName(), Peers: peers})
			}
		}
	}
	slices.SortFunc(out, func(a, b snapshot.Policy) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return compareNames(a.Namespace, a.Name, b.Namespace, b.Name)
	})
	return out
}

func rulePeers(policy *unstructured.Unstructured, direction, end string) []snapshot.Peer {
	rules, _, _ := unstructured.NestedSlice(policy.Object, "spec", direction)
	var out []snapshot.Peer
	for _, rule := range rules {
		fields, ok := rule.(map[string]any)
		if !ok {
			continue
		}
		var peer snapshot.Peer
		peer.Selector, _, _ = unstructured.NestedString(fields, end, "selector")
		peer.NotSelector, _, _ = unstructured.NestedString(fields, end, "notSelector")
		peer.NamespaceSelector, _, _ = unstructured.NestedString(fields, end, "namespaceSelector")
		if peer != (snapshot.Peer{}) {
			out = append(out, peer)
		}
	}
	return out
}
