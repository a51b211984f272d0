// Package controllers holds the reconcilers on the hub, which are thin: they read, let pure packages decide, hand over to the fleet and to the members'
// workers, and write status once at the end.
package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	corev1 "k8s.io/api/core/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
	"multicloud.network/operator/internal/status"
)

// restartPatience is how long after a start the status that a former process wrote may stand in for what is not known yet.
const restartPatience = 30 * time.Second

// MemberFleet is what the controller needs of a fleet.Fleet.
type MemberFleet interface {
	Set(member *mcnv1alpha1.MemberCluster, kubeconfig []byte)
	SetFault(member *mcnv1alpha1.MemberCluster, reason mcnv1alpha1.Reason, message string)
	Remove(name string)
	State(name string) (fleet.State, bool)
	States() map[string]fleet.State
	Member(name string) (snapshot.Member, bool)
	Subscribe() <-chan struct{}
}

// Cleaner removes what the operator wrote to a member.
type Cleaner interface {
	// CleanMember removes everything of ours from a member that is reachable, but what belongs to the networks that are spared, and what that needs. It does not
	// wait: done is false while there is something left.
	CleanMember(ctx context.Context, name string, spared ...string) (done bool, err error)
	// Statuses tells what the workers found on the members.
	Statuses() map[string]member.Status
	// Subscribe signals that Statuses changed.
	Subscribe() <-chan struct{}
}

// MemberClusterReconciler registers MemberClusters with the fleet and reports what the fleet knows of them.
type MemberClusterReconciler struct {
	client.Client
	// Namespace is where the members' Secrets are.
	Namespace string
	// Fleet holds the connections.
	Fleet MemberFleet
	// Cleaner removes what was written to a member that is deregistered; nil if nothing is ever written.
	Cleaner Cleaner
	// Leftovers remembers what has to be removed from members that are out of reach.
	Leftovers *Leftovers
	// Barrier is how long a deletion waits for a member that is out of reach.
	Barrier time.Duration
	// Recorder takes events; nil for none.
	Recorder events.EventRecorder
	// Now is the clock; time.Now.
	Now func() time.Time

	// notes is what the networks' controller found out about members.
	notes *memberNotes
	// tokens is what is wrong with the tokens in members' kubeconfigs.
	tokens *tokenNotes
	// started is when this process first looked at a MemberCluster.
	started   time.Time
	startOnce sync.Once
	// deleting is when this process first saw that an object is being deleted, by UID.
	deleting sinceFirst
}

// Reconcile brings the fleet to what a MemberCluster says, and its status to what the fleet knows.
func (r *MemberClusterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	return retryConflict(r.reconcile(ctx, req))
}

func (r *MemberClusterReconciler) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var member mcnv1alpha1.MemberCluster
	if err := r.Get(ctx, req.NamespacedName, &member); err != nil {
		if apierrors.IsNotFound(err) {
			r.Fleet.Remove(req.Name)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, err
	}
	if err := r.Leftovers.Load(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if !member.DeletionTimestamp.IsZero() {
		return r.reconcileDeletion(ctx, &member)
	}
	if !controllerutil.ContainsFinalizer(&member, mcnv1alpha1.CleanupFinalizer) {
		before := member.DeepCopy()
		controllerutil.AddFinalizer(&member, mcnv1alpha1.CleanupFinalizer)
		if err := r.Patch(ctx, &member, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.register(ctx, &member); err != nil {
		return ctrl.Result{}, err
	}
	state, ok := r.Fleet.State(member.Name)
	if !ok {
		return ctrl.Result{}, nil
	}
	if wait := r.awaits(&member, state); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if err := r.noteRole(ctx, &member); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.writeStatus(ctx, &member, state, "")
}

// now reads the clock.
func (r *MemberClusterReconciler) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// awaits says for how long the status that is there may stand, because this process has just started, connects to the member for the first time and so
// knows nothing better; 0 if what the fleet says is to be written. A restart then changes no status of a fleet that is as it was.
func (r *MemberClusterReconciler) awaits(member *mcnv1alpha1.MemberCluster, state fleet.State) time.Duration {
	r.startOnce.Do(func() { r.started = r.now() })
	verdict := meta.FindStatusCondition(member.Status.Conditions, mcnv1alpha1.ConditionReachable)
	if state.Reachable && r.awaitsWorker(member, verdict) {
		return restartPatience - r.now().Sub(r.started)
	}
	if state.Reachable || state.Synced || state.Reason != mcnv1alpha1.ReasonConnecting ||
		verdict == nil || verdict.Reason == string(mcnv1alpha1.ReasonConnecting) || member.Status.ObservedGeneration != member.Generation {
		return 0
	}
	return restartPatience - r.now().Sub(r.started)
}

// register hands the member and its kubeconfig to the fleet.
func (r *MemberClusterReconciler) register(ctx context.Context, member *mcnv1alpha1.MemberCluster) error {
	access := member.Spec.Access.Kubeconfig
	if access == nil {
		r.Fleet.Set(member, nil)
		return nil
	}
	ref := access.SecretRef
	where := "Secret " + r.Namespace + "/" + ref.Name
	var secret corev1.Secret
	if err := r.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: ref.Name}, &secret); err != nil {
		if !apierrors.IsNotFound(err) {
			return err
		}
		r.Fleet.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, where+" is not there; "+registerHint(member, r.Namespace, "create it"))
		return nil
	}
	kubeconfig, ok := secret.Data[ref.Key]
	if !ok {
		r.Fleet.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, where+" has no key "+ref.Key+"; "+registerHint(member, r.Namespace, "add it"))
		return nil
	}
	r.Fleet.Set(member, kubeconfig)
	return nil
}

