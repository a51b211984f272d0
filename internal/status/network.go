package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
)

// MaxClusters is how many clusters status.clusters lists.
const MaxClusters = 1000

// maxMessages is how many bytes the messages in status.clusters have in all. etcd takes 1.5 MiB, and a byte may become six in JSON.
const maxMessages = 192 << 10

// NetworkFacts are all that a network's status is computed from.
type NetworkFacts struct {
	// Generation is the network's newest generation; InForce the one that was last valid, 0 if this operator has seen none.
	Generation, InForce int64
	// MaxUnavailable is spec.clusters.maxUnavailable.
	MaxUnavailable int32
	// Deleting says that the network is being removed; Orphan that what it wrote stays in place, and no cluster is looked at any more.
	Deleting, Orphan bool
	// Obstacle says what holds the deletion up beside the clusters; empty for nothing.
	Obstacle string
	// Boundary, ExclusiveSlot, Pods and SharedPods are as compiled.
	Boundary         mcnv1alpha1.Boundary
	ExclusiveSlot    *int32
	Pods, SharedPods int
	// Errors say why the newest spec cannot be compiled.
	Errors field.ErrorList
	// Warnings ride in the message of Accepted.
	Warnings []compile.Warning
	// Clusters are the selected members, in any order.
	Clusters []ClusterFacts
	// Previous is the status so far.
	Previous mcnv1alpha1.MultiCloudNetworkStatus
	// Now is the time of a condition that changes.
	Now metav1.Time
}

// ClusterFacts are what is known of a network on one member.
type ClusterFacts struct {
	// Name and Role are the member's.
	Name string
	Role mcnv1alpha1.MemberRole
	// Staged says that its policies are to be Staged kinds there; Held that changes of policies are not written there.
	Staged, Held bool
	// Reachable says whether the operator is connected; UnreachableReason and UnreachableMessage say why not, StaleSince since when.
	Reachable          bool
	UnreachableMessage string
	StaleSince         *metav1.Time
	// Unseen says that the operator has never been connected to it; Left that something is recorded nevertheless to stand there, from an earlier registration.
	Unseen, Left bool
	// CalicoReady says whether the member takes policies; CalicoMessage why not.
	CalicoReady   bool
	CalicoMessage string
	// Report is what the member's worker says; nil before it has looked since the operator started.
	Report *Report
}

// Report is what a member's worker says of a network.
type Report struct {
	// Generation is the one that it speaks of.
	Generation int64
	// Outdated says that something else is wanted by now, without a new generation.
	Outdated bool
	// Staged says that the policies that stand there are Staged kinds.
	Staged bool
	// Programmed says that everything was read back as wanted.
	Programmed bool
	// Gone says that the network was removed there.
	Gone bool
	// Reason and Message say why Programmed is false.
	Reason  mcnv1alpha1.Reason
	Message string
	// Waits says for which other clusters it waits, and until when at the latest; it is in Message too. Empty while it waits for none.
	Waits string
}

// Network computes a network's status.
func Network(f NetworkFacts) mcnv1alpha1.MultiCloudNetworkStatus {
	clusters := make([]mcnv1alpha1.ClusterStatus, 0, len(f.Clusters))
	for _, c := range f.Clusters {
		clusters = append(clusters, clusterStatus(f, c))
	}
	sortClusters(clusters)
	out := mcnv1alpha1.MultiCloudNetworkStatus{
		ObservedGeneration: f.Generation,
		Boundary:           cmp.Or(f.Boundary, f.Previous.Boundary),
		ExclusiveSlot:      f.ExclusiveSlot,
		Mode:               mode(clusters),
		Summary:            summary(f, clusters),
		Conditions:         slices.Clone(f.Previous.Conditions),
	}
	if len(f.Errors) > 0 && out.ExclusiveSlot == nil {
		out.ExclusiveSlot = f.Previous.ExclusiveSlot
	}
	v := verdict{facts: f, clusters: clusters, summary: out.Summary}
	v.setConditions(&out.Conditions)
	out.Clusters = clusters[:min(len(clusters), MaxClusters)]
	if len(out.Clusters) == 0 {
		out.Clusters = nil
	}
	shareMessages(out.Clusters)
	return out
}

