package member

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// errLater leaves a set to a whole pass, which knows what to do about failures.
var errLater = errors.New("left to a whole pass")

// follow takes in what changed of the sets that this member uses, and which sources had been listed in full before.
func (w *worker) follow(changes []setChange, synced *listed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.synced != synced {
		// Sets of a source that has been listed in full may be taken away now, which is for a whole pass to find.
		w.synced = synced
		w.wake()
	}
	for _, c := range changes {
		if !w.uses[c.source] {
			continue
		}
		if c.now == nil {
			delete(w.sets, c.key)
		} else {
			w.sets[c.key] = c.now
		}
		if before, is := w.pending[c.key]; is && before.rank < c.rank {
			c.rank = before.rank
		}
		if w.pending == nil {
			w.pending = map[compile.Key]setChange{}
		}
		w.pending[c.key] = c
	}
	if len(w.pending) > 0 {
		select {
		case w.setsChanged <- struct{}{}:
		default:
		}
	}
}

// lastIntent returns the newest intent; nil before there was one.
func (w *worker) lastIntent() *prepared {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.intent
}

// hasPending tells whether sets changed that were not written yet.
func (w *worker) hasPending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) > 0
}

// quick writes the sets that changed and does nothing else; false if a whole pass is needed. The cost of a change does not depend on what else the member holds.
func (w *worker) quick(ctx context.Context) bool {
	conn, ok := w.m.opts.Connect(w.name)
	if !ok || conn.ID != w.conn.ID || w.live == nil || len(w.stale) > 0 || w.rereadWait() > 0 || w.outdated() || w.isCleaning() || w.current == nil {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if conn.Context != nil {
		defer context.AfterFunc(conn.Context, cancel)()
	}
	w.written, w.proof.err = map[compile.Key]bool{}, nil
	return w.writePending(ctx, apply.New(conn.Client, w.m.opts.OwnerID)) == nil
}

// writePending writes the sets that changed: removals, then additions, then what relabelled pods left. It stops at the first failure, because an addition
// may have to wait for a removal; the rest is found by a whole pass. While sets may not be written they stay pending, and keep their order.
func (w *worker) writePending(ctx context.Context, cluster *apply.Cluster) error {
	if w.current.Frozen || w.current.Unread || w.notOurs != nil || isTaken(w.sharedErr) || !w.framed() {
		return errLater
	}
	w.mu.Lock()
	pending := w.pending
	w.pending = nil
	w.mu.Unlock()
	var steps []setChange
	for _, c := range pending {
		w.current.replaceSet(c.key, c.now)
		if c.early != nil {
			first := c
			first.now = c.early
			steps = append(steps, first)
			c.rank = rankAdd
		}
		steps = append(steps, c)
	}
	slices.SortFunc(steps, func(a, b setChange) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.key.Name, b.key.Name))
	})
	for _, c := range steps {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.writeSet(ctx, cluster, c.key, c.now); err != nil {
			return err
		}
	}
	return nil
}

// framed tells whether the tier and the guard stand. Before they do no policy needs a set, and it is not known whether the tier is somebody else's.
func (w *worker) framed() bool {
	for key, want := range w.current.shared {
		if isFrame(want.object) && w.live[key] == nil {
			return false
		}
	}
	return true
}

// writeSet writes one set, or removes it where want is nil. What the server answers counts as read back.
func (w *worker) writeSet(ctx context.Context, cluster *apply.Cluster, key compile.Key, want *wanted) error {
	live := w.live[key]
	object := live
	if want != nil {
		object = want.object
	}
	if object == nil {
		return nil
	}
	network := apply.Network(object)
	n := w.current.networks[network]
	switch {
	case n == nil || n.Remove:
		return nil
	case n.err != nil || w.progressOf(network).failures > 0:
		return errLater
	case live != nil && w.current.sourceUnsynced(object):
		return nil
	case live != nil && want != nil && apply.Equal(live, want.object):
		return nil
	}
	if live == nil {
		// Calico has to take a new set in before a permit that names it. Of others no policy waits, or no network in motion would ever get on.
		defer func() {
			if w.live[key] != nil {
				w.progressOf(network).wrote[phaseBase] = time.Now()
			}
		}()
	}
	stale := w.stale[key.Kind]
	do := action{phase: phaseBase, want: want}
	if want == nil {
		do = action{phase: phaseDropBase, drop: live}
	}
	if _, err := w.call(ctx, cluster, do); err != nil {
		return err
	}
	if want != nil && !apply.Equal(w.live[key], want.object) {
		return errLater
	}
	delete(w.written, key)
	if !stale {
		delete(w.stale, key.Kind)
	}
	return nil
}

// renew brings an action of a pass up to date with the sets that changed since it was planned; false if it is not needed any more.
func (w *worker) renew(a action) (action, bool) {
	if a.key().Kind != apply.KindSet {
		return a, true
	}
	object := a.drop
	if a.want != nil {
		object = a.want.object
	}
	n := w.current.networks[apply.Network(object)]
	if n == nil || n.Remove {
		return a, true
	}
	now := n.wants[a.key()]
	if a.want == nil {
		return a, now == nil
	}
	a.want = now
	return a, now != nil
}

// believed returns what tells of a source whether the sets of it that are known now may lack some of its pods. It holds for those sets alone, also when the source
// has been listed in full meanwhile; the lock is held.
func (w *worker) believed() (unsynced func(member string) bool) {
	var synced map[string]bool
	if w.synced != nil {
		synced = w.synced.members
	}
	followed, now := map[string]bool{}, w.m.opts.Unsynced
	for s := range w.uses {
		followed[s.member] = true
	}
	return func(member string) bool { return (followed[member] && !synced[member]) || (now != nil && now(member)) }
}

// withSets is the intent with the sets that follow pods. Its plans are its own, so that replaceSet can change them.
func (p *prepared) withSets(sets map[compile.Key]*wanted, unsynced func(string) bool) *prepared {
	if p == nil {
		return nil
	}
	out := *p
	out.unsynced = unsynced
	out.networks = make(map[string]*networkPlan, len(p.networks))
	for name, n := range p.networks {
		if len(n.Groups) > 0 && !n.Remove {
			own := *n
			own.wants = maps.Clone(n.wants)
			n = &own
		}
		out.networks[name] = n
	}
	for key, set := range sets {
		out.replaceSet(key, set)
	}
	return &out
}

// replaceSet changes what is wanted of a set that follows pods.
func (p *prepared) replaceSet(key compile.Key, set *wanted) {
	for name, n := range p.networks {
		if len(n.Groups) == 0 || n.Remove || n.wants == nil {
			continue
		}
		switch {
		case set == nil:
			delete(n.wants, key)
		case apply.Network(set.object) == name:
			n.wants[key] = set
		}
	}
}
