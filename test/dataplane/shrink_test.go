package dataplane

import (
	"slices"
	"testing"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/dataplane/intent"
)

// shrinkFor bounds the search for the smallest networks that fail.
const shrinkFor = 3 * time.Minute

// shrink leaves out networks, and parts of them, one by one, as long as what is left fails, and prints the smallest.
func (w *world) shrink(t *testing.T, networks []*mcnv1alpha1.MultiCloudNetwork, traffic []intent.Traffic) {
	t.Helper()
	smallest, wrong := networks, []string{"(not tried)"}
	for began, found := time.Now(), true; found && time.Since(began) < shrinkFor; {
		found = false
		for _, candidate := range smaller(smallest) {
			w.set(t, candidate...)
			now := w.wrongNow(t, traffic)
			if len(now) > 0 {
				smallest, wrong, found = candidate, now, true
				break
			}
		}
	}
	w.set(t, smallest...)
	t.Logf("the smallest that fails, %d cells, %s, with\n%s", len(wrong), wrong[0], w.describe())
}

// wrongNow returns the cells that stay wrong.
func (w *world) wrongNow(t *testing.T, traffic []intent.Traffic) []string {
	t.Helper()
	cells := w.expect(w.flows(traffic))
	var wrong []string
	for range 3 {
		must(t, w.Settle(t.Context()))
		var err error
		wrong, err = try(cells)
		must(t, err)
		if len(wrong) == 0 {
			return nil
		}
	}
	return wrong
}

// smaller returns what is left of networks when one thing is left out.
func smaller(networks []*mcnv1alpha1.MultiCloudNetwork) [][]*mcnv1alpha1.MultiCloudNetwork {
	var out [][]*mcnv1alpha1.MultiCloudNetwork
	for i := range networks {
		if len(networks) > 1 {
			out = append(out, slices.Delete(slices.Clone(networks), i, i+1))
		}
	}
	for i, n := range networks {
		with := func(change func(*mcnv1alpha1.MultiCloudNetworkSpec)) {
			less := slices.Clone(networks)
			less[i] = n.DeepCopy()
			change(&less[i].Spec)
			out = append(out, less)
		}
		for j := range n.Spec.Routes {
			with(func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Routes = slices.Delete(s.Routes, j, j+1) })
			if len(n.Spec.Routes[j].Ports) > 0 {
				with(func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Routes[j].Ports = nil })
			}
		}
		if n.Spec.VLAN != nil && len(n.Spec.Routes) == 0 && len(n.Spec.VLAN.Segments) > 1 {
			for j := range n.Spec.VLAN.Segments {
				with(func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.VLAN.Segments = slices.Delete(s.VLAN.Segments, j, j+1) })
			}
		}
		if n.Spec.Calico != nil && len(n.Spec.Calico.Policies) > 1 {
			for j := range n.Spec.Calico.Policies {
				with(func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
					s.Calico.Policies = slices.Delete(s.Calico.Policies, j, j+1)
				})
			}
		}
		if n.Spec.Calico != nil {
			for j, p := range n.Spec.Calico.Policies {
				if len(p.Ingress) > 1 {
					with(func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
						s.Calico.Policies[j].Ingress = s.Calico.Policies[j].Ingress[1:]
					})
				}
				if len(p.Egress) > 1 {
					with(func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
						s.Calico.Policies[j].Egress = s.Calico.Policies[j].Egress[1:]
					})
				}
			}
		}
	}
	return out
}
