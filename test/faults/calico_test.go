package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// calicoRows break Calico on a member, and what is deleted while a member is away.
func calicoRows() []row {
	return []row{
		{
			id: "F25", fault: "Calico is not there on one member",
			injected: "A member without Calico's CRDs is selected by a network; then they are installed",
			expected: "That member is not ready, with the reason; the others are; it recovers by itself",
			result:   "`CalicoNotInstalled` on the member; the network is programmed elsewhere; Ready after the installation, without a restart",
			run:      calicoAbsent,
		},
		{
			id: "F26", fault: "A member's CRD drops a field that is needed",
			injected: "`namespaceSelector` is taken out of the schema of GlobalNetworkPolicy",
			expected: "The lost field is found and reported; a policy without it never counts as programmed",
			result:   "`WriteFailed`, and no policy without the field is stored; Ready when the schema is whole again",
			run:      fieldDropped,
		},
		{
			id: "F39", fault: "A network is deleted while a member is dead",
			injected: "SIGKILL to the member's kube-apiserver, then the network is deleted",
			expected: "The finalizer does not hang; what is left is removed when the member returns",
			result:   "The network is gone from the hub after the barrier; after the return nothing of it is left on the member",
			run:      deletedWhileDead,
		},
	}
}

func calicoAbsent(t *testing.T, w *world) time.Duration {
	s := w.sites[north]
	eventually(t, "north says that Calico is missing", func() error {
		m, err := w.member(north)
		if err != nil {
			return err
		}
		return condition(m.Status.Conditions, mcnv1alpha1.ConditionCalicoReady, metav1.ConditionFalse, mcnv1alpha1.ReasonCalicoNotInstalled, "")
	})
	w.create(t, flat("f25", north), north)
	eventually(t, "f25 is not programmed on north", func() error {
		c, err := w.clusterStatus("f25", north)
		if err == nil && (c.Programmed != metav1.ConditionFalse || c.Reason == "" || c.Message == "") {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
	for _, name := range base {
		n, err := w.get(name)
		must(t, err)
		if !apimeta.IsStatusConditionTrue(n.Status.Conditions, mcnv1alpha1.ConditionAccepted) {
			t.Errorf("network %s: %v", name, n.Status.Conditions)
		}
	}
	must(t, s.InstallNative(t.Context()))
	return w.waitReady(t, "f25")
}

// crd reads the CRD of policies.
func (s *site) crd(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	must(t, s.admin.Get(t.Context(), client.ObjectKey{Name: "globalnetworkpolicies.projectcalico.org"}, crd))
	return crd
}

// editSchema changes the properties of a policy's spec, and returns what they were.
func (s *site) editSchema(t *testing.T, edit func(properties map[string]any)) {
	t.Helper()
	crd := s.crd(t)
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	must(t, err)
	path := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties"}
	for _, each := range versions {
		version := each.(map[string]any)
		properties, _, err := unstructured.NestedMap(version, path...)
		must(t, err)
		edit(properties)
		must(t, unstructured.SetNestedMap(version, properties, path...))
	}
	must(t, unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"))
	must(t, s.admin.Update(t.Context(), crd))
}

func fieldDropped(t *testing.T, w *world) time.Duration {
	s := w.sites[north]
	// The guard, which would be written first and fail first, stands already.
	w.network(t, "f26-before", north)
	const field = "namespaceSelector"
	var kept any
	s.editSchema(t, func(properties map[string]any) {
		kept = properties[field]
		delete(properties, field)
	})
	if kept == nil {
		t.Fatalf("the CRD has no field %s", field)
	}
	probe := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{field: "all()", "selector": "app == 'probe'", "types": []any{"Ingress"}}}}
	probe.SetAPIVersion("projectcalico.org/v3")
	probe.SetKind("GlobalNetworkPolicy")
	eventually(t, "the API server serves the poorer schema", func() error {
		out := probe.DeepCopy()
		out.SetName("default.probe")
		if err := s.admin.Create(t.Context(), out, client.DryRunAll); err != nil {
			return err
		}
		if _, has, _ := unstructured.NestedString(out.Object, "spec", field); has {
			return fmt.Errorf("%s is kept", field)
		}
		return nil
	})
	w.create(t, flat("f26", north), north)
	eventually(t, "f26 says that north cannot hold it", func() error {
		c, err := w.clusterStatus("f26", north)
		if err == nil && (c.Programmed != metav1.ConditionFalse || c.Reason != string(mcnv1alpha1.ReasonWriteFailed)) {
			err = fmt.Errorf("%+v", c)
		}
		if err == nil {
			t.Logf("north: %s", c.Message)
		}
		return err
	})
	for key, o := range s.held(t, "f26") {
		if _, has, _ := unstructured.NestedString(o.Object, "spec", field); strings.HasPrefix(key, "GlobalNetworkPolicy ") && !has {
			t.Errorf("%s is stored without %s", key, field)
		}
	}
	s.editSchema(t, func(properties map[string]any) { properties[field] = kept })
	return w.waitReady(t, "f26")
}

func deletedWhileDead(t *testing.T, w *world) time.Duration {
	s := w.sites[north]
	w.network(t, "f39", north)
	s.down(t)
	w.waitReachable(t, north, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, "")
	t.Logf("gone from the hub after %s", w.remove(t, "f39"))
	s.up(t)
	return eventually(t, "nothing of f39 is left on north", func() error {
		now, err := s.content("f39")
		if err == nil && len(now) > 0 {
			err = fmt.Errorf("%d objects are left", len(now))
		}
		return err
	})
}
