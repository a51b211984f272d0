// Package v1alpha1 is the API of the MultiCloudNetwork operator: how pods in many Kubernetes clusters may talk
// (MultiCloudNetwork) and which clusters there are (MemberCluster).
//
// Both kinds are cluster-scoped and live on the hub. The schema refuses what can be judged without looking at a cluster; what
// needs the fleet is judged by the compiler and reported in the condition Accepted.
//
// +kubebuilder:object:generate=true
// +groupName=multicloud.network
package v1alpha1
