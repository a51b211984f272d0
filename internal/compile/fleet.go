package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// member is a member with what the compiler derives of it.
type member struct {
	snapshot.Member
	// own are the prefixes in which the member's pod addresses are accepted.
	own *netipx.IPSet
	// namespaces by name.
	namespaces map[string]snapshot.Namespace
}

// domain is the address domain; members without one have one each, which no name of another can equal.
func (m *member) domain() string {
	if m.Domain == "" {
		return "\x00" + m.Name
	}
	return m.Domain
}

// ipv6 tells whether pods of the member have IPv6 addresses.
func (m *member) ipv6() bool {
	return slices.ContainsFunc(m.PodCIDRs, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// fleet is all members, sorted by name, with what must be withheld.
type fleet struct {
	members []*member
	byName  map[string]*member
	// overlaps are where pod CIDRs of different domains intersect, and doubles the addresses that pods of two members of one domain hold.
	overlaps []overlap
	doubles  []identity.Duplicate
}

// overlap is where the pod CIDRs of two members in different domains intersect.
type overlap struct {
	members  [2]string
	prefixes []netip.Prefix
}

func newFleet(in snapshot.Fleet, pods *identity.Index) *fleet {
	f := &fleet{byName: make(map[string]*member, len(in.Members))}
	for _, m := range in.Members {
		if _, seen := f.byName[m.Name]; seen {
			continue
		}
		if m.Role == "" {
			m.Role = mcnv1alpha1.RoleManaged
		}
		own := &member{Member: m, own: ipSet(m.PodCIDRs), namespaces: map[string]snapshot.Namespace{}}
		for _, ns := range m.Namespaces {
			own.namespaces[ns.Name] = ns
		}
		f.members = append(f.members, own)
		f.byName[m.Name] = own
	}
	slices.SortFunc(f.members, func(a, b *member) int { return cmp.Compare(a.Name, b.Name) })
	f.findOverlaps()
	f.doubles = pods.Duplicates()
	return f
}

// ipSet makes a set of prefixes; invalid ones are left out.
func ipSet(prefixes []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range maskAll(prefixes) {
		b.AddPrefix(p)
	}
	return build(&b)
}

// build finishes a set. The builder's only errors are invalid input, which is never added.
func build(b *netipx.IPSetBuilder) *netipx.IPSet {
	set, err := b.IPSet()
	if err != nil {
		return &netipx.IPSet{}
	}
	return set
}

// findOverlaps compares the pod CIDRs of every two members in different domains.
func (f *fleet) findOverlaps() {
	for i, a := range f.members {
		for _, b := range f.members[i+1:] {
			if a.domain() == b.domain() || !a.own.Overlaps(b.own) {
				continue
			}
			var both netipx.IPSetBuilder
			both.AddSet(a.own)
			both.Intersect(b.own)
			common := build(&both)
			f.overlaps = append(f.overlaps, overlap{members: [2]string{a.Name, b.Name}, prefixes: common.Prefixes()})
		}
	}
}

// nodeAddresses returns the node and tunnel addresses of a member, sorted.
func (f *fleet) nodeAddresses(m *member) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, address := range m.NodeAddresses {
		if address.IsValid() {
			prefixes = append(prefixes, netip.PrefixFrom(address, address.BitLen()))
		}
	}
	return sortPrefixes(prefixes)
}

// sortPrefixes sorts by address, then length, and drops repetitions.
func sortPrefixes(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, comparePrefix)
	return slices.Compact(prefixes)
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// Overlaps says of each member whose pod CIDRs overlap those of members in other domains with which, and where.
func (c *Compiler) Overlaps() map[string]string {
	const few = 3
	others, counts := map[string][]string{}, map[string]int{}
	for _, o := range c.fleet.overlaps {
		for i, name := range o.members {
			if counts[name]++; counts[name] <= few {
				others[name] = append(others[name], o.members[1-i]+" in "+joinPrefixes(o.prefixes, few))
			}
		}
	}
	out := make(map[string]string, len(others))
	for name, list := range others {
		if more := counts[name] - few; more > 0 {
			list = append(list, fmt.Sprintf("and %d more clusters", more))
		}
		out[name] = fmt.Sprintf("its pod CIDRs overlap those of %s: rules by label do not permit those addresses in other clusters; "+
			"renumber, or give clusters that share an address space one spec.podNetwork.domain", strings.Join(list, ", "))
	}
	return out
}

// warnings tells about withheld addresses that concern a network's members.
func (f *fleet) warnings(members []*member) []Warning {
	in := map[string]bool{}
	for _, m := range members {
		in[m.Name] = true
	}
	var warnings []Warning
	for _, o := range f.overlaps {
		for i, name := range o.members {
			if in[name] {
				warnings = append(warnings, Warning{
					Code: mcnv1alpha1.WarningPodCIDROverlap, Cluster: name,
					Message: fmt.Sprintf("its pod CIDRs overlap those of %s in %s: rules by label do not permit those addresses in other clusters; "+
						"renumber one of the two, or give both one spec.podNetwork.domain if they share an address space",
						o.members[1-i], joinPrefixes(o.prefixes, 3)),
				})
			}
		}
	}
	for _, d := range f.doubles {
		if in[d.Members[0]] || in[d.Members[1]] {
			warnings = append(warnings, Warning{
				Code:    mcnv1alpha1.WarningDuplicateAddress,
				Message: fmt.Sprintf("pods of %s and %s both hold %s, so rules by label do not permit it in other clusters; recreate one of the pods", d.Members[0], d.Members[1], d.Address),
			})
		}
	}
	return warnings
}
