package dataplane

import (
	"fmt"
	"testing"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/operator"
)

// testHubless has an operator in every cluster, which manages that cluster and only reads the others, and the same networks in each: the matrix is that
// of one hub.
func (w *world) testHubless(t *testing.T) {
	w.set(t)
	w.operator.Kill()
	hub, admin, before := w.Hub, w.HubAdmin, w.operator
	networks := []*mcnv1alpha1.MultiCloudNetwork{vlan("n1", tiers("shop"), chain), calicoCases[0].networks[0], flat("n2", of("bank", ""), mcnv1alpha1.BoundaryClosed)}
	networks[1].Spec.Calico.Policies[0].Pods = of("tools", "")
	var operators []*operator.Process
	for _, own := range w.Sites {
		access.InstallHub(t, own.Cluster)
		access.Apply(t, own.Cluster, "local")
		for _, s := range w.Sites {
			operator.Register(t, own.Cluster, s.Cluster, s.Name, func(m *mcnv1alpha1.MemberCluster) {
				m.Labels = memberLabels[s.Name]
				m.Spec.PodNetwork.SourceNAT = mcnv1alpha1.SourceNATPreserve
				m.Spec.Role = mcnv1alpha1.RoleSource
				if s == own {
					m.Spec.Role, m.Spec.Access = mcnv1alpha1.RoleManaged, mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}}
				}
			})
		}
		operators = append(operators, operator.Start(w.t, w.program, own.Cluster, append([]string{"--owner-id=fleet"}, append(quick, flags...)...)...))
	}
	each := func(do func()) {
		for i, s := range w.Sites {
			w.Hub, w.HubAdmin, w.operator = s.Cluster, s.Admin, operators[i]
			do()
		}
	}
	each(func() { w.set(t, networks...) })
	w.compare(t, everything)
	must(t, w.pod("a/shop/web").Relabel(t.Context(), labelsOf([3]string{"shop", "web", "db"})))
	w.compare(t, everything)
	must(t, w.pod("a/shop/web").Relabel(t.Context(), labelsOf([3]string{"shop", "web", "web"})))
	each(func() {
		w.set(t)
		must(t, w.HubAdmin.DeleteAllOf(t.Context(), &mcnv1alpha1.MemberCluster{}))
		w.eventually(t, "no member is registered any more", func() error {
			var left mcnv1alpha1.MemberClusterList
			if err := w.HubAdmin.List(t.Context(), &left); err != nil {
				return err
			}
			if len(left.Items) > 0 {
				return fmt.Errorf("%s is left", left.Items[0].Name)
			}
			return nil
		})
		w.operator.Kill()
	})
	w.Hub, w.HubAdmin, w.operator = hub, admin, before
	w.restart(t, quick...)
	w.compare(t, everything)
}
