package gather

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"multicloud.network/operator/internal/snapshot"
)

// Calico's CNI plugin writes these, and empties them before it gives the address back.
const (
	podIPsAnnotation = "cni.projectcalico.org/podIPs"
	podIPAnnotation  = "cni.projectcalico.org/podIP"
)

// Pod converts a pod; false if it holds no address of its own: host-networked, finished, not yet connected, or disconnected while terminating.
//
// The kubelet's word, status.podIPs, is the only source of addresses. Calico's annotations add none, because who may write a pod may write them too: they
// only tell, of a pod that is terminating, that its address was given back.
func Pod(pod *corev1.Pod) (snapshot.Pod, bool) {
	if pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return snapshot.Pod{}, false
	}
	if pod.DeletionTimestamp != nil && annotationEmptied(pod) {
		return snapshot.Pod{}, false
	}
	addresses := reportedAddresses(pod)
	if len(addresses) == 0 {
		return snapshot.Pod{}, false
	}
	return snapshot.Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Labels: pod.Labels,
		ServiceAccount: pod.Spec.ServiceAccountName, Addresses: sortAddresses(addresses),
	}, true
}

// reportedAddresses are those that can be a pod's: loopback, link-local (cloud metadata), multicast, broadcast and unspecified ones are no pod's, whatever
// pod CIDRs a member has, and an address in a set is let in on other members.
func reportedAddresses(pod *corev1.Pod) []netip.Addr {
	var out []netip.Addr
	for _, ip := range pod.Status.PodIPs {
		out = appendAddress(out, ip.IP)
	}
	if len(out) == 0 {
		out = appendAddress(out, pod.Status.PodIP)
	}
	return slices.DeleteFunc(out, func(addr netip.Addr) bool { return !addr.IsGlobalUnicast() })
}

// annotationEmptied says that Calico's annotations are there and hold nothing.
func annotationEmptied(pod *corev1.Pod) bool {
	several, hasSeveral := pod.Annotations[podIPsAnnotation]
	single, hasSingle := pod.Annotations[podIPAnnotation]
	return (hasSeveral || hasSingle) && several == "" && single == ""
}

// appendAddress appends an address written as such or as a prefix; what cannot be parsed is not an address.
func appendAddress(to []netip.Addr, text string) []netip.Addr {
	if text == "" {
		return to
	}
	if host, _, isPrefix := strings.Cut(text, "/"); isPrefix {
		text = host
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return to
	}
	return append(to, addr.Unmap())
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
