package identity

import (
	"hash/maphash"
	"slices"
	"strings"
	"unique"

	"multicloud.network/operator/internal/snapshot"
)

// labelSet is a set of labels that many pods, or namespaces, share.
type labelSet struct {
	labels []label
	// owner is what else selectors see: a pod's service account, or a namespace's name.
	owner unique.Handle[string]
	hash  uint64
	// size is the length of all keys and values.
	size int
	refs int
	// next is the next set with the same hash; 0 if there is none.
	next setID
	// selections are, of a namespace's set, the selections whose namespace selector it matches, sorted.
	selections []selectionID
}

type label struct{ key, value unique.Handle[string] }

// setID is the place of a set in its pool. 0 is no set.
type setID uint32

// setPool keeps each label set once.
type setPool struct {
	seed   maphash.Seed
	sets   []labelSet
	free   []setID
	byHash map[uint64]setID
}

func newSetPool() setPool {
	return setPool{seed: maphash.MakeSeed(), sets: make([]labelSet, 1), byHash: map[uint64]setID{}}
}

// same tells whether a set has exactly these labels. It allocates nothing.
func (p *setPool) same(id setID, labels map[string]string, owner string) bool {
	set := &p.sets[id]
	if len(set.labels) != len(labels) || set.owner.Value() != owner {
		return false
	}
	for _, l := range set.labels {
		if value, ok := labels[l.key.Value()]; !ok || value != l.value.Value() {
			return false
		}
	}
	return true
}

// hash does not depend on the order of a map's keys.
func (p *setPool) hash(labels map[string]string, owner string) uint64 {
	sum := maphash.String(p.seed, owner)
	for key, value := range labels {
		// Multiplied, so that a value does not count the same under another key.
		sum += (maphash.String(p.seed, key) | 1) * maphash.String(p.seed, value)
	}
	return sum
}

// acquire returns the set with these labels, which the caller has to release.
func (p *setPool) acquire(labels map[string]string, owner string) setID {
	hash := p.hash(labels, owner)
	first := p.byHash[hash]
	for id := first; id != 0; id = p.sets[id].next {
		if p.same(id, labels, owner) {
			p.sets[id].refs++
			return id
		}
	}
	set := labelSet{labels: make([]label, 0, len(labels)), owner: unique.Make(owner), hash: hash, refs: 1, next: first}
	for key, value := range labels {
		set.size += len(key) + len(value)
		set.labels = append(set.labels, label{unique.Make(key), unique.Make(value)})
	}
	slices.SortFunc(set.labels, func(a, b label) int { return strings.Compare(a.key.Value(), b.key.Value()) })
	id := setID(len(p.sets))
	if n := len(p.free); n > 0 {
		id, p.free = p.free[n-1], p.free[:n-1]
		p.sets[id] = set
	} else {
		p.sets = append(p.sets, set)
	}
	p.byHash[hash] = id
	return id
}

func (p *setPool) retain(id setID) {
	if id != 0 {
		p.sets[id].refs++
	}
}

func (p *setPool) release(id setID) {
	if id == 0 {
		return
	}
	set := &p.sets[id]
	if set.refs--; set.refs > 0 {
		return
	}
	at := p.byHash[set.hash]
	switch {
	case at == id && set.next == 0:
		delete(p.byHash, set.hash)
	case at == id:
		p.byHash[set.hash] = set.next
	default:
		for p.sets[at].next != id {
			at = p.sets[at].next
		}
		p.sets[at].next = set.next
	}
	*set = labelSet{}
	p.free = append(p.free, id)
}

func (s *labelSet) asMap() map[string]string {
	out := make(map[string]string, len(s.labels))
	for _, l := range s.labels {
		out[l.key.Value()] = l.value.Value()
	}
	return out
}

// namespace is what selectors see of a namespace's set.
func (s *labelSet) namespace() snapshot.Namespace {
	return snapshot.Namespace{Name: s.owner.Value(), Labels: s.asMap()}
}

// pod is what selectors see of a pod's set.
func (s *labelSet) pod(namespace string) snapshot.Pod {
	return snapshot.Pod{Namespace: namespace, Labels: s.asMap(), ServiceAccount: s.owner.Value()}
}

// class is all pods that selectors cannot tell apart: those with one label set in namespaces with one label set, in whatever members.
type class struct {
	classKey
	refs int
	// matched are the selections that pick these pods, sorted: each selector is evaluated once for each class.
	matched []selectionID
}

// classKey is a namespace's and a pod's label set. In a namespace that is not known, 0, pods match nothing: without its labels nobody can say which
// selections mean them.
type classKey struct{ namespace, pod setID }

// classID is the place of a class among all.
type classID uint32

// selectionID is the place of a selection among all that groups use.
type selectionID uint32

// selection is one that groups use, for whatever purpose and in whatever members.
type selection struct {
	Selection
	id        selectionID
	canonical string
	groups    int
}

