package gather

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// nodeAddressAnnotations are where Calico keeps a node's address and the addresses of its tunnels.
var nodeAddressAnnotations = []string{
	"projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address",
	"projectcalico.org/IPv4IPIPTunnelAddr",
	"projectcalico.org/IPv4VXLANTunnelAddr", "projectcalico.org/IPv6VXLANTunnelAddr",
	"projectcalico.org/IPv4WireguardInterfaceAddr", "projectcalico.org/IPv6WireguardInterfaceAddr",
}

// NodeAddresses returns the nodes' own and tunnel addresses, sorted.
func NodeAddresses(nodes []corev1.Node) []netip.Addr {
	var out []netip.Addr
	for i := range nodes {
		for _, address := range nodes[i].Status.Addresses {
			if address.Type == corev1.NodeInternalIP || address.Type == corev1.NodeExternalIP {
				out = appendAddress(out, address.Address)
			}
		}
		for _, key := range nodeAddressAnnotations {
			out = appendAddress(out, nodes[i].Annotations[key])
		}
	}
	return sortAddresses(out)
}

// NodePodCIDRs returns the prefixes that are assigned to the nodes, sorted.
func NodePodCIDRs(nodes []corev1.Node) []netip.Prefix {
	var out []netip.Prefix
	for i := range nodes {
		cidrs := nodes[i].Spec.PodCIDRs
		if len(cidrs) == 0 {
			cidrs = []string{nodes[i].Spec.PodCIDR}
		}
		for _, cidr := range cidrs {
			out = appendPrefix(out, cidr)
		}
	}
	return sortPrefixes(out)
}

// providers are the schemes of providerID that go by another name here.
var providers = map[string]string{"gce": "gcp"}

// Cloud says where most nodes run.
func Cloud(nodes []corev1.Node) mcnv1alpha1.CloudStatus {
	byProvider, byRegion := map[string]int{}, map[string]int{}
	for i := range nodes {
		if scheme, _, ok := strings.Cut(nodes[i].Spec.ProviderID, "://"); ok && scheme != "" {
			if name, known := providers[scheme]; known {
				scheme = name
			}
			byProvider[scheme]++
		}
		if region := nodes[i].Labels[corev1.LabelTopologyRegion]; region != "" {
			byRegion[region]++
		}
	}
	return mcnv1alpha1.CloudStatus{Provider: mostCommon(byProvider), Region: mostCommon(byRegion)}
}

// mostCommon returns the key with the highest count; of equals the first by name, so that the answer does not wander.
func mostCommon(counts map[string]int) string {
	best := ""
	for key, count := range counts {
		if c := cmp.Compare(count, counts[best]); best == "" || c > 0 || (c == 0 && key < best) {
			best = key
		}
	}
	return best
}

func appendPrefix(to []netip.Prefix, text string) []netip.Prefix {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return to
	}
	return append(to, prefix.Masked())
}

func sortPrefixes(in []netip.Prefix) []netip.Prefix {
	slices.SortFunc(in, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(in)
}
