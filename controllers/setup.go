package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
)

// Options are what the operator is started with.
type Options struct {
	// Settings shape what is compiled.
	Settings compile.Settings
	// Namespace is where the members' Secrets are.
	Namespace string
	// Settle is how long Calico is given to take in what was written, before the next phase.
	Settle time.Duration
	// Barrier is how long a phase waits for other members.
	Barrier time.Duration
	// Resync is about how often everything on a member is listed again; 0 for the default.
	Resync time.Duration
	// TokenClock is the clock by which tokens in kubeconfigs are renewed; default: time.Now.
	TokenClock func() time.Time
	// MaxResponseBytes is the most that is read of one answer of a member; 0 for the default.
	MaxResponseBytes int64
	// Limits keep a member in trouble from being pressed.
	Limits MemberLimits
	// Metrics is where metrics are registered; default: controller-runtime's registry, which the manager serves.
	Metrics prometheus.Registerer
}

// MemberLimits bound what each member gets to do. Zeros mean the defaults of package member.
type MemberLimits struct {
	// WriteRate and WriteBurst are how many writes a second, and at once. Writes are made one after the other.
	WriteRate  float64
	WriteBurst int
	// PauseAfter is after how many rounds without any success a member is left alone, and Pause for about how long.
	PauseAfter int
	Pause      time.Duration
}

// Setup puts the operator together in a manager: the fleet, the members' workers and the controllers. The manager's cache must be limited by
// HubCacheByObject.
func Setup(mgr ctrl.Manager, opts Options) error {
	members := fleet.New(fleet.Options{Hub: mgr.GetConfig(), Scheme: mgr.GetScheme(), Logger: mgr.GetLogger().WithName("fleet"), MaxResponseBytes: opts.MaxResponseBytes})
	observer := newMetrics(stateCollector{reader: mgr.GetClient(), states: members.States, leads: mgr.Elected(), now: time.Now})
	workers := member.NewManager(member.Options{
		OwnerID: opts.Settings.OwnerID,
		Connect: func(name string) (member.Connection, bool) {
			c, ok := members.Writable(name)
			if !ok {
				return member.Connection{}, false
			}
			return member.Connection{ID: c, ClusterID: c.ClusterID, Client: c.Client, Context: c.Context(), Prove: c.Prove}, true
		},
		Pods: members.Pods(), PodsChanged: members.SubscribePods(), Settings: opts.Settings,
		Unsynced: func(name string) bool {
			state, known := members.State(name)
			return known && !state.Synced
		},
		Settle: opts.Settle, Barrier: opts.Barrier, Resync: opts.Resync,
		WriteRate: float32(opts.Limits.WriteRate), WriteBurst: opts.Limits.WriteBurst, BreakAfter: opts.Limits.PauseAfter, BreakFor: opts.Limits.Pause,
		Log: mgr.GetLogger().WithName("member"), Observer: observer,
	})
	observer.state.statuses = workers.Statuses
	if err := mgr.Add(served{observer, opts.Metrics}); err != nil {
		return err
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return members.Start(ctx, workers) })); err != nil {
		return err
	}
	if err := mgr.Add(workers); err != nil {
		return err
	}
	recorder := mgr.GetEventRecorder("multicloud-network-operator")
	leftovers := &Leftovers{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Namespace: opts.Namespace, Owner: opts.Settings.OwnerID}
	registration := &MemberClusterReconciler{
		Client: mgr.GetClient(), Namespace: opts.Namespace, Fleet: members, Cleaner: workers, Leftovers: leftovers, Barrier: opts.Barrier, Recorder: recorder,
		notes: &memberNotes{}, tokens: &tokenNotes{},
	}
	if err := registration.SetupWithManager(mgr); err != nil {
		return err
	}
	secrets := &SecretReconciler{Client: mgr.GetClient(), Namespace: opts.Namespace, Barrier: opts.Barrier}
	if err := secrets.SetupWithManager(mgr); err != nil {
		return err
	}
	tokens := &TokenReconciler{
		Client: mgr.GetClient(), Namespace: opts.Namespace, Fleet: members, Now: opts.TokenClock, notes: registration.tokens, metrics: observer,
	}
	if err := tokens.SetupWithManager(mgr, registration); err != nil {
		return err
	}
	networks := &NetworkReconciler{
		Client: mgr.GetClient(), Fleet: members, Pods: members.Pods(), PodsChanged: members.SubscribePods(), Settings: opts.Settings, Barrier: opts.Barrier,
		Members:  &measuredWriter{MemberWriter: workers, metrics: observer, now: time.Now},
		Recorder: recorder, notes: registration.notes,
		Leftovers: leftovers, Reader: mgr.GetAPIReader(), Namespace: opts.Namespace,
	}
	return networks.SetupWithManager(mgr)
}

// served are metrics that are registered while the manager runs, also where it does not lead.
type served struct {
	metrics  *metrics
	registry prometheus.Registerer
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (served) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (s served) Start(ctx context.Context) error {
	if s.registry == nil {
		return s.metrics.run(ctx, ctrlmetrics.Registry)
	}
	return s.metrics.run(ctx, s.registry)
}
