package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Mode says on how many of a network's clusters its policies have effect.
// +kubebuilder:validation:Enum=Enforced;Staged;Mixed
type Mode string

const (
	// ModeEnforced means on all of them.
	ModeEnforced Mode = "Enforced"
	// ModeStaged means on none: everywhere they are written as Staged kinds.
	ModeStaged Mode = "Staged"
	// ModeMixed means on some.
	ModeMixed Mode = "Mixed"
)

// MultiCloudNetworkStatus is what is true on the members.
type MultiCloudNetworkStatus struct {
	// observedGeneration is the generation that this status speaks of; -1 before the operator has seen the network.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// boundary is the one in force.
	// +optional
	Boundary Boundary `json:"boundary,omitempty"`

	// mode says on how many of the clusters the policies have effect.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// exclusiveSlot is the place of an Exclusive network among all of them, oldest first; absent for a Shared one.
	// +optional
	ExclusiveSlot *int32 `json:"exclusiveSlot,omitempty"`

	// summary counts.
	// +optional
	Summary NetworkSummary `json:"summary,omitempty"`

	// conditions are Accepted, Programmed and Ready; Reconciling or Stalled only while true.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// clusters tells about each selected cluster, those that are not ready first. At most 1,000 are listed; summary counts all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Clusters []ClusterStatus `json:"clusters,omitempty"`
}

// NetworkSummary counts clusters and pods of a network.
type NetworkSummary struct {
	// clusters is "programmed/total", for the print column.
	// +optional
	Clusters string `json:"clusters,omitempty"`
	// total is the number of selected members with role Managed.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	Total int32 `json:"total"`
	// programmed is how many of them hold the network as it is specified now.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	Programmed int32 `json:"programmed"`
	// unreachable is how many of them the operator cannot reach.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	Unreachable int32 `json:"unreachable"`
	// staged is how many of them hold the network's policies as Staged kinds.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	Staged int32 `json:"staged"`
	// held is how many of them do not take changes because of updates Held.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	Held int32 `json:"held"`
	// pods is the number of pods that the network's segments or policies pick, in all its clusters.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	Pods int32 `json:"pods"`
	// sharedPods is how many of them another network picks too.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	SharedPods int32 `json:"sharedPods"`
}

// ClusterStatus is the state of a network on one member.
type ClusterStatus struct {
	// name is the MemberCluster's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// programmed is True where our objects were read back with the expected content and Calico is ready, Unknown where a cluster that may be
	// without them cannot be reached. It is not a proof of routing.
	// +required
	Programmed metav1.ConditionStatus `json:"programmed"`
	// mode is Enforced or Staged.
	// +optional
	Mode Mode `json:"mode,omitempty"`
	// role is the member's role.
	// +optional
	Role MemberRole `json:"role,omitempty"`
	// reason says why programmed is not True.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// message says what is wrong, where, and what to do; only where programmed is not True.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// staleSince is when the operator last lost sight of the cluster; absent while it sees it, and until it first did.
	// +optional
	StaleSince *metav1.Time `json:"staleSince,omitempty"`
}
