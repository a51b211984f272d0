package identity

import (
	"cmp"
	"net/netip"
	"slices"
)

// Purpose says what a group's addresses are used for, because on doubt they move in opposite directions (invariant I3).
type Purpose string

// Purposes of groups.
const (
	// Permit groups never grow on doubt.
	Permit Purpose = "permit"
	// Deny groups never shrink on doubt.
	Deny Purpose = "deny"
)

// Group is pods that rules refer to, in some members.
type Group struct {
	// ID tells the group from all others.
	ID        string
	Selection Selection
	Purpose   Purpose
	// Sources are the members whose pods are meant.
	Sources []string
}

type group struct {
	id       string
	families map[string]*family // by source
	sel      *selection
	purpose  Purpose
}

// family is the addresses of one selection's pods in one member, for one purpose. Groups that mean the same share it.
type family struct {
	familyKey
	shards
	member *member
	groups []*group
	built  bool
	// was tells of addresses that changed since the last Take whether they were held then.
	was map[addr]bool
}

type familyKey struct {
	selection selectionID
	purpose   Purpose
}

// pair is a group and one of its sources.
type pair struct {
	group  *group
	source string
}

// Register makes a group known, or changes its sources.
func (ix *Index) Register(in Group) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	g := ix.groups[in.ID]
	if g != nil && (g.purpose != in.Purpose || g.sel.canonical != in.Selection.Canonical()) {
		ix.unregister(g)
		g = nil
	}
	if g == nil {
		g = &group{id: in.ID, sel: ix.acquireSelection(in.Selection), purpose: in.Purpose, families: map[string]*family{}}
		ix.groups[in.ID] = g
	}
	for source := range g.families {
		if !slices.Contains(in.Sources, source) {
			ix.leaveFamily(g, source)
		}
	}
	for _, source := range in.Sources {
		if g.families[source] == nil {
			ix.joinFamily(g, ix.member(source))
		}
	}
}

// Unregister forgets a group.
func (ix *Index) Unregister(id string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if g := ix.groups[id]; g != nil {
		ix.unregister(g)
	}
}

func (ix *Index) unregister(g *group) {
	for source := range g.families {
		ix.leaveFamily(g, source)
	}
	ix.releaseSelection(g.sel)
	delete(ix.groups, g.id)
}

func (ix *Index) joinFamily(g *group, m *member) {
	key := familyKey{selection: g.sel.id, purpose: g.purpose}
	f := m.families[key]
	if f == nil {
		f = &family{familyKey: key, member: m}
		m.families[key] = f
		ix.unbuilt[m] = struct{}{}
	}
	f.groups = append(f.groups, g)
	g.families[m.name] = f
	ix.fresh[pair{g, m.name}] = struct{}{}
}

func (ix *Index) leaveFamily(g *group, source string) {
	f := g.families[source]
	delete(g.families, source)
	delete(ix.fresh, pair{g, source})
	if f.groups = slices.DeleteFunc(f.groups, func(other *group) bool { return other == g }); len(f.groups) > 0 {
		return
	}
	delete(ix.dirty, f)
	delete(f.member.families, f.familyKey)
	ix.drop(f.member)
}

// build fills the families that are new: one look at each address of a member, however many they are.
func (ix *Index) build() {
	for m := range ix.unbuilt {
		for a := range m.eachAddress {
			v := ix.views(m, a, &ix.scratch[0])
			ix.fill(m, a, v.permit, Permit)
			ix.fill(m, a, v.deny, Deny)
		}
		for _, f := range m.families {
			f.built = true
		}
	}
	clear(ix.unbuilt)
}

func (ix *Index) fill(m *member, a addr, selections []selectionID, purpose Purpose) {
	for _, id := range selections {
		if f := m.families[familyKey{id, purpose}]; f != nil && !f.built {
			f.shards.set(a, true)
			ix.dirty[f] = struct{}{}
		}
	}
}

// family returns that of a group and source, filled; nil if there is none.
func (ix *Index) family(group, source string) *family {
	g := ix.groups[group]
	if g == nil {
		return nil
	}
	ix.build()
	return g.families[source]
}

