package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/dataplane/intent"
	"multicloud.network/operator/test/dataplane/lab"
)

// stateCases are of a fleet that changes under a network, and of networks that are not simply in force.
var stateCases = []struct {
	name string
	test func(*world, *testing.T)
}{
	{"source NAT unmanaged", (*world).testUnmanaged}, {"pods relabelled", (*world).testRelabelled}, {"an address used again", (*world).testAddressReused},
	{"namespace labelled later", (*world).testNamespaceLabelled}, {"namespace excluded later", (*world).testNamespaceExcluded},
	{"a pod that labels itself like a group", (*world).testImpostor}, {"staged", (*world).testStaged},
	{"staged on one cluster only", (*world).testStagedSomewhere}, {"held", (*world).testHeld},
	{"an operator in every cluster", (*world).testHubless},
}

// testStates tries each of stateCases.
func (w *world) testStates(t *testing.T) {
	for _, c := range stateCases {
		t.Run(c.name, func(t *testing.T) { c.test(w, t) })
	}
}

// testUnmanaged has pods lose their address toward other clusters, as Calico does by itself: there, they are no pods of the network any more.
func (w *world) testUnmanaged(t *testing.T) {
	w.set(t, flat("n", of("shop", ""), mcnv1alpha1.BoundaryClosed))
	w.sourceNAT(t, mcnv1alpha1.SourceNATUnmanaged)
	w.check(t, one{passes: []string{"a/shop/web -> a/shop/api TCP/80"}, blocked: []string{"a/shop/web -> b/shop/api TCP/80"}})
	w.compare(t, everything)
	w.sourceNAT(t, mcnv1alpha1.SourceNATPreserve)
	w.compare(t, everything)
}

// sourceNAT says of every member who keeps its pods' addresses.
func (w *world) sourceNAT(t *testing.T, mode mcnv1alpha1.SourceNAT) {
	t.Helper()
	for _, s := range w.Sites {
		w.eventually(t, "member "+s.Name+" is changed", func() error {
			var m mcnv1alpha1.MemberCluster
			if err := w.HubAdmin.Get(t.Context(), client.ObjectKey{Name: s.Name}, &m); err != nil {
				return err
			}
			m.Spec.PodNetwork.SourceNAT = mode
			return w.HubAdmin.Update(t.Context(), &m)
		})
		c := w.intent.Clusters[s.Name]
		c.Preserve = mode == mcnv1alpha1.SourceNATPreserve
		w.intent.Clusters[s.Name] = c
	}
}

// testRelabelled moves pods from segment to segment, out of all of them and back.
func (w *world) testRelabelled(t *testing.T) {
	w.set(t, vlan("n", tiers("shop"), chain))
	pod := w.pod("b/shop/web")
	for _, tier := range []string{"db", "", "web"} {
		must(t, pod.Relabel(t.Context(), labelsOf([3]string{"shop", "web", tier})))
		w.compare(t, everything)
	}
}

// testAddressReused gives the address of a pod that is deleted to a pod of another segment.
func (w *world) testAddressReused(t *testing.T) {
	w.set(t, vlan("n", tiers("shop"), chain))
	site := w.site("b")
	add := func(name, tier string, address netip.Addr) *lab.Pod {
		pods, err := site.AddPods(t.Context(), lab.PodSpec{Namespace: "shop", Name: name, Labels: map[string]string{"tier": tier}, Address: address})
		must(t, err)
		w.pods = append(w.pods, pods...)
		return pods[0]
	}
	remove := func(p *lab.Pod) {
		must(t, p.Remove(t.Context()))
		w.pods = w.pods[:len(w.pods)-1]
	}
	first := add("first", "db", netip.Addr{})
	w.compare(t, everything)
	remove(first)
	second := add("second", "web", first.Address)
	w.compare(t, everything)
	remove(second)
	w.compare(t, everything)
}

// testNamespaceLabelled labels a namespace so that a network picks its pods, in one cluster and then in another, and takes the labels back.
func (w *world) testNamespaceLabelled(t *testing.T) {
	w.set(t, flat("n", of("late", ""), mcnv1alpha1.BoundaryClosed))
	w.compare(t, everything)
	for _, labels := range []map[string]string{{"team": "late"}, namespaces["tools"]} {
		for _, cluster := range []string{"a", "c"} {
			w.setNamespace(t, w.site(cluster), "tools", labels)
			w.compare(t, everything)
		}
	}
}

// testNamespaceExcluded takes a namespace out of everything by the label for that.
func (w *world) testNamespaceExcluded(t *testing.T) {
	w.set(t, vlan("n", tiers("shop"), chain))
	w.setNamespace(t, w.site("b"), "shop", map[string]string{"team": "shop", mcnv1alpha1.ExcludeLabel: ""})
	w.check(t, one{passes: []string{"b/bank/web -> b/shop/web TCP/80"}, blocked: []string{"a/shop/web -> b/shop/web TCP/80"}})
	w.compare(t, everything)
	w.setNamespace(t, w.site("b"), "shop", namespaces["shop"])
	w.compare(t, everything)
}

