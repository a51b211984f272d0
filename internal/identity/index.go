package identity

import (
	"hash/maphash"
	"iter"
	"strings"
	"sync"

	"go4.org/netipx"

	"multicloud.network/operator/internal/snapshot"
)

// Index knows the pods of all members, in a compact form, and keeps for each group and source the addresses of the pods that the group means: what changes
// there with an event costs the same however many there are. It is safe for concurrent use.
//
// The outcome depends on what is known alone, never on the order in which it became known.
type Index struct {
	mu sync.Mutex
	vocabulary
	members map[string]*member
	domains map[string]*domain
	// overlap is where pod CIDRs of different domains intersect: an address there may mean pods of either.
	overlap *netipx.IPSet
	groups  map[string]*group
	// unbuilt are the members with families that do not hold their addresses yet.
	unbuilt map[*member]struct{}
	// dirty are the families that changed since the last Take, and fresh the groups that got a source since then.
	dirty map[*family]struct{}
	fresh map[pair]struct{}
	// passing are the addresses that left a family since the last Take.
	passing map[addr]passing
	seed    maphash.Seed
	// scratch is for the views of one address before and after it moves, and for those of another that follows.
	scratch [3]views
}

// member is what is known of one member's pods.
type member struct {
	name string
	records
	// spaces are the namespaces of which they or a pod is known, at positions that last, and byNamespace finds them.
	spaces      []namespace
	freeSpaces  []nsID
	byNamespace map[string]nsID
	// own are the prefixes in which the member's pod addresses are accepted.
	own    *netipx.IPSet
	domain *domain
	// families by what they hold.
	families map[familyKey]*family
	// round is flipped by each complete list; records that were seen in it carry it.
	round bool
	// weight is about how many bytes the member's pods would take if none shared anything.
	weight int64
	// known says that something was said of the member, and not only that groups have it as a source.
	known bool
}

// namespace is a namespace.
type namespace struct {
	name string
	// set is 0 while the namespace itself is not known.
	set setID
	// pods is the number of those in it.
	pods int
}

// NewIndex returns an Index that knows nothing.
func NewIndex() *Index {
	return &Index{
		vocabulary: newVocabulary(), members: map[string]*member{}, domains: map[string]*domain{}, overlap: &netipx.IPSet{}, groups: map[string]*group{},
		unbuilt: map[*member]struct{}{}, dirty: map[*family]struct{}{}, fresh: map[pair]struct{}{}, passing: map[addr]passing{}, seed: maphash.MakeSeed(),
	}
}

// known returns a member of which something is said.
func (ix *Index) known(name string) *member {
	m := ix.member(name)
	m.known = true
	return m
}

// member returns a member, a new one if there is none.
func (ix *Index) member(name string) *member {
	m := ix.members[name]
	if m == nil {
		m = &member{
			name: name, records: newRecords(), byNamespace: map[string]nsID{}, own: &netipx.IPSet{}, families: map[familyKey]*family{},
		}
		ix.members[name] = m
		ix.join(m, "")
	}
	return m
}

// RemoveMember forgets a member and its pods. Groups that have it as a source keep it, without addresses.
func (ix *Index) RemoveMember(name string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.members[name]
	if m == nil {
		return
	}
	m.each(func(at uint32) { ix.deleteAt(m, at) })
	for _, id := range m.byNamespace {
		ix.namespaces.release(m.spaces[id].set)
	}
	m.records, m.spaces, m.freeSpaces, m.byNamespace = newRecords(), nil, nil, map[string]nsID{}
	ix.relocate(m, "", nil)
	m.known = false
	ix.drop(m)
}

// drop forgets a member that nobody speaks of.
func (ix *Index) drop(m *member) {
	if len(m.families) == 0 && !m.known {
		ix.leave(m)
		delete(ix.members, m.name)
		delete(ix.unbuilt, m)
	}
}

