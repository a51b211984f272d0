package controllers

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// release lets deleted networks go that are off every member which can be reached; those that cannot be reached hold up nobody.
func (r *NetworkReconciler) release(ctx context.Context, s *scope) error {
	r.dropLeftovers(s)
	for _, n := range s.deleting {
		left := map[string]bool{}
		if n.Spec.DeletionPolicy != mcnv1alpha1.DeletionOrphan {
			var wait time.Duration
			if left, wait = r.remains(s, n.Name); wait > 0 {
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
			return err
		}
	}
	return nil
}

// remains tells on which members a network stays because they are out of reach, or how long to wait before that can be said.
func (r *NetworkReconciler) remains(s *scope, network string) (left map[string]bool, wait time.Duration) {
	left = map[string]bool{}
	for _, m := range s.managed() {
		now := s.statuses[m.Name]
		state := s.states[m.Name]
		switch {
		case s.leaving(m.Name) || (now.Connected && now.Results[network].Gone):
		case !now.Connected && r.Now().Sub(now.LostSince) >= r.Barrier:
			left[m.Name] = true
		case !now.Connected:
			wait = max(wait, r.Barrier-r.Now().Sub(now.LostSince))
		case !state.CalicoReady && state.CalicoReason != mcnv1alpha1.ReasonConnecting:
			left[m.Name] = true
		default:
			wait = max(wait, r.Barrier)
		}
	}
	return left, wait
}

// dropLeftovers forgets networks that are off a member that has returned.
func (r *NetworkReconciler) dropLeftovers(s *scope) {
	for network, members := range r.memory.leftovers {
		for name := range members {
			if s.members[name] == nil || s.statuses[name].Results[network].Gone {
				delete(members, name)
			}
		}
		if len(members) == 0 {
			delete(r.memory.leftovers, network)
		}
	}
}
