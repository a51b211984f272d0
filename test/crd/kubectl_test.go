package crd

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// writeStatus creates an object and writes its status as the operator does, through the subresource.
func writeStatus(t *testing.T, object *unstructured.Unstructured, status any) {
	t.Helper()
	create(t, object)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		t.Fatal(err)
	}
	base := client.MergeFrom(object.DeepCopy())
	object.Object["status"] = fields
	if err := hub.Status().Patch(context.Background(), object, base); err != nil {
		t.Fatal(err)
	}
}

// age is what kubectl prints at the end of a row.
var age = regexp.MustCompile(`\d+[smh][0-9smh]*$`)

// kubectlGet is the table that a user sees of the named objects, in the order given, with AGE as "0s".
func kubectlGet(t *testing.T, args ...string) string {
	t.Helper()
	out, err := hubCluster.Kubectl(t.Context(), append([]string{"get"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i, line := range lines {
		lines[i] = age.ReplaceAllString(strings.TrimRight(line, " "), "0s")
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

func TestKubectlGetNetworks(t *testing.T) {
	t.Parallel()
	condition := func(status metav1.ConditionStatus, reason mcnv1alpha1.Reason) []metav1.Condition {
		return []metav1.Condition{readyCondition(status, reason)}
	}
	writeStatus(t, build(t, vlanBase, edit{"metadata.name", "get-payments"}), &mcnv1alpha1.MultiCloudNetworkStatus{
		ObservedGeneration: 1, Boundary: mcnv1alpha1.BoundaryClosed, Mode: mcnv1alpha1.ModeMixed,
		Summary:    mcnv1alpha1.NetworkSummary{Clusters: "39/40", Total: 40, Programmed: 39, Unreachable: 1, Held: 2, Pods: 1200, SharedPods: 3},
		Conditions: condition(metav1.ConditionUnknown, mcnv1alpha1.ReasonClusterUnreachable),
	})
	writeStatus(t, build(t, calicoBase, edit{"metadata.name", "get-shop"}), &mcnv1alpha1.MultiCloudNetworkStatus{
		ObservedGeneration: 1, Boundary: mcnv1alpha1.BoundaryOpen, Mode: mcnv1alpha1.ModeEnforced,
		Summary:    mcnv1alpha1.NetworkSummary{Clusters: "3/3", Total: 3, Programmed: 3, Pods: 9},
		Conditions: condition(metav1.ConditionTrue, mcnv1alpha1.ReasonReady),
	})
	create(t, build(t, flatBase, edit{"metadata.name", "get-newborn"}))

	names := []string{"get-payments", "get-shop", "get-newborn"}
	wantPlain := `
NAME           MODEL    MODE       CLUSTERS   READY     REASON               AGE
get-payments   VLAN     Mixed      39/40      Unknown   ClusterUnreachable   0s
get-shop       Calico   Enforced   3/3        True      Ready                0s
get-newborn    Flat                           Unknown   Pending              0s
`
	if diff := cmp.Diff(wantPlain, kubectlGet(t, append([]string{"mcn"}, names...)...)); diff != "" {
		t.Errorf("kubectl get mcn (-want +got):\n%s", diff)
	}
	wantWide := `
NAME           MODEL    MODE       CLUSTERS   READY     REASON               BOUNDARY   PODS   SHARED   STALE   HELD   AGE
get-payments   VLAN     Mixed      39/40      Unknown   ClusterUnreachable   Closed     1200   3        1       2      0s
get-shop       Calico   Enforced   3/3        True      Ready                Open       9      0        0       0      0s
get-newborn    Flat                           Unknown   Pending                                                        0s
`
	if diff := cmp.Diff(wantWide, kubectlGet(t, append([]string{"mcn", "-o", "wide"}, names...)...)); diff != "" {
		t.Errorf("kubectl get mcn -o wide (-want +got):\n%s", diff)
	}
}

func TestKubectlGetMembers(t *testing.T) {
	t.Parallel()
	staleSince := metav1.NewTime(time.Now().Add(-3 * 24 * time.Hour))
	writeStatus(t, build(t, memberBase, edit{"metadata.name", "get-aws"}), &mcnv1alpha1.MemberClusterStatus{
		ObservedGeneration: 1, Cloud: mcnv1alpha1.CloudStatus{Provider: "aws", Region: "us-east-1"},
		Calico:     mcnv1alpha1.CalicoStatus{Version: "v3.31.0", API: mcnv1alpha1.CalicoAPIAggregated, CNI: "AmazonVPC"},
		Conditions: []metav1.Condition{readyCondition(metav1.ConditionTrue, mcnv1alpha1.ReasonReady)},
	})
	writeStatus(t, build(t, memberBase, edit{"metadata.name", "get-lost"}, edit{"spec.role", "Source"}), &mcnv1alpha1.MemberClusterStatus{
		ObservedGeneration: 1, StaleSince: &staleSince, Calico: mcnv1alpha1.CalicoStatus{CNI: mcnv1alpha1.CNICalico},
		Conditions: []metav1.Condition{readyCondition(metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed)},
	})
	create(t, build(t, memberBase, edit{"metadata.name", "get-newborn-member"}))
	leaving := build(t, memberBase, edit{"metadata.name", "get-leaving"}, edit{"spec.updates", "Automatic"}, edit{"metadata.finalizers", "[" + mcnv1alpha1.CleanupFinalizer + "]"})
	writeStatus(t, leaving, &mcnv1alpha1.MemberClusterStatus{
		ObservedGeneration: 1, Conditions: []metav1.Condition{readyCondition(metav1.ConditionFalse, mcnv1alpha1.ReasonDeleting)},
	})
	if err := hub.Delete(t.Context(), leaving); err != nil {
		t.Fatal(err)
	}

	names := []string{"get-aws", "get-lost", "get-leaving", "get-newborn-member"}
	want := `
NAME                 PROVIDER   REGION      CALICO    CNI         ROLE      READY     REASON             STALE-SINCE   AGE
get-aws              aws        us-east-1   v3.31.0   AmazonVPC   Managed   True      Ready                            0s
get-lost                                              Calico      Source    False     ConnectionFailed   3d            0s
get-leaving                                                       Managed   False     Deleting                         0s
get-newborn-member                                                Managed   Unknown   Pending                          0s
`
	if diff := cmp.Diff(want, kubectlGet(t, append([]string{"mcm"}, names...)...)); diff != "" {
		t.Errorf("kubectl get mcm (-want +got):\n%s", diff)
	}
	wantWide := `
NAME                 PROVIDER   REGION      CALICO    CNI         ROLE      READY     REASON             STALE-SINCE   UPDATES     AGE
get-aws              aws        us-east-1   v3.31.0   AmazonVPC   Managed   True      Ready                            Held        0s
get-lost                                              Calico      Source    False     ConnectionFailed   3d            Held        0s
get-leaving                                                       Managed   False     Deleting                         Automatic   0s
get-newborn-member                                                Managed   Unknown   Pending                          Held        0s
`
	if diff := cmp.Diff(wantWide, kubectlGet(t, append([]string{"mcm", "-o", "wide"}, names...)...)); diff != "" {
		t.Errorf("kubectl get mcm -o wide (-want +got):\n%s", diff)
	}
}
