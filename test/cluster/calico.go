package cluster

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// calicoV3 is the API group version that users and the operator write.
var calicoV3 = schema.GroupVersion{Group: "projectcalico.org", Version: "v3"}

// tierSpec is one of the tiers that Calico makes by itself.
type tierSpec struct {
	name   string
	order  float64
	action string
}

// createCalicoDefaults writes what Calico's own components write when they start: the tiers and ClusterInformation/default.
func (c *Cluster) createCalicoDefaults(ctx context.Context, version schema.GroupVersion, calico string, tiers []tierSpec) error {
	objects := []object{newObject(version.WithResource("clusterinformations"), "ClusterInformation", "", "default", map[string]any{
		"spec": map[string]any{"datastoreReady": true, "calicoVersion": calico, "clusterType": "k8s,kdd", "variant": "Calico"},
	})}
	for _, tier := range tiers {
		objects = append(objects, newObject(version.WithResource("tiers"), "Tier", "", tier.name, map[string]any{
			"spec": map[string]any{"order": tier.order, "defaultAction": tier.action},
		}))
	}
	for _, each := range objects {
		if err := c.apply(ctx, each); err != nil {
			return fmt.Errorf("what Calico makes by itself: %w", err)
		}
	}
	return nil
}

// waitForPolicies waits until Calico's API lists policies, and discovery names them: kube-apiserver gathers what aggregated servers serve in the
// background, and clients that look a kind up before that believe that it does not exist.
func (c *Cluster) waitForPolicies(ctx context.Context, p *process) error {
	const policies = "globalnetworkpolicies"
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	finder, err := discovery.NewDiscoveryClientForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	err = wait(ctx, policies+" are listed", p, func(ctx context.Context) error {
		_, err := client.Resource(calicoV3.WithResource(policies)).List(ctx, metav1.ListOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return wait(ctx, policies+" are discovered", p, func(context.Context) error {
		_, served, err := finder.ServerGroupsAndResources()
		if err != nil {
			return err
		}
		for _, list := range served {
			if list.GroupVersion == calicoV3.String() && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == policies }) {
				return nil
			}
		}
		return fmt.Errorf("discovery does not name %s of %s yet", policies, calicoV3)
	})
}
