package controllers

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func condition(kind string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: string(reason), Message: "because"}
}

// recorded are the events that a recorder holds, each as "type reason note".
func recorded(r *events.FakeRecorder) []string {
	var out []string
	for len(r.Events) > 0 {
		out = append(out, <-r.Events)
	}
	return out
}

func TestMemberEventsAreTransitions(t *testing.T) {
	const unknown, yes, no = metav1.ConditionUnknown, metav1.ConditionTrue, metav1.ConditionFalse
	reach := func(status metav1.ConditionStatus, reason mcnv1alpha1.Reason) metav1.Condition {
		return condition(mcnv1alpha1.ConditionReachable, status, reason)
	}
	calico := func(status metav1.ConditionStatus, reason mcnv1alpha1.Reason) metav1.Condition {
		return condition(mcnv1alpha1.ConditionCalicoReady, status, reason)
	}
	connected := []metav1.Condition{reach(yes, mcnv1alpha1.ReasonConnected), calico(yes, mcnv1alpha1.ReasonCalicoReady)}
	lost := []metav1.Condition{reach(no, mcnv1alpha1.ReasonConnectionFailed), calico(unknown, mcnv1alpha1.ReasonClusterUnreachable)}
	connecting := []metav1.Condition{reach(unknown, mcnv1alpha1.ReasonConnecting), calico(unknown, mcnv1alpha1.ReasonConnecting)}
	notReady := []metav1.Condition{reach(yes, mcnv1alpha1.ReasonConnected), calico(no, mcnv1alpha1.ReasonDatastoreNotReady)}
	refused := []metav1.Condition{reach(no, mcnv1alpha1.ReasonKubeconfigRefused), calico(unknown, mcnv1alpha1.ReasonClusterUnreachable)}
	leaving := append(slices.Clone(connected), condition(mcnv1alpha1.ConditionReady, no, mcnv1alpha1.ReasonDeleting))
	for name, tc := range map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"being removed":             {before: connected, after: leaving, want: []string{"Normal Deleting because"}},
		"still being removed":       {before: leaving, after: leaving},
		"new, connecting":           {before: nil, after: connecting},
		"connected":                 {before: connecting, after: connected, want: []string{"Normal Connected because"}},
		"still connected":           {before: connected, after: connected},
		"lost":                      {before: connected, after: lost, want: []string{"Warning ConnectionFailed because"}},
		"still lost":                {before: lost, after: lost},
		"connecting again":          {before: lost, after: connecting},
		"back":                      {before: lost, after: connected, want: []string{"Normal Connected because"}},
		"a kubeconfig refused":      {before: lost, after: refused, want: []string{"Warning KubeconfigRefused because"}},
		"Calico not ready":          {before: connected, after: notReady, want: []string{"Warning DatastoreNotReady because"}},
		"Calico ready again":        {before: notReady, after: connected, want: []string{"Normal CalicoReady because"}},
		"lost while not ready":      {before: notReady, after: lost, want: []string{"Warning ConnectionFailed because"}},
		"connected, Calico missing": {before: connecting, after: notReady, want: []string{"Normal Connected because", "Warning DatastoreNotReady because"}},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(5)
			memberTransition(recorder, &mcnv1alpha1.MemberCluster{}, tc.before, tc.after)
			if diff := cmp.Diff(tc.want, recorded(recorder)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			memberTransition(nil, &mcnv1alpha1.MemberCluster{}, tc.before, tc.after) // without a recorder nothing happens
		})
	}
}

func TestNetworkEventsAreTransitions(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason mcnv1alpha1.Reason) []metav1.Condition {
		return []metav1.Condition{condition(mcnv1alpha1.ConditionReady, status, reason)}
	}
	writing, done := ready(metav1.ConditionFalse, mcnv1alpha1.ReasonProgressing), ready(metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	failed := ready(metav1.ConditionFalse, mcnv1alpha1.ReasonWriteFailed)
	failed[0].Message = strings.Repeat("é", 2000)
	for name, tc := range map[string]struct {
		before, after []metav1.Condition
		want          string
	}{
		"new": {before: nil, after: writing, want: "Normal Progressing "}, "done": {before: writing, after: done, want: "Normal Ready "},
		"the same": {before: done, after: done}, "a write failed": {before: done, after: failed, want: "Warning WriteFailed "},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(5)
			networkTransition(recorder, &mcnv1alpha1.MultiCloudNetwork{}, tc.before, tc.after)
			got := strings.Join(recorded(recorder), "; ")
			if !strings.HasPrefix(got, tc.want) || (tc.want == "") != (got == "") || len(got) > 1024+len(tc.want) {
				t.Errorf("events are %q, want one %q with a note of at most 1024 bytes", got, tc.want)
			}
		})
	}
}
