package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// MemberFacts are what a MemberCluster's status is computed from.
type MemberFacts struct {
	// Generation is the generation of the spec that the facts belong to.
	Generation int64
	// Now is the time of any transition that the facts mean.
	Now metav1.Time
	// Previous is the present status. Its transition times stay where nothing changed.
	Previous mcnv1alpha1.MemberClusterStatus

	// Role and SourceNAT are those of the spec.
	Role      mcnv1alpha1.MemberRole
	SourceNAT mcnv1alpha1.SourceNAT

	// Reachable, with its reason and message, and since when sight of the cluster is lost.
	Reachable  bool
	Reason     mcnv1alpha1.Reason
	Message    string
	StaleSince *metav1.Time
	// Deleting says what the removal of the member waits for; empty while it is not being removed.
	Deleting string
	// Problems name kinds that cannot be read, and what stands there that nobody answers for; they ride in the message of Reachable.
	Problems []string

	// Secret says that the Secret with the kubeconfig is being deleted, and what follows; empty while it is not.
	Secret string
	// HeldUpdates says that spec.updates is Held; HeldNetworks are the networks that span the member and whose own updates are.
	HeldUpdates  bool
	HeldNetworks []string

	// Credential says what is wrong with a credential that still holds; empty while nothing is.
	Credential string

	// ClusterID is the ID that the member is pinned to.
	ClusterID         string
	KubernetesVersion string
	Cloud             mcnv1alpha1.CloudStatus
	Calico            mcnv1alpha1.CalicoStatus
	PodCIDRs          []netip.Prefix

	// CalicoReady, with its reason and message; the reason Connecting means that it is not known yet.
	CalicoReady   bool
	CalicoReason  mcnv1alpha1.Reason
	CalicoMessage string
	// OwnPools is the number of IP pools of ours on the member.
	OwnPools int

	// Compiled says whether networks have been compiled since the operator started; before, what the status says of overlaps stays.
	Compiled bool
	// PodCIDROverlap says with whose pod CIDRs the member's overlap, PoolOverlap which of its pools keep ours away; empty where there is nothing to say.
	PodCIDROverlap, PoolOverlap string
}

// maxPodCIDRs is the bound of status.podCIDRs.
const maxPodCIDRs = 1024

// Member computes a MemberCluster's status.
func Member(f MemberFacts) mcnv1alpha1.MemberClusterStatus {
	out := mcnv1alpha1.MemberClusterStatus{
		ObservedGeneration: f.Generation,
		ClusterID:          f.ClusterID,
		KubernetesVersion:  f.KubernetesVersion,
		Cloud:              f.Cloud,
		Calico:             f.Calico,
		StaleSince:         f.StaleSince,
	}
	for _, prefix := range f.PodCIDRs[:min(len(f.PodCIDRs), maxPodCIDRs)] {
		out.PodCIDRs = append(out.PodCIDRs, mcnv1alpha1.CIDR(prefix.String()))
	}
	for _, c := range f.Previous.Conditions {
		out.Conditions = append(out.Conditions, *c.DeepCopy())
	}
	reachable, calico := f.reachable(), f.calicoReady()
	f.set(&out, reachable)
	f.set(&out, calico)
	f.set(&out, f.sourcePreserved())
	f.set(&out, f.ready(reachable, calico))
	f.setStalled(&out)
	return out
}

// memberNeedsUser are the reasons that no retry cures: somebody has to change a Secret or a MemberCluster. The others may pass by themselves: a network
// path returns, a Secret or Calico arrives later from whatever installs it.
var memberNeedsUser = []mcnv1alpha1.Reason{
	mcnv1alpha1.ReasonKubeconfigInvalid, mcnv1alpha1.ReasonKubeconfigRefused, mcnv1alpha1.ReasonClusterIDMismatch, mcnv1alpha1.ReasonDuplicateCluster,
}