// UpsertPod takes in a pod that a Filter let through, and tells whether anything of it was news. Of a pod that is as it was it keeps nothing and allocates nothing.
func (ix *Index) UpsertPod(member string, pod snapshot.Pod) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.upsertPod(ix.known(member), &pod) != same
}

// verdict is what became of something that was taken in.
type verdict int

const (
	same verdict = iota
	added
	changed
)

func (ix *Index) upsertPod(m *member, pod *snapshot.Pod) verdict {
	id, known := m.byNamespace[pod.Namespace]
	if !known {
		id = m.addNamespace(pod.Namespace)
	}
	flags, uid := m.flags(pod), ix.pass(pod.UID)
	at, had := m.find(id, pod.Name)
	if had {
		old := &m.all[at]
		if old.uid == uid && old.state&terminating == flags&terminating && old.hasAddresses(pod.Addresses) &&
			ix.pods.same(ix.classes[old.state.class()].pod, pod.Labels, pod.ServiceAccount) {
			old.state = old.state&^marked | flags&marked
			return same
		}
	}
	fresh := newRecord(pod, id, uid, flags)
	fresh.state |= holder(ix.acquireClass(m.spaces[id].set, ix.pods.acquire(pod.Labels, pod.ServiceAccount)))
	m.weight += ix.weigh(&fresh)
	if !had {
		m.spaces[id].pods++
		ix.follow(m, &record{}, m.add(fresh))
		return added
	}
	old := m.all[at]
	fresh.name = old.name
	m.weight -= ix.weigh(&old)
	ix.replaceAt(m, at, fresh)
	ix.releaseClass(old.state.class())
	return changed
}

// addNamespace makes room for a namespace.
func (m *member) addNamespace(name string) nsID {
	ns := namespace{name: strings.Clone(name)}
	id := nsID(len(m.spaces)) //nolint:gosec // far fewer than 2^32
	if n := len(m.freeSpaces); n > 0 {
		id, m.freeSpaces = m.freeSpaces[n-1], m.freeSpaces[:n-1]
		m.spaces[id] = ns
	} else {
		m.spaces = append(m.spaces, ns)
	}
	m.byNamespace[ns.name] = id
	return id
}

// recordCost is what a pod costs beside its name and labels.
const recordCost = 200

func (ix *Index) weigh(r *record) int64 {
	return int64(recordCost + len(r.name) + ix.pods.sets[ix.classes[r.state.class()].pod].size)
}

// Weight is about how many bytes a member's pods take, at most: they share labels, and are bounded as if they did not.
func (ix *Index) Weight(member string) int64 {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if m := ix.members[member]; m != nil {
		return m.weight
	}
	return 0
}

// flags are those of a pod that is taken in now.
func (m *member) flags(pod *snapshot.Pod) (out holder) {
	if pod.Terminating {
		out |= terminating
	}
	if m.round {
		out |= marked
	}
	return out
}

func (ix *Index) pass(uid string) pass {
	return max(pass(maphash.String(ix.seed, uid)), unknownPass+1) //nolint:gosec // a hash may be cut
}

// DeletePod takes out a pod, and tells whether it was there.
func (ix *Index) DeletePod(member, namespace, name string) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.members[member]
	if m == nil {
		return false
	}
	id, known := m.byNamespace[namespace]
	at, had := m.find(id, name)
	if !known || !had {
		return false
	}
	ix.deleteAt(m, at)
	m.prune(id)
	return true
}

// deleteAt takes out the pod at a position.
func (ix *Index) deleteAt(m *member, at uint32) {
	old := m.all[at]
	m.weight -= ix.weigh(&old)
	ix.replaceAt(m, at, record{name: old.name, namespace: old.namespace})
	ix.releaseClass(old.state.class())
	m.spaces[old.namespace].pods--
	m.remove(at)
}

