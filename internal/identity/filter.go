package identity

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"multicloud.network/operator/internal/snapshot"
)

// Annotations of Calico's CNI plugin, which it empties before it gives a pod's address back.
const (
	PodIPsAnnotation = "cni.projectcalico.org/podIPs"
	PodIPAnnotation  = "cni.projectcalico.org/podIP"
)

// Filter reduces pods to what counts of them. It allocates nothing, so that most events cost nothing. The zero value is ready; it is not safe for
// concurrent use.
type Filter struct {
	addresses [4]netip.Addr
}

// Pod reduces a pod; false if it holds no address of its own: host-networked, finished, not yet connected, or disconnected while terminating. What it returns
// shares the pod's labels, and its addresses, sorted, last until the next call.
//
// The kubelet's word, status.podIPs, is the only source of addresses. Calico's annotations add none, because who may write a pod may write them too: they
// only tell, of a pod that is terminating, that its address was given back.
func (f *Filter) Pod(pod *corev1.Pod) (snapshot.Pod, bool) {
	terminating := pod.DeletionTimestamp != nil
	switch {
	case pod.Spec.HostNetwork, pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed, terminating && released(pod):
		return snapshot.Pod{}, false
	}
	addresses := f.addresses[:0]
	for i := range pod.Status.PodIPs {
		addresses = appendPodAddress(addresses, pod.Status.PodIPs[i].IP)
	}
	if len(addresses) == 0 {
		addresses = appendPodAddress(addresses, pod.Status.PodIP)
	}
	if len(addresses) == 0 {
		return snapshot.Pod{}, false
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return snapshot.Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Labels: pod.Labels, ServiceAccount: pod.Spec.ServiceAccountName,
		Terminating: terminating, Addresses: slices.Compact(addresses),
	}, true
}

// released says that Calico's annotations are there and hold nothing.
func released(pod *corev1.Pod) bool {
	several, hasSeveral := pod.Annotations[PodIPsAnnotation]
	single, hasSingle := pod.Annotations[PodIPAnnotation]
	return (hasSeveral || hasSingle) && several == "" && single == ""
}

// appendPodAddress appends what can be a pod's address: loopback, link-local (cloud metadata), multicast, broadcast and unspecified ones cannot, whatever pod CIDRs a
// member has, and an address in a set is let in on other members.
func appendPodAddress(to []netip.Addr, text string) []netip.Addr {
	if address, ok := ParseAddress(text); ok && address.IsGlobalUnicast() {
		return append(to, address)
	}
	return to
}

// ParseAddress reads an address that is written as such or as a prefix. It allocates nothing.
func ParseAddress(text string) (netip.Addr, bool) {
	if text == "" {
		return netip.Addr{}, false
	}
	if host, _, isPrefix := strings.Cut(text, "/"); isPrefix {
		text = host
	}
	address, err := netip.ParseAddr(text)
	return address.Unmap(), err == nil && address.Zone() == ""
}
