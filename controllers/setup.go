package controllers

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

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
}

// Setup puts the operator together in a manager: the fleet, the members' workers and the controllers. The manager's cache must be limited by
// HubCacheByObject.
func Setup(mgr ctrl.Manager, opts Options) error {
	members := fleet.New(fleet.Options{Hub: mgr.GetConfig(), Scheme: mgr.GetScheme(), Logger: mgr.GetLogger().WithName("fleet")})
	workers := member.NewManager(member.Options{
		OwnerID: opts.Settings.OwnerID,
		Connect: func(name string) (member.Connection, bool) {
			c, ok := members.Connection(name)
			if !ok {
				return member.Connection{}, false
			}
			return member.Connection{ID: c, ClusterID: c.ClusterID, Client: c.Client, Context: c.Context()}, true
		},
		Settle: opts.Settle, Barrier: opts.Barrier, Resync: opts.Resync,
		Log: mgr.GetLogger().WithName("member"),
	})
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return members.Start(ctx, nil) })); err != nil {
		return err
	}
	if err := mgr.Add(workers); err != nil {
		return err
	}
	recorder := mgr.GetEventRecorder("multicloud-network-operator")
	registration := &MemberClusterReconciler{Client: mgr.GetClient(), Namespace: opts.Namespace, Fleet: members, Cleaner: workers, Recorder: recorder, notes: &memberNotes{}}
	if err := registration.SetupWithManager(mgr); err != nil {
		return err
	}
	networks := &NetworkReconciler{
		Client: mgr.GetClient(), Fleet: members, Members: workers, Settings: opts.Settings, Barrier: opts.Barrier,
		Recorder: recorder, notes: registration.notes,
	}
	return networks.SetupWithManager(mgr)
}