// registerHint says how to get a Secret that is missing, or lacks the key: by the command that writes both, or by hand.
func registerHint(member *mcnv1alpha1.MemberCluster, namespace, byHand string) string {
	hint := fmt.Sprintf("run \"kubectl mcn register --name %s --context CONTEXT\", with the context of that cluster", member.Name)
	if namespace != mcnv1alpha1.DefaultNamespace {
		hint = strings.Replace(hint, " --context", " --namespace "+namespace+" --context", 1)
	}
	// Register writes this Secret and this key, and leaves a MemberCluster alone that names others.
	if ref := member.Spec.Access.Kubeconfig.SecretRef; ref.Name != member.Name || ref.Key != mcnv1alpha1.DefaultKubeconfigKey {
		hint = fmt.Sprintf("set spec.access.kubeconfig.secretRef to {name: %s} and %s", member.Name, hint)
	}
	return hint + ", or " + byHand + ", or correct spec.access.kubeconfig.secretRef"
}

// writeStatus computes the status and writes it if it differs. deleting says what the removal of the member waits for; empty while it is not removed.
func (r *MemberClusterReconciler) writeStatus(ctx context.Context, member *mcnv1alpha1.MemberCluster, state fleet.State, deleting string) error {
	known, _ := r.Fleet.Member(member.Name)
	note, compiled := r.notes.of(member.Name)
	problems, err := r.unaccounted(ctx, member, state)
	if err != nil {
		return err
	}
	secret, err := r.secretGoing(ctx, member)
	if err != nil {
		return err
	}
	want := status.Member(status.MemberFacts{
		Generation: member.Generation, Now: metav1.NewTime(r.now()), Previous: member.Status,
		Role: member.Spec.Role, SourceNAT: member.Spec.PodNetwork.SourceNAT,
		Reachable: state.Reachable, Reason: state.Reason, Message: state.Message, StaleSince: state.StaleSince, Deleting: deleting,
		Problems:  append(problems, state.Problems...),
		ClusterID: state.ClusterID, KubernetesVersion: known.KubernetesVersion, Cloud: known.Cloud, Calico: known.Calico, PodCIDRs: known.PodCIDRs,
		CalicoReady: state.CalicoReady, CalicoReason: state.CalicoReason, CalicoMessage: state.CalicoMessage, OwnPools: state.OwnPools,
		Credential: r.tokens.of(member.Name), Secret: secret,
		HeldUpdates: member.Spec.Updates == mcnv1alpha1.UpdatesHeld, HeldNetworks: note.heldNetworks(),
		Compiled: compiled, PodCIDROverlap: note.podCIDROverlap, PoolOverlap: note.poolOverlap,
	})
	if equality.Semantic.DeepEqual(want, member.Status) {
		return nil
	}
	before := member.DeepCopy()
	member.Status = want
	// With the resource version: conditions are computed from the status that was read, so another one must not be patched.
	if err := r.Status().Patch(ctx, member, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	memberTransition(r.Recorder, member, before.Status.Conditions, want.Conditions)
	return nil
}
