package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// verdict turns what is known of the clusters into conditions.
type verdict struct {
	facts    NetworkFacts
	clusters []mcnv1alpha1.ClusterStatus
	summary  mcnv1alpha1.NetworkSummary
}

// reasonRank orders the reasons of clusters: what somebody has to act on comes first.
var reasonRank = []mcnv1alpha1.Reason{
	mcnv1alpha1.ReasonOwnershipConflict, mcnv1alpha1.ReasonContended, mcnv1alpha1.ReasonKindNotServed, mcnv1alpha1.ReasonWriteFailed,
	mcnv1alpha1.ReasonClusterNotReady, mcnv1alpha1.ReasonClusterUnreachable, mcnv1alpha1.ReasonHeld, mcnv1alpha1.ReasonProgressing,
}

func (v verdict) setConditions(all *[]metav1.Condition) {
	f := v.facts
	acceptedStatus, acceptedReason, acceptedMessage := v.accepted()
	setCondition(all, f, mcnv1alpha1.ConditionAccepted, acceptedStatus, acceptedReason, acceptedMessage)
	programmedStatus, reason, message := v.programmed()
	setCondition(all, f, mcnv1alpha1.ConditionProgrammed, programmedStatus, reason, message)
	readyStatus, readyReason, readyMessage := v.ready(acceptedStatus, reason, message)
	setCondition(all, f, mcnv1alpha1.ConditionReady, readyStatus, readyReason, readyMessage)

	stalled := acceptedStatus == metav1.ConditionFalse && !f.Deleting
	v.setWhile(all, mcnv1alpha1.ConditionStalled, stalled, acceptedReason, acceptedMessage)
	v.setWhile(all, mcnv1alpha1.ConditionReconciling, !stalled && v.working(readyStatus), reason, message)
}

// setWhile keeps a condition only while it is true.
func (v verdict) setWhile(all *[]metav1.Condition, kind string, is bool, reason mcnv1alpha1.Reason, message string) {
	if is {
		setCondition(all, v.facts, kind, metav1.ConditionTrue, reason, message)
		return
	}
	meta.RemoveStatusCondition(all, kind)
}

func (v verdict) accepted() (metav1.ConditionStatus, mcnv1alpha1.Reason, string) {
	f := v.facts
	if len(f.Errors) > 0 {
		messages := make([]string, 0, len(f.Errors))
		reason := mcnv1alpha1.ReasonInvalid
		for _, err := range f.Errors {
			messages = append(messages, err.Error())
			// The one thing that compile forbids about membership is an Exclusive network too many.
			if err.Type == field.ErrorTypeForbidden && err.Field == "spec.membership" {
				reason = mcnv1alpha1.ReasonNoExclusiveSlot
			}
		}
		tail := "; what an earlier spec wrote, if one was valid, stays in force"
		switch {
		case f.InForce > 0:
			tail = fmt.Sprintf("; generation %d stays in force", f.InForce)
		case f.Generation == 1:
			tail = "; nothing was written for it"
		}
		return metav1.ConditionFalse, reason, Truncate(strings.Join(messages, "; ")+tail, tail)
	}
	message := "the spec is valid"
	for _, w := range f.Warnings {
		where := ""
		if w.Cluster != "" {
			where = " on cluster " + w.Cluster
		}
		message += fmt.Sprintf("; %s%s: %s", w.Code, where, w.Message)
	}
	return metav1.ConditionTrue, mcnv1alpha1.ReasonAccepted, message
}

func (v verdict) programmed() (metav1.ConditionStatus, mcnv1alpha1.Reason, string) {
	f := v.facts
	switch {
	case f.Deleting:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonDeleting, v.deleting()
	case len(f.Errors) > 0:
		_, reason, _ := v.accepted()
		return metav1.ConditionFalse, reason, "the spec is invalid: see condition Accepted"
	case v.summary.Total == 0:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonNoClusters,
			"spec.clusters.selector picks no MemberCluster with role Managed: label one, or change the selector"
	case v.summary.Programmed == v.summary.Total:
		return metav1.ConditionTrue, mcnv1alpha1.ReasonProgrammed, fmt.Sprintf(
			"%d of %d clusters hold the network as specified; this was read back from their API servers, and is no proof of routing",
			v.summary.Programmed, v.summary.Total)
	}
	status := metav1.ConditionUnknown
	for _, c := range v.clusters {
		if c.Role != mcnv1alpha1.RoleSource && c.Programmed == metav1.ConditionFalse {
			status = metav1.ConditionFalse
		}
	}
	reason, details := v.worst()
	if waits := v.waits(); waits != "" && reason != mcnv1alpha1.ReasonProgressing {
		details += "; meanwhile " + waits
	}
	return status, reason, fmt.Sprintf("%d of %d clusters hold the network as specified; %s", v.summary.Programmed, v.summary.Total, details)
}

// waits says of clusters that can be written what they wait for, where that is another cluster.
func (v verdict) waits() string {
	var messages []string
	names := map[string][]string{}
	for _, c := range v.facts.Clusters {
		if c.Report == nil || c.Report.Waits == "" {
			continue
		}
		// Only clusters that are said to be at work wait: another verdict on a cluster counts more than what its worker said last.
		if i := slices.IndexFunc(v.clusters, func(said mcnv1alpha1.ClusterStatus) bool { return said.Name == c.Name }); v.clusters[i].Reason != string(mcnv1alpha1.ReasonProgressing) {
			continue
		}
		if names[c.Report.Waits] == nil {
			messages = append(messages, c.Report.Waits)
		}
		names[c.Report.Waits] = append(names[c.Report.Waits], c.Name)
	}
	return grouped(messages, names)
}

