package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// calico is the group in which the operator writes to members.
const calico = "projectcalico.org"

// written are the kinds that the operator writes to members, with their resources, in the order in which they are to be deleted.
var written = []struct{ kind, resource string }{
	{"GlobalNetworkPolicy", "globalnetworkpolicies"}, {"StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies"},
	{"GlobalNetworkSet", "globalnetworksets"}, {"IPPool", "ippools"}, {"Tier", "tiers"},
}

// tellRole warns of what a change of the role leaves on the member: what the operator wrote, which it no longer looks after, and the account that it had.
func (r *registration) tellRole(ctx context.Context, before, after *memberView) error {
	o := r.options
	if before != nil && before.role != mcnv1alpha1.RoleSource && after.role == mcnv1alpha1.RoleSource {
		if err := r.tellPolicies(ctx); err != nil {
			return err
		}
	}
	if o.local || r.before.name == "" || r.before.reference() == r.account.reference() {
		return nil
	}
	objects, err := r.before.objects()
	if err != nil {
		return err
	}
	found := map[string]int{}
	others := ""
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			continue
		}
		err := r.member.client.Get(ctx, client.ObjectKeyFromObject(object), object)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return r.member.explain("reading "+nameOf(object), err)
		case object.GetKind() == "ServiceAccount":
			_, others = hubsOf(object.GetAnnotations(), r.hub.id)
		}
		found[strings.ToLower(object.GetKind())+"s"]++
	}
	if len(found) == 0 {
		return nil
	}
	o.warn("the account %s, which %s used until now, stays on the member with its rights: %s", r.before.reference(), o.name, counted(found))
	if others != "" {
		fmt.Fprintf(o.ErrOut, "  other hubs use it: %s\n", others)
	}
	what := "serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings -A --field-selector metadata.name=" + r.before.name
	fmt.Fprintf(o.ErrOut, "  show it:   kubectl --context %s get %s\n", r.member.context, what)
	fmt.Fprintf(o.ErrOut, "  remove it: kubectl --context %s delete %s\n", r.member.context, what)
	return nil
}

// tellPolicies says what stands on a member that is not written to any more.
func (r *registration) tellPolicies(ctx context.Context) error {
	o := r.options
	found, err := r.member.ours(ctx)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		o.warn("%s becomes a Source: it is not written to any more. Nothing that the operator wrote is there now", o.name)
		return nil
	}
	var resources []string
	for _, k := range written {
		resources = append(resources, k.resource+"."+calico)
	}
	for _, owner := range slices.Sorted(maps.Keys(found)) {
		o.warn("%s becomes a Source: it is not written to any more. What the operators with the owner ID %q wrote stays in force there, and nobody looks after it: %s",
			o.name, owner, counted(found[owner]))
		what := fmt.Sprintf("%s -l %s=%s", strings.Join(resources, ","), mcnv1alpha1.OwnerLabel, owner)
		fmt.Fprintf(o.ErrOut, "  show it:   kubectl --context %s get %s\n", r.member.context, what)
		fmt.Fprintf(o.ErrOut, "  remove it: kubectl --context %s delete %s\n", r.member.context, what)
	}
	fmt.Fprintf(o.ErrOut, "  To have the operator remove it in an order that cuts nothing: keep the role Managed, run kubectl mcn unregister, and register it as a Source then\n")
	return nil
}

// ours counts what operators wrote to a member, by owner and resource.
func (s *side) ours(ctx context.Context) (map[string]map[string]int, error) {
	out := map[string]map[string]int{}
	for _, k := range written {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: calico, Version: "v3", Kind: k.kind + "List"})
		err := s.client.List(ctx, list, client.HasLabels{mcnv1alpha1.OwnerLabel})
		// A kind that is not served holds nothing.
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, s.explain("listing "+k.resource+"."+calico, err)
		}
		for i := range list.Items {
			owner := list.Items[i].Labels[mcnv1alpha1.OwnerLabel]
			if out[owner] == nil {
				out[owner] = map[string]int{}
			}
			out[owner][k.resource]++
		}
	}
	return out, nil
}

// counted is a text such as "clusterroles 1, roles 3".
func counted(found map[string]int) string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(found)) {
		out = append(out, fmt.Sprintf("%s %d", what, found[what]))
	}
	return strings.Join(out, ", ")
}
