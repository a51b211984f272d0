package cli

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// right is something that one must be allowed to do.
type right struct {
	verbs                                  []string
	group, resource, subresource, name, ns string
}

// String says it like kubectl auth can-i.
func (r right) String() string {
	what := r.resource
	if r.subresource != "" {
		what += "/" + r.subresource
	}
	if r.group != "" {
		what += "." + r.group
	}
	if r.ns != "" {
		what += " in the namespace " + r.ns
	}
	return what
}

// rightTo returns the right to do something to an object.
func (s *side) rightTo(object *unstructured.Unstructured, verbs ...string) (right, error) {
	gvk := object.GroupVersionKind()
	mapping, err := s.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return right{}, s.explain("looking for "+gvk.Kind, err)
	}
	r := right{verbs: verbs, group: gvk.Group, resource: mapping.Resource.Resource, name: object.GetName()}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		r.ns = object.GetNamespace()
	}
	return r, nil
}

// demand asks the API server whether one may do all of this, and names everything that one may not: nothing is begun that cannot be ended.
func (s *side) demand(ctx context.Context, rights []right) error {
	var missing []string
	for _, r := range rights {
		for _, verb := range r.verbs {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: verb, Group: r.group, Resource: r.resource, Subresource: r.subresource, Name: r.name, Namespace: r.ns,
				},
			}}
			if err := s.client.Create(ctx, review); err != nil {
				return s.explain("asking what you may do", err)
			}
			if !review.Status.Allowed {
				missing = append(missing, verb+" "+r.String())
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("context %s (%s): you may not %s; nothing was changed: ask for these rights, or use a context that has them",
			s.context, s.what, strings.Join(missing, ", "))
	}
	return nil
}
