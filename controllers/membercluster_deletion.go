package controllers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
)

// cleaningPause is how long a deletion waits before it looks again at a member that is being connected to or cleaned.
const cleaningPause = 2 * time.Second

// reconcileDeletion cleans a member that can be reached, forgets it and lets the object go. A member that cannot be reached holds up nobody: what is to be
// removed there is recorded first. Meanwhile status says what is waited for.
func (r *MemberClusterReconciler) reconcileDeletion(ctx context.Context, m *mcnv1alpha1.MemberCluster) (ctrl.Result, error) {
	if controllerutil.ContainsFinalizer(m, mcnv1alpha1.CleanupFinalizer) {
		waits, err := r.clean(ctx, m)
		if err != nil {
			return ctrl.Result{}, err
		}
		if waits != "" {
			again := ctrl.Result{RequeueAfter: cleaningPause}
			if state, ok := r.Fleet.State(m.Name); ok {
				return again, client.IgnoreNotFound(r.writeStatus(ctx, m, state, waits))
			}
			return again, nil
		}
	}
	r.Fleet.Remove(m.Name)
	r.deleting.forget(m.UID)
	before := m.DeepCopy()
	if !controllerutil.RemoveFinalizer(m, mcnv1alpha1.CleanupFinalizer) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(r.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

// clean says what the removal of a member waits for; nothing when the object may go.
func (r *MemberClusterReconciler) clean(ctx context.Context, m *mcnv1alpha1.MemberCluster) (waits string, err error) {
	switch {
	case r.Cleaner == nil:
		return "", nil
	case m.Spec.DeletionPolicy == mcnv1alpha1.DeletionOrphan:
		return "", r.forgetKept(ctx, m)
	case m.Spec.Role == mcnv1alpha1.RoleSource:
		// It may have been deleted before anybody noted that it had become a Source.
		if r.Leftovers.of(m.Status.ClusterID).Kept == nil && !managedBefore(m) {
			return "", nil
		}
		// It was Managed once, and as a Source it is not written to, not even to clean it.
		return r.recordAll(ctx, m, m.Status.ClusterID)
	}
	// After a restart the member is not connected yet, and only its Secret tells how to reach it.
	if err := r.register(ctx, m); err != nil {
		return "", err
	}
	state, _ := r.Fleet.State(m.Name)
	switch {
	case state.Reachable && (state.CalicoReady || state.CalicoReason == mcnv1alpha1.ReasonConnecting):
		return r.cleanNow(ctx, m, state.ClusterID)
	case r.deleting.since(m.UID, r.now()) < r.Barrier && mayReturn(state):
		return "the cluster is out of reach, and is waited for no longer than --barrier; then what was written there stays until it is registered again", nil
	}
	id := state.ClusterID
	if id == "" {
		id = m.Status.ClusterID
	}
	ctrl.LoggerFrom(ctx).Info("Member is out of reach; what was written there stays until it is registered again", "cluster", m.Name, "reason", state.Reason)
	return r.recordAll(ctx, m, id)
}

// cleanNow takes everything of ours away from a member.
func (r *MemberClusterReconciler) cleanNow(ctx context.Context, m *mcnv1alpha1.MemberCluster, id string) (waits string, err error) {
	spared, err := r.spared(ctx)
	if errors.Is(err, errOrphanedGarbled) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	done, err := r.Cleaner.CleanMember(ctx, m.Name, spared...)
	switch {
	case errors.Is(err, member.ErrNotConnected), err == nil && !done:
		return "what was written to the cluster is being taken away", nil
	case err != nil:
		ctrl.LoggerFrom(ctx).Error(err, "Member cannot be cleaned; trying again", "cluster", m.Name)
		return "what was written to the cluster cannot be taken away (" + member.Steady(err) + "); cure that, or set deletionPolicy to Orphan to leave it there", nil
	}
	if !recordable(id) {
		return "", nil
	}
	return "", r.Leftovers.change(ctx, map[string]func(*clusterLeftovers){id: func(c *clusterLeftovers) { r.Leftovers.clear(c) }})
}

// spared are the networks that deletionPolicy Orphan left in place.
func (r *MemberClusterReconciler) spared(ctx context.Context) ([]string, error) {
	spared, err := r.Leftovers.spared()
	if err != nil {
		return nil, err
	}
	var networks mcnv1alpha1.MultiCloudNetworkList
	if err := r.List(ctx, &networks); err != nil {
		return nil, err
	}
	var deleting []*mcnv1alpha1.MultiCloudNetwork
	for i := range networks.Items {
		if !networks.Items[i].DeletionTimestamp.IsZero() {
			deleting = append(deleting, &networks.Items[i])
		}
	}
	return withOrphans(spared, deleting), nil
}

// final are the reasons that do not pass while somebody waits.
var final = []mcnv1alpha1.Reason{
	mcnv1alpha1.ReasonSecretNotFound, mcnv1alpha1.ReasonKubeconfigInvalid, mcnv1alpha1.ReasonKubeconfigRefused, mcnv1alpha1.ReasonClusterIDMismatch,
	mcnv1alpha1.ReasonDuplicateCluster, mcnv1alpha1.ReasonCalicoNotInstalled,
}

// mayReturn tells whether a member that cannot be cleaned now may be ready for it soon.
func mayReturn(state fleet.State) bool {
	if state.Reachable {
		return !slices.Contains(final, state.CalicoReason)
	}
	return !slices.Contains(final, state.Reason)
}

// recordAll records that everything of ours on a cluster is left over, unless another MemberCluster stands for the same cluster: what is there is then in its
// care. It says what hinders it, if there is no room.
func (r *MemberClusterReconciler) recordAll(ctx context.Context, m *mcnv1alpha1.MemberCluster, id string) (waits string, err error) {
	if !recordable(id) {
		return "", nil
	}
	var all mcnv1alpha1.MemberClusterList
	if err := r.List(ctx, &all); err != nil {
		return "", err
	}
	for _, other := range all.Items {
		state, _ := r.Fleet.State(other.Name)
		if other.Name != m.Name && other.DeletionTimestamp.IsZero() && (other.Status.ClusterID == id || state.ClusterID == id) {
			return "", nil
		}
	}
	err = r.Leftovers.change(ctx, map[string]func(*clusterLeftovers){id: func(c *clusterLeftovers) {
		r.Leftovers.clear(c)
		note := r.Leftovers.note(r.now(), 0)
		c.Member, c.All = m.Name, &note
	}})
	if errors.Is(err, errLeftoversFull) {
		return err.Error(), nil
	}
	return "", err
}

// forgetKept forgets what a former role left, once the member is let go with all that it holds.
func (r *MemberClusterReconciler) forgetKept(ctx context.Context, m *mcnv1alpha1.MemberCluster) error {
	if r.Leftovers.of(m.Status.ClusterID).Kept == nil {
		return nil
	}
	return r.Leftovers.change(ctx, map[string]func(*clusterLeftovers){m.Status.ClusterID: func(c *clusterLeftovers) { c.Kept = nil }})
}

// sinceFirst tells how long ago something was first seen, by UID. Clocks of API servers are not asked.
type sinceFirst struct {
	mu    sync.Mutex
	first map[types.UID]time.Time
}

func (s *sinceFirst) since(uid types.UID, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == nil {
		s.first = map[types.UID]time.Time{}
	}
	if _, ok := s.first[uid]; !ok {
		s.first[uid] = now
	}
	return now.Sub(s.first[uid])
}

func (s *sinceFirst) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.first, uid)
}
