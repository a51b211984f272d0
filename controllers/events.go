package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// maxNote is the length that the events API accepts for a note.
const maxNote = 1024

// networkTransition tells of a network whose condition Ready went to another status or reason; nothing otherwise.
func networkTransition(recorder events.EventRecorder, n *mcnv1alpha1.MultiCloudNetwork, before, after []metav1.Condition) {
	was, is := meta.FindStatusCondition(before, mcnv1alpha1.ConditionReady), meta.FindStatusCondition(after, mcnv1alpha1.ConditionReady)
	if recorder == nil || is == nil || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
		return
	}
	kind := corev1.EventTypeWarning
	switch {
	case is.Status == metav1.ConditionTrue, is.Reason == string(mcnv1alpha1.ReasonProgressing), is.Reason == string(mcnv1alpha1.ReasonDeleting):
		kind = corev1.EventTypeNormal
	}
	recorder.Eventf(n, nil, kind, is.Reason, "Reconcile", "%s", is.Message[:min(len(is.Message), maxNote)])
}
