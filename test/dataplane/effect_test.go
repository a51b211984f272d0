package dataplane

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/dataplane/lab"
)

// effect is how long something took from its cause to the first packet that shows it, and how much of that was until the member's API held it.
type effect struct {
	what             string
	operator, packet []time.Duration
}

func (e effect) String() string {
	median := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)/2].Round(time.Millisecond)
	}
	operator, packet := median(e.operator), median(e.packet)
	return fmt.Sprintf("%s: %s to the first packet, of that %s until the member's API holds it and %s Felix (median of %d)",
		e.what, packet, operator, max(packet-operator, 0), len(e.packet))
}

// sample measures one effect: written tells when the member's API holds it, shown when packets do.
func (e *effect) sample(t *testing.T, cause func(), written, shown func() bool) {
	t.Helper()
	began := time.Now()
	cause()
	until := func(reached func() bool) <-chan time.Duration {
		out := make(chan time.Duration, 1)
		go func() {
			for at := time.Now(); ; at = time.Now() {
				if reached() || at.Sub(began) > patience {
					out <- at.Sub(began)
					return
				}
			}
		}()
		return out
	}
	operator, packet := until(written), until(shown)
	e.operator, e.packet = append(e.operator, <-operator), append(e.packet, <-packet)
	if longest := e.packet[len(e.packet)-1]; longest > patience {
		t.Errorf("%s: no packet shows it within %s", e.what, patience)
	}
}

// testEffects measures times to effect, with the settling times of production. They are printed and never judged.
func (w *world) testEffects(t *testing.T) {
	w.restart(t, "--barrier=10s")
	b := w.site("b")
	passes := func(from, to *lab.Place) func() bool {
		return func() bool {
			r, err := lab.Flow{From: from, To: to, Protocol: lab.TCP, Port: 80}.Try(50 * time.Millisecond)
			return err == nil && r.Passed
		}
	}
	// One answer that is late shows nothing; the moment is that of the first of several tries without one.
	denied := func(f func() bool) func() bool {
		return func() bool {
			for range 3 {
				if f() {
					return false
				}
			}
			return true
		}
	}

	apply := effect{what: "a network that is applied on the hub"}
	for range 3 {
		w.set(t)
		must(t, w.Settle(t.Context()))
		apply.sample(t, func() { w.apply(t, vlan("n", tiers("shop"), chain)) },
			func() bool { return holdsDenials(b) }, denied(passes(w.Outside[0], &w.pod("b/shop/web").Place)))
	}
	w.set(t, vlan("n", tiers("shop"), chain))
	must(t, w.Settle(t.Context()))

	label := effect{what: "a pod that is relabelled in another cluster"}
	pod, api := w.pod("a/shop/db"), &w.pod("b/shop/api").Place
	must(t, pod.Relabel(t.Context(), labelsOf([3]string{"shop", "db", ""})))
	w.compare(t, everything[:1])
	for range 5 {
		label.sample(t, func() { must(t, pod.Relabel(t.Context(), labelsOf([3]string{"shop", "db", "web"}))) },
			func() bool { return holds(b, pod.Address) }, passes(&pod.Place, api))
		label.sample(t, func() { must(t, pod.Relabel(t.Context(), labelsOf([3]string{"shop", "db", ""}))) },
			func() bool { return !holds(b, pod.Address) }, denied(passes(&pod.Place, api)))
	}

	deleted := effect{what: "a pod that is deleted in another cluster, on a node whose Felix is away"}
	for i := range 3 {
		pods, err := w.site("a").AddPods(t.Context(), lab.PodSpec{Namespace: "shop", Name: fmt.Sprintf("short-%d", i), Labels: map[string]string{"tier": "web"}})
		must(t, err)
		w.eventually(t, "the pod reaches another cluster", func() error {
			if !passes(&pods[0].Place, api)() {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		must(t, pods[0].Node.StopFelix())
		deleted.sample(t, func() { must(t, pods[0].Delete(t.Context())) },
			func() bool { return !holds(b, pods[0].Address) }, denied(passes(&pods[0].Place, api)))
		must(t, pods[0].Node.StartFelix())
		must(t, pods[0].Discard())
		must(t, w.Settle(t.Context()))
	}
	w.set(t)
	w.relabelBack(t)
	for _, e := range []effect{apply, label, deleted} {
		w.tally.effects = append(w.tally.effects, e.String())
		t.Log(e)
	}
}

// holdsDenials tells whether a cluster's API has denials of a network of ours.
func holdsDenials(s *lab.Site) bool {
	var list calicov3.GlobalNetworkPolicyList
	if err := s.Admin.List(context.Background(), &list); err != nil {
		return false
	}
	return slices.ContainsFunc(list.Items, func(p calicov3.GlobalNetworkPolicy) bool { return strings.Contains(p.Name, "-web-d-") })
}

// holds tells whether a set of ours in a cluster's API has an address.
func holds(s *lab.Site, address netip.Addr) bool {
	var list calicov3.GlobalNetworkSetList
	if err := s.Admin.List(context.Background(), &list); err != nil {
		return false
	}
	return slices.ContainsFunc(list.Items, func(set calicov3.GlobalNetworkSet) bool {
		return set.Labels[mcnv1alpha1.GroupLabel] != "" && slices.ContainsFunc(set.Spec.Nets, func(net string) bool {
			prefix, err := netip.ParsePrefix(net)
			return err == nil && prefix.Contains(address)
		})
	})
}
