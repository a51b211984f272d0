package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// warnings says what works but that the network's author should know of.
func (c *Compiler) warnings(n *network, compiled []ClusterResult) []Warning {
	if len(n.members) == 0 {
		return nil
	}
	out := c.fleet.warnings(n.members)
	out = append(out, c.cidrsCoverPods(n)...)
	out = append(out, c.noPolicyEffect(n)...)
	out = append(out, c.membershipConflicts(n)...)
	out = append(out, c.foreign(compiled)...)
	out = append(out, emptySegments(n)...)
	slices.SortFunc(out, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// cidrsCoverPods finds plain addresses that contain pods' addresses: they match those pods, whatever their segment.
func (c *Compiler) cidrsCoverPods(n *network) []Warning {
	var out []Warning
	check := func(where string, prefixes []netip.Prefix) {
		set := ipSet(prefixes)
		for _, m := range n.members {
			if set.Overlaps(m.own) {
				out = append(out, Warning{
					Code: mcnv1alpha1.WarningCIDRCoversPods, Cluster: m.Name,
					Message: where + " contains pod addresses of the cluster, and matches those pods whatever their segment; take its pod CIDRs out with except (notNets in a Calico rule) if that is not meant",
				})
			}
		}
	}
	for _, s := range n.segments {
		check("cidrs of segment "+s.name, s.cidrs)
	}
	for _, r := range n.routes {
		for _, p := range slices.Concat(r.from, r.to) {
			if p.segment == "" {
				check("cidrs of route "+r.name, p.prefixes)
			}
		}
	}
	for _, p := range n.policies {
		for _, r := range slices.Concat(p.ingress, p.egress) {
			// Next to a selector, nets only narrow.
			for _, e := range []end{r.subject, r.peer} {
				if e.pods == nil {
					check("nets of policy "+p.name, e.nets)
				}
			}
		}
	}
	return slices.Compact(out)
}

// denies tells whether a network denies anything.
func (n *network) denies() bool {
	switch {
	case len(n.errors) > 0:
		return false
	case n.boundary == mcnv1alpha1.BoundaryClosed, n.source.Spec.Model == mcnv1alpha1.ModelCalico:
		return true
	}
	return len(n.segments) > 1
}

// noPolicyEffect finds a network whose permits meet no denial: it only honors what nothing of ours denies.
func (c *Compiler) noPolicyEffect(n *network) []Warning {
	if n.source.Spec.Model != mcnv1alpha1.ModelFlat || n.boundary != mcnv1alpha1.BoundaryOpen || n.override() {
		return nil
	}
	for _, other := range c.networks {
		if other == n || !other.denies() {
			continue
		}
		if count, _ := n.meets(other); count > 0 {
			return nil
		}
	}
	return []Warning{{
		Code: mcnv1alpha1.WarningNoPolicyEffect,
		Message: "an Open Flat network that honors local policies changes no packet unless another network denies traffic of its pods, and none does; " +
			"set boundary to Closed to isolate the pods, or localPolicies to Override to open what their clusters deny",
	}}
}

// membershipConflicts finds older Exclusive networks that pick some of an Exclusive network's pods, and so decide over them.
func (c *Compiler) membershipConflicts(n *network) []Warning {
	var out []Warning
	if !n.exclusive {
		return nil
	}
	for _, other := range c.networks {
		if other == n {
			break // sorted by age: the rest is younger
		}
		if !other.exclusive {
			continue
		}
		if count, example := n.meets(other); count > 0 {
			out = append(out, Warning{
				Code: mcnv1alpha1.WarningMembershipConflict,
				Message: fmt.Sprintf("the older Exclusive network %s picks %d of the pods too (%s, for example) and decides over them; narrow one of the two networks' selectors",
					other.name(), count, example),
			})
		}
	}
	return out
}

// emptySegments finds segments and policies that pick no pod anywhere.
func emptySegments(n *network) []Warning {
	var out []Warning
	check := func(what string, picked bool) {
		if !picked {
			out = append(out, Warning{
				Code:    mcnv1alpha1.WarningEmptySegment,
				Message: what + " picks no pod in any of the network's clusters; compare its selectors with the labels of the pods and their namespaces (excluded namespaces do not count)",
			})
		}
	}
	for _, s := range n.segments {
		if s.pods != nil {
			check("segment "+s.name, n.anyPod(*s.pods))
		}
	}
	for _, p := range n.policies {
		check("policy "+p.name, n.anyPod(p.pods))
	}
	return out
}
