package controllers

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/member"
)

// release lets deleted networks go that are off every member which can be reached; those that cannot be reached hold up nobody.
func (r *NetworkReconciler) release(ctx context.Context, s *scope) error {
	r.dropLeftovers(s)
	for _, n := range s.deleting {
		left := map[string]int64{}
		if n.Spec.DeletionPolicy != mcnv1alpha1.DeletionOrphan {
			var wait time.Duration
			if left, wait = r.remains(s, n); wait > 0 {
				s.lookAgain(wait)
				continue
			}
		}
		before := n.DeepCopy()
		if !controllerutil.RemoveFinalizer(n, mcnv1alpha1.CleanupFinalizer) {
			continue
		}
		if len(left) > 0 {
			r.memory.leftovers[n.Name] = left
		}
		err := r.Client.Patch(ctx, n, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(mcnv1alpha1.FieldManager))
		if client.IgnoreNotFound(err) != nil {
			s.fail(n, "removing the finalizer", err)
		}
	}
	return nil
}

// remains tells on which members a network stays because they are out of reach, or how long to wait before that can be said.
func (r *NetworkReconciler) remains(s *scope, n *mcnv1alpha1.MultiCloudNetwork) (left map[string]int64, wait time.Duration) {
	left = map[string]int64{}
	known := s.known()
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
			left[name] = n.Generation
		case !now.Connected && r.Now().Sub(now.LostSince) >= r.Barrier:
			left[name] = n.Generation
		case !now.Connected:
			wait = max(wait, r.Barrier-r.Now().Sub(now.LostSince))
		case !state.CalicoReady && state.CalicoReason != mcnv1alpha1.ReasonConnecting:
			left[name] = n.Generation
		default:
			wait = max(wait, r.Barrier)
		}
	}
	return left, wait
}

// gone tells whether a worker found that nothing is left, when it looked for this very deletion: one that found so earlier, because the network did not
// select its member, says nothing about what was written since.
func gone(result member.Result, generation int64) bool {
	return result.Gone && !result.Outdated && result.Generation == generation
}

// dropLeftovers forgets networks that are off a member that has returned.
func (r *NetworkReconciler) dropLeftovers(s *scope) {
	for network, members := range r.memory.leftovers {
		for name, generation := range members {
			if s.members[name] == nil || gone(s.statuses[name].Results[network], generation) {
				delete(members, name)
			}
		}
		if len(members) == 0 {
			delete(r.memory.leftovers, network)
		}
	}
}
