package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
)

// debounce gathers changes that come together into one pass.
const debounce = 50 * time.Millisecond

// recount is how long after a change of pods they are counted anew, for status and warnings. Sets do not wait for that.
const recount = 5 * time.Second

// allNetworks is the one request there is: networks meet (they share pods, slots and orders), so that a change of one may change all.
var allNetworks = reconcile.Request{NamespacedName: client.ObjectKey{Name: "all"}}

// FleetView is what the reconciler needs of the fleet.
type FleetView interface {
	// Snapshot is what is known of every member.
	Snapshot() snapshot.Fleet
	// States is the health of every member.
	States() map[string]fleet.State
	// Subscribe signals that one of them changed.
	Subscribe() <-chan struct{}
}

// MemberWriter is what the reconciler needs of the members' workers.
type MemberWriter interface {
	// SetIntents says what each member should hold.
	SetIntents(map[string]member.Intent)
	// Statuses tells how far they are.
	Statuses() map[string]member.Status
	// Subscribe signals that Statuses changed.
	Subscribe() <-chan struct{}
	// Wake makes workers look at their connections.
	Wake()
}

// NetworkReconciler compiles all networks for all members at every change, hands the result to the members' workers, and writes each network's status.
type NetworkReconciler struct {
	// Client reads and writes the hub.
	Client client.Client
	// Fleet is what is known of the members.
	Fleet FleetView
	// Pods are the members' pods, and PodsChanged gets a signal when they changed. Without them those that Fleet knows count.
	Pods        *identity.Index
	PodsChanged <-chan struct{}
	// Members are their workers.
	Members MemberWriter
	// Leftovers remembers what has to be removed from members that are out of reach.
	Leftovers *Leftovers
	// Reader reads from the hub past any cache, and Namespace is the operator's: there it records what is in force.
	Reader    client.Reader
	Namespace string
	// Recorder takes events; nil for none.
	Recorder events.EventRecorder
	// Settings shape what is compiled.
	Settings compile.Settings
	// Barrier is how long anything waits for a member that is out of reach.
	Barrier time.Duration
	// Now is the clock; time.Now by default.
	Now func() time.Time

	// notes takes what is found out about members; nil if nobody wants it.
	notes  *memberNotes
	memory memory
}

// memory is what is kept between passes. What matters after a restart is recorded on the hub, and recalled in the first pass.
type memory struct {
	// started is when the first pass began: a replica may stand by for days before it leads.
	started time.Time
	// records are on the hub.
	records *records
	// recalled says that what a former process recorded is known.
	recalled bool
	// inForce are the networks as they were last valid, and not Held.
	inForce map[string]*mcnv1alpha1.MultiCloudNetwork
	// there is what counted for each member when its policies were last written.
	there map[string]inForceThere
	// deleting is when this process first saw that a network is being deleted.
	deleting map[string]time.Time
	// obstacles say why the finalizer of a network cannot go although its members are done.
	obstacles map[string]string
	// counted is when a network's counts of pods were last written.
	counted map[string]time.Time
	// written are the statuses that the cache may not have seen yet.
	written map[string]writtenStatus
}

// writtenStatus is a status, and the resourceVersion that its object has since it was written.
type writtenStatus struct {
	as     string
	status mcnv1alpha1.MultiCloudNetworkStatus
}

func (r *NetworkReconciler) newMemory() memory {
	return memory{
		records: &records{client: r.Client, reader: r.Reader, namespace: r.Namespace},
		there:   map[string]inForceThere{}, inForce: map[string]*mcnv1alpha1.MultiCloudNetwork{}, deleting: map[string]time.Time{}, obstacles: map[string]string{},
		counted: map[string]time.Time{}, written: map[string]writtenStatus{},
	}
}

// SetupWithManager registers the reconciler: it runs when a network, a member or what is known of the fleet changes, and when a worker has news.
func (r *NetworkReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Now == nil {
		r.Now = time.Now
	}
	r.memory = r.newMemory()
	changed := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	return ctrl.NewControllerManagedBy(mgr).
		Named("multicloudnetwork").
		Watches(&mcnv1alpha1.MultiCloudNetwork{}, enqueueAll(), changed).
		Watches(&mcnv1alpha1.MemberCluster{}, enqueueAll(), changed).
		WatchesRawSource(signal(r.Fleet.Subscribe(), r.Members.Wake, debounce)).
		WatchesRawSource(signal(r.Members.Subscribe(), nil, debounce)).
		WatchesRawSource(signal(r.PodsChanged, nil, recount)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
}

// step is one part of a pass.
type step struct {
	name string
	run  func(context.Context, *scope) error
}

// Reconcile makes one pass over all networks.
func (r *NetworkReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	s := &scope{}
	if r.memory.started.IsZero() {
		r.memory.started = r.Now()
	}
	steps := []step{
		{"read", r.read},
		{"recall", r.recall},
		{"await members", r.awaitMembers},
		{"hold", r.addFinalizers},
		{"compile", r.compile},
		{"record", r.record},
		{"intend", r.intend},
		{"report", r.report},
		{"release", r.release},
	}
	for _, step := range steps {
		if err := step.run(ctx, s); err != nil {
			return retryConflict(ctrl.Result{}, fmt.Errorf("%s: %w", step.name, err))
		}
		if s.stop {
			break
		}
	}
	err := errors.Join(s.failed...)
	if s.again > 0 && err != nil && !apierrors.IsConflict(err) {
		// An error's own delay grows to minutes, and others are waiting.
		ctrl.LoggerFrom(ctx).Error(err, "some networks could not be written; trying again", "after", s.again.String())
		return ctrl.Result{RequeueAfter: s.again}, nil
	}
	return retryConflict(ctrl.Result{RequeueAfter: s.again}, err)
}

// enqueueAll turns every event into the one request, a little later.
func enqueueAll() handler.EventHandler {
	add := func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) { q.AddAfter(allNetworks, debounce) }
	return handler.Funcs{
		CreateFunc: func(_ context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			add(q)
		},
		UpdateFunc: func(_ context.Context, _ event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			add(q)
		},
		DeleteFunc: func(_ context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			add(q)
		},
	}
}

// signal turns tokens of a channel into the one request, after a while. first is called for each token.
func signal(tokens <-chan struct{}, first func(), after time.Duration) source.Source {
	return source.Func(func(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-tokens:
					if first != nil {
						first()
					}
					q.AddAfter(allNetworks, after)
				}
			}
		}()
		return nil
	})
}
