package controllers

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/status"
)

// countInterval is how often a change of counts alone is written.
const countInterval = 30 * time.Second

// report writes the status of each network that changed.
func (r *NetworkReconciler) report(ctx context.Context, s *scope) error {
	for _, n := range slices.Concat(s.networks, s.deleting) {
		// What is orphaned goes at once, unless something hinders that.
		if orphaning(n) && r.memory.obstacles[n.Name] == "" {
			continue
		}
		if r.tooEarly(s, n) {
			s.lookAgain(r.Barrier)
			continue
		}
		if err := r.writeStatus(ctx, s, n, status.Network(r.facts(s, n))); err != nil {
			s.fail(n, "writing the status", err)
		}
	}
	return nil
}

// tooEarly keeps a restart quiet: a network that has a status for its newest spec keeps it until its members have been looked at, for a while.
func (r *NetworkReconciler) tooEarly(s *scope, n *mcnv1alpha1.MultiCloudNetwork) bool {
	if n.Status.ObservedGeneration != n.Generation || r.Now().Sub(r.memory.started) > r.Barrier || !n.DeletionTimestamp.IsZero() {
		return false
	}
	for _, name := range s.selected(n) {
		state := s.states[name]
		if !state.Synced && !state.Reachable && (state.Reason == "" || state.Reason == mcnv1alpha1.ReasonConnecting) {
			return true
		}
	}
	return false
}

// selected are the names of the members that a network spans: as compiled, or by its selector when it has never been valid.
func (s *scope) selected(n *mcnv1alpha1.MultiCloudNetwork) []string {
	var out []string
	if s.inForce[n.Name] != nil {
		result := s.results[n.Name]
		for _, c := range result.Clusters {
			out = append(out, c.Name)
		}
		return append(out, result.Sources...)
	}
	selector, err := metav1.LabelSelectorAsSelector(&n.Spec.Clusters.Selector)
	if err != nil {
		return nil
	}
	for _, m := range s.fleet.Members {
		if selector.Matches(labels.Set(m.Labels)) {
			out = append(out, m.Name)
		}
	}
	return out
}

// facts gathers what a network's status is computed from.
func (r *NetworkReconciler) facts(s *scope, n *mcnv1alpha1.MultiCloudNetwork) status.NetworkFacts {
	result := s.results[n.Name]
	out := status.NetworkFacts{
		Generation: n.Generation, MaxUnavailable: n.Spec.Clusters.MaxUnavailable, Deleting: !n.DeletionTimestamp.IsZero(), Obstacle: r.memory.obstacles[n.Name],
		Boundary: result.Boundary, ExclusiveSlot: result.ExclusiveSlot, Pods: result.Pods, SharedPods: result.SharedPods,
		Errors:   s.errors[n.Name],
		Previous: n.Status, Now: metav1.NewTime(r.Now().Truncate(time.Second)),
	}
	out.Warnings = slices.Clone(result.Warnings)
	for _, c := range result.Clusters {
		out.Warnings = append(out.Warnings, s.warnings[c.Name]...)
	}
	if used := s.inForce[n.Name]; used != nil {
		out.InForce = used.Generation
	}
	names := s.selected(n)
	if out.Orphan = orphaning(n); out.Orphan {
		return out
	}
	if out.Deleting {
		names = s.targets()
	}
	for _, name := range names {
		facts := s.clusterFacts(n, name, result)
		facts.Left = r.left(s, name, n)
		out.Clusters = append(out.Clusters, facts)
	}
	return out
}

func (s *scope) clusterFacts(n *mcnv1alpha1.MultiCloudNetwork, name string, result compile.Result) status.ClusterFacts {
	state, object := s.states[name], s.members[name]
	out := status.ClusterFacts{
		Name: name, Role: mcnv1alpha1.RoleManaged,
		Reachable: state.Reachable, UnreachableMessage: state.Message, StaleSince: state.StaleSince, Unseen: s.unseen(name),
		CalicoReady: state.CalicoReady, CalicoMessage: state.CalicoMessage,
		Held: n.Spec.Updates == mcnv1alpha1.UpdatesHeld,
	}
	if object != nil {
		out.Held = out.Held || object.Spec.Updates == mcnv1alpha1.UpdatesHeld
		if object.Spec.Role == mcnv1alpha1.RoleSource {
			out.Role, out.Held = mcnv1alpha1.RoleSource, false
		}
	}
	for _, c := range result.Clusters {
		if c.Name == name {
			out.Staged = c.Staged
		}
	}
	if got, ok := s.statuses[name].Results[n.Name]; ok {
		out.Report = report(got)
	}
	return out
}

// unseen tells whether the operator has never been connected to a member.
func (s *scope) unseen(name string) bool {
	if state, ok := s.states[name]; ok {
		return !state.Seen
	}
	m := s.members[name]
	return m != nil && !fleet.SeenBefore(m)
}

// left tells whether something is recorded to stand on a member, beside what the deletion of this very network records.
func (r *NetworkReconciler) left(s *scope, name string, n *mcnv1alpha1.MultiCloudNetwork) bool {
	recorded := r.Leftovers.of(s.clusterID(name))
	_, own := recorded.Networks[n.Name]
	return recorded.All != nil || recorded.Kept != nil || (own && n.DeletionTimestamp.IsZero())
}

func report(r member.Result) *status.Report {
	return &status.Report{
		Generation: r.Generation, Outdated: r.Outdated, Staged: r.Staged, Programmed: r.Programmed, Gone: r.Gone, Reason: r.Reason, Message: r.Message, Waits: r.Waits,
	}
}

// writeStatus writes a status if it says something new. Counts alone are written at most twice a minute.
func (r *NetworkReconciler) writeStatus(ctx context.Context, s *scope, n *mcnv1alpha1.MultiCloudNetwork, now mcnv1alpha1.MultiCloudNetworkStatus) error {
	before := n.Status
	if equality.Semantic.DeepEqual(before, now) {
		return nil
	}
	counts := now
	counts.Summary.Pods, counts.Summary.SharedPods = before.Summary.Pods, before.Summary.SharedPods
	if equality.Semantic.DeepEqual(before, counts) {
		if wait := r.memory.counted[n.Name].Add(countInterval).Sub(r.Now()); wait > 0 {
			s.lookAgain(wait)
			return nil
		}
	}
	if before.Summary.Pods != now.Summary.Pods || before.Summary.SharedPods != now.Summary.SharedPods {
		r.memory.counted[n.Name] = r.Now()
	}
	object := n.DeepCopy()
	base := client.MergeFrom(n.DeepCopy())
	object.Status = now
	if err := r.Client.Status().Patch(ctx, object, base, client.FieldOwner(mcnv1alpha1.FieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.memory.written[n.Name] = writtenStatus{as: object.ResourceVersion, status: now}
	networkTransition(r.Recorder, n, before.Conditions, now.Conditions)
	n.Status = now
	return nil
}
