package gather

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// CNI plugins other than Calico, as status.calico.cni names them.
const (
	CNIAmazonVPC = "AmazonVPC"
	CNIAzureVNET = "AzureVNET"
	CNIGKE       = "GKE"
	CNICilium    = "Cilium"
	CNIFlannel   = "Flannel"
)

// CalicoAPI says what serves Calico's API, from the API server's APIServices and CRDs. A nil list could not be read. The APIService decides where
// both forms are there, as in a migration; with "" nobody can say.
func CalicoAPI(apiServices, crds []unstructured.Unstructured) mcnv1alpha1.CalicoAPI {
	for i := range apiServices {
		if apiServices[i].GetName() == "v3."+calicoGroup {
			if _, aggregated, _ := unstructured.NestedMap(apiServices[i].Object, "spec", "service"); aggregated {
				return mcnv1alpha1.CalicoAPIAggregated
			}
		}
	}
	v3, v1 := groupServed(apiServices, crds, "v3."+calicoGroup, "globalnetworkpolicies."+calicoGroup),
		groupServed(apiServices, crds, "v1."+calicoStorageGroup, "globalnetworkpolicies."+calicoStorageGroup)
	switch {
	case apiServices == nil && (crds == nil || v1):
		return "" // an aggregated API, whose APIService is not seen, would hide the CRDs
	case v3:
		return mcnv1alpha1.CalicoAPINative
	case v1:
		return mcnv1alpha1.CalicoAPIStorageOnly
	default:
		return mcnv1alpha1.CalicoAPINone
	}
}

// groupServed says whether a CRD is there, or, where CRDs could not be read, its group's APIService.
func groupServed(apiServices, crds []unstructured.Unstructured, apiService, crd string) bool {
	named := func(name string) func(unstructured.Unstructured) bool {
		return func(u unstructured.Unstructured) bool { return u.GetName() == name }
	}
	if crds != nil {
		return slices.ContainsFunc(crds, named(crd))
	}
	return slices.ContainsFunc(apiServices, named(apiService))
}

// CNI names the plugin that gives pods their addresses; "" if nothing tells.
func CNI(installations, daemonSets, pools []unstructured.Unstructured, provider string) string {
	for i := range installations {
		for _, path := range [][]string{{"status", "computed", "cni", "type"}, {"spec", "cni", "type"}} {
			if name, _, _ := unstructured.NestedString(installations[i].Object, path...); name != "" {
				return name
			}
		}
	}
	has := map[string]bool{}
	for i := range daemonSets {
		has[daemonSets[i].GetName()] = true
	}
	switch {
	case has["aws-node"]:
		return CNIAmazonVPC
	case has["azure-cns"], has["azure-cni-networkmonitor"]:
		return CNIAzureVNET
	case has["anetd"], has["cilium"]:
		return CNICilium
	case has["kube-flannel-ds"], has["canal"]:
		return CNIFlannel
	case len(pools) > 0:
		return mcnv1alpha1.CNICalico
	case provider == "gcp" && has["calico-node"]:
		return CNIGKE
	default:
		return ""
	}
}

// Dataplane is Iptables, Nftables, BPF or VPP. It says what FelixConfiguration/default orders; what the Installation orders comes first, because the
// Tigera operator carries it out.
func Dataplane(installations, felix []unstructured.Unstructured) string {
	for i := range installations {
		if name, _, _ := unstructured.NestedString(installations[i].Object, "spec", "calicoNetwork", "linuxDataplane"); name != "" {
			return name
		}
	}
	config := findDefault(felix)
	if config == nil {
		return "Iptables"
	}
	if bpf, _, _ := unstructured.NestedBool(config.Object, "spec", "bpfEnabled"); bpf {
		return "BPF"
	}
	if mode, _, _ := unstructured.NestedString(config.Object, "spec", "nftablesMode"); mode == "Enabled" {
		return "Nftables"
	}
	return "Iptables"
}

// Pools returns the IP pools that are not ours, sorted, and how many are ours.
func Pools(pools []unstructured.Unstructured) (others []snapshot.Pool, ours int) {
	for i := range pools {
		if isOurs(pools[i].GetLabels()) {
			ours++
			continue
		}
		cidr, _, _ := unstructured.NestedString(pools[i].Object, "spec", "cidr")
		for _, prefix := range appendPrefix(nil, cidr) {
			others = append(others, snapshot.Pool{Name: pools[i].GetName(), CIDR: prefix})
		}
	}
	slices.SortFunc(others, func(a, b snapshot.Pool) int { return strings.Compare(a.Name, b.Name) })
	return others, ours
}

// CalicoVersion is what ClusterInformation, or else the Installation, says.
func CalicoVersion(info, installations []unstructured.Unstructured) string {
	if config := findDefault(info); config != nil {
		if version, _, _ := unstructured.NestedString(config.Object, "spec", "calicoVersion"); version != "" {
			return version
		}
	}
	for i := range installations {
		if version, _, _ := unstructured.NestedString(installations[i].Object, "status", "calicoVersion"); version != "" {
			return version
		}
	}
	return ""
}

func findDefault(objects []unstructured.Unstructured) *unstructured.Unstructured {
	for i := range objects {
		if objects[i].GetName() == "default" {
			return &objects[i]
		}
	}
	return nil
}

// subnetCNIs are the plugins that give pods addresses of the cloud's own subnets. Neither pools nor nodes tell which those are.
var subnetCNIs = map[string]bool{CNIAmazonVPC: true, CNIAzureVNET: true}

// discoverPodCIDRs discovers where pod addresses come from: the cluster's own pools, whether enabled or not, and the nodes' prefixes where another plugin than
// Calico assigns addresses or there are no pools. Pools say nothing where the cloud assigns them.
func discoverPodCIDRs(m *snapshot.Member, nodes []corev1.Node) {
	m.PodCIDRs = nil
	if !subnetCNIs[m.Calico.CNI] {
		for _, pool := range m.Pools {
			m.PodCIDRs = append(m.PodCIDRs, pool.CIDR)
		}
	}
	if m.Calico.CNI != mcnv1alpha1.CNICalico || len(m.Pools) == 0 {
		m.PodCIDRs = append(m.PodCIDRs, NodePodCIDRs(nodes)...)
	}
	m.PodCIDRs = sortPrefixes(m.PodCIDRs)
}
