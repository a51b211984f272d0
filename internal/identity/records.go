package identity

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"

	"multicloud.network/operator/internal/snapshot"
)

// records are the pods of one member.
type records struct {
	seed maphash.Seed
	// all has the pods, at positions that last for as long as they do, and free the positions without one.
	all  []record
	free []uint32
	// byName finds a pod, and byAddress the only holder of an address that is its first.
	byName, byAddress table
	// holders are the classes of the pods that hold the other addresses; several stands for those in many.
	holders map[addr]holder
	many    map[addr][]holder
}

// record is all that is kept of a pod.
type record struct {
	name string
	// first is the first address, and more are all addresses where there are several.
	first addr
	more  *[]addr
	uid   pass
	// state is the pod's class, with flags, and holds what byAddress finds: the state as far as its first address has followed it.
	state, holds holder
	namespace    nsID
}

// nsID is the place of a namespace in its member.
type nsID uint32

// pass tells one pod from the next. It is a hash: on a collision an address may join its new group a moment before it leaves the old one.
type pass uint32

// unknownPass is of an address of which more than one pod, or something else than a pod, decides.
const unknownPass pass = 0

// holder is a pod's class, and two flags.
type holder uint32

const (
	// terminating is of a pod that is being deleted.
	terminating holder = 1 << 31
	// marked is the round in which a record was seen last; never set in holders.
	marked holder = 1 << 30
	// several stands for a list of holders in records.many; as a record's state it says that there is no pod.
	several holder = 1<<32 - 1
)

func (h holder) class() classID { return classID(h &^ (terminating | marked)) }

func newRecords() records {
	return records{seed: maphash.MakeSeed(), holders: map[addr]holder{}, many: map[addr][]holder{}}
}

func (r *records) nameHash(namespace nsID, name string) uint64 {
	return maphash.String(r.seed, name) + uint64(namespace)*0x9e3779b97f4a7c15
}

func (r *records) hashOfName(at uint32) uint64 {
	return r.nameHash(r.all[at].namespace, r.all[at].name)
}

func (r *records) hashOfAddress(at uint32) uint64 { return maphash.Bytes(r.seed, r.all[at].first[:]) }

// find returns the position of a pod.
func (r *records) find(namespace nsID, name string) (uint32, bool) {
	return r.byName.find(r.nameHash(namespace, name), func(at uint32) bool { return r.all[at].namespace == namespace && r.all[at].name == name })
}

// add puts in a pod that is not there.
func (r *records) add(in record) uint32 {
	at := uint32(len(r.all)) //nolint:gosec // far fewer than 2^32
	if n := len(r.free); n > 0 {
		at, r.free = r.free[n-1], r.free[:n-1]
		r.all[at] = in
	} else {
		r.all = append(r.all, in)
	}
	r.byName.insert(at, r.hashOfName)
	return at
}

// remove takes out a pod whose addresses are released.
func (r *records) remove(at uint32) {
	r.byName.remove(at, r.hashOfName)
	r.all[at] = record{state: several}
	r.free = append(r.free, at)
}

// len is the number of pods.
func (r *records) len() int { return r.byName.used }

// each calls f for the position of every pod.
func (r *records) each(f func(at uint32)) {
	for i := range r.all {
		if r.all[i].state != several {
			f(uint32(i)) //nolint:gosec // far fewer than 2^32
		}
	}
}

// sole returns the position of the pod that alone holds an address, as its first one.
func (r *records) sole(a addr) (uint32, bool) {
	return r.byAddress.find(maphash.Bytes(r.seed, a[:]), func(at uint32) bool { return r.all[at].first == a })
}

// holder returns who holds an address; several where those in many do.
func (r *records) holder(a addr) (holder, bool) {
	if len(r.holders) > 0 {
		if h, held := r.holders[a]; held {
			return h, true
		}
	}
	if at, held := r.sole(a); held {
		return r.all[at].holds, true
	}
	return 0, false
}

// hold notes that the pod at a position holds an address.
func (r *records) hold(a addr, at uint32) {
	h := r.all[at].state &^ marked
	now, held := r.holder(a)
	switch {
	case !held && r.all[at].first == a:
		r.all[at].holds = h
		r.byAddress.insert(at, r.hashOfAddress)
	case !held:
		r.holders[a] = h
	case now == several:
		r.many[a] = append(r.many[a], h)
	default:
		if other, sole := r.sole(a); sole {
			r.byAddress.remove(other, r.hashOfAddress)
		}
		r.holders[a], r.many[a] = several, []holder{now, h}
	}
}

// release notes that a pod in some state holds an address no more.
func (r *records) release(a addr, h holder) {
	now, elsewhere := r.holders[a]
	switch {
	case !elsewhere:
		if at, held := r.sole(a); held {
			r.byAddress.remove(at, r.hashOfAddress)
		}
	case now != several:
		delete(r.holders, a)
	default:
		all := r.many[a]
		if i := slices.Index(all, h&^marked); i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
		if r.many[a] = all; len(all) == 1 {
			r.holders[a] = all[0]
			delete(r.many, a)
		}
	}
}

// eachAddress yields every address that is held.
func (r *records) eachAddress(yield func(addr) bool) {
	for a := range r.holders {
		if !yield(a) {
			return
		}
	}
	for _, slot := range r.byAddress.slots {
		if slot != 0 && !yield(r.all[slot-1].first) {
			return
		}
	}
}

// newRecord makes the record of a pod, without its class.
func newRecord(pod *snapshot.Pod, namespace nsID, uid pass, flags holder) record {
	out := record{name: strings.Clone(pod.Name), namespace: namespace, uid: uid, state: flags}
	out.setAddresses(pod.Addresses)
	return out
}

// addresses are those of a record, in a slice that lasts for as long as the record does not change.
func (r *record) addresses() []addr {
	switch {
	case r.more != nil:
		return *r.more
	case r.first != addr{}:
		return []addr{r.first}
	}
	return nil
}

// hasAddresses tells whether a record holds exactly these addresses, in this order.
func (r *record) hasAddresses(in []netip.Addr) bool {
	switch {
	case r.more != nil:
		return slices.EqualFunc(*r.more, in, func(a addr, b netip.Addr) bool { return a == addrOf(b) })
	case r.first == addr{}:
		return len(in) == 0
	}
	return len(in) == 1 && addrOf(in[0]) == r.first
}

// setAddresses keeps addresses, each once; invalid ones are none.
func (r *record) setAddresses(in []netip.Addr) {
	var all []addr
	for _, a := range in {
		switch kept := addrOf(a); {
		case !a.IsValid() || kept == addr{} || kept == r.first || slices.Contains(all, kept):
		case r.first == addr{}:
			r.first = kept
		default:
			if all == nil {
				all = append(all, r.first)
			}
			all = append(all, kept)
		}
	}
	if all != nil {
		all = slices.Clip(all)
		r.more = &all
	}
}