// worst names the gravest reason among the clusters, and clusters that have it. One message speaks for those that say the same; of those that say something
// else there is their own, as long as they are few.
func (v verdict) worst() (mcnv1alpha1.Reason, string) {
	for _, reason := range reasonRank {
		var messages []string
		names := map[string][]string{}
		for _, c := range v.clusters {
			if c.Role == mcnv1alpha1.RoleSource || c.Reason != string(reason) {
				continue
			}
			if names[c.Message] == nil {
				messages = append(messages, c.Message)
			}
			names[c.Message] = append(names[c.Message], c.Name)
		}
		if len(messages) > 0 {
			return reason, grouped(messages, names)
		}
	}
	return mcnv1alpha1.ReasonProgressing, "the others are being worked on"
}

// grouped is a text for each message, with a few of the clusters that it speaks of, and the number of clusters that other messages speak of.
func grouped(messages []string, names map[string][]string) string {
	const fewNames, fewMessages = 3, 2
	var out []string
	left := 0
	for i, message := range messages {
		of := names[message]
		if i >= fewMessages {
			left += len(of)
			continue
		}
		if more := len(of) - fewNames; more > 0 {
			of = append(slices.Clone(of[:fewNames]), fmt.Sprintf("and %d more", more))
		}
		out = append(out, strings.Join(of, ", ")+": "+message)
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("%d more for other causes: see status.clusters", left))
	}
	return strings.Join(out, "; ")
}

// lacking names the clusters that do not hold what is specified, as far as anybody knows.
func (v verdict) lacking() string {
	names := make([]string, 0, len(v.clusters))
	for _, c := range v.clusters {
		if c.Role != mcnv1alpha1.RoleSource && c.Programmed != metav1.ConditionTrue {
			names = append(names, c.Name)
		}
	}
	const few = 3
	if more := len(names) - few; more > 0 {
		names = append(names[:few], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

func (v verdict) ready(
	accepted metav1.ConditionStatus, reason mcnv1alpha1.Reason, message string,
) (metav1.ConditionStatus, mcnv1alpha1.Reason, string) {
	s := v.summary
	need := s.Total - v.facts.MaxUnavailable
	switch {
	case v.facts.Deleting:
		return metav1.ConditionFalse, mcnv1alpha1.ReasonDeleting, message
	case accepted != metav1.ConditionTrue:
		_, reason, message := v.accepted()
		return metav1.ConditionFalse, reason, message
	case s.Total == 0:
		return metav1.ConditionFalse, reason, message
	case s.Programmed >= need:
		text := fmt.Sprintf("the network is in force as specified on %d of %d clusters", s.Programmed, s.Total)
		if s.Programmed < s.Total {
			_, why, _ := strings.Cut(message, "; ")
			text += fmt.Sprintf(", and not on %s; that is enough, because spec.clusters.maxUnavailable is %d; %s", v.lacking(), v.facts.MaxUnavailable, why)
		}
		return metav1.ConditionTrue, mcnv1alpha1.ReasonReady, text
	}
	unknown := int32(0)
	for _, c := range v.clusters {
		if c.Role != mcnv1alpha1.RoleSource && c.Programmed == metav1.ConditionUnknown {
			unknown++
		}
	}
	if s.Programmed+unknown >= need {
		return metav1.ConditionUnknown, reason, message
	}
	return metav1.ConditionFalse, reason, message
}

// working tells whether the operator is at work toward the spec: it writes, or tries again what failed. It does not where updates are Held. A network that
// is Ready is at work only while it writes: a cluster that stays away within maxUnavailable must not keep it from being done.
func (v verdict) working(ready metav1.ConditionStatus) bool {
	if v.facts.Deleting {
		return true
	}
	return slices.ContainsFunc(v.clusters, func(c mcnv1alpha1.ClusterStatus) bool {
		switch {
		case c.Role == mcnv1alpha1.RoleSource, c.Programmed == metav1.ConditionTrue, c.Reason == string(mcnv1alpha1.ReasonHeld):
			return false
		case c.Reason == string(mcnv1alpha1.ReasonProgressing):
			return true
		}
		return ready != metav1.ConditionTrue
	})
}

// deleting names where the network still is, those out of reach first.
func (v verdict) deleting() string {
	var away, unseen, left []string
	for i, c := range v.facts.Clusters {
		switch {
		case c.Role == mcnv1alpha1.RoleSource:
		case !c.Reachable && c.Unseen && !c.Left:
			unseen = append(unseen, c.Name)
		case !c.Reachable:
			away = append(away, v.facts.Clusters[i].Name)
		case c.Report == nil || !c.Report.Gone:
			left = append(left, v.facts.Clusters[i].Name)
		}
	}
	slices.Sort(away)
	slices.Sort(left)
	slices.Sort(unseen)
	out := "the network is being removed"
	if v.facts.Orphan {
		out += ", and what it wrote stays in place: deletionPolicy is Orphan"
	}
	if len(left) > 0 {
		out += " from " + strings.Join(left, ", ")
	}
	if len(away) > 0 {
		out += "; out of reach, and waited for no longer than --barrier: " + strings.Join(away, ", ") + "; what was written there stays until they return"
	}
	if len(unseen) > 0 {
		out += "; never connected, and waited for no longer than --barrier: " + strings.Join(unseen, ", ") + "; nothing of the network is known to stand there"
	}
	if v.facts.Obstacle != "" {
		out += "; " + v.facts.Obstacle
	}
	return out
}
