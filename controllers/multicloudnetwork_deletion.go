package controllers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/member"
)

// release lets deleted networks go that are off every member which can be reached. Those that cannot be reached hold up nobody: what stands there is
// recorded first, to be removed when the cluster returns.
func (r *NetworkReconciler) release(ctx context.Context, s *scope) error {
	if err := r.dropLeftovers(ctx, s); err != nil {
		s.failed = append(s.failed, err)
	}
	for _, n := range s.deleting {
		var left []string
		if n.Spec.DeletionPolicy != mcnv1alpha1.DeletionOrphan {
			var wait time.Duration
			if left, wait = r.remains(s, n); wait > 0 {
				s.lookAgain(wait)
				continue
			}
		}
		before := n.DeepCopy()
		if !controllerutil.RemoveFinalizer(n, mcnv1alpha1.CleanupFinalizer) || !r.recordLeft(ctx, s, n, left) {
			continue
		}
		err := r.Client.Patch(ctx, n, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(mcnv1alpha1.FieldManager))
		if client.IgnoreNotFound(err) != nil {
			s.fail(n, "removing the finalizer", err)
		}
	}
	return nil
}

// orphaning tells whether a network is being deleted and leaves everything in place.
func orphaning(n *mcnv1alpha1.MultiCloudNetwork) bool {
	return !n.DeletionTimestamp.IsZero() && n.Spec.DeletionPolicy == mcnv1alpha1.DeletionOrphan
}

// recordLeft records on which members a network stays. It tells whether the finalizer may go; if not, status says why.
func (r *NetworkReconciler) recordLeft(ctx context.Context, s *scope, n *mcnv1alpha1.MultiCloudNetwork, left []string) bool {
	edit := map[string]func(*clusterLeftovers){}
	for _, name := range left {
		id := s.clusterID(name)
		if !recordable(id) {
			continue
		}
		edit[id] = func(c *clusterLeftovers) {
			note := r.Leftovers.note(r.Now(), n.Generation)
			if was := c.Networks[n.Name]; was.Owner == note.Owner && was.Generation == note.Generation {
				return // recorded in a pass that then failed to remove the finalizer
			}
			c.Member, c.Networks[n.Name] = name, note
		}
	}
	err := r.recordDeletion(ctx, n, edit)
	if err == nil {
		delete(r.memory.obstacles, n.Name)
		return true
	}
	if !errors.Is(err, errLeftoversFull) && !errors.Is(err, errOrphanedGarbled) {
		s.fail(n, "recording where it stays", err)
		return false
	}
	if r.memory.obstacles[n.Name] != err.Error() {
		r.memory.obstacles[n.Name] = err.Error()
		s.lookAgain(debounce) // for the status to tell
	}
	s.lookAgain(r.Barrier)
	return false
}

// recordDeletion writes edits of the records, and whether what a deleted network wrote is spared wherever it stands: the last deletion under a name counts.
func (r *NetworkReconciler) recordDeletion(ctx context.Context, n *mcnv1alpha1.MultiCloudNetwork, edit map[string]func(*clusterLeftovers)) error {
	spared, err := r.Leftovers.spared()
	orphan := n.Spec.DeletionPolicy == mcnv1alpha1.DeletionOrphan
	if err == nil && slices.Contains(spared, n.Name) == orphan {
		return r.Leftovers.change(ctx, edit)
	}
	if err != nil && !orphan {
		return r.Leftovers.change(ctx, edit) // nothing is reclaimed meanwhile
	}
	return r.Leftovers.change(ctx, edit, func(all orphans) {
		delete(all, n.Name)
		if orphan {
			all[n.Name] = r.Leftovers.note(r.Now(), 0).Since
		}
	})
}

// remains tells on which members a network stays because they are out of reach, or how long to wait before that can be said.
func (r *NetworkReconciler) remains(s *scope, n *mcnv1alpha1.MultiCloudNetwork) (left []string, wait time.Duration) {
	known := s.known()
	// A member that was lost just before the deletion may be back soon, but nobody waits longer for it than the barrier.
	patience := r.Barrier - r.Now().Sub(r.memory.deleting[n.Name])
	left = r.keepers(s)
	for _, name := range s.targets() {
		now := s.statuses[name]
		state := s.states[name]
		switch {
		case s.leaving(name) || (now.Connected && gone(now.Results[n.Name], n.Generation)):
		case !known[name]:
			// Just after the start the fleet may not know a member yet on which the network stands.
			if early := r.Barrier - r.Now().Sub(r.memory.started); early > 0 {
				wait = max(wait, early)
				continue
			}
			left = append(left, name)
		case !now.Connected:
			if soon := min(patience, r.Barrier-r.Now().Sub(now.LostSince)); soon > 0 {
				wait = max(wait, soon)
				continue
			}
			left = append(left, name)
		case !state.CalicoReady && state.CalicoReason != mcnv1alpha1.ReasonConnecting:
			left = append(left, name)
		default:
			wait = max(wait, r.Barrier)
		}
	}
	return left, wait
}

// keepers are the members that were Managed before they became a Source: what was written to them is still there.
func (r *NetworkReconciler) keepers(s *scope) []string {
	var out []string
	for name, m := range s.members {
		if m.Spec.Role == mcnv1alpha1.RoleSource && r.Leftovers.of(s.clusterID(name)).Kept != nil {
			out = append(out, name)
		}
	}
	return out
}

// gone tells whether a worker found that nothing is left, when it looked for this very deletion: one that found so earlier, because the network did not
// select its member, says nothing about what was written since.
func gone(result member.Result, generation int64) bool {
	return result.Gone && !result.Outdated && result.Generation == generation
}

// dropLeftovers forgets what is off a member that has returned, and networks that exist again and select it: what they say counts now.
func (r *NetworkReconciler) dropLeftovers(ctx context.Context, s *scope) error {
	edit := map[string]func(*clusterLeftovers){}
	for name, intent := range s.intents {
		id := s.clusterID(name)
		left, now := r.Leftovers.of(id), s.statuses[name]
		if left.empty() || intent.Frozen {
			continue
		}
		edit[id] = func(c *clusterLeftovers) {
			if left.Kept != nil {
				c.Kept = nil // it is written to again
			}
			for network := range left.Networks {
				wanted := intent.Networks[network]
				if !wanted.Remove || (now.Connected && gone(now.Results[network], wanted.Generation)) {
					delete(c.Networks, network)
				}
			}
			if left.All != nil && now.Connected && now.Reclaimed == id {
				c.All = nil
			}
		}
	}
	back := r.returned(s)
	if len(back) == 0 && len(edit) == 0 {
		return nil
	}
	if len(back) == 0 {
		return r.Leftovers.change(ctx, edit)
	}
	return r.Leftovers.change(ctx, edit, func(all orphans) {
		maps.DeleteFunc(all, func(name string, _ metav1.Time) bool { return slices.Contains(back, name) })
	})
}

// returned are the orphaned networks that are in force again.
func (r *NetworkReconciler) returned(s *scope) []string {
	spared, err := r.Leftovers.spared()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(spared, func(name string) bool { return s.inForce[name] == nil || s.loose[name] })
}