// testStagedSomewhere has a network change no packet on one of its clusters.
func (w *world) testStagedSomewhere(t *testing.T) {
	c := one{"", list{vlan("n", tiers("shop"), chain, staged(map[string]string{"name": "a"}))},
		[]string{"a/bank/web -> a/shop/web TCP/80", "a/shop/web -> b/bank/web TCP/80"}, []string{"b/bank/web -> b/shop/web TCP/80", "b/shop/web -> a/shop/api TCP/8080"}}
	w.set(t, c.networks...)
	w.check(t, c)
	w.compare(t, everything)
}

// testStaged proves that networks that are staged everywhere change no packet; and then that their staged policies, put in force by hand, are exactly
// what would be enforced. An open network that denies nothing keeps the addresses of pods meanwhile.
func (w *world) testStaged(t *testing.T) {
	everywhere := staged(nil)
	networks := list{
		vlan("n1", tiers("shop"), chain, everywhere), calico("n2", policies{policy("db", 0, of("bank", "db"), rules{rule("Allow", matching("", "tier == 'web'"), nil, "TCP", "80")}, nil)}, everywhere),
		flat("n3", of("tools", ""), mcnv1alpha1.BoundaryOpen),
	}
	w.set(t, networks...)
	w.check(t, one{passes: []string{"a/bank/web -> a/shop/web TCP/80", "a/tools/job -> b/bank/db ICMP"}})
	w.compare(t, everything)
	remove := w.enforceStaged(t)
	for _, n := range w.intent.Networks {
		n.Spec.StagedClusters = nil
	}
	w.check(t, one{passes: []string{"a/bank/web -> b/bank/db TCP/80"}, blocked: []string{"a/bank/web -> a/shop/web TCP/80", "a/tools/job -> b/bank/db ICMP"}})
	w.compare(t, everything)
	remove()
}

// enforceStaged copies all policies of the operator, those that are staged as enforced ones, to a tier of their own on every cluster, and returns what
// removes them.
func (w *world) enforceStaged(t *testing.T) (remove func()) {
	t.Helper()
	const tier = "judged"
	var undo []func() error
	for _, s := range w.Sites {
		create := func(o client.Object) {
			must(t, s.Admin.Create(t.Context(), o))
			undo = append(undo, func() error { return s.Admin.Delete(context.Background(), o) })
		}
		order, pass := 600.0, calicov3.Pass
		create(&calicov3.Tier{ObjectMeta: metav1.ObjectMeta{Name: tier}, Spec: calicov3.TierSpec{Order: &order, DefaultAction: &pass}})
		var found calicov3.StagedGlobalNetworkPolicyList
		must(t, s.Admin.List(t.Context(), &found))
		if len(found.Items) == 0 {
			t.Errorf("cluster %s has no staged policy", s.Name)
		}
		var enforced calicov3.GlobalNetworkPolicyList
		must(t, s.Admin.List(t.Context(), &enforced))
		for _, p := range enforced.Items {
			if rest, ours := strings.CutPrefix(p.Name, mcnv1alpha1.DefaultTier+"."); ours {
				copied := &calicov3.GlobalNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: tier + "." + rest}, Spec: p.Spec}
				copied.Spec.Tier = tier
				create(copied)
			}
		}
		for _, p := range found.Items {
			_, rest, _ := strings.Cut(p.Name, ".")
			text, err := json.Marshal(p.Spec)
			must(t, err)
			copied := &calicov3.GlobalNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: tier + "." + rest}}
			must(t, json.Unmarshal(text, &copied.Spec))
			copied.Spec.Tier = tier
			create(copied)
		}
	}
	return func() {
		for i := len(undo) - 1; i >= 0; i-- {
			must(t, undo[i]())
		}
	}
}

// testImpostor has a pod label itself like a group of pods of other clusters, which lets nobody in.
func (w *world) testImpostor(t *testing.T) {
	if wrong := w.impostorPasses(t); len(wrong) > 0 {
		t.Errorf("%d cells are wrong:\n%s", len(wrong), strings.Join(wrong, "\n"))
	}
}

// testHeld changes a network that is Held: its policies stay what they were, while pods still join and leave.
func (w *world) testHeld(t *testing.T) {
	n := vlan("n", tiers("shop"), chain)
	w.set(t, n)
	inForce := w.intent.Networks
	n.Spec.Updates, n.Spec.Routes = mcnv1alpha1.UpdatesHeld, nil
	w.apply(t, n)
	w.eventually(t, "the network is held", func() error {
		var live mcnv1alpha1.MultiCloudNetwork
		if err := w.HubAdmin.Get(t.Context(), client.ObjectKeyFromObject(n), &live); err != nil {
			return err
		}
		c := apimeta.FindStatusCondition(live.Status.Conditions, mcnv1alpha1.ConditionReady)
		if live.Status.ObservedGeneration != live.Generation || c == nil || c.Reason != string(mcnv1alpha1.ReasonHeld) {
			return fmt.Errorf("condition Ready is %+v", c)
		}
		return nil
	})
	w.intent.Networks = inForce
	w.compare(t, everything)
	pod := w.pod("c/shop/db")
	must(t, pod.Relabel(t.Context(), labelsOf([3]string{"shop", "db", "web"})))
	w.compare(t, []intent.Traffic{everything[0], everything[1]})
	must(t, pod.Relabel(t.Context(), labelsOf([3]string{"shop", "db", "db"})))
	n.Spec.Updates = mcnv1alpha1.UpdatesAutomatic
	w.set(t, n)
	w.compare(t, everything)
}