// Addresses returns the addresses of a group's pods in one source, sorted.
func (ix *Index) Addresses(group, source string) []netip.Addr {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var out []netip.Addr
	if f := ix.family(group, source); f != nil {
		f.eachAddress(func(a addr) { out = append(out, a.netip()) })
		slices.SortFunc(out, netip.Addr.Compare)
	}
	return out
}

// Shards returns the shards of a group's addresses in one source.
func (ix *Index) Shards(group, source string) []Shard {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if f := ix.family(group, source); f != nil {
		return f.all()
	}
	return nil
}

// Shard returns one shard; false if it is no more.
func (ix *Index) Shard(group, source, id string) (Shard, bool) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	f := ix.family(group, source)
	at, ok := parseSpot(id)
	if f == nil || !ok {
		return Shard{}, false
	}
	n := f.find(at)
	if n == nil {
		return Shard{}, false
	}
	return n.shard(at), true
}

// Change is what changed of one group and source since the last Take.
//
// A writer keeps this order on each member (invariant I5): addresses in Removed go first, from all changes, and nothing delays them; then come additions, and what is
// in Moved goes last. A shard from which an address in Removed goes holds at that time those in Moved still, and those in Late not yet.
type Change struct {
	Group, Source string
	// Shards are those that are new or have another content, and Gone those that are no more, by ID.
	Shards, Gone []string
	// Removed are addresses that left, because no pod of the group holds them any more, or because it is not certain which pod does.
	Removed []netip.Addr
	// Moved are addresses that left because their pod was relabelled: it joined elsewhere, or nowhere.
	Moved []netip.Addr
	// Late are addresses that came in and were another pod's until now.
	Late []netip.Addr
}

// Take returns what changed since it was called last, sorted by group and source. Of a group that is new, or got a new source, it returns all shards. A group that was
// unregistered is not spoken of.
func (ix *Index) Take() []Change {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.build()
	var out []Change
	for f := range ix.dirty {
		written, gone := f.take()
		if len(written)+len(gone) > 0 {
			change := ix.change(f, written, gone)
			for _, g := range f.groups {
				if _, is := ix.fresh[pair{g, f.member.name}]; !is {
					change.Group, change.Source = g.id, f.member.name
					out = append(out, change)
				}
			}
		}
	}
	for p := range ix.fresh {
		if change := ix.everything(p); len(change.Shards) > 0 {
			out = append(out, change)
		}
	}
	for f := range ix.dirty {
		f.was = nil
	}
	clear(ix.dirty)
	clear(ix.fresh)
	clear(ix.passing)
	slices.SortFunc(out, func(a, b Change) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Source, b.Source)) })
	return out
}

// change says what changed of a family, for groups that knew it before.
func (ix *Index) change(f *family, written, gone []spot) Change {
	out := Change{Shards: ids(written), Gone: ids(gone)}
	for a, was := range f.was {
		p := ix.passing[a]
		switch is := f.has(a); {
		case is && !was && p.passed:
			out.Late = append(out.Late, a.netip())
		case was && !is && (p.passed || !p.relabelled):
			out.Removed = append(out.Removed, a.netip())
		case was && !is:
			out.Moved = append(out.Moved, a.netip())
		}
	}
	for _, list := range [][]netip.Addr{out.Removed, out.Moved, out.Late} {
		slices.SortFunc(list, netip.Addr.Compare)
	}
	return out
}

// everything is the change of a group that gets to know a family.
func (ix *Index) everything(p pair) Change {
	f := p.group.families[p.source]
	out := Change{Group: p.group.id, Source: p.source}
	for _, t := range f.told {
		out.Shards = append(out.Shards, t.spot.String())
	}
	for a, passing := range ix.passing {
		if passing.passed && f.has(a) {
			out.Late = append(out.Late, a.netip())
		}
	}
	slices.SortFunc(out.Late, netip.Addr.Compare)
	return out
}

func ids(spots []spot) []string {
	out := make([]string, 0, len(spots))
	for _, at := range spots {
		out = append(out, at.String())
	}
	return out
}
