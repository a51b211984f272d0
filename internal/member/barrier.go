package member

import (
	"slices"
	"sync"
	"time"
)

// barrier knows how far each member is with each network, so that no member goes on to a phase while another one is behind it.
type barrier struct {
	mu       sync.Mutex
	patience time.Duration
	// phases are the lowest phases in which something is still to be done: network, member.
	phases map[string]map[string]phase
	// lost are the members that are not connected, since when.
	lost map[string]time.Time
	// waiting are woken when somebody gets further.
	waiting map[string]func()
}

// seat is a worker's place at the barrier. After it has left, what it says is not heard: another worker may sit there under the same name.
type seat struct {
	member string
	left   bool // guarded by the barrier's lock
}

func newBarrier(patience time.Duration) *barrier {
	return &barrier{
		patience: patience,
		phases:   map[string]map[string]phase{},
		lost:     map[string]time.Time{},
		waiting:  map[string]func(){},
	}
}

// report says how far a member is with a network.
func (b *barrier) report(network string, from *seat, p phase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if from.left {
		return
	}
	member := from.member
	members := b.phases[network]
	if members == nil {
		members = map[string]phase{}
		b.phases[network] = members
	}
	if old, ok := members[member]; !ok || p > old {
		defer b.wakeAll()
	}
	members[member] = p
}

// forget takes a member out of a network, or out of all when network is empty.
func (b *barrier) forget(network string, from *seat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(network, from)
}

// leave takes a worker out of all networks, for good.
func (b *barrier) leave(from *seat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop("", from)
	from.left = true
}

// drop forgets; the lock is held.
func (b *barrier) drop(network string, from *seat) {
	if from.left {
		return
	}
	member := from.member
	for name, members := range b.phases {
		if network != "" && name != network {
			continue
		}
		delete(members, member)
		if len(members) == 0 {
			delete(b.phases, name)
		}
	}
	if network == "" {
		delete(b.lost, member)
		delete(b.waiting, member)
	}
	b.wakeAll()
}

// connection says whether a member can be reached, and since when not.
func (b *barrier) connection(from *seat, connected bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if from.left {
		return
	}
	member := from.member
	if connected {
		delete(b.lost, member)
		return
	}
	if _, ok := b.lost[member]; !ok {
		b.lost[member] = time.Now()
	}
}

// lostSince tells since when a member has not been reachable.
func (b *barrier) lostSince(member string) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	since, ok := b.lost[member]
	return since, ok
}

// behind names the other members that have not reached a phase. One that has been out of reach for longer than our patience is not waited for.
// wake is called when one of them gets further.
func (b *barrier) behind(network string, from *seat, p phase, wake func()) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	member := from.member
	for other, at := range b.phases[network] {
		since, lost := b.lost[other]
		if other == member || at >= p || (lost && time.Since(since) >= b.patience) {
			continue
		}
		out = append(out, other)
	}
	if len(out) > 0 && !from.left {
		b.waiting[member] = wake
	}
	slices.Sort(out)
	return out
}

// wakeAll wakes those who wait; the lock is held.
func (b *barrier) wakeAll() {
	for member, wake := range b.waiting {
		wake()
		delete(b.waiting, member)
	}
}
