package dataplane

import (
	"errors"
	"slices"
	"strings"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/operator"
)

// testMoments changes networks, pods, the operator and a member's API server, with the operator's own settling times, while flows are tried without a
// pause: those that the networks permit before and after each change must pass in between, those that they never permit must not.
func (w *world) testMoments(t *testing.T) {
	w.restart(t, "--barrier=10s") // with the settling time of production
	defer w.restart(t, quick...)
	base := flat("base", of("shop", ""), mcnv1alpha1.BoundaryClosed)
	w.set(t, base)
	must(t, w.Settle(t.Context()))

	o := w.watch(t,
		[]string{
			"a/shop/web -> b/shop/api TCP/80", "b/shop/web -> c/shop/api TCP/80", "c/shop/web -> a/shop/api TCP/80", "a/shop/api -> a/shop/db TCP/8080",
			"b/shop/api -> c/shop/db UDP/443", "c/shop/api -> c/shop/db ICMP", "a/bank/web -> b/bank/api TCP/80",
		},
		[]string{
			"a/bank/web -> b/shop/api TCP/80", "b/bank/web -> b/shop/web TCP/80", "outside1 -> c/shop/db UDP/443", "c/shop/db -> a/tools/job TCP/80",
			"b1 -> c/shop/web TCP/80", "c/tools/job -> b/shop/db ICMP",
		})

	n := vlan("second", tiers("shop"), chain)
	change := func(step string, networks ...*mcnv1alpha1.MultiCloudNetwork) {
		o.at(step)
		w.set(t, networks...)
		must(t, w.Settle(t.Context()))
	}
	change("creating a network beside it", base, n)
	asVLAN := vlan("base", []mcnv1alpha1.Segment{segment("all", "shop", "")}, nil)
	change("changing the model to VLAN", asVLAN, n)
	asVLAN.Spec.Routes = routes{route("in", toPods("bank", "db"), toSegment("all"), port(tcp, 8080))}
	change("adding a route", asVLAN, n)
	o.at("relabelling pods")
	for _, name := range []string{"a/shop/web", "b/shop/api", "c/shop/db"} {
		must(t, w.pod(name).Relabel(t.Context(), map[string]string{"tier": "api"}))
		w.compare(t, everything[:1])
	}
	asCalico := calico("base", policies{policy("shop", 0, of("shop", ""),
		rules{rule("Allow", matching("team == 'shop'", ""), nil, "")}, rules{rule("Allow", nil, matching("team == 'shop'", ""), "")})})
	change("changing the model to Calico", asCalico)
	w.killedInTheMiddle(t, o, base)
	w.serverAway(t, o, base, n)
	change("deleting a network", base)
	w.relabelBack(t)
	tries, violations := o.end(t)
	w.tally.tries, w.tally.violations = tries, len(violations)
	if len(violations) > 0 {
		t.Errorf("%d violations in %d tries:\n%s", len(violations), tries, strings.Join(violations[:min(len(violations), 30)], "\n"))
	}
}

// killedInTheMiddle kills the operator at several moments of a change, and has another one finish it.
func (w *world) killedInTheMiddle(t *testing.T, o *watcher, base *mcnv1alpha1.MultiCloudNetwork) {
	t.Helper()
	o.at("killing the operator in the middle of a change")
	w.apply(t, base)
	for range 3 {
		before := w.policies(t)
		w.eventually(t, "the operator writes", func() error {
			if slices.Equal(w.policies(t), before) {
				return errors.New("nothing has changed")
			}
			return nil
		})
		w.operator.Kill()
		w.operator = operator.Start(w.t, w.program, w.Hub, append(slices.Clone(flags), "--barrier=10s")...)
	}
	w.set(t, base)
	must(t, w.Settle(t.Context()))
}

// policies lists the names of all global policies on all members.
func (w *world) policies(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, s := range w.Sites {
		var list calicov3.GlobalNetworkPolicyList
		must(t, s.Admin.List(t.Context(), &list))
		for _, p := range list.Items {
			names = append(names, s.Name+"/"+p.Name)
		}
	}
	return names
}

// serverAway ends a member's API server while networks change, and starts it again. Felix keeps what it has.
func (w *world) serverAway(t *testing.T, o *watcher, networks ...*mcnv1alpha1.MultiCloudNetwork) {
	t.Helper()
	o.at("a member's API server is away")
	away := w.site("c")
	must(t, away.KillAPIServer())
	for _, n := range networks {
		w.apply(t, n)
	}
	must(t, w.pod("a/shop/web").Relabel(t.Context(), labelsOf([3]string{"shop", "web", "web"})))
	must(t, away.StartAPIServer(t.Context()))
	w.set(t, networks...)
	must(t, w.Settle(t.Context()))
}
