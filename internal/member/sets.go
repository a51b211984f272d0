package member

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/identity"
)

// Changes of pods come together for a while before they are written: the first after a quiet time at once, those that follow within a window that grows
// from the shortest to the longest while they keep coming.
const shortestWindow, longestWindow = 5 * time.Millisecond, 50 * time.Millisecond

// source is a group of a network's pods in one member.
type source struct{ group, member string }

// podSets makes the sets of the groups that members use, once for all members. The manager's lock guards it.
type podSets struct {
	index    *identity.Index
	settings compile.Settings
	log      logr.Logger
	groups   map[string]compile.PodGroup
	made     map[source]map[string]*wanted // by shard ID
	// unsynced tells whether a member has not been listed in full; nil if none is.
	unsynced func(member string) bool
	// sources are the members whose pods the groups are of, and synced those of them that had been listed in full before the last take: what was taken of the others
	// may be a part.
	sources map[string]bool
	synced  *listed
}

// listed are members that have been listed in full. It is never changed; where nothing changed it stays the same one.
type listed struct{ members map[string]bool }

// use makes exactly these groups known to the index.
func (p *podSets) use(groups map[string]compile.PodGroup) {
	for id := range p.groups {
		if _, still := groups[id]; !still {
			p.index.Unregister(id)
		}
	}
	for _, g := range groups {
		p.index.Register(g.Group)
	}
	p.groups, p.sources = groups, map[string]bool{}
	for _, g := range groups {
		for _, member := range g.Sources {
			p.sources[member] = true
		}
	}
	maps.DeleteFunc(p.made, func(s source, _ map[string]*wanted) bool {
		g, still := groups[s.group]
		return !still || !slices.Contains(g.Sources, s.member)
	})
}

// rank says when a change of a set is written: removals first, so that nothing delays them, and what a relabelled pod leaves last, once it has joined elsewhere.
type rank int

const (
	rankRemove rank = iota
	rankAdd
	rankLeave
)

// setChange is a set that changed, or is no more where now is nil.
type setChange struct {
	source
	key compile.Key
	now *wanted
	// early is what is written first where the set takes over addresses of other pods: it lacks those.
	early *wanted
	rank  rank
}

// look notes which sources have been listed in full. It comes before what is taken, so that all of their pods are in that.
func (p *podSets) look() {
	now := make(map[string]bool, len(p.sources))
	for member := range p.sources {
		if p.unsynced == nil || !p.unsynced(member) {
			now[member] = true
		}
	}
	if p.synced == nil || !maps.Equal(now, p.synced.members) {
		p.synced = &listed{members: now}
	}
}

// take returns what changed since the last call.
func (p *podSets) take() []setChange {
	p.look()
	changes := p.index.Take()
	late := slices.ContainsFunc(changes, func(c identity.Change) bool { return len(c.Late) > 0 })
	var out []setChange
	for _, c := range changes {
		g, known := p.groups[c.Group]
		if !known {
			continue
		}
		at := source{c.Group, c.Source}
		if p.made[at] == nil {
			p.made[at] = map[string]*wanted{}
		}
		rank := rankOf(c, late)
		for _, id := range c.Shards {
			shard, is := p.index.Shard(c.Group, c.Source, id)
			if !is {
				continue
			}
			change, err := p.change(g, c, at, shard, rank)
			if err != nil {
				p.log.Error(err, "a set cannot be made; what stands is left", "network", g.Network, "source", c.Source)
				continue
			}
			p.made[at][id] = change.now
			out = append(out, change)
		}
		for _, id := range c.Gone {
			delete(p.made[at], id)
			out = append(out, setChange{
				source: at, rank: rank,
				key: compile.Key{Kind: apply.KindSet, Name: p.settings.PodSetName(g.Network, g.ID, c.Source, id)},
			})
		}
	}
	slices.SortStableFunc(out, func(a, b setChange) int { return int(a.rank) - int(b.rank) })
	return out
}

// rankOf says when a change is written. late tells whether some address passes from one pod to another.
func rankOf(c identity.Change, late bool) rank {
	switch {
	case len(c.Removed) > 0 && (late || len(c.Moved) == 0):
		return rankRemove
	case len(c.Moved) > 0:
		return rankLeave
	}
	return rankAdd
}

func (p *podSets) change(g compile.PodGroup, c identity.Change, at source, shard identity.Shard, rank rank) (out setChange, err error) {
	out = setChange{source: at, rank: rank}
	if out.now, err = p.want(g, at, shard); err != nil {
		return out, err
	}
	out.key = out.now.key
	if rank == rankRemove && len(c.Late) > 0 {
		if early, has := shard.Without(c.Late); has {
			out.early, err = p.want(g, at, early)
		}
	}
	return out, err
}

// want makes a set.
func (p *podSets) want(g compile.PodGroup, at source, shard identity.Shard) (*wanted, error) {
	o := p.settings.PodSet(g.Network, g.ID, at.member, shard)
	u, err := apply.Intended(o.Resource)
	return &wanted{key: o.Key(), phase: writePhase(o.Role), object: u}, err
}

// of returns the sets that an intent's rules use, and from which groups and sources they are.
func (p *podSets) of(in *prepared) (sets map[compile.Key]*wanted, uses map[source]bool) {
	sets, uses = map[compile.Key]*wanted{}, map[source]bool{}
	for _, n := range in.networks {
		if n.Remove {
			continue
		}
		for _, g := range n.Groups {
			for _, member := range g.Sources {
				at := source{g.ID, member}
				uses[at] = true
				for _, w := range p.made[at] {
					sets[w.key] = w
				}
			}
		}
	}
	return sets, uses
}

// followPods hands changes of pods to the workers until the context ends.
func (m *Manager) followPods(ctx context.Context) {
	window := shortestWindow
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.opts.PodsChanged:
		}
		m.mu.Lock()
		m.follow(m.pods.take())
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(window):
		}
		if window = min(2*window, longestWindow); len(m.opts.PodsChanged) == 0 {
			window = shortestWindow
		}
	}
}

// follow hands changes to the workers whose members use them, and which sources they may believe; the lock is held.
func (m *Manager) follow(changes []setChange) {
	for _, w := range m.workers {
		w.follow(changes, m.pods.synced)
	}
}

// usePods makes the groups of all intents known, and hands on what changed; the lock is held.
func (m *Manager) usePods(ready map[string]*prepared) {
	if m.pods == nil {
		return
	}
	groups := map[string]compile.PodGroup{}
	add := func(in *prepared) {
		for _, n := range in.networks {
			for _, g := range n.Groups {
				if n.Remove {
					continue
				}
				if known, is := groups[g.ID]; is {
					g.Sources = slices.Compact(slices.Sorted(slices.Values(slices.Concat(known.Sources, g.Sources))))
				}
				groups[g.ID] = g
			}
		}
	}
	for name, w := range m.workers {
		if ready[name] == nil {
			if in := w.lastIntent(); in != nil {
				add(in)
			}
		}
	}
	for _, in := range ready {
		add(in)
	}
	m.pods.use(groups)
	m.follow(m.pods.take())
}
