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
	roster *identity.Roster
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
	// overlap is where pod CIDRs of different domains intersect: an address there may mean pods of either.
	overlap *netipx.IPSet
	// duplicates are addresses that pods of two members of one domain hold.
	duplicates map[netip.Addr]bool
	// overlaps and doubles say whose they are, for warnings.
	overlaps []overlap
	doubles  []duplicate
}

// overlap is where the pod CIDRs of two members in different domains intersect.
type overlap struct {
	members  [2]string
	prefixes []netip.Prefix
}

// duplicate is an address that pods of two members of one domain hold.
type duplicate struct {
	address netip.Addr
	members [2]string
}

func newFleet(in snapshot.Fleet) *fleet {
	f := &fleet{byName: make(map[string]*member, len(in.Members))}
	for _, m := range in.Members {
		if _, seen := f.byName[m.Name]; seen {
			continue
		}
		if m.Role == "" {
			m.Role = mcnv1alpha1.RoleManaged
		}
		own := &member{Member: m, roster: identity.NewRoster(m), own: ipSet(m.PodCIDRs), namespaces: map[string]snapshot.Namespace{}}
		for _, ns := range m.Namespaces {
			own.namespaces[ns.Name] = ns
		}
		f.members = append(f.members, own)
		f.byName[m.Name] = own
	}
	slices.SortFunc(f.members, func(a, b *member) int { return cmp.Compare(a.Name, b.Name) })
	f.findOverlaps()
	f.findDuplicates()
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
	var all netipx.IPSetBuilder
	for i, a := range f.members {
		for _, b := range f.members[i+1:] {
			if a.domain() == b.domain() || !a.own.Overlaps(b.own) {
				continue
			}
			var both netipx.IPSetBuilder
			both.AddSet(a.own)
			both.Intersect(b.own)
			common := build(&both)
			all.AddSet(common)
			f.overlaps = append(f.overlaps, overlap{members: [2]string{a.Name, b.Name}, prefixes: common.Prefixes()})
		}
	}
	f.overlap = build(&all)
}

// findDuplicates looks for addresses that pods of two members of one domain hold.
func (f *fleet) findDuplicates() {
	type place struct {
		domain  string
		address netip.Addr
	}
	f.duplicates = map[netip.Addr]bool{}
	first := map[place]string{}
	shared := map[string]int{}
	for _, m := range f.members {
		shared[m.domain()]++
	}
	for _, m := range f.members {
		if shared[m.domain()] < 2 {
			continue
		}
		for _, pod := range m.Pods {
			for _, address := range pod.Addresses {
				if !m.own.Contains(address) {
					continue // not accepted, so it must not silence the pod that holds it
				}
				at := place{m.domain(), address}
				switch holder, held := first[at]; {
				case !held:
					first[at] = m.Name
				case holder != m.Name && !f.duplicates[address]:
					f.duplicates[address] = true
					f.doubles = append(f.doubles, duplicate{address: address, members: [2]string{holder, m.Name}})
				}
			}
		}
	}
	slices.SortFunc(f.doubles, func(a, b duplicate) int { return a.address.Compare(b.address) })
}

// podAddresses returns the addresses by which a selection's pods of a member may be known elsewhere. Addresses outside the member's pod CIDRs are
// never accepted. An address that may mean another pod is withheld from permits and kept in denials (invariant I3).
func (f *fleet) podAddresses(m *member, s identity.Selection, use purpose) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, address := range m.roster.Addresses(s) {
		if !m.own.Contains(address) {
			continue
		}
		if use == forPermit && (f.overlap.Contains(address) || f.duplicates[address]) {
			continue
		}
		prefixes = append(prefixes, netip.PrefixFrom(address, address.BitLen()))
	}
	return prefixes
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
		if in[d.members[0]] || in[d.members[1]] {
			warnings = append(warnings, Warning{
				Code:    mcnv1alpha1.WarningDuplicateAddress,
				Message: fmt.Sprintf("pods of %s and %s both hold %s, so rules by label do not permit it in other clusters; recreate one of the pods", d.members[0], d.members[1], d.address),
			})
		}
	}
	return warnings
}
