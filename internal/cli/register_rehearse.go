package cli

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rehearse sends everything that write will send, to both sides, as a server-side dry run: what an API server would refuse, for example a field that
// somebody else owns or that cannot be changed, is refused before the first write. It changes nothing.
func (r *registration) rehearse(ctx context.Context) error {
	const unchanged = "; nothing was changed"
	// What cannot be applied again must not be touched by the answer to a rehearsal: the objects that are sent are copies.
	if err := r.hub.apply(ctx, r.cluster.DeepCopy(), false, client.DryRunAll); err != nil {
		return explainCluster(r.hub, r.cluster, err, unchanged)
	}
	if !r.options.local {
		secret, err := r.secret(placeholder)
		if err != nil {
			return err
		}
		if err := r.hub.apply(ctx, secret, true, client.DryRunAll); err != nil {
			return r.hub.explain("applying "+nameOf(secret)+", the operator's namespace", err, unchanged)
		}
	}
	for _, object := range r.onMember {
		// Not found is the namespace, or a role to bind, that the write itself makes one step earlier.
		err := r.member.apply(ctx, object.DeepCopy(), true, client.DryRunAll)
		if err != nil && !apierrors.IsNotFound(err) {
			return r.member.explain("applying "+nameOf(object), err, unchanged)
		}
	}
	return nil
}

// show prints what would be written, what that would change, and whether the API servers would take it.
func (r *registration) show(ctx context.Context) error {
	if err := r.print(); err != nil {
		return err
	}
	if err := r.tell(ctx); err != nil {
		return err
	}
	// Who may not write may look: for example to hand what is printed to somebody who may.
	err := r.rehearse(ctx)
	if apierrors.IsForbidden(err) {
		r.options.warn("whether it would be taken is not known: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("this would be refused: %w", err)
	}
	return nil
}
