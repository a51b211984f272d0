package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/status"
)

// What the operator was doing when an event happened.
const (
	actionReconcile = "Reconcile"
	actionConnect   = "Connect"
	actionInspect   = "Inspect"
	actionRenew     = "Renew"
	actionRemove    = "Remove"
)

// transition is a condition that went to another status or reason. Its reason is the event's, its message the note; conditions hold no secret.
type transition struct {
	is     metav1.Condition
	kind   string
	action string
}

// record makes the event.
func (t transition) record(recorder events.EventRecorder, object runtime.Object) {
	recorder.Eventf(object, nil, t.kind, t.is.Reason, t.action, "%s", status.Truncate(t.is.Message))
}

// networkTransition tells of a network whose condition Ready went to another status or reason; nothing otherwise.
func networkTransition(recorder events.EventRecorder, n *mcnv1alpha1.MultiCloudNetwork, before, after []metav1.Condition) {
	was, is := meta.FindStatusCondition(before, mcnv1alpha1.ConditionReady), meta.FindStatusCondition(after, mcnv1alpha1.ConditionReady)
	if recorder == nil || !turned(was, is) {
		return
	}
	readyTurned(*is).record(recorder, n)
}

// readyTurned is the event of a network whose condition Ready changed: a warning unless all is well or being worked on.
func readyTurned(is metav1.Condition) transition {
	kind := corev1.EventTypeWarning
	switch {
	case is.Status == metav1.ConditionTrue, is.Reason == string(mcnv1alpha1.ReasonProgressing), is.Reason == string(mcnv1alpha1.ReasonDeleting):
		kind = corev1.EventTypeNormal
	}
	return transition{is: is, kind: kind, action: actionReconcile}
}

// memberTransition tells of a member that came into reach or was lost, of Calico there that became ready or ceased to be, of a credential that will
// end, and of a removal that began; nothing otherwise. The pass from one to the other, while the operator connects or nobody knows, is no event: a member that flaps makes one for each turn.
func memberTransition(recorder events.EventRecorder, m *mcnv1alpha1.MemberCluster, before, after []metav1.Condition) {
	if recorder == nil {
		return
	}
	was, is := meta.FindStatusCondition(before, mcnv1alpha1.ConditionReachable), meta.FindStatusCondition(after, mcnv1alpha1.ConditionReachable)
	if turned(was, is) && is.Status != metav1.ConditionUnknown {
		reachableTurned(*is).record(recorder, m)
	}
	was, is = meta.FindStatusCondition(before, mcnv1alpha1.ConditionCalicoReady), meta.FindStatusCondition(after, mcnv1alpha1.ConditionCalicoReady)
	failed := was != nil && was.Status == metav1.ConditionFalse
	// That Calico is ready is news only after it was not: a member that returns says so already.
	if turned(was, is) && (is.Status == metav1.ConditionFalse || (is.Status == metav1.ConditionTrue && failed)) {
		calicoTurned(*is).record(recorder, m)
	}
	was, is = meta.FindStatusCondition(before, mcnv1alpha1.ConditionReady), meta.FindStatusCondition(after, mcnv1alpha1.ConditionReady)
	if turned(was, is) && is.Reason == string(mcnv1alpha1.ReasonCredentialExpiring) {
		transition{is: *is, kind: corev1.EventTypeWarning, action: actionRenew}.record(recorder, m)
	}
	if turned(was, is) && is.Reason == string(mcnv1alpha1.ReasonDeleting) {
		transition{is: *is, kind: corev1.EventTypeNormal, action: actionRemove}.record(recorder, m)
	}
}

// reachableTurned is the event of a member that was connected, lost or refused.
func reachableTurned(is metav1.Condition) transition {
	return transition{is: is, kind: kindOf(is), action: actionConnect}
}

// calicoTurned is the event of a member whose Calico takes policies now, or takes none any more.
func calicoTurned(is metav1.Condition) transition {
	return transition{is: is, kind: kindOf(is), action: actionInspect}
}

// kindOf is Normal for a condition that is True.
func kindOf(is metav1.Condition) string {
	if is.Status == metav1.ConditionTrue {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

// turned tells whether a condition went to another status or reason.
func turned(was, is *metav1.Condition) bool {
	return is != nil && (was == nil || was.Status != is.Status || was.Reason != is.Reason)
}
