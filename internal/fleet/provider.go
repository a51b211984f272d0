package fleet

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

// The Fleet is a provider of multicluster-runtime, which may be given to its manager or be run without one; docs/adr/0006 says why.
var (
	_ multicluster.Provider         = &Fleet{}
	_ multicluster.ProviderRunnable = &Fleet{}
)

// Get implements multicluster.Provider. The error is a *NotConnectedError for a member that has no connection now, and multicluster.ErrClusterNotFound for a
// name that nobody registered.
func (f *Fleet) Get(_ context.Context, name multicluster.ClusterName) (cluster.Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name.String()]
	switch {
	case m == nil:
		return nil, fmt.Errorf("cluster %q: %w; register it with a MemberCluster of that name", name, multicluster.ErrClusterNotFound)
	case m.conn == nil || !m.state.Reachable:
		return nil, &NotConnectedError{Cluster: name.String()}
	default:
		return m.conn.Cluster, nil
	}
}

// NotConnectedError says that a member has no connection now.
type NotConnectedError struct{ Cluster string }

// Error implements error.
func (e *NotConnectedError) Error() string {
	return "cluster " + e.Cluster + " is not connected; see the conditions of its MemberCluster"
}

// Start implements multicluster.ProviderRunnable: until ctx ends, it hands every connection that has a complete view to aware, with a context that ends when
// the connection does. Then it closes all connections.
func (f *Fleet) Start(ctx context.Context, aware multicluster.Aware) error {
	f.mu.Lock()
	f.aware = aware
	for name, m := range f.members {
		if m.conn != nil {
			f.engageLocked(name, m.conn)
		}
	}
	f.mu.Unlock()
	<-ctx.Done()
	f.Close()
	return nil
}

// engageLocked hands a connection to whoever is to know of it. It waits for nothing: one goroutine for each member calls Engage, so that one that errs is
// called again, and one that hangs holds up neither its own member, nor another, nor gathers goroutines while its member comes and goes.
func (f *Fleet) engageLocked(name string, conn *Connection) {
	if f.aware == nil {
		return
	}
	_, running := f.engaging[name]
	f.engaging[name] = conn
	if !running {
		// Not one of the goroutines that Close waits for: what is engaged is not in our hands.
		go f.engage(name)
	}
}

// engage calls Engage for the latest connection of a member until there is none that it was not called for.
func (f *Fleet) engage(name string) {
	pause := f.opts.BackoffMin
	var done *Connection
	for {
		f.mu.Lock()
		conn, aware := f.engaging[name], f.aware
		if conn == done || conn.ctx.Err() != nil {
			delete(f.engaging, name)
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		err := aware.Engage(conn.ctx, multicluster.ClusterName(name), conn.Cluster)
		if err == nil {
			done, pause = conn, f.opts.BackoffMin
			continue
		}
		f.opts.Logger.Error(err, "Member could not be engaged; it is tried again", "cluster", name)
		select {
		case <-conn.ctx.Done():
		case <-time.After(jitter(pause)):
			pause = min(2*pause, f.opts.BackoffMax)
		}
	}
}
