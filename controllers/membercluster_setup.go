package controllers

import (
	"context"
	"reflect"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
)

// HubCacheByObject limits the hub's cache of Secrets to the operator's namespace, for cache.Options.ByObject of the manager. The reconciler relies on it:
// elsewhere the operator may not read Secrets.
func HubCacheByObject(namespace string) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&corev1.Secret{}: {Namespaces: map[string]cache.Config{namespace: {}}}}
}

// SetupWithManager makes the controller run in a manager: on MemberClusters, on the Secrets that they name, and on what the fleet sees.
func (r *MemberClusterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	notes := &fleetNotes{fleet: r.Fleet, workers: r.Cleaner, events: make(chan event.GenericEvent)}
	if err := mgr.Add(notes); err != nil {
		return err
	}
	if r.notes == nil {
		r.notes = &memberNotes{}
	}
	if r.tokens == nil {
		r.tokens = &tokenNotes{}
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("membercluster").
		For(&mcnv1alpha1.MemberCluster{}).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.membersOfSecret)).
		Watches(&mcnv1alpha1.MultiCloudNetwork{}, handler.EnqueueRequestsFromMapFunc(r.membersOfUnknown), comesOrGoes).
		WatchesRawSource(source.Channel(notes.events, &handler.EnqueueRequestForObject{})).
		WatchesRawSource(r.notes.source()).
		WatchesRawSource(r.tokens.source()).
		WithLogConstructor(memberLog(mgr, "membercluster")).
		Complete(r)
}

// memberLog makes the loggers of a controller of members: like all logs, they name a member by the key cluster.
func memberLog(mgr ctrl.Manager, controller string) func(*reconcile.Request) logr.Logger {
	return func(request *reconcile.Request) logr.Logger {
		log := mgr.GetLogger().WithValues("controller", controller)
		if request != nil {
			log = log.WithValues("cluster", request.Name)
		}
		return log
	}
}

// membersOfSecret returns the members whose kubeconfig is in a Secret.
func (r *MemberClusterReconciler) membersOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	if secret.GetNamespace() != r.Namespace {
		return nil
	}
	var members mcnv1alpha1.MemberClusterList
	if err := r.List(ctx, &members); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Members of a Secret cannot be listed", "secret", secret.GetName())
		return nil
	}
	var out []reconcile.Request
	for i := range members.Items {
		access := members.Items[i].Spec.Access.Kubeconfig
		if access != nil && access.SecretRef.Name == secret.GetName() {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: members.Items[i].Name}})
		}
	}
	return out
}

// comesOrGoes lets creations and deletions through alone.
var comesOrGoes = builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})

// membersOfUnknown returns the members on which there is something of a network that their workers did not know of: whether it exists is part of their
// status.
func (r *MemberClusterReconciler) membersOfUnknown(_ context.Context, network client.Object) []reconcile.Request {
	if r.Cleaner == nil {
		return nil
	}
	var out []reconcile.Request
	for name, status := range r.Cleaner.Statuses() {
		if status.Unknown[network.GetName()] > 0 {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
	}
	return out
}

// fleetNotes turns the signals of the fleet and of the workers, which name no member, into events for the members whose status may have changed.
type fleetNotes struct {
	fleet   MemberFleet
	workers Cleaner
	events  chan event.GenericEvent
}

var _ manager.LeaderElectionRunnable = &fleetNotes{}

// NeedLeaderElection implements manager.LeaderElectionRunnable: it feeds a controller that runs with the leader only.
func (n *fleetNotes) NeedLeaderElection() bool { return true }

// reported is what a member's status is made from. Pods come and go without a trace in it.
type reported struct {
	state   fleet.State
	known   snapshot.Member
	unknown map[string]int
}

// Start implements manager.Runnable.
func (n *fleetNotes) Start(ctx context.Context) error {
	signals := n.fleet.Subscribe()
	var found <-chan struct{}
	if n.workers != nil {
		found = n.workers.Subscribe()
	}
	last := map[string]reported{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
		case <-found:
		}
		now := map[string]reported{}
		var statuses map[string]member.Status
		if n.workers != nil {
			statuses = n.workers.Statuses()
		}
		for name, state := range n.fleet.States() {
			known, _ := n.fleet.Member(name)
			now[name] = reported{state: state, unknown: statuses[name].Unknown, known: snapshot.Member{
				ClusterID: known.ClusterID, KubernetesVersion: known.KubernetesVersion, Cloud: known.Cloud, Calico: known.Calico, PodCIDRs: known.PodCIDRs,
			}}
			if reflect.DeepEqual(last[name], now[name]) {
				continue
			}
			object := &mcnv1alpha1.MemberCluster{}
			object.Name = name
			select {
			case n.events <- event.GenericEvent{Object: object}:
			case <-ctx.Done():
				return nil
			}
		}
		last = now
	}
}