// setStalled keeps the condition Stalled only while it is true. A member needs no Reconciling: whoever reads conditions takes one that is neither Ready nor
// Stalled for one in progress.
func (f *MemberFacts) setStalled(out *mcnv1alpha1.MemberClusterStatus) {
	if f.Reachable || !slices.Contains(memberNeedsUser, f.Reason) {
		meta.RemoveStatusCondition(&out.Conditions, mcnv1alpha1.ConditionStalled)
		return
	}
	f.set(out, memberCondition(mcnv1alpha1.ConditionStalled, metav1.ConditionTrue, f.Reason, f.Message))
}

func (f *MemberFacts) set(out *mcnv1alpha1.MemberClusterStatus, c metav1.Condition) {
	c.ObservedGeneration, c.LastTransitionTime = f.Generation, f.Now
	c.Message = Truncate(c.Message)
	meta.SetStatusCondition(&out.Conditions, c)
}

func memberCondition(kind string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: string(reason), Message: message}
}

func (f *MemberFacts) reachable() metav1.Condition {
	message := f.Message
	if f.Reachable && len(f.Problems) > 0 {
		message += "; but " + strings.Join(f.Problems, "; ")
	}
	if f.Secret != "" {
		message += "; " + f.Secret
	}
	return memberCondition(mcnv1alpha1.ConditionReachable, truth(f.Reachable, f.Reason == mcnv1alpha1.ReasonConnecting), f.Reason, message)
}

func (f *MemberFacts) calicoReady() metav1.Condition {
	const kind = mcnv1alpha1.ConditionCalicoReady
	switch {
	case f.Role == mcnv1alpha1.RoleSource:
		return memberCondition(kind, metav1.ConditionTrue, mcnv1alpha1.ReasonRoleSource, "the cluster is only read, so it need not have Calico")
	case !f.Reachable && f.Reason == mcnv1alpha1.ReasonConnecting:
		return memberCondition(kind, metav1.ConditionUnknown, mcnv1alpha1.ReasonConnecting, "the cluster is being connected to")
	case !f.Reachable:
		return memberCondition(kind, metav1.ConditionUnknown, mcnv1alpha1.ReasonClusterUnreachable, "the cluster cannot be reached; see the condition Reachable")
	default:
		return memberCondition(kind, truth(f.CalicoReady, f.CalicoReason == mcnv1alpha1.ReasonConnecting), f.CalicoReason, f.CalicoMessage)
	}
}

func (f *MemberFacts) sourcePreserved() metav1.Condition {
	const kind = mcnv1alpha1.ConditionSourcePreserved
	switch {
	case f.SourceNAT != mcnv1alpha1.SourceNATPreserve:
		return memberCondition(kind, metav1.ConditionUnknown, mcnv1alpha1.ReasonUnmanaged,
			"spec.podNetwork.sourceNAT is Unmanaged, so whether pods keep their address toward the other members is not known here"+f.unmanagedAdvice())
	case f.Role == mcnv1alpha1.RoleSource:
		return memberCondition(kind, metav1.ConditionUnknown, mcnv1alpha1.ReasonRoleSource, "nothing is written to a member with role Source, pools neither")
	case f.Calico.CNI == "":
		return memberCondition(kind, metav1.ConditionUnknown, mcnv1alpha1.ReasonPending, "the cluster's CNI plugin is not known yet")
	case f.Calico.CNI != mcnv1alpha1.CNICalico:
		return memberCondition(kind, metav1.ConditionFalse, mcnv1alpha1.ReasonCNINotCalico,
			"source NAT is in the hands of the CNI plugin "+f.Calico.CNI+", and pools change nothing: "+sourceNATSetting(f.Calico.CNI))
	case f.poolOverlap() != "":
		return memberCondition(kind, metav1.ConditionFalse, mcnv1alpha1.ReasonPoolOverlap, f.poolOverlap())
	case f.OwnPools == 0:
		return memberCondition(kind, metav1.ConditionUnknown, mcnv1alpha1.ReasonPending,
			"no pool for another member is in place; pools come with the first enforced network that spans this cluster and another")
	default:
		return memberCondition(kind, metav1.ConditionTrue, mcnv1alpha1.ReasonPreserved, "disabled IP pools for other members' pod CIDRs are in place")
	}
}