// prune forgets a namespace of which neither itself nor a pod is known.
func (m *member) prune(id nsID) {
	if ns := &m.spaces[id]; ns.set == 0 && ns.pods == 0 {
		delete(m.byNamespace, ns.name)
		*ns = namespace{}
		m.freeSpaces = append(m.freeSpaces, id)
	}
}

// UpsertNamespace takes in a namespace, which moves its pods where its labels changed, and tells whether it was news.
func (ix *Index) UpsertNamespace(member string, ns snapshot.Namespace) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.upsertNamespace(ix.known(member), &ns) != same
}

func (ix *Index) upsertNamespace(m *member, in *snapshot.Namespace) verdict {
	id, is := m.byNamespace[in.Name]
	if !is {
		id = m.addNamespace(in.Name)
	}
	old := m.spaces[id].set
	if old != 0 && ix.namespaces.same(old, in.Labels, in.Name) {
		return same
	}
	ix.relabel(m, id, ix.acquireNamespace(*in))
	if old == 0 {
		return added
	}
	return changed
}

// DeleteNamespace takes out a namespace: its pods match nothing until it is known again. It tells whether it was known.
func (ix *Index) DeleteNamespace(member, name string) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.members[member]
	if m == nil {
		return false
	}
	id, is := m.byNamespace[name]
	if !is || m.spaces[id].set == 0 {
		return false
	}
	ix.forget(m, id)
	return true
}

func (ix *Index) forget(m *member, id nsID) {
	ix.relabel(m, id, 0)
	m.prune(id)
}

// relabel gives a namespace another set, whose hold it takes over.
func (ix *Index) relabel(m *member, id nsID, set setID) {
	ns := &m.spaces[id]
	old := ns.set
	if ns.set = set; ns.pods > 0 {
		m.each(func(at uint32) {
			if m.all[at].namespace == id {
				ix.reclassify(m, at, set)
			}
		})
	}
	ix.namespaces.release(old)
}

// reclassify gives a pod the class that it has with another set of its namespace.
func (ix *Index) reclassify(m *member, at uint32, set setID) {
	before := m.all[at]
	pod := ix.classes[before.state.class()].pod
	ix.pods.retain(pod)
	after := before
	after.state = before.state&(terminating|marked) | holder(ix.acquireClass(set, pod))
	ix.replaceAt(m, at, after)
	ix.releaseClass(before.state.class())
}

// Difference is what a complete list changed.
type Difference struct {
	// Added and Changed count what was not known, or was known otherwise; Removed what the list lacks.
	Added, Changed, Removed int
	// Known counts what was known before.
	Known int
}

func (d *Difference) count(v verdict) {
	switch v {
	case added:
		d.Added++
	case changed:
		d.Changed++
	case same:
	}
}

// ReplacePods takes in a complete list of a member's pods: what it lacks is taken out.
func (ix *Index) ReplacePods(member string, pods iter.Seq[snapshot.Pod]) Difference {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.known(member)
	d := Difference{Known: m.len()}
	m.round = !m.round
	for pod := range pods {
		d.count(ix.upsertPod(m, &pod))
	}
	m.each(func(at uint32) {
		if (m.all[at].state&marked != 0) != m.round {
			id := m.all[at].namespace
			ix.deleteAt(m, at)
			m.prune(id)
			d.Removed++
		}
	})
	return d
}

// ReplaceNamespaces takes in a complete list of a member's namespaces: what it lacks is taken out.
func (ix *Index) ReplaceNamespaces(member string, namespaces iter.Seq[snapshot.Namespace]) Difference {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m, d := ix.known(member), Difference{}
	listed := map[string]bool{}
	for name, id := range m.byNamespace {
		if m.spaces[id].set != 0 {
			d.Known++
			listed[name] = false
		}
	}
	for ns := range namespaces {
		d.count(ix.upsertNamespace(m, &ns))
		listed[ns.Name] = true
	}
	for name, still := range listed {
		if !still {
			ix.forget(m, m.byNamespace[name])
			d.Removed++
		}
	}
	return d
}
