package v1alpha1

// Condition types of a MultiCloudNetwork. Each carries the generation that it speaks of.
const (
	// ConditionAccepted is True when the spec is valid against the fleet. While it is False the last good state stays in force.
	ConditionAccepted = "Accepted"

	// ConditionProgrammed is True when every selected cluster holds our objects with the expected content, read back, and Calico is
	// ready there; Unknown when a cluster that may be without them cannot be reached. It is not a proof of routing.
	ConditionProgrammed = "Programmed"

	// ConditionReady sums up: accepted, and programmed on all clusters but at most maxUnavailable.
	ConditionReady = "Ready"

	// ConditionReconciling is present, and True, only while the operator works toward the spec.
	ConditionReconciling = "Reconciling"

	// ConditionStalled is present, and True, only when no retry will help: somebody has to change something. MemberClusters have it too.
	ConditionStalled = "Stalled"
)

// Condition types of a MemberCluster; Ready and Stalled are shared with MultiCloudNetwork.
const (
	// ConditionReachable is True while the operator is connected to the cluster and watches it.
	ConditionReachable = "Reachable"

	// ConditionCalicoReady is True when Calico's v3 API is served there and its datastore is ready.
	ConditionCalicoReady = "CalicoReady"

	// ConditionSourcePreserved is True when pods are known to keep their address toward the other members.
	ConditionSourcePreserved = "SourcePreserved"
)

// Reason is the machine-readable cause in a condition. The list is closed: every reason that the operator reports stands here with its meaning
// and what to do next, and has a heading in docs/troubleshooting.md.
type Reason string

// Reasons of a MultiCloudNetwork.
const (
	// ReasonAccepted: the spec is valid against the fleet.
	// Next step: none.
	ReasonAccepted Reason = "Accepted"

	// ReasonProgrammed: every selected cluster holds the network as specified.
	// Next step: none.
	ReasonProgrammed Reason = "Programmed"

	// ReasonReady: the network is in force.
	// Next step: none.
	ReasonReady Reason = "Ready"

	// ReasonPending: nothing is known yet: the operator has not looked at the object, or waits for what it needs to judge.
	// Next step: wait some seconds; if it stays, see whether the operator runs and is the leader.
	ReasonPending Reason = "Pending"

	// ReasonProgressing: the operator writes the network to its clusters.
	// Next step: wait; status.clusters says which are not done.
	ReasonProgressing Reason = "Progressing"

	// ReasonInvalid: the spec cannot be compiled for the fleet; the policies that stand stay in force.
	// Next step: change the field that the message names.
	ReasonInvalid Reason = "Invalid"

	// ReasonNoClusters: the selector picks no Managed member.
	// Next step: label a MemberCluster, or change spec.clusters.selector.
	ReasonNoClusters Reason = "NoClusters"

	// ReasonNoExclusiveSlot: 500 Exclusive networks are alive, and Calico's order has no room for another.
	// Next step: make a network Shared, or delete one.
	ReasonNoExclusiveSlot Reason = "NoExclusiveSlot"

	// ReasonClusterUnreachable: the operator cannot reach a selected cluster, or never could; what was written there, if anything, stays in force.
	// Next step: see the member's condition Reachable.
	ReasonClusterUnreachable Reason = "ClusterUnreachable"

	// ReasonClusterNotReady: a selected cluster is reachable but cannot take policies.
	// Next step: see the member's conditions.
	ReasonClusterNotReady Reason = "ClusterNotReady"

	// ReasonWriteFailed: the cluster's API server refused or failed a write; the operator retries.
	// Next step: read the message; it holds the API server's answer.
	ReasonWriteFailed Reason = "WriteFailed"

	// ReasonOwnershipConflict: an object of the name that we need is there and does not carry our owner label; it is never touched.
	// Next step: read the message; put the label back if the object was ours, rename or delete one that was not, or set --owner-id to adopt a rebuilt hub's
	// objects.
	ReasonOwnershipConflict Reason = "OwnershipConflict"

	// ReasonContended: somebody else keeps changing an object that we wrote; the operator has stopped putting it back at once, and tries about once a minute.
	// Next step: read the message; it names the object and who changes it. Make that tool leave objects with our owner label alone.
	ReasonContended Reason = "Contended"

	// ReasonKindNotServed: the cluster's Calico API lacks a kind that the network needs there; what stands there stays in force.
	// Next step: upgrade Calico on that cluster, or take the cluster out of spec.stagedClusters if the kind is StagedGlobalNetworkPolicy.
	ReasonKindNotServed Reason = "KindNotServed"

	// ReasonHeld: updates are Held, on the network or on the member, and the policies there are not those of the current spec; addresses keep flowing.
	// Next step: set updates to Automatic when the change may go out.
	ReasonHeld Reason = "Held"

	// ReasonDeleting: the network is being removed from its clusters, or what was written to a member is being removed from it.
	// Next step: wait; an unreachable cluster is named in the message and holds up nobody.
	ReasonDeleting Reason = "Deleting"
)

