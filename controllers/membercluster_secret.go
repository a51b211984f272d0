package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// SecretReconciler holds the Secret with a member's kubeconfig until the member is cleaned: whoever deletes both at once, a GitOps tool that prunes for
// example, does not take the way there away. No member ever waits for its Secret, so that none waits for the other in a circle.
type SecretReconciler struct {
	client.Client
	// Namespace is where the members' Secrets are.
	Namespace string
	// Barrier is how long a Secret that is deleted waits for the deletion of its MemberCluster to follow. After that it was meant alone: to be replaced, or
	// to take the operator's access away.
	Barrier time.Duration
	// Now is the clock; time.Now.
	Now func() time.Time

	deleting sinceFirst
}

// SetupWithManager makes the reconciler run on the Secrets of the operator's namespace, and on the MemberClusters that name them.
func (r *SecretReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Now == nil {
		r.Now = time.Now
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("membersecret").
		For(&corev1.Secret{}).
		Watches(&mcnv1alpha1.MemberCluster{}, handler.EnqueueRequestsFromMapFunc(r.secretOfMember)).
		Complete(r)
}

// secretOfMember returns the Secret that a MemberCluster names; for one that changed, it is asked for what was named before, too.
func (r *SecretReconciler) secretOfMember(_ context.Context, object client.Object) []reconcile.Request {
	m, ok := object.(*mcnv1alpha1.MemberCluster)
	if !ok || m.Spec.Access.Kubeconfig == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: r.Namespace, Name: m.Spec.Access.Kubeconfig.SecretRef.Name}}}
}

// Reconcile sets or removes the finalizer of one Secret.
func (r *SecretReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var secret corev1.Secret
	if err := r.Get(ctx, req.NamespacedName, &secret); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	held, leaving, err := r.holders(ctx, secret.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !secret.DeletionTimestamp.IsZero() && held && !leaving {
		if wait := r.Barrier - r.deleting.since(secret.UID, r.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		held = false
	}
	before := secret.DeepCopy()
	changed := false
	switch {
	case !held:
		changed = controllerutil.RemoveFinalizer(&secret, mcnv1alpha1.CleanupFinalizer)
	case secret.DeletionTimestamp.IsZero():
		changed = controllerutil.AddFinalizer(&secret, mcnv1alpha1.CleanupFinalizer)
	}
	if !changed {
		return ctrl.Result{}, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, &secret, patch, client.FieldOwner(mcnv1alpha1.FieldManager)); client.IgnoreNotFound(err) != nil {
		return retryConflict(ctrl.Result{}, err)
	}
	if !held {
		r.deleting.forget(secret.UID)
	}
	return ctrl.Result{}, nil
}

// secretGoing says of a member's Secret that it is being deleted, and what follows from that; nothing while it is not.
func (r *MemberClusterReconciler) secretGoing(ctx context.Context, m *mcnv1alpha1.MemberCluster) (string, error) {
	if m.Spec.Access.Kubeconfig == nil {
		return "", nil
	}
	var secret corev1.Secret
	err := r.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: m.Spec.Access.Kubeconfig.SecretRef.Name}, &secret)
	if err != nil || secret.DeletionTimestamp.IsZero() {
		return "", client.IgnoreNotFound(err)
	}
	where := "Secret " + r.Namespace + "/" + secret.Name + " is being deleted"
	switch {
	case !controllerutil.ContainsFinalizer(&secret, mcnv1alpha1.CleanupFinalizer):
		return where + ", and the connection ends with it: run \"kubectl mcn register\" for the member when it is gone, or delete the MemberCluster too", nil
	case !m.DeletionTimestamp.IsZero():
		return where + " too, and is kept until the cluster is cleaned", nil
	}
	return where + ": the operator keeps it for no longer than --barrier, in case that the MemberCluster is deleted too, and loses the cluster then; " +
		"to keep the member, run \"kubectl mcn register\" for it when the Secret is gone", nil
}

// holders tells whether a MemberCluster needs a Secret to be cleaned one day, and whether one is being cleaned now.
func (r *SecretReconciler) holders(ctx context.Context, secret string) (held, leaving bool, err error) {
	var members mcnv1alpha1.MemberClusterList
	if err := r.List(ctx, &members); err != nil {
		return false, false, err
	}
	for i := range members.Items {
		m := &members.Items[i]
		access := m.Spec.Access.Kubeconfig
		if access == nil || access.SecretRef.Name != secret || m.Spec.DeletionPolicy == mcnv1alpha1.DeletionOrphan || m.Spec.Role == mcnv1alpha1.RoleSource {
			continue
		}
		if m.DeletionTimestamp.IsZero() {
			held = true
		} else if controllerutil.ContainsFinalizer(m, mcnv1alpha1.CleanupFinalizer) {
			held, leaving = true, true
		}
	}
	return held, leaving, nil
}
