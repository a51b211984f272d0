package status

import mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"

// sourceNATSettings say, for each CNI plugin that the operator tells apart, what keeps the pods' own addresses toward other clusters. Plugins are named as
// the Tigera operator names them, in status.calico.cni.
var sourceNATSettings = map[string]string{
	"AmazonVPC": "list the other members' pod CIDRs in AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS of DaemonSet kube-system/aws-node, or set AWS_VPC_K8S_CNI_EXTERNALSNAT=true " +
		"there if a NAT gateway does the translating",
	"AzureVNET": "list the other members' pod CIDRs under nonMasqueradeCIDRs of ConfigMap kube-system/azure-ip-masq-agent-config; with Azure CNI Overlay pods " +
		"always leave the virtual network under their node's address, which nothing changes",
	"GKE":    "list the other members' pod CIDRs under nonMasqueradeCIDRs of ConfigMap kube-system/ip-masq-agent",
	"Cilium": "list the other members' pod CIDRs under nonMasqueradeCIDRs of ConfigMap kube-system/ip-masq-agent, with Cilium's ipMasqAgent.enabled",
	"Flannel": "start flanneld without --ip-masq, and translate what leaves for other places than the other members' pod CIDRs by rules of your own: " +
		"flannel knows no exemptions",
}

// sourceNATSetting says what to change where a CNI plugin other than Calico does the source NAT.
func sourceNATSetting(cni string) string {
	if setting, known := sourceNATSettings[cni]; known {
		return setting
	}
	return "exempt the other members' pod CIDRs from its source NAT"
}

// unmanagedAdvice says, while the source NAT is nobody's business, who could see to it.
func (f *MemberFacts) unmanagedAdvice() string {
	switch f.Calico.CNI {
	case "":
		return ""
	case mcnv1alpha1.CNICalico:
		return "; if the other side sees node addresses instead, and pod addresses are routable between the clusters, set it to Preserve"
	}
	return "; if the other side sees node addresses instead: " + sourceNATSetting(f.Calico.CNI)
}
