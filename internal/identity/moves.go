package identity

import (
	"slices"
)

// passing is an address that left a family since the last Take: who had it, and what became of it.
type passing struct {
	pass pass
	// passed says that it joined a family for another pod, relabelled that its pod was still there when it left.
	passed, relabelled bool
}

// views are the selections by which an address is known, sorted, for each purpose.
type views struct{ permit, deny []selectionID }

// replaceAt exchanges the record of a pod, whose addresses follow: those that it has no more leave first.
func (ix *Index) replaceAt(m *member, at uint32, fresh record) {
	old := m.all[at]
	stay := fresh.addresses()
	for _, a := range old.addresses() {
		if !slices.Contains(stay, a) {
			ix.move(m, a, at, &old, nil)
		}
	}
	// The pod may be found by its first address, so that stays the first for as long as the pod has it.
	if fresh.holds = old.holds; slices.Contains(stay, old.first) {
		fresh.first = old.first
	}
	m.all[at] = fresh
	ix.follow(m, &old, at)
}

// follow lets a pod hold the addresses that its record says.
func (ix *Index) follow(m *member, old *record, at uint32) {
	fresh := m.all[at]
	for _, a := range fresh.addresses() {
		switch {
		case !slices.Contains(old.addresses(), a):
			ix.move(m, a, at, nil, &fresh)
		case old.uid != fresh.uid || old.state&^marked != fresh.state&^marked:
			ix.move(m, a, at, old, &fresh)
		}
	}
}

// move lets an address pass from one record of the pod at a position to the next; nil is none.
func (ix *Index) move(m *member, a addr, at uint32, from, to *record) {
	before := ix.views(m, a, &ix.scratch[0])
	was, held := m.holder(a)
	if from != nil {
		m.release(a, from.state)
	}
	if to != nil {
		m.hold(a, at)
	}
	is, holds := m.holder(a)
	if held != holds && m.own.Contains(a.netip()) {
		ix.count(m, a, holds)
	}
	after := ix.views(m, a, &ix.scratch[1])
	leaves, joins := unknownPass, unknownPass
	if was != several && is != several {
		if from != nil {
			leaves = from.uid
		}
		if to != nil {
			joins = to.uid
		}
	}
	relabelled := leaves == joins && leaves != unknownPass
	ix.differ(m, a, Permit, before.permit, after.permit, leaves, joins, relabelled)
	ix.differ(m, a, Deny, before.deny, after.deny, leaves, joins, relabelled)
}

// views returns the selections by which an address of a member is known. One outside the member's pod CIDRs is not accepted. One that may mean another
// pod is withheld from permits and kept in denials (invariant I3): an address of another domain's too, of pods of two members of one domain, or of two pods of one
// member. Of those only what permits every one of them is permitted; one that terminates gives way.
func (ix *Index) views(m *member, a addr, scratch *views) (out views) {
	h, held := m.holder(a)
	if !held || !m.own.Contains(a.netip()) {
		return views{}
	}
	if h == several {
		scratch.combine(m.many[a], ix.classes)
		out = *scratch
	} else {
		out.permit = ix.classes[h.class()].matched
		out.deny = out.permit
	}
	if ix.withheld(m, a) {
		out.permit = nil
	}
	return out
}

// combine joins what several holders of an address match.
func (v *views) combine(holders []holder, classes []class) {
	v.permit, v.deny = v.permit[:0], v.deny[:0]
	staying := slices.ContainsFunc(holders, func(h holder) bool { return h&terminating == 0 })
	first := true
	for _, h := range holders {
		matched := classes[h.class()].matched
		v.deny = append(v.deny, matched...)
		if staying && h&terminating != 0 {
			continue
		}
		if first {
			v.permit, first = append(v.permit, matched...), false
			continue
		}
		v.permit = slices.DeleteFunc(v.permit, func(id selectionID) bool { return !slices.Contains(matched, id) })
	}
	slices.Sort(v.deny)
	v.deny = slices.Compact(v.deny)
}

// differ lets an address leave and join families.
func (ix *Index) differ(m *member, a addr, purpose Purpose, before, after []selectionID, leaves, joins pass, relabelled bool) {
	if len(m.families) == 0 || slices.Equal(before, after) {
		return
	}
	for _, id := range before {
		if _, still := slices.BinarySearch(after, id); still {
			continue
		}
		if f := m.families[familyKey{id, purpose}]; f != nil && f.built && f.set(a, false) {
			ix.noteLeft(f, a, leaves, relabelled)
		}
	}
	for _, id := range after {
		if _, already := slices.BinarySearch(before, id); already {
			continue
		}
		if f := m.families[familyKey{id, purpose}]; f != nil && f.built && f.set(a, true) {
			ix.noteJoined(f, a, joins)
		}
	}
}

// refresh lets an address follow a change of what is withheld or accepted.
func (ix *Index) refresh(m *member, a addr) {
	v := ix.views(m, a, &ix.scratch[2])
	for key, f := range m.families {
		if !f.built {
			continue
		}
		list := v.permit
		if key.purpose == Deny {
			list = v.deny
		}
		_, held := slices.BinarySearch(list, key.selection)
		switch {
		case !f.set(a, held):
		case held:
			ix.noteJoined(f, a, unknownPass)
		default:
			ix.noteLeft(f, a, unknownPass, false)
		}
	}
}

func (ix *Index) noteLeft(f *family, a addr, by pass, relabelled bool) {
	ix.note(f, a, true)
	p, already := ix.passing[a]
	if already && p.pass != by {
		by = unknownPass
	}
	p.pass, p.relabelled = by, relabelled
	ix.passing[a] = p
}

func (ix *Index) noteJoined(f *family, a addr, by pass) {
	ix.note(f, a, false)
	if p, left := ix.passing[a]; left && (p.pass != by || by == unknownPass) {
		p.passed = true
		ix.passing[a] = p
	}
}

func (ix *Index) note(f *family, a addr, was bool) {
	ix.dirty[f] = struct{}{}
	if f.was == nil {
		f.was = map[addr]bool{}
	}
	if _, noted := f.was[a]; !noted {
		f.was[a] = was
	}
}
