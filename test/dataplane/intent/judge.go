package intent

import (
	"slices"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// opinion is what somebody thinks of a flow at one of its ends.
type opinion int

const (
	none  opinion = iota // nothing: the next one is asked
	pass                 // not denied by us; the cluster's own policies decide
	allow                // final
	deny                 // final
)

type direction int

const (
	egress direction = iota
	ingress
)

type flow struct {
	from, to Place
	Traffic
}

// end says whether a flow passes at one of its ends, own, which is a pod.
func (w *World) end(own, other Place, f flow, d direction) bool {
	switch w.networks(own, other, f, d) {
	case allow:
		return true
	case deny:
		return false
	}
	return w.localPasses(own, other, f, d)
}

// networks says what all networks together think.
func (w *World) networks(own, other Place, f flow, d direction) opinion {
	if w.guarded(own, f, d) {
		return pass
	}
	var exclusive, shared []*mcnv1alpha1.MultiCloudNetwork
	for _, n := range w.Networks {
		switch {
		case !w.enforced(n, own.Cluster):
		case n.Spec.Membership == mcnv1alpha1.MembershipExclusive:
			exclusive = append(exclusive, n)
		default:
			shared = append(shared, n)
		}
	}
	// An Exclusive network alone opens its pods. What it leaves open falls through to the next, and then to the Shared ones.
	for _, n := range exclusive {
		if o := first(w.opens(n, own, other, f, d), w.list([]*mcnv1alpha1.MultiCloudNetwork{n}, own, f, d), w.closes(n, own, other, d)); o != none {
			return o
		}
	}
	// Permits add up, and come before every Calico rule; that of an Override wins over one that only passes.
	best := none
	for _, n := range append(exclusive, shared...) {
		o := w.opensPeer(n, own, other, f, d)
		if n.Spec.Membership != mcnv1alpha1.MembershipExclusive {
			o = max(o, w.opens(n, own, other, f, d))
		}
		best = max(best, o)
	}
	if o := first(best, w.list(shared, own, f, d)); o != none {
		return o
	}
	for _, n := range shared {
		if w.closes(n, own, other, d) == deny {
			return deny
		}
	}
	return pass
}

func first(opinions ...opinion) opinion {
	for _, o := range opinions {
		if o != none {
			return o
		}
	}
	return none
}

// guarded says whether a flow is one that nothing may cut: to the API server, and to the cluster's DNS at both of its ends.
func (w *World) guarded(own Place, f flow, d direction) bool {
	c := w.Clusters[own.Cluster]
	toDNS := f.to.Address == c.DNS.Addr() && f.Port == c.DNS.Port() && f.Protocol != "ICMP"
	toAPI := d == egress && f.to.Address == c.API.Addr() && f.Port == c.API.Port() && f.Protocol == "TCP"
	return !excluded(own) && (toDNS || toAPI)
}

// segments are a network's groups of pods and subnets; a Flat network has one.
func segments(n *mcnv1alpha1.MultiCloudNetwork) []mcnv1alpha1.Segment {
	switch n.Spec.Model {
	case mcnv1alpha1.ModelFlat:
		return []mcnv1alpha1.Segment{{Name: "flat", Pods: &n.Spec.Flat.Pods}}
	case mcnv1alpha1.ModelVLAN:
		return n.Spec.VLAN.Segments
	}
	return nil
}

// in says whether a place is in a segment.
func (w *World) in(n *mcnv1alpha1.MultiCloudNetwork, s mcnv1alpha1.Segment, p Place) bool {
	return w.member(n, s.Pods, p) || holds(p.Address, s.CIDRs, nil)
}

// permit is what a network's permits do.
func permit(n *mcnv1alpha1.MultiCloudNetwork) opinion {
	if n.Spec.LocalPolicies == mcnv1alpha1.LocalPoliciesOverride {
		return allow
	}
	return pass
}

// opens says whether a network of segments permits a flow at a pod of one of them: its own segment, and the routes of that segment.
func (w *World) opens(n *mcnv1alpha1.MultiCloudNetwork, own, other Place, f flow, d direction) opinion {
	for _, s := range segments(n) {
		if !w.member(n, s.Pods, own) {
			continue
		}
		named := func(p mcnv1alpha1.Peer) bool { return p.Segment == s.Name }
		if w.in(n, s, other) || w.routed(n, own, other, f, d, named) {
			return permit(n)
		}
	}
	return none
}

// opensPeer says whether a route permits a flow at a pod that it names directly.
func (w *World) opensPeer(n *mcnv1alpha1.MultiCloudNetwork, own, other Place, f flow, d direction) opinion {
	if w.routed(n, own, other, f, d, func(p mcnv1alpha1.Peer) bool { return w.picks(n, p.Pods, own) }) {
		return permit(n)
	}
	return none
}

// routed says whether a route leads from one end to the other, where mine tells which of its peers means the own end.
func (w *World) routed(n *mcnv1alpha1.MultiCloudNetwork, own, other Place, f flow, d direction, mine func(mcnv1alpha1.Peer) bool) bool {
	return slices.ContainsFunc(n.Spec.Routes, func(r mcnv1alpha1.Route) bool {
		here, there := r.From, r.To
		if d == ingress {
			here, there = r.To, r.From
		}
		near := r.Scope != mcnv1alpha1.RouteScopeSameCluster || own.Cluster == other.Cluster
		return carries(r, f.Traffic) && slices.ContainsFunc(here, mine) &&
			slices.ContainsFunc(there, func(p mcnv1alpha1.Peer) bool { return w.means(n, p, other, near) })
	})
}

// means says whether a route's peer means a place; near is false for places that the route's scope leaves out, if they belong to a cluster.
func (w *World) means(n *mcnv1alpha1.MultiCloudNetwork, p mcnv1alpha1.Peer, at Place, near bool) bool {
	switch {
	case p.Pods != nil:
		return near && w.picks(n, p.Pods, at)
	case p.Nodes != nil:
		return near && at.isNode() && w.Spans(n, at.Cluster)
	case p.Segment == "":
		return holds(at.Address, p.CIDRs, p.Except)
	}
	return slices.ContainsFunc(segments(n), func(s mcnv1alpha1.Segment) bool {
		return s.Name == p.Segment && (near && w.member(n, s.Pods, at) || holds(at.Address, s.CIDRs, nil))
	})
}

// carries says whether a route is for some traffic.
func carries(r mcnv1alpha1.Route, t Traffic) bool {
	return len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p mcnv1alpha1.RoutePort) bool {
		if string(p.Protocol) != t.Protocol {
			return false
		}
		if p.Port == nil {
			return true
		}
		last := *p.Port
		if p.EndPort != nil {
			last = *p.EndPort
		}
		return *p.Port <= int32(t.Port) && int32(t.Port) <= last
	})
}

// closes says whether a network denies what nothing permitted.
func (w *World) closes(n *mcnv1alpha1.MultiCloudNetwork, own, other Place, d direction) opinion {
	if n.Spec.Calico != nil {
		types := map[direction]mcnv1alpha1.PolicyType{egress: mcnv1alpha1.PolicyTypeEgress, ingress: mcnv1alpha1.PolicyTypeIngress}
		for _, p := range n.Spec.Calico.Policies {
			if closed(n) && slices.Contains(p.Types, types[d]) && w.member(n, &p.Pods, own) {
				return deny
			}
		}
		return none
	}
	for _, mine := range segments(n) {
		if !w.member(n, mine.Pods, own) {
			continue
		}
		for _, s := range segments(n) {
			if closed(n) || s.Name != mine.Name && w.in(n, s, other) {
				return deny
			}
		}
	}
	return none
}

// closed says whether the network's boundary is Closed; the default depends on the model.
func closed(n *mcnv1alpha1.MultiCloudNetwork) bool {
	if n.Spec.Boundary == "" {
		return n.Spec.Model != mcnv1alpha1.ModelFlat
	}
	return n.Spec.Boundary == mcnv1alpha1.BoundaryClosed
}
