package identity

// table finds positions in a slice by a hash of what is there: about 7 bytes for each, where a map that holds the key costs several times that. The zero value
// is empty. Callers say what the hash of a position is.
type table struct {
	// slots hold positions plus one; 0 is empty. Their number is a power of two.
	slots []uint32
	used  int
}

const smallestTable = 8

// find returns the position with a hash for which same says so.
func (t *table) find(hash uint64, same func(at uint32) bool) (at uint32, found bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	for i := t.home(hash); t.slots[i] != 0; i = t.next(i) {
		if at = t.slots[i] - 1; same(at) {
			return at, true
		}
	}
	return 0, false
}

// insert adds a position that is not there.
func (t *table) insert(at uint32, hashOf func(at uint32) uint64) {
	if 4*(t.used+1) > 3*len(t.slots) {
		t.resize(max(2*len(t.slots), smallestTable), hashOf)
	}
	t.put(at, hashOf(at))
	t.used++
}

func (t *table) put(at uint32, hash uint64) {
	i := t.home(hash)
	for t.slots[i] != 0 {
		i = t.next(i)
	}
	t.slots[i] = at + 1
}

// remove takes out a position that is there, and moves those up that were put behind it.
func (t *table) remove(at uint32, hashOf func(at uint32) uint64) {
	hole := t.home(hashOf(at))
	for t.slots[hole] != at+1 {
		hole = t.next(hole)
	}
	for i := t.next(hole); t.slots[i] != 0; i = t.next(i) {
		if t.distance(t.home(hashOf(t.slots[i]-1)), i) >= t.distance(hole, i) {
			t.slots[hole] = t.slots[i]
			hole = i
		}
	}
	t.slots[hole] = 0
	if t.used--; len(t.slots) > smallestTable && 8*t.used < len(t.slots) {
		t.resize(len(t.slots)/2, hashOf)
	}
}

func (t *table) resize(size int, hashOf func(at uint32) uint64) {
	old := t.slots
	t.slots = make([]uint32, size)
	for _, slot := range old {
		if slot != 0 {
			t.put(slot-1, hashOf(slot-1))
		}
	}
}

func (t *table) home(hash uint64) int { return int(hash & uint64(len(t.slots)-1)) } //nolint:gosec // masked

func (t *table) next(i int) int { return (i + 1) & (len(t.slots) - 1) }

func (t *table) distance(from, to int) int { return (to - from) & (len(t.slots) - 1) }
