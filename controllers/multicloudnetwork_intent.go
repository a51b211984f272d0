package controllers

import (
	"context"
	"slices"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
)

// intend tells each member's worker what the member should hold.
func (r *NetworkReconciler) intend(_ context.Context, s *scope) error {
	unsynced := s.unsynced()
	awaited := slices.DeleteFunc(slices.Clone(unsynced), func(name string) bool { return r.hopeless(s, name) })
	spared, unknown := r.Leftovers.spared()
	if unknown != nil {
		s.failed = append(s.failed, unknown)
	}
	intents := map[string]member.Intent{}
	s.warnings = map[string][]compile.Warning{}
	for _, m := range s.managed() {
		object := s.members[m.Name]
		shared, warnings := s.compiler.Shared(m.Name)
		s.warnings[m.Name] = warnings
		left := r.Leftovers.of(s.clusterID(m.Name))
		reclaim := s.reclaim(m.Name, left)
		if unknown != nil {
			reclaim = ""
		}
		intents[m.Name] = member.Intent{
			UID:      string(object.UID),
			Held:     object.Spec.Updates == mcnv1alpha1.UpdatesHeld,
			Frozen:   s.leaving(m.Name),
			Unread:   !s.states[m.Name].Synced,
			Shared:   shared,
			Reclaim:  reclaim,
			Spared:   withOrphans(spared, s.deleting),
			Networks: s.removals(left),
			Unsynced: unsynced,
		}
	}
	r.remember(s)
	for member := range intents {
		held := r.heldResults(s, member)
		for name, n := range s.inForce {
			if s.loose[name] {
				continue
			}
			use, result := r.intentWhileHeld(s, held, n, member)
			wanted := networkIntent(use, result, member, awaited)
			if _, left := intents[member].Networks[name]; left && wanted.Remove {
				continue // a former network of this name was deleted, which is not held up by what this one says
			}
			intents[member].Networks[name] = wanted
		}
	}
	s.intents = intents
	r.Members.SetIntents(intents)
	r.notes.set(s.memberNotes())
	s.statuses = r.Members.Statuses()
	return nil
}

// hopeless tells whether a member that was never listed is not worth waiting for: the operator runs for longer than the barrier, and the member is not
// about to connect.
func (r *NetworkReconciler) hopeless(s *scope, name string) bool {
	state := s.states[name]
	return r.Now().Sub(r.memory.started) > r.Barrier && !state.Reachable && state.Reason != mcnv1alpha1.ReasonConnecting
}

// networkIntent is what a member should hold of a network: nothing, where the network does not select it.
func networkIntent(n *mcnv1alpha1.MultiCloudNetwork, result compile.Result, name string, awaited []string) member.NetworkIntent {
	i := slices.IndexFunc(result.Clusters, func(c compile.ClusterResult) bool { return c.Name == name })
	if i < 0 {
		return member.NetworkIntent{Generation: n.Generation, Remove: true, Held: n.Spec.Updates == mcnv1alpha1.UpdatesHeld}
	}
	out := member.NetworkIntent{
		Generation: n.Generation,
		Staged:     result.Clusters[i].Staged,
		Held:       n.Spec.Updates == mcnv1alpha1.UpdatesHeld,
		Objects:    result.Clusters[i].Objects,
		Groups:     result.Clusters[i].Groups,
	}
	for _, other := range awaited {
		selected := slices.Contains(result.Sources, other) ||
			slices.ContainsFunc(result.Clusters, func(c compile.ClusterResult) bool { return c.Name == other })
		if selected && other != name {
			out.Unsynced = append(out.Unsynced, other)
		}
	}
	return out
}

// removals are the networks to take away from a member: those being deleted, and those deleted while its cluster was out of reach.
func (s *scope) removals(left clusterLeftovers) map[string]member.NetworkIntent {
	out := map[string]member.NetworkIntent{}
	for network, l := range left.Networks {
		out[network] = member.NetworkIntent{Generation: l.Generation, Remove: true, Deleted: true}
	}
	for _, n := range s.deleting {
		if n.Spec.DeletionPolicy != mcnv1alpha1.DeletionOrphan {
			out[n.Name] = member.NetworkIntent{Generation: n.Generation, Remove: true, Deleted: true}
		}
	}
	return out
}

// reclaim is the ID of a member's cluster if whatever is there of networks that we do not name is left over. While a network is not ours to write yet, that
// cannot be said.
func (s *scope) reclaim(name string, left clusterLeftovers) string {
	if left.All == nil || len(s.loose) > 0 {
		return ""
	}
	return s.clusterID(name)
}

// clusterID is the ID of a member's cluster; empty before it was ever connected.
func (s *scope) clusterID(name string) string {
	if state, ok := s.states[name]; ok {
		return state.ClusterID
	}
	if m := s.members[name]; m != nil {
		return m.Status.ClusterID
	}
	return ""
}

// unsynced are the members whose pods have not been listed in full since this process began. That they are not in the snapshot means nothing.
func (s *scope) unsynced() []string {
	var out []string
	for name := range s.members {
		if !s.states[name].Synced {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
