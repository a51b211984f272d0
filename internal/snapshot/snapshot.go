// Package snapshot holds what is known of a fleet at one moment: facts, no clients and no judgement.
//
// The operator gathers it from watches, the plugin from live clusters or from files, and tests write it by hand; compile, policy and
// diagnose read it. Lists are in no particular order unless their field says so.
package snapshot

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/intstr"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// Fleet is all members.
type Fleet struct {
	Members []Member `json:"members,omitempty"`
}

// Member is what is known of one cluster. Of a cluster that is out of reach it is what was last known.
type Member struct {
	// Name is the MemberCluster's name.
	Name string `json:"name"`
	// Labels are the MemberCluster's labels, which networks select.
	Labels map[string]string `json:"labels,omitempty"`
	// ClusterID is the UID of the kube-system namespace.
	ClusterID string `json:"clusterID,omitempty"`
	// Role says whether the member is written to.
	Role mcnv1alpha1.MemberRole `json:"role,omitempty"`
	// Domain names the address domain; empty means one of the member's own.
	Domain string `json:"domain,omitempty"`
	// SourceNAT says whether pools for the other members' pod CIDRs are wanted.
	SourceNAT mcnv1alpha1.SourceNAT `json:"sourceNAT,omitempty"`
	// Calico is what the cluster has of Calico.
	Calico mcnv1alpha1.CalicoStatus `json:"calico,omitempty"`
	// KubernetesVersion is what the API server says of itself.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Cloud is where the cluster runs.
	Cloud mcnv1alpha1.CloudStatus `json:"cloud,omitempty"`
	// PodCIDRs are the prefixes in which pod addresses are accepted.
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	// Namespaces are all namespaces.
	Namespaces []Namespace `json:"namespaces,omitempty"`
	// Pods are the pods that hold an address of their own: neither host-networked nor finished.
	Pods []Pod `json:"pods,omitempty"`
	// NodeAddresses are the nodes' own and tunnel addresses.
	NodeAddresses []netip.Addr `json:"nodeAddresses,omitempty"`
	// DNS are the Services that resolve names for pods.
	DNS []Service `json:"dns,omitempty"`
	// APIServer is the Service default/kubernetes, and APIServerEndpoints where it leads: the addresses that policy sees. The guard needs neither, because Calico
	// follows that Service by itself; who judges policy does.
	APIServer          Service          `json:"apiServer,omitzero"`
	APIServerEndpoints []netip.AddrPort `json:"apiServerEndpoints,omitempty"`
	// APIBackends are the Services that the API server itself calls: admission webhooks, conversion webhooks, aggregated APIs.
	APIBackends []Service `json:"apiBackends,omitempty"`
	// Pools are the IP pools that are not ours.
	Pools []Pool `json:"pools,omitempty"`
	// Sets are the network sets that are not ours.
	Sets []NetworkSet `json:"sets,omitempty"`
	// Policies are the peer selectors of Calico policies that are not ours.
	Policies []Policy `json:"policies,omitempty"`
}

// Namespace is a namespace's name and labels.
type Namespace struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Pod is what policy looks at in a pod.
type Pod struct {
	Namespace      string            `json:"namespace"`
	Name           string            `json:"name"`
	UID            string            `json:"uid,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	ServiceAccount string            `json:"serviceAccount,omitempty"`
	Addresses      []netip.Addr      `json:"addresses,omitempty"`
	// Terminating says that the pod is being deleted. Its addresses still count, but give way to a pod that holds them too and stays.
	Terminating bool `json:"terminating,omitempty"`
}

// Service is what the guard needs to know of a Service.
type Service struct {
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	ClusterIPs []netip.Addr      `json:"clusterIPs,omitempty"`
	Selector   map[string]string `json:"selector,omitempty"`
	Ports      []ServicePort     `json:"ports,omitempty"`
}

// ServicePort is where a Service's pods listen.
type ServicePort struct {
	// Protocol is TCP, UDP or SCTP.
	Protocol string `json:"protocol"`
	// TargetPort is the pods' port, by number or by name.
	TargetPort intstr.IntOrString `json:"targetPort"`
}

// Pool is an IP pool.
type Pool struct {
	Name string       `json:"name"`
	CIDR netip.Prefix `json:"cidr"`
}

// NetworkSet is a GlobalNetworkSet, or a NetworkSet where Namespace is set.
type NetworkSet struct {
	Namespace string            `json:"namespace,omitempty"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// Policy is a Calico policy's rule peers, as far as they can match a network set.
type Policy struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Peers     []Peer `json:"peers,omitempty"`
}

// Peer is one end of a rule that selects by label.
type Peer struct {
	Selector          string `json:"selector,omitempty"`
	NotSelector       string `json:"notSelector,omitempty"`
	NamespaceSelector string `json:"namespaceSelector,omitempty"`
}
