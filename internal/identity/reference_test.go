package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"multicloud.network/operator/internal/snapshot"
)

// world is what an Index was told, kept as it was told: everything is computed anew from it, in the plainest way.
type world struct {
	members map[string]*worldMember
	groups  map[string]Group
}

type worldMember struct {
	domain     string
	cidrs      []netip.Prefix
	namespaces map[string]snapshot.Namespace
	pods       map[[2]string]snapshot.Pod
}

func newWorld() *world {
	return &world{members: map[string]*worldMember{}, groups: map[string]Group{}}
}

func (w *world) member(name string) *worldMember {
	if w.members[name] == nil {
		w.members[name] = &worldMember{namespaces: map[string]snapshot.Namespace{}, pods: map[[2]string]snapshot.Pod{}}
	}
	return w.members[name]
}

func (m *worldMember) accepts(a netip.Addr) bool {
	return slices.ContainsFunc(m.cidrs, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (m *worldMember) holds(a netip.Addr) bool {
	for _, pod := range m.pods {
		if slices.Contains(pod.Addresses, a) {
			return true
		}
	}
	return false
}

// sameDomain tells whether two members may share addresses.
func (w *world) sameDomain(a, b string) bool {
	return a == b || (w.members[a].domain != "" && w.members[a].domain == w.members[b].domain)
}

// withheld tells whether an address of a member may mean another member's pod.
func (w *world) withheld(name string, a netip.Addr) bool {
	for other, m := range w.members {
		if other != name && m.accepts(a) && (!w.sameDomain(name, other) || m.holds(a)) {
			return true
		}
	}
	return false
}

// addresses are those of a group in a source.
func (w *world) addresses(group, source string) []netip.Addr {
	g, m := w.groups[group], w.members[source]
	if m == nil || !slices.Contains(g.Sources, source) {
		return nil
	}
	matches := func(pod snapshot.Pod) bool {
		ns, known := m.namespaces[pod.Namespace]
		return known && g.Selection.MatchesNamespace(ns) && g.Selection.MatchesPod(ns, pod)
	}
	holders := map[netip.Addr][]snapshot.Pod{}
	for _, pod := range m.pods {
		for _, a := range pod.Addresses {
			holders[a] = append(holders[a], pod)
		}
	}
	var out []netip.Addr
	for a, pods := range holders {
		if !m.accepts(a) {
			continue
		}
		staying := slices.DeleteFunc(slices.Clone(pods), func(p snapshot.Pod) bool { return p.Terminating })
		if len(staying) == 0 {
			staying = pods
		}
		others := func(p snapshot.Pod) bool { return !matches(p) }
		if g.Purpose == Deny && slices.ContainsFunc(pods, matches) || g.Purpose == Permit && !slices.ContainsFunc(staying, others) && !w.withheld(source, a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// referenceShards divides addresses into shards by the rule alone: blocks of 64 stay whole, and what has more than ShardSize prefixes is split by the next bit of its
// blocks' hash.
func referenceShards(addresses []netip.Addr) map[string][]netip.Prefix {
	type hashed struct {
		place    uint64
		prefixes []netip.Prefix
	}
	blocks := map[netip.Addr]*netipx.IPSetBuilder{}
	for _, a := range addresses {
		p, _ := a.Prefix(a.BitLen() - 6)
		if blocks[p.Addr()] == nil {
			blocks[p.Addr()] = &netipx.IPSetBuilder{}
		}
		blocks[p.Addr()].Add(a)
	}
	var all []hashed
	for base, b := range blocks {
		bytes := base.As16()
		sum := sha256.Sum256(bytes[:])
		set, _ := b.IPSet()
		all = append(all, hashed{binary.BigEndian.Uint64(sum[:]), set.Prefixes()})
	}
	out := map[string][]netip.Prefix{}
	var divide func([]hashed, string)
	divide = func(in []hashed, path string) {
		var prefixes []netip.Prefix
		for _, h := range in {
			prefixes = append(prefixes, h.prefixes...)
		}
		if len(prefixes) == 0 {
			return
		}
		if len(prefixes) <= ShardSize {
			slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
			id := "0"
			if path != "" {
				id = strings.Join([]string{itoa(len(path)), path}, "-")
			}
			out[id] = prefixes
			return
		}
		var halves [2][]hashed
		for _, h := range in {
			side := h.place >> (63 - len(path)) & 1
			halves[side] = append(halves[side], h)
		}
		divide(halves[0], path+"0")
		divide(halves[1], path+"1")
	}
	divide(all, "")
	return out
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// sources are the sources of a group, sorted.
func (w *world) groupIDs() []string { return slices.Sorted(maps.Keys(w.groups)) }
