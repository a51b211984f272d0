package compile

import (
	"cmp"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/projectcalico/calico/libcalico-go/lib/selector"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// This file says what networks mean, straight from the specification and with none of the compiler's code: sets of pods, no Calico
// policy. It judges one packet at one end.

// place is where one end of a flow is.
type place struct {
	member  *snapshot.Member // nil: outside all clusters
	pod     *snapshot.Pod    // nil: no pod
	node    bool
	address netip.Addr
}

// packet is the first packet of a connection.
type packet struct {
	from, to place
	protocol string
	port     uint16
}

// verdict is what our tier says.
type verdict string

const (
	allow verdict = "Allow"
	pass  verdict = "Pass"
	deny  verdict = "Deny"
	// silent means that a network has no opinion.
	silent verdict = ""
)

// reference judges.
type reference struct {
	settings Settings
	networks []*mcnv1alpha1.MultiCloudNetwork // oldest first
	fleet    snapshot.Fleet
}

func newReference(in Input) *reference {
	networks := slices.Clone(in.Networks)
	slices.SortFunc(networks, func(a, b *mcnv1alpha1.MultiCloudNetwork) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return &reference{settings: in.Settings, networks: networks, fleet: in.Fleet}
}

// judge says what our tier does with a packet at one of its ends, which must be a pod.
func (r *reference) judge(p packet, ingress bool) verdict {
	own, other := p.from, p.to
	if ingress {
		own, other = p.to, p.from
	}
	var shared []*mcnv1alpha1.MultiCloudNetwork
	for _, n := range r.inForce(own) {
		if n.Spec.Membership != mcnv1alpha1.MembershipExclusive {
			shared = append(shared, n)
			continue
		}
		if v := cmp.Or(r.permits(n, own, other, p, ingress), r.list([]*mcnv1alpha1.MultiCloudNetwork{n}, own, other, p, ingress), r.denies(n, own, other, ingress)); v != silent {
			return v
		}
	}
	honored := silent
	for _, n := range r.inForce(own) {
		v := r.routePeers(n, own, other, p, ingress)
		if n.Spec.Membership != mcnv1alpha1.MembershipExclusive {
			v = cmp.Or(v, r.permits(n, own, other, p, ingress))
		}
		switch v {
		case allow:
			return allow
		case pass:
			honored = pass
		}
	}
	if v := cmp.Or(honored, r.list(shared, own, other, p, ingress)); v != silent {
		return v
	}
	for _, n := range shared {
		if v := r.denies(n, own, other, ingress); v != silent {
			return v
		}
	}
	return pass
}

// inForce lists the networks that span a place's cluster and are enforced there.
func (r *reference) inForce(own place) []*mcnv1alpha1.MultiCloudNetwork {
	var out []*mcnv1alpha1.MultiCloudNetwork
	for _, n := range r.networks {
		staged := n.Spec.StagedClusters != nil && selects(n.Spec.StagedClusters, own.member.Labels)
		if r.spans(n, own.member) && !staged {
			out = append(out, n)
		}
	}
	return out
}

func (r *reference) spans(n *mcnv1alpha1.MultiCloudNetwork, m *snapshot.Member) bool {
	return m != nil && selects(&n.Spec.Clusters.Selector, m.Labels)
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && parsed.Matches(labels.Set(set))
}

// segments lists a network's segments; a Flat network has one.
func (r *reference) segments(n *mcnv1alpha1.MultiCloudNetwork) []mcnv1alpha1.Segment {
	switch {
	case n.Spec.Flat != nil:
		return []mcnv1alpha1.Segment{{Name: mcnv1alpha1.FlatSegment, Pods: &n.Spec.Flat.Pods}}
	case n.Spec.VLAN != nil:
		return n.Spec.VLAN.Segments
	}
	return nil
}

// picks tells whether a selection means the pod at a place, in one of the network's clusters.
func (r *reference) picks(n *mcnv1alpha1.MultiCloudNetwork, s mcnv1alpha1.PodSelection, at place) bool {
	if at.pod == nil || !r.spans(n, at.member) {
		return false
	}
	return selects(s.NamespaceSelector, namespaceOf(at).Labels) && (s.PodSelector == nil || selects(s.PodSelector, at.pod.Labels))
}

func namespaceOf(at place) snapshot.Namespace {
	for _, ns := range at.member.Namespaces {
		if ns.Name == at.pod.Namespace {
			return ns
		}
	}
	return snapshot.Namespace{}
}

func (r *reference) excluded(at place) bool {
	_, labelled := namespaceOf(at).Labels[mcnv1alpha1.ExcludeLabel]
	return labelled || slices.Contains(r.settings.ExcludedNamespaces, at.pod.Namespace)
}

// isSubject tells whether the pod at a place is in a segment or under a policy.
func (r *reference) isSubject(n *mcnv1alpha1.MultiCloudNetwork, s *mcnv1alpha1.PodSelection, at place) bool {
	return s != nil && r.picks(n, *s, at) && !r.excluded(at)
}

// inSegment tells whether a place belongs to a segment: its pods or its subnets.
func (r *reference) inSegment(n *mcnv1alpha1.MultiCloudNetwork, s mcnv1alpha1.Segment, at place) bool {
	return r.isSubject(n, s.Pods, at) || inCIDRs(at.address, s.CIDRs, nil)
}

func inCIDRs(a netip.Addr, in, except []mcnv1alpha1.CIDR) bool {
	has := func(list []mcnv1alpha1.CIDR) bool {
		return slices.ContainsFunc(list, func(c mcnv1alpha1.CIDR) bool { return netip.MustParsePrefix(string(c)).Contains(a) })
	}
	return has(in) && !has(except)
}

// action is what a network's permits do.
func action(n *mcnv1alpha1.MultiCloudNetwork) verdict {
	if n.Spec.LocalPolicies == mcnv1alpha1.LocalPoliciesOverride {
		return allow
	}
	return pass
}

// permits tells whether a network of segments permits a packet at an end in one of them.
func (r *reference) permits(n *mcnv1alpha1.MultiCloudNetwork, own, other place, p packet, ingress bool) verdict {
	for _, s := range r.segments(n) {
		if !r.isSubject(n, s.Pods, own) {
			continue
		}
		if r.inSegment(n, s, other) {
			return action(n)
		}
		for _, route := range n.Spec.Routes {
			mine, theirs := route.From, route.To
			if ingress {
				mine, theirs = route.To, route.From
			}
			here := slices.ContainsFunc(mine, func(peer mcnv1alpha1.Peer) bool { return peer.Segment == s.Name })
			if here && r.opens(n, route, theirs, own, other, p) {
				return action(n)
			}
		}
	}
	return silent
}

// routePeers tells whether a route of the network permits a packet at an end that it names as pods.
func (r *reference) routePeers(n *mcnv1alpha1.MultiCloudNetwork, own, other place, p packet, ingress bool) verdict {
	for _, route := range n.Spec.Routes {
		mine, theirs := route.From, route.To
		if ingress {
			mine, theirs = route.To, route.From
		}
		here := slices.ContainsFunc(mine, func(peer mcnv1alpha1.Peer) bool { return peer.Pods != nil && r.picks(n, *peer.Pods, own) })
		if here && r.opens(n, route, theirs, own, other, p) {
			return action(n)
		}
	}
	return silent
}

// opens tells whether a route opens a packet toward the peers at its other end.
func (r *reference) opens(n *mcnv1alpha1.MultiCloudNetwork, route mcnv1alpha1.Route, peers []mcnv1alpha1.Peer, own, other place, p packet) bool {
	if len(route.Ports) > 0 && !slices.ContainsFunc(route.Ports, p.is) {
		return false
	}
	near := route.Scope != mcnv1alpha1.RouteScopeSameCluster || other.member == own.member
	return slices.ContainsFunc(peers, func(peer mcnv1alpha1.Peer) bool {
		switch {
		case peer.Pods != nil:
			return near && r.picks(n, *peer.Pods, other)
		case peer.Nodes != nil:
			return near && other.node && r.spans(n, other.member)
		case peer.Segment != "":
			for _, s := range r.segments(n) {
				if s.Name == peer.Segment {
					return near && r.isSubject(n, s.Pods, other) || inCIDRs(other.address, s.CIDRs, nil)
				}
			}
		}
		return inCIDRs(other.address, peer.CIDRs, peer.Except)
	})
}

// is tells whether a packet is traffic of a route's port.
func (p packet) is(port mcnv1alpha1.RoutePort) bool {
	if string(port.Protocol) != p.protocol {
		return false
	}
	if port.Port == nil {
		return true
	}
	last := *port.Port
	if port.EndPort != nil {
		last = *port.EndPort
	}
	return int32(p.port) >= *port.Port && int32(p.port) <= last
}

// list asks the Calico policies of networks as one list, by order, network age and policy name: the first match decides.
func (r *reference) list(networks []*mcnv1alpha1.MultiCloudNetwork, own, other place, p packet, ingress bool) verdict {
	type entry struct {
		network *mcnv1alpha1.MultiCloudNetwork
		age     int
		policy  mcnv1alpha1.CalicoPolicy
	}
	var entries []entry
	for age, n := range networks {
		if n.Spec.Calico != nil {
			for _, policy := range n.Spec.Calico.Policies {
				entries = append(entries, entry{n, age, policy})
			}
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.policy.Order, b.policy.Order), cmp.Compare(a.age, b.age), cmp.Compare(a.policy.Name, b.policy.Name))
	})
	for _, e := range entries {
		if !r.isSubject(e.network, &e.policy.Pods, own) {
			continue
		}
		rules := e.policy.Egress
		if ingress {
			rules = e.policy.Ingress
		}
		for _, rule := range rules {
			if rule.Action != mcnv1alpha1.RuleActionLog && r.matches(e.network, rule, p) {
				return verdict(rule.Action)
			}
		}
	}
	return silent
}

