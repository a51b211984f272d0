package dataplane

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// drawer draws specs from few words, so that selections meet.
type drawer struct{ *rand.Rand }

func newDrawer(seed uint64) drawer { return drawer{rand.New(rand.NewPCG(seed, 0))} }

func pick[T any](d drawer, from ...T) T { return from[d.IntN(len(from))] }

// oneIn is true once in n times.
func (d drawer) oneIn(n int) bool { return d.IntN(n) == 0 }

// selector draws a selector of Kubernetes; key has one of the values on most objects.
func (d drawer) selector(key string, values ...string) *metav1.LabelSelector {
	value := pick(d, values...)
	expression := func(operator metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	switch d.IntN(8) {
	case 0:
		return &metav1.LabelSelector{}
	case 1:
		return expression(metav1.LabelSelectorOpNotIn, value)
	case 2:
		return expression(metav1.LabelSelectorOpExists)
	case 3:
		return expression(metav1.LabelSelectorOpDoesNotExist)
	case 4:
		return expression(metav1.LabelSelectorOpIn, values[:2]...)
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

var (
	teamNames = []string{"shop", "bank", "tools"}
	tierNames = []string{"web", "api", "db"}
)

func (d drawer) pods() mcnv1alpha1.PodSelection {
	s := mcnv1alpha1.PodSelection{NamespaceSelector: d.selector("team", teamNames...)}
	if !d.oneIn(3) {
		s.PodSelector = d.selector("tier", tierNames...)
	}
	return s
}

func (d drawer) cidrs() []mcnv1alpha1.CIDR {
	all := []mcnv1alpha1.CIDR{"203.0.113.0/24", "203.0.113.128/25", "198.51.100.10/32", "10.1.0.0/16", "10.2.1.0/29", "172.31.0.0/16", "0.0.0.0/0"}
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+d.IntN(2)]
}

// network draws a valid network.
func (d drawer) network(name string) *mcnv1alpha1.MultiCloudNetwork {
	n := network(name, mcnv1alpha1.MultiCloudNetworkSpec{
		Model:      pick(d, mcnv1alpha1.ModelFlat, mcnv1alpha1.ModelVLAN, mcnv1alpha1.ModelVLAN, mcnv1alpha1.ModelCalico),
		Boundary:   pick(d, "", mcnv1alpha1.BoundaryClosed, mcnv1alpha1.BoundaryOpen),
		Membership: pick(d, "", mcnv1alpha1.MembershipShared, mcnv1alpha1.MembershipExclusive),
	})
	switch d.IntN(4) {
	case 0:
		n.Spec.Clusters.Selector.MatchLabels = map[string]string{"name": pick(d, "a", "b", "c")}
	case 1:
		n.Spec.Clusters.Selector.MatchLabels = map[string]string{"env": pick(d, "prod", "prod", "dev")}
	}
	if d.oneIn(8) {
		n.Spec.StagedClusters = &metav1.LabelSelector{MatchLabels: map[string]string{"name": pick(d, "a", "b", "c")}}
	}
	if n.Spec.Model != mcnv1alpha1.ModelCalico {
		n.Spec.LocalPolicies = pick(d, "", mcnv1alpha1.LocalPoliciesHonor, mcnv1alpha1.LocalPoliciesOverride)
	}
	switch n.Spec.Model {
	case mcnv1alpha1.ModelFlat:
		n.Spec.Flat = &mcnv1alpha1.FlatSpec{Pods: d.pods()}
		n.Spec.Routes = d.routes("flat")
	case mcnv1alpha1.ModelVLAN:
		n.Spec.VLAN = &mcnv1alpha1.VLANSpec{}
		var names []string
		for i := range 1 + d.IntN(3) {
			s := mcnv1alpha1.Segment{Name: fmt.Sprintf("s%d", i)}
			form := d.IntN(6)
			if form != 0 {
				pods := d.pods()
				s.Pods = &pods
			}
			if form <= 1 {
				s.CIDRs = d.cidrs()
			}
			n.Spec.VLAN.Segments = append(n.Spec.VLAN.Segments, s)
			names = append(names, s.Name)
		}
		n.Spec.Routes = d.routes(names...)
	case mcnv1alpha1.ModelCalico:
		n.Spec.Calico = &mcnv1alpha1.CalicoSpec{}
		for i := range 1 + d.IntN(3) {
			n.Spec.Calico.Policies = append(n.Spec.Calico.Policies, d.policy(fmt.Sprintf("p%d", i)))
		}
	}
	return n
}

func (d drawer) routes(segments ...string) []mcnv1alpha1.Route {
	var out []mcnv1alpha1.Route
	for i := range d.IntN(4) {
		r := mcnv1alpha1.Route{Name: fmt.Sprintf("r%d", i), Scope: pick(d, "", mcnv1alpha1.RouteScopeNetwork, mcnv1alpha1.RouteScopeSameCluster)}
		r.From = []mcnv1alpha1.Peer{toSegment(pick(d, segments...))}
		for range 1 + d.IntN(2) {
			r.To = append(r.To, d.peer(segments))
		}
		if d.oneIn(2) {
			r.From, r.To = r.To, r.From
		}
		for range d.IntN(3) {
			r.Ports = append(r.Ports, pick(d, port(tcp, 80), port(tcp, 8000, 9000), port(udp), port(udp, 443), port(icmp), port(tcp)))
		}
		out = append(out, r)
	}
	return out
}

func (d drawer) peer(segments []string) mcnv1alpha1.Peer {
	switch d.IntN(5) {
	case 0, 1:
		return toSegment(pick(d, segments...))
	case 2:
		pods := d.pods()
		return mcnv1alpha1.Peer{Pods: &pods}
	case 3:
		return mcnv1alpha1.Peer{Nodes: &mcnv1alpha1.NodesPeer{}}
	}
	p := mcnv1alpha1.Peer{CIDRs: d.cidrs()}
	if d.oneIn(2) {
		p.Except = []mcnv1alpha1.CIDR{pick[mcnv1alpha1.CIDR](d, "203.0.113.200/32", "10.1.1.0/24")}
	}
	return p
}

func (d drawer) policy(name string) mcnv1alpha1.CalicoPolicy {
	var in, out []mcnv1alpha1.Rule
	direction := 1 + d.IntN(3)
	if direction&1 != 0 {
		in = d.rules()
	}
	if direction&2 != 0 {
		out = d.rules()
	}
	p := policy(name, int32(d.IntN(3)), d.pods(), in, out)
	return p
}

func (d drawer) rules() []mcnv1alpha1.Rule {
	var out []mcnv1alpha1.Rule
	for range 1 + d.IntN(3) {
		action := pick[mcnv1alpha1.RuleAction](d, "Allow", "Allow", "Deny", "Pass", "Log")
		source, destination := d.end(), d.end()
		switch d.IntN(4) {
		case 0:
			out = append(out, rule(action, source, destination, ""))
		case 1:
			out = append(out, rule(action, source, destination, "ICMP"))
		case 2:
			out = append(out, rule(action, source, destination, "UDP", "443"))
		case 3:
			out = append(out, rule(action, source, destination, "TCP", pick(d, []string{"80"}, []string{"8000:9000", "443"}, nil)...))
		}
	}
	return out
}

func (d drawer) end() *mcnv1alpha1.EntityRule {
	switch d.IntN(6) {
	case 0, 1:
		return nil
	case 2:
		return matching("", pick(d, "tier == 'api'", "!has(tier)", "tier != 'db' || has(x)", "all()"))
	case 3:
		return matching(pick(d, "team == 'shop'", "team not in {'shop'}", "all()"), "")
	case 4:
		return matching("team in {'shop', 'bank'}", "tier in {'api', 'db'}")
	}
	e := nets(d.cidrs()...)
	if d.oneIn(2) {
		e.NotNets = []mcnv1alpha1.CIDR{"203.0.113.10/32"}
	}
	return e
}

// local draws a NetworkPolicy that an application team might have.
func (d drawer) local() networkingv1.NetworkPolicy {
	peer := pick(d,
		networkingv1.NetworkPolicyPeer{PodSelector: d.selector("tier", tierNames...)},
		networkingv1.NetworkPolicyPeer{NamespaceSelector: d.selector("team", teamNames...)},
		networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/14"}},
	)
	var ports []networkingv1.NetworkPolicyPort
	if d.oneIn(2) {
		protocol := pick(d, corev1.ProtocolTCP, corev1.ProtocolUDP)
		ports = []networkingv1.NetworkPolicyPort{{Protocol: &protocol}}
	}
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: pick(d, "shop", "bank"), Name: "drawn"}}
	p.Spec.PodSelector = *d.selector("tier", tierNames...)
	if d.oneIn(2) {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{peer}, Ports: ports}}
	} else {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{peer}, Ports: ports}}
	}
	return p
}