// podCIDROverlap is PodCIDROverlap, or what the status says of it while nothing has been compiled.
func (f *MemberFacts) podCIDROverlap() string {
	if !f.Compiled {
		said, _, _ := strings.Cut(f.saidBefore(mcnv1alpha1.ConditionReady, mcnv1alpha1.ReasonPodCIDROverlap), updatesHeld)
		said, _, _ = strings.Cut(said, networksHeld)
		return said
	}
	return f.PodCIDROverlap
}

// poolOverlap is PoolOverlap, or what the status says of it while nothing has been compiled.
func (f *MemberFacts) poolOverlap() string {
	if !f.Compiled {
		return f.saidBefore(mcnv1alpha1.ConditionSourcePreserved, mcnv1alpha1.ReasonPoolOverlap)
	}
	return f.PoolOverlap
}

// saidBefore is the message of a condition of the present status, if it has a reason.
func (f *MemberFacts) saidBefore(kind string, reason mcnv1alpha1.Reason) string {
	if c := meta.FindStatusCondition(f.Previous.Conditions, kind); c != nil && c.Reason == string(reason) {
		return c.Message
	}
	return ""
}

// ready is True when networks can be in force there: reachable, and Calico ready. An overlap withholds some addresses, and leaves the rest in force.
func (f *MemberFacts) ready(reachable, calico metav1.Condition) metav1.Condition {
	if f.Deleting != "" {
		return memberCondition(mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonDeleting, strings.Join(slices.DeleteFunc(
			[]string{"the member is being removed: " + f.Deleting, f.Secret}, func(text string) bool { return text == "" }), "; "))
	}
	held := f.held()
	for _, c := range []metav1.Condition{reachable, calico} {
		if c.Status != metav1.ConditionTrue {
			return memberCondition(mcnv1alpha1.ConditionReady, c.Status, mcnv1alpha1.Reason(c.Reason), c.Message)
		}
	}
	if f.Credential != "" {
		return memberCondition(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonCredentialExpiring, f.Credential+held)
	}
	if overlap := f.podCIDROverlap(); overlap != "" {
		return memberCondition(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonPodCIDROverlap, overlap+held)
	}
	if f.Role == mcnv1alpha1.RoleSource {
		return memberCondition(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonRoleSource, "the cluster is read, and nothing is written to it")
	}
	return memberCondition(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady, "networks can be in force on the cluster"+held)
}

// What Ready says of updates that are Held, in this order, behind all else.
const (
	updatesHeld  = "; updates are Held here: policies stay as they are, and addresses keep flowing, until spec.updates is Automatic"
	networksHeld = "; networks whose own updates are Held: "
)

// held says what of the policies there stands still, to be added to a message; nothing where all go on.
func (f *MemberFacts) held() string {
	const fewNames = 3
	if f.Role == mcnv1alpha1.RoleSource {
		return ""
	}
	out := ""
	if f.HeldUpdates {
		out += updatesHeld
	}
	if !f.Compiled {
		if c := meta.FindStatusCondition(f.Previous.Conditions, mcnv1alpha1.ConditionReady); c != nil {
			if _, said, ok := strings.Cut(c.Message, networksHeld); ok {
				out += networksHeld + said
			}
		}
		return out
	}
	if names := slices.Sorted(slices.Values(f.HeldNetworks)); len(names) > 0 {
		if more := len(names) - fewNames; more > 0 {
			names = append(names[:fewNames], fmt.Sprintf("and %d more", more))
		}
		out += networksHeld + strings.Join(names, ", ")
	}
	return out
}

// truth is True, or Unknown where nobody knows yet, or False.
func truth(is, unknown bool) metav1.ConditionStatus {
	switch {
	case is:
		return metav1.ConditionTrue
	case unknown:
		return metav1.ConditionUnknown
	default:
		return metav1.ConditionFalse
	}
}
