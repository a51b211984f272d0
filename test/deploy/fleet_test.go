package deploy

import (
	"context"
	"fmt"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// flat is a Closed Flat network of the namespaces with team=pay.
func flat(name string) *mcnv1alpha1.MultiCloudNetwork {
	return &mcnv1alpha1.MultiCloudNetwork{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcnv1alpha1.MultiCloudNetworkSpec{
			Model: mcnv1alpha1.ModelFlat, Boundary: mcnv1alpha1.BoundaryClosed,
			Flat: &mcnv1alpha1.FlatSpec{Pods: mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}}}},
		},
	}
}

// waitCondition waits for a condition of the newest generation of a network.
func waitCondition(t *testing.T, hub client.Client, name string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s to be Ready=%s, %s", name, status, reason), func() string {
		var n mcnv1alpha1.MultiCloudNetwork
		if err := hub.Get(t.Context(), client.ObjectKey{Name: name}, &n); err != nil {
			return err.Error()
		}
		c := apimeta.FindStatusCondition(n.Status.Conditions, mcnv1alpha1.ConditionReady)
		if c != nil && c.Status == status && c.Reason == string(reason) && c.ObservedGeneration == n.Generation {
			return ""
		}
		return fmt.Sprintf("%+v", n.Status)
	})
}

func waitReady(t *testing.T, hub client.Client, name string) {
	t.Helper()
	waitCondition(t, hub, name, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
}

// ours returns what a member holds of ours: the resourceVersions by kind and name.
func ours(t *testing.T, member *cluster.Cluster) map[string]string {
	t.Helper()
	c := operator.Admin(t, member)
	out := map[string]string{}
	for _, list := range []client.ObjectList{
		&calicov3.TierList{}, &calicov3.GlobalNetworkPolicyList{}, &calicov3.StagedGlobalNetworkPolicyList{}, &calicov3.GlobalNetworkSetList{},
		&calicov3.IPPoolList{},
	} {
		if err := c.List(context.Background(), list, client.HasLabels{mcnv1alpha1.OwnerLabel}); err != nil {
			t.Fatal(err)
		}
		if err := apimeta.EachListItem(list, func(o runtime.Object) error {
			object := o.(client.Object)
			out[fmt.Sprintf("%T %s", object, object.GetName())] = object.GetResourceVersion()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
