package v1alpha1

// Names that other programs may rely on. They are part of the API: changing one is a breaking change.
const (
	// CleanupFinalizer holds a MultiCloudNetwork or a MemberCluster until what we wrote is removed, and the Secret with a member's kubeconfig until that
	// member is cleaned.
	CleanupFinalizer = "multicloud.network/cleanup"

	// FieldManager is the field manager of everything we write, on the hub and on members. Argo CD users name it in
	// managedFieldsManagers.
	FieldManager = "multicloud-network-operator"

	// PluginFieldManager is the field manager of what "kubectl mcn" writes, and the value of app.kubernetes.io/managed-by on its Secrets.
	PluginFieldManager = "kubectl-mcn"

	// ContentHashAnnotation holds the hash of the content that we last wrote to an object.
	ContentHashAnnotation = "multicloud.network/content-hash"

	// OwnerLabel holds the owner ID of the operator that wrote an object; it never touches an object with another one.
	OwnerLabel = "multicloud.network/owner"

	// NetworkLabel holds the name of the MultiCloudNetwork that an object was compiled from. Shared objects do not carry it.
	NetworkLabel = "multicloud.network/network"

	// GroupLabel holds the group that a GlobalNetworkSet's addresses belong to. Compiled rules select sets by it.
	GroupLabel = "multicloud.network/group"

	// SourceClusterLabel holds the member whose addresses a GlobalNetworkSet holds.
	SourceClusterLabel = "multicloud.network/source-cluster"

	// ExcludeLabel on a namespace keeps its pods out of every network's subjects. It counts by presence, whatever its value.
	ExcludeLabel = "multicloud.network/exclude"

	// RenewAnnotation on a member's Secret says that the operator renews the token in its kubeconfig, and whose token that is: namespace/name of a
	// ServiceAccount on the member. "kubectl mcn register" writes it.
	RenewAnnotation = "multicloud.network/renew"

	// ClusterIDAnnotation on a MemberCluster and on its Secret holds the UID of the namespace kube-system of the cluster that
	// "kubectl mcn register" read. The operator does not rely on it: what it verified itself is in status.clusterID.
	ClusterIDAnnotation = "multicloud.network/cluster-id"

	// ServerForHubAnnotation on a member's Secret holds the --server-for-hub of "kubectl mcn register", so that it counts when that is run again without the
	// flag. The operator does not read it: the server is in the kubeconfig.
	ServerForHubAnnotation = "multicloud.network/server-for-hub"

	// HubAnnotationPrefix begins an annotation on a member's ServiceAccount for each hub that the cluster is registered with: the rest is the hub's
	// cluster ID, the value the name of the MemberCluster there.
	HubAnnotationPrefix = "hub.multicloud.network/"

	// FlatSegment is the name of the one segment that a Flat network has.
	FlatSegment = "flat"

	// DefaultTier is the Calico tier that holds all compiled policies (flag --tier).
	DefaultTier = "multicloud"

	// DefaultTierOrder is that tier's order (flag --tier-order): after Calico's own tier (100), before ClusterNetworkPolicy's
	// Admin tier (1000).
	DefaultTierOrder = 500

	// DefaultKubeconfigKey is the key of a member's Secret where spec.access.kubeconfig.secretRef names none.
	DefaultKubeconfigKey = "kubeconfig"

	// DefaultNamespace is where the operator and its members' Secrets live (flag --namespace).
	DefaultNamespace = "multicloud-network-system"
)

// DefaultExcludedNamespaces returns the namespaces whose pods are never a subject (flag --excluded-namespaces). The operator's own
// namespace is added to them.
func DefaultExcludedNamespaces() []string {
	return []string{"calico-apiserver", "calico-system", "kube-system", "tigera-operator"}
}
