package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// tell says, before anything is written, what the registration changes for the member: its labels, the networks that select it, and what a change of its
// role leaves behind.
func (r *registration) tell(ctx context.Context) error {
	o := r.options
	before, after := r.views()
	prefix := "change: "
	if o.dryRun {
		prefix = "would change: "
	}
	if before != nil {
		for _, line := range labelChanges(o.name, before.labels, after.labels) {
			fmt.Fprintln(o.ErrOut, prefix+line)
		}
	}
	var networks mcnv1alpha1.MultiCloudNetworkList
	switch err := r.hub.client.List(ctx, &networks); {
	case apierrors.IsForbidden(err):
		o.warn("context %s (hub): you may not list multicloudnetworks, so that it is not known here which networks select %s", r.hub.context, o.name)
	case err != nil:
		return r.hub.explain("listing multicloudnetworks", err)
	default:
		for _, line := range networkChanges(o.name, networks.Items, before, after) {
			fmt.Fprintln(o.ErrOut, prefix+line)
		}
	}
	return r.tellRole(ctx, before, after)
}

// memberView is what decides which networks select a member, and what they do there.
type memberView struct {
	labels map[string]string
	role   mcnv1alpha1.MemberRole
	held   bool
}

// views returns the member as it is, nil if it is new, and as it will be.
func (r *registration) views() (before, after *memberView) {
	after = viewOf(r.cluster)
	if r.existing == nil {
		return nil, after
	}
	before = viewOf(r.existing)
	// What others wrote stays.
	all := maps.Clone(before.labels)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, after.labels)
	after.labels, after.held = all, before.held
	return before, after
}

// viewOf reads a MemberCluster.
func viewOf(cluster *unstructured.Unstructured) *memberView {
	role, _, _ := unstructured.NestedString(cluster.Object, "spec", "role")
	updates, _, _ := unstructured.NestedString(cluster.Object, "spec", "updates")
	return &memberView{labels: cluster.GetLabels(), role: mcnv1alpha1.MemberRole(role), held: updates == string(mcnv1alpha1.UpdatesHeld)}
}

// labelChanges says which labels change, from what to what.
func labelChanges(name string, before, after map[string]string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(after)) {
		old, there := before[key]
		switch {
		case !there:
			out = append(out, fmt.Sprintf("label %s of %s: (none) -> %q", key, name, after[key]))
		case old != after[key]:
			out = append(out, fmt.Sprintf("label %s of %s: %q -> %q", key, name, old, after[key]))
		}
	}
	return out
}

// networkChanges says which networks begin or cease to select a member, or do something else there than before. A member that is new was selected by none.
func networkChanges(name string, networks []mcnv1alpha1.MultiCloudNetwork, before, after *memberView) []string {
	var out []string
	for i := range networks {
		n := &networks[i]
		if n.DeletionTimestamp != nil {
			continue
		}
		was, is := before.under(n), after.under(n)
		about := ""
		switch {
		case was == is:
			continue
		case was == "":
			about = fmt.Sprintf("begins to select %s: %s there", name, is)
		case is == "":
			about = fmt.Sprintf("ceases to select %s: %s there until now", name, was)
		default:
			about = fmt.Sprintf("still selects %s: %s there until now, %s from now on", name, was, is)
		}
		if after.held || n.Spec.Updates == mcnv1alpha1.UpdatesHeld {
			about += " (policies change when nothing is Held any more)"
		}
		out = append(out, "multicloudnetwork/"+n.Name+" "+about)
	}
	slices.Sort(out)
	return out
}

// under is what a network does on the member: "" if it does not select it.
func (m *memberView) under(n *mcnv1alpha1.MultiCloudNetwork) string {
	switch {
	case m == nil || !selects(&n.Spec.Clusters.Selector, m.labels):
		return ""
	case m.role == mcnv1alpha1.RoleSource:
		return "only read"
	case n.Spec.StagedClusters != nil && selects(n.Spec.StagedClusters, m.labels):
		return "staged"
	default:
		return "enforced"
	}
}

// selects reports whether a selector matches. One that cannot be read selects nothing: the network's condition Accepted says so.
func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(set))
}
