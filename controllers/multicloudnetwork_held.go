package controllers

import (
	"maps"
	"slices"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/snapshot"
)

// inForceThere is what counted for a member when its policies were last written: the sets of a later spec do not carry the policies that stand.
type inForceThere struct {
	// networks is shared by all members that one pass wrote to, and not changed after it.
	networks map[string]*mcnv1alpha1.MultiCloudNetwork
	labels   map[string]string
}

// held tells whether a member's updates are Held.
func (s *scope) held(name string) bool {
	m := s.members[name]
	return m != nil && m.Spec.Updates == mcnv1alpha1.UpdatesHeld
}

// remember keeps what counts for the members that are not held.
func (r *NetworkReconciler) remember(s *scope) {
	maps.DeleteFunc(r.memory.there, func(name string, _ inForceThere) bool { return s.members[name] == nil })
	now := map[string]*mcnv1alpha1.MultiCloudNetwork{}
	for name := range s.inForce {
		now[name] = r.memory.inForce[name]
	}
	for _, m := range s.managed() {
		if !s.held(m.Name) {
			r.memory.there[m.Name] = inForceThere{networks: now, labels: m.Labels}
		}
	}
}

// heldResults compiles for a held member what counted there before it was held. It returns nil where that is what counts now, or nobody knows it.
func (r *NetworkReconciler) heldResults(s *scope, name string) map[string]compile.Result {
	then, ok := r.memory.there[name]
	if !ok || !s.held(name) {
		return nil
	}
	fleet := snapshot.Fleet{Members: slices.Clone(s.fleet.Members)}
	changed := false
	for i, m := range fleet.Members {
		if m.Name == name && !maps.Equal(m.Labels, then.labels) {
			fleet.Members[i].Labels, changed = then.labels, true
		}
	}
	var networks []*mcnv1alpha1.MultiCloudNetwork
	for _, n := range s.inForce {
		use := n
		if old := then.networks[n.Name]; old != nil && old.UID == n.UID && old.Generation != n.Generation {
			use, changed = old.DeepCopy(), true
			use.Status, use.Spec.Updates = n.Status, n.Spec.Updates
		}
		networks = append(networks, use)
	}
	if !changed {
		return nil
	}
	compiler := compile.New(compile.Input{Settings: r.Settings, Networks: networks, Fleet: fleet, Pods: r.Pods})
	out := map[string]compile.Result{}
	for _, n := range networks {
		out[n.Name] = compiler.Network(n.Name)
	}
	return out
}

// intentWhileHeld is the generation and the result that count for a network on a held member: those from before, unless the new ones say the same there.
func (r *NetworkReconciler) intentWhileHeld(
	s *scope, then map[string]compile.Result, n *mcnv1alpha1.MultiCloudNetwork, name string,
) (*mcnv1alpha1.MultiCloudNetwork, compile.Result) {
	now := s.results[n.Name]
	before, ok := then[n.Name]
	if !ok || len(before.Errors) > 0 || slices.Equal(keysOn(before, name), keysOn(now, name)) {
		return n, now
	}
	if old := r.memory.there[name].networks[n.Name]; old != nil && old.UID == n.UID {
		n = n.DeepCopy()
		n.Generation = old.Generation
	}
	return n, before
}

// keysOn are kinds and names of what a member should hold; a policy of another content has another name.
func keysOn(result compile.Result, name string) []compile.Key {
	var out []compile.Key
	for _, c := range result.Clusters {
		if c.Name != name {
			continue
		}
		for _, o := range c.Objects {
			out = append(out, o.Key())
		}
	}
	return out
}
