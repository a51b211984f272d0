package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemberCluster registers a cluster with the hub. Its labels are what networks select.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mcm,categories=multicloud
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.status.cloud.provider`,description="Where the cluster runs."
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.status.cloud.region`,description="The region of most of its nodes."
// +kubebuilder:printcolumn:name="Calico",type=string,JSONPath=`.status.calico.version`,description="Calico's version."
// +kubebuilder:printcolumn:name="CNI",type=string,JSONPath=`.status.calico.cni`,description="The plugin that gives pods their addresses."
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`,description="Managed, or Source: only read."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether networks can be in force there."
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why; each reason has a heading in docs/troubleshooting.md."
// +kubebuilder:printcolumn:name="Stale-Since",type=date,JSONPath=`.status.staleSince`,description="How long the operator has not seen the cluster; empty while it sees it, and until it first did."
// +kubebuilder:printcolumn:name="Updates",type=string,priority=1,JSONPath=`.spec.updates`,description="Automatic, or Held: policies there stay as they are."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name becomes a label value on the members, so it must be a DNS label: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit; write '-' instead of '.'"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.clusterID) || !has(self.status) || !has(self.status.clusterID) || self.spec.clusterID == self.status.clusterID",fieldPath=".spec.clusterID",message="clusterID is not the ID of the cluster that this MemberCluster stands for: write the one in status.clusterID, or leave it out; another cluster needs a MemberCluster of its own, under another name"
type MemberCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says how to reach the cluster and what may be done there.
	// +required
	Spec MemberClusterSpec `json:"spec"`

	// status is what the operator knows of the cluster. A new object carries observedGeneration -1 and Ready Unknown, so that tools see it
	// in progress.
	// +optional
	// +kubebuilder:default={observedGeneration:-1, conditions:{{type:"Ready",status:"Unknown",reason:"Pending",message:"The operator has not looked at this object yet.",lastTransitionTime:"1970-01-01T00:00:00Z"}}}
	Status MemberClusterStatus `json:"status,omitempty"`
}

// MemberClusterList is a list of members.
//
// +kubebuilder:object:root=true
type MemberClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MemberCluster `json:"items"`
}

// MemberRole says what the operator does on a member.
// +kubebuilder:validation:Enum=Managed;Source
type MemberRole string

const (
	// RoleManaged means that policies and sets are written there.
	RoleManaged MemberRole = "Managed"
	// RoleSource means that the cluster is only read, for its pods' addresses, and never written to.
	RoleSource MemberRole = "Source"
)

// SourceNAT says who keeps the addresses of pods intact toward other members.
// +kubebuilder:validation:Enum=Unmanaged;Preserve
type SourceNAT string

const (
	// SourceNATUnmanaged leaves source NAT as it is.
	SourceNATUnmanaged SourceNAT = "Unmanaged"
	// SourceNATPreserve writes disabled IP pools for the other members' pod CIDRs, so that pods keep their address toward them.
	SourceNATPreserve SourceNAT = "Preserve"
)

// MemberClusterSpec says how to reach a cluster and what may be done there.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.clusterID) || (has(self.clusterID) && self.clusterID == oldSelf.clusterID)",message="clusterID is neither changed nor removed once it is set, because another cluster would get this one's policies: write the old ID again, or delete this MemberCluster and register the other cluster under a new one"
type MemberClusterSpec struct {
	// access is how the operator reaches the cluster.
	// +required
	Access Access `json:"access"`

	// role Managed means that policies and sets are written to the cluster; Source, that it is only read, for its pods' addresses.
	// Default: Managed.
	// +optional
	// +kubebuilder:default=Managed
	Role MemberRole `json:"role,omitempty"`

	// updates Held freezes the policies on this member; the addresses in its sets keep flowing.
	// Default: Automatic.
	// +optional
	// +kubebuilder:default=Automatic
	Updates UpdateMode `json:"updates,omitempty"`

	// deletionPolicy says whether removing this object removes what the operator wrote to the cluster (Delete), or leaves it in force
	// (Orphan).
	// Default: Delete.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// clusterID is the UID of the cluster's kube-system namespace. Once set it cannot be changed or removed; a cluster with another ID is refused.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterID string `json:"clusterID,omitempty"`

	// podNetwork describes the addresses of the cluster's pods.
	// +optional
	PodNetwork PodNetwork `json:"podNetwork,omitempty"`
}

// Access is how the operator reaches a cluster: exactly one of its fields.
//
// +kubebuilder:validation:XValidation:rule="has(self.kubeconfig) != has(self.local)",message="access is exactly one of kubeconfig and local: write kubeconfig: {secretRef: {name: ...}} for another cluster, local: {} for the hub itself"
type Access struct {
	// kubeconfig is a kubeconfig in a Secret on the hub.
	// +optional
	Kubeconfig *KubeconfigAccess `json:"kubeconfig,omitempty"`

	// local means the hub itself.
	// +optional
	Local *LocalAccess `json:"local,omitempty"`
}

// KubeconfigAccess names a kubeconfig.
type KubeconfigAccess struct {
	// secretRef names a Secret in the operator's namespace on the hub.
	// +required
	SecretRef SecretKeyReference `json:"secretRef"`
}

// SecretKeyReference names one key of a Secret in the operator's namespace.
type SecretKeyReference struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// key is the key in the Secret's data that holds the kubeconfig.
	// Default: kubeconfig.
	// +optional
	// +kubebuilder:default=kubeconfig
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// LocalAccess is the hub itself. It has no fields yet.
type LocalAccess struct{}

// PodNetwork describes the addresses of a cluster's pods.
type PodNetwork struct {
	// cidrs are the subnets of the cluster's pods; absent means discovered from IP pools and nodes. Pod addresses outside are refused.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	CIDRs []CIDR `json:"cidrs,omitempty"`

	// domain names the address space that the pods live in, a VPC for example. Members of one domain may share CIDRs; across domains
	// an overlap is an error. Absent means a space of the cluster's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Domain string `json:"domain,omitempty"`

	// sourceNAT Preserve writes disabled IP pools for the other members' pod CIDRs, so that this cluster's pods keep their address
	// toward them. It is for networks that route those addresses.
	// Default: Unmanaged.
	// +optional
	// +kubebuilder:default=Unmanaged
	SourceNAT SourceNAT `json:"sourceNAT,omitempty"`
}

// CalicoAPI says what serves Calico's API on a member.
// +kubebuilder:validation:Enum=Aggregated;Native;StorageOnly;None
type CalicoAPI string

const (
	// CalicoAPIAggregated is calico-apiserver behind the aggregation layer.
	CalicoAPIAggregated CalicoAPI = "Aggregated"
	// CalicoAPINative is CustomResourceDefinitions of projectcalico.org/v3.
	CalicoAPINative CalicoAPI = "Native"
	// CalicoAPIStorageOnly is crd.projectcalico.org/v1 alone, which nobody but Calico may write.
	CalicoAPIStorageOnly CalicoAPI = "StorageOnly"
	// CalicoAPINone means that Calico is not installed.
	CalicoAPINone CalicoAPI = "None"
)

// MemberClusterStatus is what the operator knows of a cluster.
type MemberClusterStatus struct {
	// observedGeneration is the generation that this status speaks of; -1 before the operator has seen the member.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// clusterID is the UID of the cluster's kube-system namespace.
	// +optional
	ClusterID string `json:"clusterID,omitempty"`

	// kubernetesVersion is what the cluster's API server says of itself.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// cloud is where the cluster runs.
	// +optional
	Cloud CloudStatus `json:"cloud,omitempty"`

	// calico is what the cluster has of Calico.
	// +optional
	Calico CalicoStatus `json:"calico,omitempty"`

	// podCIDRs are the subnets in which pod addresses of this cluster are accepted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	PodCIDRs []CIDR `json:"podCIDRs,omitempty"`

	// staleSince is when the operator last lost sight of the cluster; absent while it sees it, and until it first did.
	// +optional
	StaleSince *metav1.Time `json:"staleSince,omitempty"`

	// conditions are Reachable, CalicoReady, SourcePreserved and Ready; Stalled only while somebody has to change something before the
	// cluster can be connected to.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// CloudStatus is where a cluster runs.
type CloudStatus struct {
	// provider is aws, gcp, azure, or another scheme of the nodes' providerID.
	// +optional
	Provider string `json:"provider,omitempty"`
	// region is the value of the nodes' label topology.kubernetes.io/region; of several, the one that most nodes carry.
	// +optional
	Region string `json:"region,omitempty"`
}

// CalicoStatus is what a cluster has of Calico.
type CalicoStatus struct {
	// version is Calico's version.
	// +optional
	Version string `json:"version,omitempty"`
	// api says what serves Calico's API.
	// +optional
	API CalicoAPI `json:"api,omitempty"`
	// cni is the plugin that gives pods their addresses: Calico, AmazonVPC, AzureVNET, GKE.
	// +optional
	CNI string `json:"cni,omitempty"`
	// dataplane is Iptables, Nftables, BPF or VPP.
	// +optional
	Dataplane string `json:"dataplane,omitempty"`
}

// CNICalico is what status.calico.cni says where Calico gives pods their addresses.
const CNICalico = "Calico"
