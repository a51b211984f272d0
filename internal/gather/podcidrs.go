package gather

import (
	"net/netip"
	"strings"

	"multicloud.network/operator/internal/snapshot"
)

// PodCIDRProblem says what is wrong with the prefixes in which a member's pod addresses are accepted, as its MemberCluster or discovery has them; "" if
// nothing is. Without them no pod is known to other clusters: taking any address that a member reports would let it claim those of others. pods is the
// number of pods, and accepted that of those with an address inside.
func PodCIDRProblem(m *snapshot.Member, pods, accepted int) string {
	if pods == 0 {
		return ""
	}
	const advice = "list the subnets that give pods their addresses in spec.podNetwork.cidrs of the MemberCluster"
	if len(m.PodCIDRs) == 0 {
		why := "neither IP pools nor nodes name them"
		if subnetCNIs[m.Calico.CNI] {
			why = "the network plugin " + m.Calico.CNI + " takes them from subnets that Kubernetes does not know"
		}
		return "the pod CIDRs are not known, and no pod of the cluster is known to other clusters: " + why + "; " + advice + hint(m.NodeAddresses)
	}
	if accepted > 0 {
		return ""
	}
	return "no pod has an address in the pod CIDRs, and none is known to other clusters; " + advice + hint(m.NodeAddresses)
}

// hint says where nodes are, since the cloud's subnets are often beside each other. It is coarse, so that it does not change with each node.
func hint(nodes []netip.Addr) string {
	const most = 4
	var near []netip.Prefix
	for _, node := range nodes {
		if bits := 16; node.Is4() && node.IsPrivate() {
			if prefix, err := node.Prefix(bits); err == nil {
				near = append(near, prefix)
			}
		}
	}
	if near = sortPrefixes(near); len(near) == 0 || len(near) > most {
		return ""
	}
	texts := make([]string, 0, len(near))
	for _, prefix := range near {
		texts = append(texts, prefix.String())
	}
	return " (nodes are in " + strings.Join(texts, ", ") + ")"
}