// shareMessages shortens the messages where so many clusters have one that all together would be too long.
func shareMessages(clusters []mcnv1alpha1.ClusterStatus) {
	count := 0
	for _, c := range clusters {
		if c.Message != "" {
			count++
		}
	}
	for i := range clusters {
		clusters[i].Message = truncate(clusters[i].Message, min(MaxMessage, maxMessages/max(1, count)))
	}
}

// clusterStatus judges one member.
func clusterStatus(f NetworkFacts, c ClusterFacts) mcnv1alpha1.ClusterStatus {
	out := mcnv1alpha1.ClusterStatus{Name: c.Name, Role: c.Role, StaleSince: c.StaleSince}
	if c.Role != mcnv1alpha1.RoleSource {
		out.Mode = standing(f, c)
	}
	var reason mcnv1alpha1.Reason
	out.Programmed, reason, out.Message = judge(f, c)
	if out.Programmed != metav1.ConditionTrue {
		out.Reason, out.Message = string(reason), Truncate(out.Message)
	} else {
		out.Message = ""
	}
	return out
}

// standing is the mode of the policies that are on a member, as far as anybody knows.
func standing(f NetworkFacts, c ClusterFacts) mcnv1alpha1.Mode {
	if c.Report != nil {
		return modeOf(c.Report.Staged)
	}
	for _, was := range f.Previous.Clusters {
		if was.Name == c.Name && was.Mode != "" {
			return was.Mode
		}
	}
	return modeOf(c.Staged)
}

func modeOf(staged bool) mcnv1alpha1.Mode {
	if staged {
		return mcnv1alpha1.ModeStaged
	}
	return mcnv1alpha1.ModeEnforced
}

func judge(f NetworkFacts, c ClusterFacts) (metav1.ConditionStatus, mcnv1alpha1.Reason, string) {
	switch {
	case len(f.Errors) > 0:
		if f.InForce == 0 {
			return metav1.ConditionFalse, mcnv1alpha1.ReasonInvalid, "the spec is invalid; nothing is written here until it is mended, and what stands here stays"
		}
		return metav1.ConditionFalse, mcnv1alpha1.ReasonInvalid, fmt.Sprintf("the spec is invalid; generation %d stays in force", f.InForce)
	case c.Role == mcnv1alpha1.RoleSource && c.Reachable:
		return metav1.ConditionTrue, "", ""
	case !c.Reachable && !c.Unseen && c.Role != mcnv1alpha1.RoleSource && !f.Deleting && knownProgrammed(f, c):
		// The cluster keeps what was read back there; nothing has changed since.
		return metav1.ConditionTrue, "", ""
	case !c.Reachable:
		return metav1.ConditionUnknown, mcnv1alpha1.ReasonClusterUnreachable, unreachableMessage(f, c)
	case f.Deleting:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonDeleting, deletingMessage(c)
	case !c.CalicoReady:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonClusterNotReady, c.CalicoMessage
	case c.Report == nil:
		if knownProgrammed(f, c) {
			return metav1.ConditionTrue, "", ""
		}
		return metav1.ConditionFalse, mcnv1alpha1.ReasonProgressing, "the cluster has not been looked at yet"
	case c.Report.Generation != f.Generation && c.Held:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonHeld, fmt.Sprintf(
			"updates are Held: generation %d stays in force; set updates to Automatic to let the change out", c.Report.Generation)
	case c.Report.Generation != f.Generation:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonProgressing, fmt.Sprintf("generation %d has not been written yet", f.Generation)
	case c.Report.Outdated:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonProgressing, "what follows from a change of the fleet or of another network has not been written yet"
	case c.Report.Programmed:
		return metav1.ConditionTrue, "", ""
	}
	return metav1.ConditionFalse, c.Report.Reason, c.Report.Message
}

