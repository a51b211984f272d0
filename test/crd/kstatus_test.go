package crd

import (
	"context"
	"testing"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// TestHealthFromTheAPIServer: kstatus, and with it Flux, reads what the API server stores. A new object is in progress before any operator has seen it,
// one that is ready is current, and one whose spec changed since is in progress again.
func TestHealthFromTheAPIServer(t *testing.T) {
	for name, tc := range map[string]struct {
		base   string
		change edit
	}{
		"a network": {base: vlanBase, change: edit{"spec.updates", "Held"}},
		"a member":  {base: memberBase, change: edit{"spec.updates", "Automatic"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := build(t, tc.base, edit{"metadata.name", "health"})
			create(t, object)
			wantHealth(t, object, kstatus.InProgressStatus)

			status := map[string]any{"observedGeneration": object.GetGeneration(), "conditions": []any{map[string]any{
				"type": mcnv1alpha1.ConditionReady, "status": string(metav1.ConditionTrue), "reason": string(mcnv1alpha1.ReasonReady), "message": "",
				"lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": object.GetGeneration(),
			}}}
			if err := unstructured.SetNestedMap(object.Object, status, "status"); err != nil {
				t.Fatal(err)
			}
			if err := hub.Status().Update(context.Background(), object); err != nil {
				t.Fatal(err)
			}
			wantHealth(t, object, kstatus.CurrentStatus)

			if err := put(object.Object, steps(tc.change.path), tc.change.value, false); err != nil {
				t.Fatal(err)
			}
			if err := hub.Update(context.Background(), object); err != nil {
				t.Fatal(err)
			}
			wantHealth(t, object, kstatus.InProgressStatus)
		})
	}
}

// wantHealth reads an object and computes what kstatus makes of it.
func wantHealth(t *testing.T, object *unstructured.Unstructured, want kstatus.Status) {
	t.Helper()
	if err := hub.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	got, err := kstatus.Compute(object)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want {
		t.Errorf("generation %d with status %v is %s, want %s", object.GetGeneration(), object.Object["status"], got.Status, want)
	}
}