// Reasons of a MemberCluster.
const (
	// ReasonConnected: the operator is connected to the cluster and watches it.
	// Next step: none.
	ReasonConnected Reason = "Connected"

	// ReasonConnecting: the operator is connecting, or waits for the first complete list.
	// Next step: wait some seconds.
	ReasonConnecting Reason = "Connecting"

	// ReasonConnectionFailed: the cluster's API server does not answer, refuses the credential, or does not let it list and watch what is needed.
	// Next step: read the message; check the network path, the credential and its rights.
	ReasonConnectionFailed Reason = "ConnectionFailed"

	// ReasonViewTooLarge: the cluster has, or says that it has, more objects than the operator holds of one cluster; what is known of it is held.
	// Next step: raise --max-response if the cluster is that large; else see what makes so many objects there.
	ReasonViewTooLarge Reason = "ViewTooLarge"

	// ReasonSecretNotFound: the Secret that access names is not in the operator's namespace, or lacks the key.
	// Next step: run "kubectl mcn register" for the member; or create the Secret, or correct spec.access.kubeconfig.secretRef.
	ReasonSecretNotFound Reason = "SecretNotFound"

	// ReasonKubeconfigInvalid: the kubeconfig cannot be read.
	// Next step: write a kubeconfig with one current context.
	ReasonKubeconfigInvalid Reason = "KubeconfigInvalid"

	// ReasonKubeconfigRefused: the kubeconfig asks for something that would run code, read files or skip verification: exec, auth providers, file
	// paths, insecure-skip-tls-verify, proxy-url, a server that is not https, or no CA data.
	// Next step: run "kubectl mcn register" for the member; or write a kubeconfig with https, inline CA data, and an inline token or client certificate.
	ReasonKubeconfigRefused Reason = "KubeconfigRefused"

	// ReasonCredentialExpiring: the member is ready, but the token in its kubeconfig will end and the operator cannot renew it; it keeps trying.
	// Next step: read the message; run "kubectl mcn register" for the member again, which also mends the account's rights there.
	ReasonCredentialExpiring Reason = "CredentialExpiring"

	// ReasonClusterIDMismatch: another cluster answers than the one that was registered; nothing is read from it or written to it.
	// Next step: point the kubeconfig at the right cluster, or delete the MemberCluster and register the new cluster.
	ReasonClusterIDMismatch Reason = "ClusterIDMismatch"

	// ReasonDuplicateCluster: the same cluster is registered under another name already.
	// Next step: delete one of the two MemberClusters.
	ReasonDuplicateCluster Reason = "DuplicateCluster"

	// ReasonCalicoReady: Calico's v3 API is served and its datastore is ready.
	// Next step: none.
	ReasonCalicoReady Reason = "CalicoReady"

	// ReasonCalicoNotInstalled: the cluster has no Calico API at all.
	// Next step: install Calico, or set the member's role to Source.
	ReasonCalicoNotInstalled Reason = "CalicoNotInstalled"

	// ReasonCalicoAPIUnavailable: Calico is installed but nothing serves projectcalico.org/v3.
	// Next step: install Calico's API server, or, from v3.32, the native v3 CRDs.
	ReasonCalicoAPIUnavailable Reason = "CalicoAPIUnavailable"

	// ReasonDatastoreNotReady: Calico says that its datastore is not ready, a migration for example.
	// Next step: wait for the migration, or see ClusterInformation/default.
	ReasonDatastoreNotReady Reason = "DatastoreNotReady"

	// ReasonUnmanaged: the member's podNetwork.sourceNAT is Unmanaged, so nobody here knows.
	// Next step: none while rules by label match across clusters; if they do not, find out who changes the pods' source address.
	ReasonUnmanaged Reason = "Unmanaged"

	// ReasonPreserved: disabled IP pools for the other members' pod CIDRs are in place.
	// Next step: none.
	ReasonPreserved Reason = "Preserved"

	// ReasonPoolOverlap: a pool of the cluster's own overlaps a CIDR that needs one of ours, and Calico refuses overlaps, so that pods may lose their
	// address toward that CIDR.
	// Next step: see the message for the pool; give the clusters disjoint pod CIDRs.
	ReasonPoolOverlap Reason = "PoolOverlap"

	// ReasonCNINotCalico: source NAT on this cluster is in the hands of another CNI plugin.
	// Next step: exempt the other members' pod CIDRs there (AWS VPC CNI: AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS; ip-masq-agent: nonMasqueradeCIDRs).
	ReasonCNINotCalico Reason = "CNINotCalico"

	// ReasonPodCIDROverlap: networks can be in force there, but the member's pod CIDRs overlap those of a member in another address domain; addresses in
	// the intersection are withheld from rules by label.
	// Next step: renumber one of them, or give both the same spec.podNetwork.domain if they are one address space.
	ReasonPodCIDROverlap Reason = "PodCIDROverlap"

	// ReasonRoleSource: the member is only read; it takes no policies, so it need not have Calico.
	// Next step: none.
	ReasonRoleSource Reason = "RoleSource"
)