// vocabulary is all label sets, classes and selections, and which selections pick which classes.
type vocabulary struct {
	namespaces, pods setPool

	classes    []class
	freeClass  []classID
	classByKey map[classKey]classID

	selections      []*selection
	freeSelection   []selectionID
	selectionByText map[string]*selection
}

func newVocabulary() vocabulary {
	return vocabulary{
		namespaces: newSetPool(), pods: newSetPool(), classByKey: map[classKey]classID{}, selectionByText: map[string]*selection{},
	}
}

// acquireClass returns the class of a pod's set in a namespace's, and takes over the caller's hold on the pod's set.
func (v *vocabulary) acquireClass(namespace, pod setID) classID {
	key := classKey{namespace, pod}
	if id, ok := v.classByKey[key]; ok {
		v.classes[id].refs++
		v.pods.release(pod)
		return id
	}
	v.namespaces.retain(namespace)
	c := class{classKey: key, refs: 1, matched: v.match(key)}
	id := classID(len(v.classes)) //nolint:gosec // far fewer than 2^32
	if n := len(v.freeClass); n > 0 {
		id, v.freeClass = v.freeClass[n-1], v.freeClass[:n-1]
		v.classes[id] = c
	} else {
		v.classes = append(v.classes, c)
	}
	v.classByKey[key] = id
	return id
}

func (v *vocabulary) releaseClass(id classID) {
	c := &v.classes[id]
	if c.refs--; c.refs > 0 {
		return
	}
	delete(v.classByKey, c.classKey)
	v.namespaces.release(c.namespace)
	v.pods.release(c.pod)
	*c = class{}
	v.freeClass = append(v.freeClass, id)
}

// match evaluates every selection on a class.
func (v *vocabulary) match(key classKey) (matched []selectionID) {
	if key.namespace == 0 || len(v.namespaces.sets[key.namespace].selections) == 0 {
		return nil
	}
	ns := v.namespaces.sets[key.namespace].namespace()
	pod := v.pods.sets[key.pod].pod(ns.Name)
	for _, id := range v.namespaces.sets[key.namespace].selections {
		if v.selections[id].MatchesPod(ns, pod) {
			matched = append(matched, id)
		}
	}
	return slices.Clip(matched)
}

// acquireNamespace returns a namespace's set, which the caller has to release.
func (v *vocabulary) acquireNamespace(ns snapshot.Namespace) setID {
	id := v.namespaces.acquire(ns.Labels, ns.Name)
	if set := &v.namespaces.sets[id]; set.refs == 1 {
		for _, s := range v.selections {
			if s != nil && s.MatchesNamespace(ns) {
				set.selections = append(set.selections, s.id)
			}
		}
	}
	return id
}

// acquireSelection returns a selection, evaluated on all classes, for one more group.
func (v *vocabulary) acquireSelection(s Selection) *selection {
	canonical := s.Canonical()
	if known := v.selectionByText[canonical]; known != nil {
		known.groups++
		return known
	}
	out := &selection{Selection: s, id: selectionID(len(v.selections)), canonical: canonical, groups: 1} //nolint:gosec // far fewer than 2^32
	if n := len(v.freeSelection); n > 0 {
		out.id, v.freeSelection = v.freeSelection[n-1], v.freeSelection[:n-1]
		v.selections[out.id] = out
	} else {
		v.selections = append(v.selections, out)
	}
	v.selectionByText[canonical] = out
	for i := range v.namespaces.sets {
		if set := &v.namespaces.sets[i]; set.refs > 0 && s.MatchesNamespace(set.namespace()) {
			set.selections = insertID(set.selections, out.id)
		}
	}
	for i := range v.classes {
		c := &v.classes[i]
		if c.refs == 0 || c.namespace == 0 {
			continue
		}
		set := &v.namespaces.sets[c.namespace]
		if _, may := slices.BinarySearch(set.selections, out.id); !may {
			continue
		}
		if ns := set.namespace(); s.MatchesPod(ns, v.pods.sets[c.pod].pod(ns.Name)) {
			c.matched = insertID(c.matched, out.id)
		}
	}
	return out
}

func (v *vocabulary) releaseSelection(s *selection) {
	if s.groups--; s.groups > 0 {
		return
	}
	delete(v.selectionByText, s.canonical)
	for i := range v.namespaces.sets {
		set := &v.namespaces.sets[i]
		set.selections = deleteID(set.selections, s.id)
	}
	for i := range v.classes {
		v.classes[i].matched = deleteID(v.classes[i].matched, s.id)
	}
	v.selections[s.id] = nil
	v.freeSelection = append(v.freeSelection, s.id)
}

func insertID(in []selectionID, id selectionID) []selectionID {
	i, _ := slices.BinarySearch(in, id)
	return slices.Insert(in, i, id)
}

func deleteID(in []selectionID, id selectionID) []selectionID {
	if i, found := slices.BinarySearch(in, id); found {
		return slices.Delete(in, i, i+1)
	}
	return in
}
