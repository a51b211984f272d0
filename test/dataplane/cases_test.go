package dataplane

import (
	"testing"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// one is a case of the table: networks, and some flows of the matrix of which the case itself says what becomes of them. All others are judged by the
// specification alone; these judge the specification's reading too.
type one struct {
	name            string
	networks        []*mcnv1alpha1.MultiCloudNetwork
	passes, blocked []string
}

type (
	list     = []*mcnv1alpha1.MultiCloudNetwork
	routes   = []mcnv1alpha1.Route
	rules    = []mcnv1alpha1.Rule
	policies = []mcnv1alpha1.CalicoPolicy
)

const (
	tcp  = mcnv1alpha1.RouteProtocolTCP
	udp  = mcnv1alpha1.RouteProtocolUDP
	icmp = mcnv1alpha1.RouteProtocolICMP
)

// chain leads from web by api to db, with ports and a range.
var chain = routes{
	route("web-api", toSegment("web"), toSegment("api"), port(tcp, 80)), route("api-db", toSegment("api"), toSegment("db"), port(tcp, 8000, 9000), port(udp)),
}

// flatCases are of the Flat model.
var flatCases = []one{
	{"flat open", list{flat("n", of("shop", ""), mcnv1alpha1.BoundaryOpen)},
		[]string{"a/shop/web -> b/shop/db TCP/80", "a/bank/web -> a/shop/web TCP/80", "outside1 -> c/shop/api UDP/443"}, nil},
	{"flat closed", list{flat("n", of("shop", ""), mcnv1alpha1.BoundaryClosed)},
		[]string{"a/shop/web -> b/shop/db TCP/80", "c/shop/web -> a/shop/api UDP/443", "a/bank/web -> b/bank/api TCP/80", "a1 -> a/shop/web TCP/80"},
		[]string{"a/bank/web -> a/shop/web TCP/80", "b/shop/web -> b/tools/job ICMP", "outside1 -> c/shop/api UDP/443", "b1 -> a/shop/web TCP/80"}},
	{"flat on some clusters", list{flat("n", of("shop", ""), mcnv1alpha1.BoundaryClosed, on(map[string]string{"env": "prod"}))},
		[]string{"a/shop/web -> b/shop/db TCP/80", "c/shop/web -> c/bank/web TCP/80"}, []string{"a/shop/web -> c/shop/db TCP/80", "c/shop/web -> b/shop/db TCP/80"}},
}

// vlanCases are of the VLAN model.
var vlanCases = []one{
	{"segments", list{vlan("n", tiers("shop"), nil)},
		[]string{"a/shop/web -> b/shop/web TCP/80", "c/shop/db -> a/shop/db ICMP"},
		[]string{"a/shop/web -> a/shop/api TCP/80", "a/shop/web -> b/shop/api TCP/80", "a/bank/web -> a/shop/web TCP/80"}},
	{"routes with ports, one-way, not transitive", list{vlan("n", tiers("shop"), chain)},
		[]string{"a/shop/web -> b/shop/api TCP/80", "b/shop/api -> c/shop/db TCP/8080", "b/shop/api -> a/shop/db UDP/443"},
		[]string{"a/shop/web -> b/shop/api TCP/8080", "a/shop/api -> b/shop/web TCP/80", "a/shop/web -> a/shop/db TCP/8080", "b/shop/api -> c/shop/db TCP/80"}},
	{"routes in one cluster", list{vlan("n", tiers("shop"), routes{sameCluster(route("r", toSegment("web"), toSegment("api")))})},
		[]string{"a/shop/web -> a/shop/api TCP/80", "c/shop/web -> c/shop/api ICMP"}, []string{"a/shop/web -> b/shop/api TCP/80"}},
	{"subnets", list{vlan("n", append(tiers("shop"), subnet("oracle", "203.0.113.0/24")), routes{
		route("out", toSegment("api"), toSegment("oracle"), port(tcp, 80)),
		route("in", mcnv1alpha1.Peer{CIDRs: []mcnv1alpha1.CIDR{"0.0.0.0/0"}, Except: []mcnv1alpha1.CIDR{"203.0.113.128/25", "10.0.0.0/8"}}, toSegment("web"), port(tcp)),
	})},
		[]string{"a/shop/api -> outside1 TCP/80", "outside1 -> b/shop/web TCP/8080", "outside3 -> b/shop/web TCP/80"},
		[]string{"a/shop/api -> outside3 TCP/80", "a/shop/db -> outside1 TCP/80", "outside2 -> b/shop/web TCP/80", "a/bank/web -> a/shop/web TCP/80"}},
	{"a segment of pods and subnets", list{vlan("n", []mcnv1alpha1.Segment{{Name: "mixed", Pods: segment("", "shop", "web").Pods, CIDRs: []mcnv1alpha1.CIDR{"203.0.113.10/32"}}}, nil)},
		[]string{"outside1 -> b/shop/web UDP/443", "a/shop/web -> outside1 TCP/80"}, []string{"outside2 -> b/shop/web UDP/443"}},
	{"pods of no segment as peers", list{vlan("n", tiers("shop"), routes{
		route("jobs", toPods("tools", ""), toSegment("api"), port(tcp, 80), port(icmp)), route("reports", toSegment("db"), toPods("bank", "web")),
	})},
		[]string{"a/tools/job -> b/shop/api TCP/80", "a/tools/job -> b/shop/api ICMP", "c/shop/db -> a/bank/web TCP/8080", "a/tools/job -> a/bank/api TCP/80"},
		[]string{"a/tools/job -> b/shop/api TCP/8080", "a/bank/web -> a/shop/db TCP/80"}},
	{"nodes as peers", list{vlan("n", tiers("shop"), routes{route("nodeport", mcnv1alpha1.Peer{Nodes: &mcnv1alpha1.NodesPeer{}}, toSegment("web"), port(tcp, 80))})},
		[]string{"b1 -> a/shop/web TCP/80", "a2 -> a/shop/web TCP/80", "a1 -> a/shop/web TCP/8080"}, []string{"b1 -> a/shop/web TCP/8080", "b1 -> a/shop/api TCP/80"}},
	{"nodes of one cluster as peers", list{vlan("n", tiers("shop"), routes{sameCluster(route("nodeport", mcnv1alpha1.Peer{Nodes: &mcnv1alpha1.NodesPeer{}}, toSegment("web")))})},
		[]string{"a2 -> a/shop/web TCP/80"}, []string{"b1 -> a/shop/web TCP/80"}},
	{"open VLAN", list{vlan("n", append(tiers("shop"), subnet("oracle", "203.0.113.0/24")), chain, open)},
		[]string{"a/bank/web -> a/shop/web TCP/80", "a/shop/web -> a/shop/api TCP/80", "outside3 -> a/shop/db TCP/80"},
		[]string{"a/shop/web -> a/shop/api TCP/8080", "a/shop/web -> c/shop/db TCP/80", "outside1 -> a/shop/db TCP/80", "a/shop/db -> outside2 TCP/80"}},
	{"a pod in two segments", list{vlan("n", []mcnv1alpha1.Segment{segment("web", "shop", "web"), segment("shop", "shop", ""), segment("bank-web", "bank", "web")}, routes{
		route("r", toSegment("bank-web"), toSegment("web"), port(tcp, 80)),
	})},
		[]string{"a/shop/web -> b/shop/db TCP/80", "a/bank/web -> b/shop/web TCP/80"}, []string{"a/bank/web -> b/shop/db TCP/80"}},
}

// overlapCases are of networks that share pods.
var overlapCases = []one{
	{"two networks", list{vlan("n1", tiers("shop"), nil), flat("n2", of("", "web"), mcnv1alpha1.BoundaryClosed)},
		[]string{"a/shop/web -> b/bank/web TCP/80", "a/shop/db -> b/shop/db TCP/80"}, []string{"a/shop/web -> a/shop/api TCP/80", "a/bank/web -> a/bank/api TCP/80"}},
	{"exclusive against shared", list{vlan("n1", tiers("shop"), nil, exclusive), flat("n2", of("", ""), mcnv1alpha1.BoundaryClosed, override)},
		[]string{"a/shop/web -> b/shop/web TCP/80", "a/bank/web -> c/tools/job TCP/80"}, []string{"a/shop/web -> b/shop/api TCP/80", "a/bank/web -> a/shop/web TCP/80"}},
	{"exclusive against an allowing rule", list{
		vlan("n1", tiers("shop"), nil, exclusive),
		calico("n2", policies{policy("all", 0, of("", ""), rules{rule("Allow", nil, nil, "")}, rules{rule("Allow", nil, nil, "")})}),
	}, []string{"a/shop/web -> b/shop/web TCP/80", "a/bank/web -> outside1 TCP/80"}, []string{"a/shop/web -> b/shop/api TCP/80", "outside1 -> a/shop/db TCP/80"}},
	{"two exclusive networks", list{flat("n1", of("shop", ""), mcnv1alpha1.BoundaryClosed, exclusive), flat("n2", of("", "web"), mcnv1alpha1.BoundaryClosed, exclusive)},
		[]string{"a/shop/web -> b/shop/api TCP/80", "a/bank/web -> b/bank/web TCP/80"}, []string{"a/shop/web -> b/bank/web TCP/80"}},
	{"an open exclusive network falls through", list{flat("n1", of("shop", ""), mcnv1alpha1.BoundaryOpen, exclusive), vlan("n2", tiers("shop"), nil)},
		[]string{"a/shop/web -> b/shop/api TCP/80"}, []string{"a/bank/web -> b/shop/web TCP/80"}},
	{"permits before rules", list{
		flat("n1", of("shop", ""), mcnv1alpha1.BoundaryOpen),
		calico("n2", policies{policy("none", 0, of("shop", ""), rules{rule("Deny", nil, nil, "")}, nil)}),
	}, []string{"a/shop/web -> b/shop/api TCP/80"}, []string{"a/bank/web -> a/shop/api TCP/80"}},
}

// calicoCases are of the Calico model.
var calicoCases = []one{
	{"rules that mean pods of other clusters", list{calico("n", policies{
		policy("api", 10, of("shop", "api"), rules{rule("Allow", matching("team == 'shop'", "tier == 'web'"), nil, "TCP", "80", "8000:9000")}, nil),
	})},
		[]string{"a/shop/web -> b/shop/api TCP/80", "c/shop/web -> b/shop/api TCP/8080", "a/shop/api -> b/bank/db TCP/80"},
		[]string{"a/shop/web -> b/shop/api UDP/443", "a/shop/db -> b/shop/api TCP/80", "a/bank/web -> a/shop/api TCP/80", "a/shop/web -> a/shop/api ICMP"}},
	{"order and Deny", list{calico("n", policies{
		policy("late", 20, of("shop", "db"), rules{rule("Allow", nil, nil, "")}, nil),
		policy("early", 10, of("shop", "db"), rules{rule("Deny", matching("", "tier == 'web'"), nil, "")}, nil),
	})}, []string{"a/shop/api -> b/shop/db TCP/80", "outside1 -> b/shop/db TCP/80"}, []string{"a/shop/web -> b/shop/db TCP/80", "c/bank/web -> b/shop/db UDP/443"}},
	{"Pass, ICMP, subnets and egress", list{calico("n", policies{
		policy("db", 0, of("bank", "db"),
			rules{rule("Pass", matching("team == 'bank'", ""), nil, ""), rule("Allow", nil, nil, "ICMP")},
			rules{rule("Allow", nil, nets("203.0.113.0/24"), "TCP", "80"), rule("Deny", nil, nets("10.0.0.0/8"), ""), rule("Pass", nil, matching("", "all()"), "")}),
	})},
		[]string{"a/bank/web -> b/bank/db TCP/80", "outside1 -> b/bank/db ICMP", "a/bank/db -> outside2 TCP/80"},
		[]string{"outside1 -> b/bank/db TCP/80", "a/bank/db -> b/bank/web TCP/80", "a/bank/db -> outside3 TCP/80", "a/bank/db -> outside1 TCP/8080"}},
	{"open Calico network", list{calico("n", policies{policy("db", 0, of("bank", "db"), rules{rule("Deny", matching("", "tier == 'web'"), nil, "TCP", "80")}, nil)}, open)},
		[]string{"a/bank/web -> b/bank/db TCP/8080", "outside1 -> b/bank/db TCP/80"}, []string{"a/bank/web -> b/bank/db TCP/80", "c/shop/web -> a/bank/db TCP/80"}},
	{"negations", list{calico("n", policies{
		policy("api", 0, of("", "api"), rules{rule("Allow", matching("team != 'bank'", "!has(tier)"), nil, ""), rule("Allow", matching("", "tier not in {'web', 'db'}"), nil, "UDP")}, nil),
	})},
		[]string{"a/tools/job -> b/shop/api TCP/80", "a/bank/api -> b/shop/api UDP/443"}, []string{"a/shop/web -> b/shop/api TCP/80", "outside1 -> b/shop/api TCP/80"}},
}

// hostile takes everything from everybody; what is guarded, passes all the same.
var hostile = []one{
	{"guard", list{
		calico("n1", policies{policy("all", 0, of("", ""), rules{rule("Deny", nil, nil, "")}, rules{rule("Deny", nil, nil, "")})}, exclusive),
		vlan("n2", []mcnv1alpha1.Segment{segment("all", "", "")}, nil, override),
	}, nil, []string{"a/shop/web -> a/shop/api TCP/80", "a/shop/web -> a/kube-system/coredns TCP/80"}},
}

// caseGroups are the cases of the table, by subject.
var caseGroups = []struct {
	name  string
	cases []one
}{
	{"Flat", flatCases}, {"VLAN", vlanCases}, {"networks that share pods", overlapCases}, {"Calico", calicoCases}, {"what nothing may cut", hostile},
}

// testCases tries each case of the table.
func (w *world) testCases(t *testing.T) {
	for _, group := range caseGroups {
		for _, c := range group.cases {
			t.Run(c.name, func(t *testing.T) {
				w.set(t, c.networks...)
				w.check(t, c)
				w.compare(t, everything)
			})
		}
	}
	t.Run("local policies", w.testLocalPolicies)
	w.testStates(t)
	t.Run("deletion", func(t *testing.T) {
		w.set(t)
		w.compare(t, everything)
	})
}

// check holds the specification's reading against what the case says of some flows.
func (w *world) check(t *testing.T, c one) {
	t.Helper()
	said := map[string]bool{}
	for _, cell := range w.expect(w.flows(everything)) {
		said[cell.String()] = cell.passes
	}
	for _, group := range []struct {
		flows  []string
		passes bool
	}{{c.passes, true}, {c.blocked, false}} {
		for _, f := range group.flows {
			if passes, known := said[f]; !known || passes != group.passes {
				t.Errorf("%s: the specification is read as passes %t (known %t), the case says %t", f, passes, known, group.passes)
			}
		}
	}
}
