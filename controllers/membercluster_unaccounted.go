package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
)

// noteRole records that a member which was Managed is a Source now: nothing is written there from this moment, so that what was written stays. The status
// that this process or a former one wrote is the evidence; it is replaced after this.
func (r *MemberClusterReconciler) noteRole(ctx context.Context, m *mcnv1alpha1.MemberCluster) error {
	if !managedBefore(m) {
		return nil
	}
	return r.Leftovers.change(ctx, map[string]func(*clusterLeftovers){m.Status.ClusterID: func(c *clusterLeftovers) {
		if c.Kept == nil {
			note := r.Leftovers.note(r.now(), 0)
			c.Member, c.Kept = m.Name, &note
		}
	}})
}

// managedBefore tells whether a Source was Managed when its status was written last.
func managedBefore(m *mcnv1alpha1.MemberCluster) bool {
	was := meta.FindStatusCondition(m.Status.Conditions, mcnv1alpha1.ConditionCalicoReady)
	return m.Spec.Role == mcnv1alpha1.RoleSource && recordable(m.Status.ClusterID) && was != nil && was.Reason != string(mcnv1alpha1.ReasonRoleSource)
}

// unaccounted says what of ours stands on a member that nobody looks after: it is reported, and never removed without evidence that it is left over.
func (r *MemberClusterReconciler) unaccounted(ctx context.Context, m *mcnv1alpha1.MemberCluster, state fleet.State) ([]string, error) {
	left := r.Leftovers.of(state.ClusterID)
	if m.Spec.Role == mcnv1alpha1.RoleSource {
		if left.empty() {
			return nil, nil
		}
		return []string{"what was written there while the role was Managed stays as it is, and nobody looks after it: set role to Managed again to have it kept or removed"}, nil
	}
	if r.Cleaner == nil || left.All != nil {
		return nil, nil
	}
	unknown := r.Cleaner.Statuses()[m.Name].Unknown
	if len(unknown) == 0 {
		return nil, nil
	}
	var networks mcnv1alpha1.MultiCloudNetworkList
	if err := r.List(ctx, &networks); err != nil {
		return nil, err
	}
	count := 0
	for _, objects := range unknown {
		count += objects
	}
	for _, n := range networks.Items {
		count -= unknown[n.Name]
	}
	if count == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("objects of ours there that belong to no network of this hub, and stay as they are: %d; create their networks again, or delete them there", count)}, nil
}

// awaitsWorker tells whether a member is as it was when the last process ended, as far as is known before its worker has looked at what stands there.
func (r *MemberClusterReconciler) awaitsWorker(m *mcnv1alpha1.MemberCluster, verdict *metav1.Condition) bool {
	return r.Cleaner != nil && m.Spec.Role != mcnv1alpha1.RoleSource && verdict != nil && verdict.Reason == string(mcnv1alpha1.ReasonConnected) &&
		m.Status.ObservedGeneration == m.Generation && !r.Cleaner.Statuses()[m.Name].Connected
}