// matches tells whether a rule of the Calico model matches a packet.
func (r *reference) matches(n *mcnv1alpha1.MultiCloudNetwork, rule mcnv1alpha1.Rule, p packet) bool {
	if rule.Protocol != nil && rule.Protocol.StrVal != p.protocol {
		return false
	}
	return r.matchesEnd(n, rule.Source, p.from, 0) && r.matchesEnd(n, rule.Destination, p.to, p.port)
}

func (r *reference) matchesEnd(n *mcnv1alpha1.MultiCloudNetwork, e *mcnv1alpha1.EntityRule, at place, port uint16) bool {
	if e == nil {
		return true
	}
	// The generator knows one list of ports: 80 and 443 to 500.
	if len(e.Ports) > 0 && port != 80 && (port < 443 || port > 500) {
		return false
	}
	if len(e.Nets) > 0 && !inCIDRs(at.address, e.Nets, e.NotNets) {
		return false
	}
	if e.Selector == "" && e.NamespaceSelector == "" {
		return true
	}
	if at.pod == nil || !r.spans(n, at.member) {
		return false
	}
	return calicoSelects(e.NamespaceSelector, namespaceOf(at).Labels) && calicoSelects(e.Selector, at.pod.Labels)
}

func calicoSelects(text string, set map[string]string) bool {
	parsed, err := selector.Parse(text)
	return err == nil && parsed.Evaluate(set)
}

// denies tells whether a network denies, at one end, what nothing permitted.
func (r *reference) denies(n *mcnv1alpha1.MultiCloudNetwork, own, other place, ingress bool) verdict {
	closed := n.Spec.Boundary == mcnv1alpha1.BoundaryClosed || n.Spec.Boundary == "" && n.Spec.Model != mcnv1alpha1.ModelFlat
	if n.Spec.Calico != nil {
		for _, policy := range n.Spec.Calico.Policies {
			direction := mcnv1alpha1.PolicyTypeEgress
			if ingress {
				direction = mcnv1alpha1.PolicyTypeIngress
			}
			if closed && slices.Contains(policy.Types, direction) && r.isSubject(n, &policy.Pods, own) {
				return deny
			}
		}
		return silent
	}
	for _, s := range r.segments(n) {
		if !r.isSubject(n, s.Pods, own) {
			continue
		}
		if closed {
			return deny
		}
		for _, another := range r.segments(n) {
			if another.Name != s.Name && r.inSegment(n, another, other) {
				return deny
			}
		}
	}
	return silent
}
