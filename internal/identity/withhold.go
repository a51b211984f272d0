package identity

import (
	"cmp"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// domain is an address domain: members that may share pod CIDRs.
type domain struct {
	name    string
	members map[*member]struct{}
	// all is where pods of its members may be, and shared where pods of two of them may be.
	all, shared *netipx.IPSet
	// counts are, of addresses in shared, the members with a pod that holds it, and doubles those with more than one.
	counts  map[addr]uint16
	doubles map[addr]struct{}
}

// domainKey is a domain's name; members without one have one each, which no name of another can equal.
func domainKey(member, domain string) string {
	if domain == "" {
		return "\x00" + member
	}
	return domain
}

// join puts a member into a domain.
func (ix *Index) join(m *member, name string) {
	key := domainKey(m.name, name)
	d := ix.domains[key]
	if d == nil {
		d = &domain{name: key, members: map[*member]struct{}{}, all: &netipx.IPSet{}, shared: &netipx.IPSet{}}
		ix.domains[key] = d
	}
	d.members[m] = struct{}{}
	m.domain = d
}

// leave takes a member out of its domain.
func (ix *Index) leave(m *member) {
	delete(m.domain.members, m)
	if len(m.domain.members) == 0 {
		delete(ix.domains, m.domain.name)
	}
}

// SetMember says where a member's pod addresses are accepted, and in which domain they count; "" is one of its own.
func (ix *Index) SetMember(name, domain string, podCIDRs []netip.Prefix) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.relocate(ix.known(name), domain, podCIDRs)
}

func (ix *Index) relocate(m *member, domain string, podCIDRs []netip.Prefix) {
	own := ipSet(podCIDRs)
	if own.Equal(m.own) && m.domain.name == domainKey(m.name, domain) {
		return
	}
	was := m.domain
	ix.leave(m)
	m.own = own
	ix.join(m, domain)
	again := m.domain.recount()
	if was != m.domain {
		again = append(again, was.recount()...)
	}
	before := ix.overlap
	ix.overlap = ix.overlapping()
	changed := symmetricDifference(before, ix.overlap)
	for _, other := range ix.members {
		switch {
		case other == m:
			for a := range m.eachAddress {
				ix.refresh(m, a)
			}
		case other.domain == was || other.domain == m.domain || changed.Overlaps(other.own):
			ix.refreshSome(other, again, changed)
		}
	}
}

// refreshSome refreshes a member's addresses among some, and in an area.
func (ix *Index) refreshSome(m *member, some []addr, area *netipx.IPSet) {
	for _, a := range some {
		if _, held := m.holder(a); held {
			ix.refresh(m, a)
		}
	}
	if !area.Overlaps(m.own) {
		return
	}
	for a := range m.eachAddress {
		if area.Contains(a.netip()) {
			ix.refresh(m, a)
		}
	}
}

// withheld tells whether an address of a member, inside its pod CIDRs, may mean a pod of another member.
func (ix *Index) withheld(m *member, a addr) bool {
	if _, double := m.domain.doubles[a]; double {
		return true
	}
	return ix.overlap.Contains(a.netip())
}

// overlapping is where pod CIDRs of different domains intersect.
func (ix *Index) overlapping() *netipx.IPSet {
	sets := make([]*netipx.IPSet, 0, len(ix.domains))
	for _, d := range ix.domains {
		sets = append(sets, d.all)
	}
	return twice(sets)
}

// recount finds out anew where members of a domain may share addresses and which they do share, and returns the addresses for which that changed.
func (d *domain) recount() (changed []addr) {
	var all netipx.IPSetBuilder
	sets := make([]*netipx.IPSet, 0, len(d.members))
	for m := range d.members {
		all.AddSet(m.own)
		sets = append(sets, m.own)
	}
	d.all, d.shared = build(&all), twice(sets)
	before := d.doubles
	d.counts, d.doubles = map[addr]uint16{}, map[addr]struct{}{}
	for m := range d.members {
		if !d.shared.Overlaps(m.own) {
			continue
		}
		for a := range m.eachAddress {
			if ip := a.netip(); d.shared.Contains(ip) && m.own.Contains(ip) {
				d.counts[a]++
				if d.counts[a] == 2 {
					d.doubles[a] = struct{}{}
				}
			}
		}
	}
	for a := range before {
		if _, still := d.doubles[a]; !still {
			changed = append(changed, a)
		}
	}
	for a := range d.doubles {
		if _, already := before[a]; !already {
			changed = append(changed, a)
		}
	}
	return changed
}

// count notes that a member has come to hold an address inside its pod CIDRs, or holds it no more.
func (ix *Index) count(m *member, a addr, holds bool) {
	d := m.domain
	if !d.shared.Contains(a.netip()) {
		return
	}
	if holds {
		d.counts[a]++
	} else {
		d.counts[a]--
	}
	_, was := d.doubles[a]
	switch is := d.counts[a] > 1; {
	case d.counts[a] == 0:
		delete(d.counts, a)
		return
	case is == was:
		return
	case is:
		d.doubles[a] = struct{}{}
	default:
		delete(d.doubles, a)
	}
	for other := range d.members {
		if _, held := other.holder(a); held && other != m {
			ix.refresh(other, a)
		}
	}
}

// Duplicate is an address that pods of two members of one domain hold.
type Duplicate struct {
	Address netip.Addr
	// Members are the first two of them by name.
	Members [2]string
}

// Duplicates returns the addresses that are withheld because pods of several members of one domain hold them, sorted.
func (ix *Index) Duplicates() []Duplicate {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var out []Duplicate
	for _, d := range ix.domains {
		for a := range d.doubles {
			var names []string
			for m := range d.members {
				if _, held := m.holder(a); held && m.own.Contains(a.netip()) {
					names = append(names, m.name)
				}
			}
			if slices.Sort(names); len(names) > 1 {
				out = append(out, Duplicate{Address: a.netip(), Members: [2]string(names)})
			}
		}
	}
	slices.SortFunc(out, func(a, b Duplicate) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Members[0], b.Members[0]))
	})
	return out
}

// twice is where at least two of some sets hold an address: a walk over all their bounds.
func twice(sets []*netipx.IPSet) *netipx.IPSet {
	type bound struct {
		at  netip.Addr
		end bool
	}
	var bounds []bound
	for _, set := range sets {
		for _, r := range set.Ranges() {
			bounds = append(bounds, bound{at: r.From()}, bound{at: r.To(), end: true})
		}
	}
	slices.SortFunc(bounds, func(a, b bound) int {
		if c := a.at.Compare(b.at); c != 0 || a.end == b.end {
			return c
		}
		if a.end {
			return 1 // a range holds its bounds
		}
		return -1
	})
	var out netipx.IPSetBuilder
	depth, from := 0, netip.Addr{}
	for _, b := range bounds {
		switch {
		case b.end:
			if depth--; depth == 1 {
				out.AddRange(netipx.IPRangeFrom(from, b.at))
			}
		default:
			if depth++; depth == 2 {
				from = b.at
			}
		}
	}
	return build(&out)
}

// symmetricDifference is where exactly one of two sets holds an address.
func symmetricDifference(a, b *netipx.IPSet) *netipx.IPSet {
	var out, both netipx.IPSetBuilder
	both.AddSet(a)
	both.Intersect(b)
	out.AddSet(a)
	out.AddSet(b)
	out.RemoveSet(build(&both))
	return build(&out)
}

// ipSet makes a set of prefixes; invalid ones are left out.
func ipSet(prefixes []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		if p.IsValid() {
			b.AddPrefix(p.Masked())
		}
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
