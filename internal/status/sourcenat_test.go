package status

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// For each CNI plugin the condition names the setting to change, whether the operator was asked to see to the source NAT or not.
func TestSourcePreservedNamesTheSettingOfEachPlugin(t *testing.T) {
	for cni, want := range map[string]string{
		"AmazonVPC": "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS", "AzureVNET": "azure-ip-masq-agent-config", "GKE": "ConfigMap kube-system/ip-masq-agent",
		"Cilium": "ipMasqAgent.enabled", "Flannel": "--ip-masq", "Kindnet": "exempt the other members' pod CIDRs",
	} {
		for _, sourceNAT := range []mcnv1alpha1.SourceNAT{mcnv1alpha1.SourceNATPreserve, mcnv1alpha1.SourceNATUnmanaged} {
			f := connectedMember()
			f.Calico.CNI, f.SourceNAT = cni, sourceNAT
			c := meta.FindStatusCondition(Member(f).Conditions, mcnv1alpha1.ConditionSourcePreserved)
			if c == nil || !strings.Contains(c.Message, want) {
				t.Errorf("%s, %s: the condition is %+v, want %q in its message", cni, sourceNAT, c, want)
			}
		}
	}
	f := connectedMember()
	if c := meta.FindStatusCondition(Member(f).Conditions, mcnv1alpha1.ConditionSourcePreserved); !strings.Contains(c.Message, "set it to Preserve") {
		t.Errorf("with Calico the condition is %+v, want it to name Preserve", c)
	}
}