// knownProgrammed tells whether the member is known to hold the newest generation: its worker said so last, or, before it has looked, the status
// that an earlier run of the operator wrote for this generation.
func knownProgrammed(f NetworkFacts, c ClusterFacts) bool {
	if c.Report != nil {
		return c.Report.Programmed && !c.Report.Outdated && c.Report.Generation == f.Generation
	}
	if f.Previous.ObservedGeneration != f.Generation {
		return false
	}
	mode := modeOf(c.Staged)
	return slices.ContainsFunc(f.Previous.Clusters, func(was mcnv1alpha1.ClusterStatus) bool {
		return was.Name == c.Name && was.Programmed == metav1.ConditionTrue && was.Mode == mode
	})
}

func unreachableMessage(f NetworkFacts, c ClusterFacts) string {
	out := "the cluster is out of reach"
	if c.Unseen {
		out = "the cluster has never been connected"
	}
	if c.UnreachableMessage != "" {
		out += " (" + c.UnreachableMessage + ")"
	}
	switch {
	case c.Unseen && c.Role == mcnv1alpha1.RoleSource:
		return out + "; no address of its pods is known"
	case c.Unseen && c.Left:
		return out + " since it was registered; what an earlier registration of it left there stays until it connects"
	case c.Unseen && f.Deleting:
		return out + "; nothing of the network is known to stand there"
	case c.Unseen:
		return out + "; nothing of the network is known to stand there, and it is written when the cluster connects"
	case c.Role == mcnv1alpha1.RoleSource:
		return out + "; the addresses of its pods are the last known"
	case f.Deleting:
		return out + "; what was written there stays until it returns"
	}
	return out + "; what was written there stays in force, and the current spec is written when it returns"
}

func deletingMessage(c ClusterFacts) string {
	switch {
	case c.Report == nil:
		return "being removed"
	case c.Report.Gone:
		return "removed"
	case c.Report.Message != "":
		return "being removed: " + c.Report.Message
	}
	return "being removed"
}

// sortClusters puts those that need attention first, and sorts by name.
func sortClusters(clusters []mcnv1alpha1.ClusterStatus) {
	rank := map[metav1.ConditionStatus]int{metav1.ConditionFalse: 0, metav1.ConditionUnknown: 1, metav1.ConditionTrue: 2}
	slices.SortFunc(clusters, func(a, b mcnv1alpha1.ClusterStatus) int {
		return cmp.Or(cmp.Compare(rank[a.Programmed], rank[b.Programmed]), strings.Compare(a.Name, b.Name))
	})
}

// mode sums up on how many of the Managed members the policies have effect.
func mode(clusters []mcnv1alpha1.ClusterStatus) mcnv1alpha1.Mode {
	staged, enforced := 0, 0
	for _, c := range clusters {
		switch c.Mode {
		case mcnv1alpha1.ModeStaged:
			staged++
		case mcnv1alpha1.ModeEnforced:
			enforced++
		}
	}
	switch {
	case staged > 0 && enforced > 0:
		return mcnv1alpha1.ModeMixed
	case staged > 0:
		return mcnv1alpha1.ModeStaged
	case enforced > 0:
		return mcnv1alpha1.ModeEnforced
	}
	return ""
}

func summary(f NetworkFacts, clusters []mcnv1alpha1.ClusterStatus) mcnv1alpha1.NetworkSummary {
	out := mcnv1alpha1.NetworkSummary{Pods: int32(f.Pods), SharedPods: int32(f.SharedPods)} //nolint:gosec // far below 2^31
	for _, c := range f.Clusters {
		if c.Role == mcnv1alpha1.RoleSource {
			continue
		}
		out.Total++
		if !c.Reachable {
			out.Unreachable++
		}
		if c.Held {
			out.Held++
		}
	}
	for _, c := range clusters {
		if c.Mode == mcnv1alpha1.ModeStaged {
			out.Staged++
		}
		if c.Role != mcnv1alpha1.RoleSource && c.Programmed == metav1.ConditionTrue {
			out.Programmed++
		}
	}
	out.Clusters = fmt.Sprintf("%d/%d", out.Programmed, out.Total)
	return out
}

// setCondition sets a condition; its time changes only with its status.
func setCondition(all *[]metav1.Condition, f NetworkFacts, kind string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason, message string) {
	meta.SetStatusCondition(all, metav1.Condition{
		Type: kind, Status: status, Reason: string(reason), Message: Truncate(message),
		ObservedGeneration: f.Generation, LastTransitionTime: f.Now,
	})
}
