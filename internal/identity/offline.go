package identity

import (
	"maps"
	"slices"

	"multicloud.network/operator/internal/snapshot"
)

// FromFleet returns an Index that knows what a snapshot holds. Of members and namespaces of one name the first counts.
func FromFleet(fleet snapshot.Fleet) *Index {
	ix := NewIndex()
	for i := range fleet.Members {
		m := &fleet.Members[i]
		if ix.members[m.Name] != nil {
			continue
		}
		ix.SetMember(m.Name, m.Domain, m.PodCIDRs)
		namespaces := map[string]snapshot.Namespace{}
		for _, ns := range m.Namespaces {
			if _, seen := namespaces[ns.Name]; !seen {
				namespaces[ns.Name] = ns
			}
		}
		ix.ReplaceNamespaces(m.Name, maps.Values(namespaces))
		ix.ReplacePods(m.Name, slices.Values(m.Pods))
	}
	return ix
}

// Pods calls f once for each pod of a member that some of the selections pick, with the places of those that do. Selections that groups have are not
// evaluated anew. f must not call the Index, nor keep picked.
func (ix *Index) Pods(member string, selections []Selection, f func(namespace, name string, picked []int)) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.members[member]
	if m == nil {
		return
	}
	known := make([]*selection, len(selections))
	for i, s := range selections {
		known[i] = ix.selectionByText[s.Canonical()]
	}
	byClass := map[classID][]int{}
	m.each(func(at uint32) {
		r := &m.all[at]
		id := r.state.class()
		picked, seen := byClass[id]
		if !seen {
			picked = ix.picks(&ix.classes[id], selections, known)
			byClass[id] = picked
		}
		if len(picked) > 0 {
			f(m.spaces[r.namespace].name, r.name, picked)
		}
	})
}

// picks are the places of the selections that pick a class.
func (ix *Index) picks(c *class, selections []Selection, known []*selection) (out []int) {
	if c.namespace == 0 {
		return nil
	}
	ns := ix.namespaces.sets[c.namespace].namespace()
	pod := ix.pods.sets[c.pod].pod(ns.Name)
	for i, s := range selections {
		matches := false
		if known[i] != nil {
			_, matches = slices.BinarySearch(c.matched, known[i].id)
		} else {
			matches = s.MatchesNamespace(ns) && s.MatchesPod(ns, pod)
		}
		if matches {
			out = append(out, i)
		}
	}
	return out
}

// Count returns the number of a member's pods, and how many of them have an address inside its pod CIDRs.
func (ix *Index) Count(member string) (pods, accepted int) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.members[member]
	if m == nil {
		return 0, 0
	}
	m.each(func(at uint32) {
		if slices.ContainsFunc(m.all[at].addresses(), func(a addr) bool { return m.own.Contains(a.netip()) }) {
			accepted++
		}
	})
	return m.len(), accepted
}