// WarningCode names something that works but that its author should know of. Warnings ride in the message of Accepted. The list is closed, and
// each has a heading in docs/troubleshooting.md, like a Reason.
type WarningCode string

// Warnings in the message of Accepted.
const (
	// WarningCIDRCoversPods: a CIDR of a route, segment or rule contains pod addresses of a member, and matches those pods whatever their segment.
	// Next step: narrow the CIDR, or take the pods out of it with except, if it is not meant for pods.
	WarningCIDRCoversPods WarningCode = "CIDRCoversPods"

	// WarningNoPolicyEffect: the network permits what nothing denies, so that it changes no packet.
	// Next step: none if that is intended; else set boundary to Closed, or membership to Exclusive.
	WarningNoPolicyEffect WarningCode = "NoPolicyEffect"

	// WarningMembershipConflict: an older Exclusive network picks some of the same pods and decides over them.
	// Next step: let the two networks pick different pods, or make one of them Shared.
	WarningMembershipConflict WarningCode = "MembershipConflict"

	// WarningPodCIDROverlap: pod CIDRs of two members in different address domains overlap; addresses in the intersection are withheld.
	// Next step: renumber one of them, or give both the same spec.podNetwork.domain if they are one address space.
	WarningPodCIDROverlap WarningCode = "PodCIDROverlap"

	// WarningDuplicateAddress: pods of two members hold the same address, which is withheld.
	// Next step: find out which pod the address is routed to; give the clusters disjoint pod CIDRs.
	WarningDuplicateAddress WarningCode = "DuplicateAddress"

	// WarningPoolOverlap: an IP pool that Preserve needs would overlap a pool of the cluster's own, and is left out.
	// Next step: see the message for the pool; give the clusters disjoint pod CIDRs.
	WarningPoolOverlap WarningCode = "PoolOverlap"

	// WarningForeignSetInGroup: a network set that is not ours carries labels that one of our peer selectors matches.
	// Next step: take the labels off that set, if its addresses are not meant; whoever may write network sets is trusted with a group's addresses.
	WarningForeignSetInGroup WarningCode = "ForeignSetInGroup"

	// WarningForeignPolicyWidened: a policy that is not ours has a peer selector that matches our sets.
	// Next step: add a namespaceSelector to that policy's peer, so that it selects pods only.
	WarningForeignPolicyWidened WarningCode = "ForeignPolicyWidened"

	// WarningEmptySegment: a segment or policy picks no pod in any of the network's clusters.
	// Next step: compare the selectors with the labels of the pods and of their namespaces; none if the pods are still to come.
	WarningEmptySegment WarningCode = "EmptySegment"
)
