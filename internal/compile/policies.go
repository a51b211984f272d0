package compile

import (
	"fmt"
	"net/netip"
	"slices"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// Keys of rule annotations: they say which part of a network a rule comes from. Felix writes them into its rules as comments.
const (
	ruleSegment = "multicloud.network/segment"
	ruleRoute   = "multicloud.network/route"
	rulePolicy  = "multicloud.network/policy"
	ruleNetwork = mcnv1alpha1.NetworkLabel
)

// permit is the action of the network's permits: Pass leaves the last word to the cluster's own policies.
func (n *network) permit() calicov3.Action {
	if n.override() {
		return calicov3.Allow
	}
	return calicov3.Pass
}

// bothTypes is what permits and the denials of Flat and VLAN judge.
var bothTypes = policyTypes(true, true)

// segment compiles a segment's permits and denials. A segment of only CIDRs has no subject.
func (b *builder) segment(s segment) {
	if s.pods == nil {
		return
	}
	permits := policy{
		role: RolePermit, kind: "segment", part: s.name, subject: *s.pods, order: b.n.permitOrder(), types: bothTypes,
	}
	own := b.note(ruleSegment, s.name)
	for _, e := range b.entities(s.peer(), mcnv1alpha1.RouteScopeNetwork, identity.Permit) {
		permits.ingress = append(permits.ingress, calicov3.Rule{Action: b.n.permit(), Source: e, Metadata: own})
		permits.egress = append(permits.egress, calicov3.Rule{Action: b.n.permit(), Destination: e, Metadata: own})
	}
	for _, r := range b.n.routes {
		if slices.ContainsFunc(r.to, s.is) {
			permits.ingress = append(permits.ingress, b.ingress(r)...)
		}
		if slices.ContainsFunc(r.from, s.is) {
			permits.egress = append(permits.egress, b.egress(r)...)
		}
	}
	b.add(permits)

	denials := policy{role: RoleDeny, kind: "segment", part: s.name, subject: *s.pods, order: b.n.denyOrder(), types: bothTypes}
	if b.n.boundary == mcnv1alpha1.BoundaryClosed {
		denials.ingress = []calicov3.Rule{{Action: calicov3.Deny, Metadata: own}}
		denials.egress = []calicov3.Rule{{Action: calicov3.Deny, Metadata: own}}
	} else {
		denials.ingress, denials.egress = b.otherSegments(s)
	}
	if len(denials.ingress) > 0 {
		b.add(denials)
	}
}

// is tells whether a peer is this segment.
func (s segment) is(p peer) bool { return p.segment == s.name }

// otherSegments denies traffic with the network's other segments, which is all that an Open VLAN denies.
func (b *builder) otherSegments(own segment) (ingress, egress []calicov3.Rule) {
	for _, other := range b.n.segments {
		if other.name == own.name {
			continue
		}
		note := b.note(ruleSegment, own.name)
		for _, e := range b.entities(other.peer(), mcnv1alpha1.RouteScopeNetwork, identity.Deny) {
			ingress = append(ingress, calicov3.Rule{Action: calicov3.Deny, Source: e, Metadata: note})
			egress = append(egress, calicov3.Rule{Action: calicov3.Deny, Destination: e, Metadata: note})
		}
	}
	return ingress, egress
}

// ingress returns the rules by which the pods that a route leads to accept its flows.
func (b *builder) ingress(r route) []calicov3.Rule {
	var rules []calicov3.Rule
	for _, p := range r.from {
		for _, e := range b.entities(p, r.scope, identity.Permit) {
			for _, m := range matches(r.ports, b.m.ipv6()) {
				rules = append(rules, calicov3.Rule{
					Action: b.n.permit(), Protocol: m.protocol, Source: e,
					Destination: calicov3.EntityRule{Ports: m.ports},
					Metadata:    b.note(ruleRoute, r.name),
				})
			}
		}
	}
	return rules
}

// egress returns the rules by which the pods that a route comes from open its flows.
func (b *builder) egress(r route) []calicov3.Rule {
	var rules []calicov3.Rule
	for _, p := range r.to {
		for _, e := range b.entities(p, r.scope, identity.Permit) {
			for _, m := range matches(r.ports, b.m.ipv6()) {
				e.Ports = m.ports
				rules = append(rules, calicov3.Rule{
					Action: b.n.permit(), Protocol: m.protocol, Destination: e,
					Metadata: b.note(ruleRoute, r.name),
				})
			}
		}
	}
	return rules
}

// routePeers compiles a route's permits for the pods that it names outside segments: another network may deny them, and the route opens its flow at both
// ends. They are no pods of this network, so their permits stand in the Shared band.
func (b *builder) routePeers(r route) {
	for _, p := range r.from {
		if p.own {
			b.add(policy{
				role: RolePermit, kind: "route", part: r.name, side: "from", subject: *p.pods, order: b.n.sharedPermitOrder(),
				types: policyTypes(false, true), egress: b.egress(r),
			})
		}
	}
	for _, p := range r.to {
		if p.own {
			b.add(policy{
				role: RolePermit, kind: "route", part: r.name, side: "to", subject: *p.pods, order: b.n.sharedPermitOrder(),
				types: policyTypes(true, false), ingress: b.ingress(r),
			})
		}
	}
}

// calicoPolicy compiles a policy of the Calico model, and the denial of the rest in a Closed network.
func (b *builder) calicoPolicy(p calicoPolicy) {
	rules := policy{role: RoleRules, kind: "policy", part: p.name, subject: p.pods, order: b.n.rulesOrder(p), types: p.types}
	for _, r := range p.ingress {
		for _, combined := range b.combinations(r) {
			rule := r.template
			rule.Source, rule.Destination, rule.Metadata = combined.peer, combined.subject, b.note(rulePolicy, p.name)
			rules.ingress = append(rules.ingress, rule)
		}
	}
	for _, r := range p.egress {
		for _, combined := range b.combinations(r) {
			rule := r.template
			rule.Source, rule.Destination, rule.Metadata = combined.subject, combined.peer, b.note(rulePolicy, p.name)
			rules.egress = append(rules.egress, rule)
		}
	}
	b.add(rules)
	if b.n.boundary == mcnv1alpha1.BoundaryClosed {
		denials := policy{role: RoleDeny, kind: "policy", part: p.name, subject: p.pods, order: b.n.denyOrder(), types: p.types}
		deny := []calicov3.Rule{{Action: calicov3.Deny, Metadata: b.note(rulePolicy, p.name)}}
		if slices.Contains(p.types, calicov3.PolicyTypeIngress) {
			denials.ingress = deny
		}
		if slices.Contains(p.types, calicov3.PolicyTypeEgress) {
			denials.egress = deny
		}
		b.add(denials)
	}
}

// combination is one rule that a user's rule becomes.
type combination struct {
	subject, peer calicov3.EntityRule
}

// family is an address family; anyFamily where a rule holds no address.
type family int

const (
	anyFamily family = iota
	ipv4
	ipv6
)

func (f family) has(p netip.Prefix) bool { return f == anyFamily || p.Addr().Is4() == (f == ipv4) }

// combinations returns the rules that a user's rule becomes: one for each address family that it names, and where its peer selects pods, one for
// the member's own and one for the sets of the others. The subject is always one of the member's own pods.
func (b *builder) combinations(r calicoRule) []combination {
	use := identity.Permit
	if r.template.Action == calicov3.Deny {
		use = identity.Deny
	}
	peers := []calicov3.EntityRule{{}}
	if r.peer.pods != nil {
		peers = b.entities(peer{pods: r.peer.pods}, mcnv1alpha1.RouteScopeNetwork, use)
	}
	subject := calicov3.EntityRule{}
	if r.subject.pods != nil {
		subject = localPods(*r.subject.pods)
	}
	var out []combination
	for _, f := range families(r) {
		own, ok := r.subject.in(f, subject)
		if !ok {
			continue
		}
		for _, e := range peers {
			if other, ok := r.peer.in(f, e); ok {
				out = append(out, combination{subject: own, peer: other})
			}
		}
	}
	return out
}

// families returns the address families that a rule's addresses belong to: Calico takes one per rule.
func families(r calicoRule) []family {
	v4, v6 := false, false
	for _, list := range [][]netip.Prefix{r.subject.nets, r.subject.notNets, r.peer.nets, r.peer.notNets} {
		for _, p := range list {
			v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
		}
	}
	switch {
	case v4 && v6:
		return []family{ipv4, ipv6}
	default:
		return []family{anyFamily}
	}
}

// in completes an end with its addresses and ports of one family. It is false when the end names addresses, and none of this family: no packet
// of the family can match.
func (e end) in(f family, rule calicov3.EntityRule) (calicov3.EntityRule, bool) {
	rule.Nets, rule.NotNets = texts(e.nets, f), texts(e.notNets, f)
	rule.Ports, rule.NotPorts = e.ports, e.notPorts
	return rule, len(e.nets) == 0 || len(rule.Nets) > 0
}

func texts(prefixes []netip.Prefix, f family) []string {
	var out []string
	for _, p := range prefixes {
		if f.has(p) {
			out = append(out, p.String())
		}
	}
	return out
}

// note is the annotation that tells where a rule comes from.
func (b *builder) note(key, value string) *calicov3.RuleMetadata {
	return &calicov3.RuleMetadata{Annotations: map[string]string{key: value, ruleNetwork: b.n.name()}}
}

// localEnd names one Service's pods on the member.
func localEnd(namespace string, labels map[string]string) (calicov3.EntityRule, error) {
	terms := make([]string, 0, len(labels))
	for key, value := range labels {
		terms = append(terms, fmt.Sprintf("%s == %q", key, value))
	}
	slices.Sort(terms)
	text := ""
	for _, term := range terms {
		text = conjunction(text, term)
	}
	s, err := identity.Parse(named(namespace), text)
	if err != nil {
		return calicov3.EntityRule{}, err
	}
	return localPods(s), nil
}
