package gather

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// Pod converts a pod, as identity.Filter does; false if it holds no address of its own.
func Pod(pod *corev1.Pod) (snapshot.Pod, bool) {
	var filter identity.Filter
	out, ok := filter.Pod(pod)
	out.Addresses = slices.Clone(out.Addresses)
	return out, ok
}

// appendAddress appends an address written as such or as a prefix; what cannot be parsed is not an address.
func appendAddress(to []netip.Addr, text string) []netip.Addr {
	if addr, ok := identity.ParseAddress(text); ok {
		to = append(to, addr)
	}
	return to
}

func sortAddresses(in []netip.Addr) []netip.Addr {
	slices.SortFunc(in, netip.Addr.Compare)
	return slices.Compact(in)
}

// PodSection converts pods, sorted by namespace and name.
func PodSection(pods []corev1.Pod) []snapshot.Pod {
	out := make([]snapshot.Pod, 0, len(pods))
	for i := range pods {
		if pod, ok := Pod(&pods[i]); ok {
			out = append(out, pod)
		}
	}
	slices.SortFunc(out, func(a, b snapshot.Pod) int { return compareNames(a.Namespace, a.Name, b.Namespace, b.Name) })
	return out
}

// NamespaceSection converts namespaces, sorted by name.
func NamespaceSection(namespaces []corev1.Namespace) []snapshot.Namespace {
	out := make([]snapshot.Namespace, 0, len(namespaces))
	for _, ns := range namespaces {
		out = append(out, snapshot.Namespace{Name: ns.Name, Labels: ns.Labels})
	}
	slices.SortFunc(out, func(a, b snapshot.Namespace) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func compareNames(aNamespace, aName, bNamespace, bName string) int {
	if c := strings.Compare(aNamespace, bNamespace); c != 0 {
		return c
	}
	return strings.Compare(aName, bName)
}
