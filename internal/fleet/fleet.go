package fleet

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// Fleet is all registered members. Its methods are safe for concurrent use and never wait for a member.
type Fleet struct {
	opts Options
	// ctx is the parent of every connection.
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	members map[string]*member
	subs    []chan struct{}
	// composed is the snapshot of the present; nil when something changed since it was made.
	composed *snapshot.Fleet
	// aware is told of connections; nil before Start.
	aware multicluster.Aware
	// engaging has the latest connection of each member that a goroutine hands to aware now.
	engaging map[string]*Connection
	// indexes are those of IndexField, in the order in which they came.
	indexes []index
	// pods is the index of all members' pods, which their views write to by themselves, and podSubscribers who is told.
	pods           *identity.Index
	podSubscribers atomic.Pointer[[]chan struct{}]
}

// member is one registration. Fleet.mu guards it; facts are immutable and replaced.
type member struct {
	object     *mcnv1alpha1.MemberCluster
	kubeconfig []byte
	// pinned is the cluster ID that the member has to have; empty before the first connection.
	pinned string
	facts  gather.Facts
	state  State
	conn   *Connection
	// session is the goroutine that may change this member; those of former credentials may not.
	session *session
	// gate lets the view of the latest connection tell about pods.
	gate *gate
	// located is where the index was told that the member's pods are; nil if it was not.
	located *location
}

// location is where a member's pods are.
type location struct {
	domain string
	cidrs  []netip.Prefix
}

// New returns a Fleet without members. Close ends it.
func New(opts Options) *Fleet {
	opts.setDefaults()
	ctx, stop := context.WithCancel(context.Background())
	return &Fleet{opts: opts, ctx: ctx, stop: stop, members: map[string]*member{}, engaging: map[string]*Connection{}, pods: identity.NewIndex()}
}

// Close ends all connections and waits for their goroutines.
func (f *Fleet) Close() {
	f.stop()
	f.wg.Wait()
}

// Set registers a member, or takes in what changed of it. A kubeconfig is vetted first: the state of a member whose kubeconfig is refused says why. Where only the
// credential changed it is exchanged in the connection that is there; it connects anew only if the way to the cluster changed, and what is known of
// the member is held meanwhile.
func (f *Fleet) Set(object *mcnv1alpha1.MemberCluster, kubeconfig []byte) {
	f.mu.Lock()
	known := f.members[object.Name]
	same := known != nil && known.session != nil && sameAccess(known.object, object) && bytes.Equal(known.kubeconfig, kubeconfig)
	f.mu.Unlock()
	var cfg *rest.Config
	if !same {
		var err error
		if cfg, err = f.configFor(object, kubeconfig); err != nil {
			fault := asFault(err)
			f.SetFault(object, fault.reason, fault.message)
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	access := known != nil && sameAccess(known.object, object)
	m, changed := f.registerLocked(object)
	switch {
	case same && m.session != nil:
	case access && m.session != nil && !m.session.local && sameServer(m.session.cfg, cfg):
		m.kubeconfig = bytes.Clone(kubeconfig)
		m.session.rotate(credentialOf(cfg))
		if m.conn == nil && m.state.DuplicateOf == "" {
			f.connectingLocked(m)
			changed = true
		}
	case cfg == nil: // removed meanwhile, by somebody who has the last word
	default:
		m.kubeconfig = bytes.Clone(kubeconfig)
		f.disconnectLocked(m)
		f.connectingLocked(m)
		f.startLocked(m, cfg)
		changed = true
	}
	if changed {
		f.changedLocked()
	}
}

// connectingLocked records that a member is being connected to.
func (f *Fleet) connectingLocked(m *member) {
	m.state.Reachable = false
	m.state.Reason, m.state.Message = mcnv1alpha1.ReasonConnecting, "connecting to the cluster"
}

// configFor returns the configuration for a member's access.
func (f *Fleet) configFor(object *mcnv1alpha1.MemberCluster, kubeconfig []byte) (*rest.Config, error) {
	if object.Spec.Access.Local != nil {
		if f.opts.Hub == nil {
			return nil, &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: "access local needs a hub configuration, which this operator has not"}
		}
		return harden(rest.CopyConfig(f.opts.Hub)), nil
	}
	return Vet(kubeconfig)
}

// SetFault registers a member that cannot be connected to, because its Secret is missing for example, and ends the connection that it has. What is
// known of it is held.
func (f *Fleet) SetFault(object *mcnv1alpha1.MemberCluster, reason mcnv1alpha1.Reason, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, changed := f.registerLocked(object)
	before := m.state
	f.disconnectLocked(m)
	m.kubeconfig = nil
	f.loseLocked(m, reason, message)
	if changed || !reflect.DeepEqual(before, m.state) {
		f.changedLocked()
	}
}

// Remove forgets a member and ends its connection.
func (f *Fleet) Remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	if m == nil {
		return
	}
	f.disconnectLocked(m)
	delete(f.members, name)
	f.forgetPodsLocked(name, m)
	f.wakeDuplicatesLocked(name)
	f.changedLocked()
}

// registerLocked takes in what the MemberCluster says, and reports whether that is news. For a member that is new to this process its status says what
// was last known.
func (f *Fleet) registerLocked(object *mcnv1alpha1.MemberCluster) (m *member, changed bool) {
	object = object.DeepCopy()
	m = f.members[object.Name]
	if m != nil && m.object.UID != object.UID {
		// Deleted and created again under one name: another registration.
		f.disconnectLocked(m)
		f.forgetPodsLocked(object.Name, m)
		f.wakeDuplicatesLocked(object.Name)
		m = nil
	}
	changed = m == nil || m.object.Generation != object.Generation || !reflect.DeepEqual(m.object.Labels, object.Labels)
	if m == nil {
		m = &member{pinned: object.Status.ClusterID, gate: &gate{}}
		m.facts.Member = snapshot.Member{
			ClusterID: object.Status.ClusterID, KubernetesVersion: object.Status.KubernetesVersion,
			Cloud: object.Status.Cloud, Calico: object.Status.Calico, PodCIDRs: prefixes(object.Status.PodCIDRs),
		}
		m.state.StaleSince, m.state.Seen = object.Status.StaleSince.DeepCopy(), SeenBefore(object)
		m.state.CalicoReason, m.state.CalicoMessage = mcnv1alpha1.ReasonConnecting, "the cluster has not been read yet"
		f.members[object.Name] = m
	}
	fresh := m.object == nil
	m.object = object
	if object.Spec.ClusterID != "" {
		m.pinned = object.Spec.ClusterID
	}
	m.state.Generation, m.state.ClusterID = object.Generation, m.pinned
	if changed && m.state.Reachable {
		m.state.Problems = f.problems(m) // the spec may name the pod CIDRs now
	}
	f.locateLocked(m)
	if fresh {
		f.preferLocked(m)
	}
	return m, changed
}

// SeenBefore tells from a MemberCluster's status whether its cluster has ever been in sight: the version that is in it is read together with all else.
func SeenBefore(object *mcnv1alpha1.MemberCluster) bool {
	return object.Status.KubernetesVersion != "" || object.Status.StaleSince != nil
}

// sameAccess says whether two versions of a MemberCluster lead to the same cluster in the same way.
func sameAccess(a, b *mcnv1alpha1.MemberCluster) bool {
	return a.UID == b.UID && (a.Spec.Access.Local == nil) == (b.Spec.Access.Local == nil) && a.Spec.ClusterID == b.Spec.ClusterID
}

// disconnectLocked ends the session of a member; what it does from now on counts no more.
func (f *Fleet) disconnectLocked(m *member) {
	if m.session != nil {
		m.session.cancel()
		m.session = nil
		m.gate.open(nil)
	}
	m.conn = nil
}

// loseLocked records that sight of a member is lost.
func (f *Fleet) loseLocked(m *member, reason mcnv1alpha1.Reason, message string) {
	m.conn = nil
	m.state.Reachable = false
	m.state.Reason, m.state.Message = reason, message
	if m.state.Seen && m.state.StaleSince == nil {
		// Status keeps whole seconds; with more, what is written would differ from what is read back.
		m.state.StaleSince = &metav1.Time{Time: f.opts.Now().Truncate(time.Second)}
	}
}

// changedLocked tells every subscriber, without waiting for any.
func (f *Fleet) changedLocked() {
	f.composed = nil
	for _, sub := range f.subs {
		select {
		case sub <- struct{}{}:
		default:
		}
	}
}

// Subscribe returns a channel that gets a signal after something in Snapshot or States changed. Signals that are not taken become one.
func (f *Fleet) Subscribe() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub := make(chan struct{}, 1)
	f.subs = append(f.subs, sub)
	return sub
}

// States returns the health of every member.
func (f *Fleet) States() map[string]State {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]State, len(f.members))
	for name, m := range f.members {
		out[name] = m.state
	}
	return out
}

// State returns the health of one member.
func (f *Fleet) State(name string) (State, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	if m == nil {
		return State{}, false
	}
	return m.state, true
}

// Member returns what is known of one member.
func (f *Fleet) Member(name string) (snapshot.Member, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	if m == nil {
		return snapshot.Member{}, false
	}
	return m.compose(), true
}

// Connection returns the way to a member that is reachable.
func (f *Fleet) Connection(name string) (*Connection, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	if m == nil || m.conn == nil || !m.state.Reachable {
		return nil, false
	}
	return m.conn, true
}

// Writable returns the way to a member that is reachable and whose Calico may be written to: not while its datastore is not ready, as in a migration, where
// what is written is lost or stops the migration.
func (f *Fleet) Writable(name string) (*Connection, bool) {
	conn, ok := f.Connection(name)
	if state, _ := f.State(name); !ok || state.CalicoReason == mcnv1alpha1.ReasonDatastoreNotReady {
		return nil, false
	}
	return conn, true
}

// Snapshot returns what is known of all members, sorted by name. It is immutable and shared: callers change nothing in it.
func (f *Fleet) Snapshot() snapshot.Fleet {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.composed == nil {
		composed := snapshot.Fleet{Members: make([]snapshot.Member, 0, len(f.members))}
		for _, name := range slices.Sorted(maps.Keys(f.members)) {
			composed.Members = append(composed.Members, f.members[name].compose())
		}
		f.composed = &composed
	}
	return snapshot.Fleet{Members: slices.Clone(f.composed.Members)}
}

// compose joins what the MemberCluster says and what its cluster says.
func (m *member) compose() snapshot.Member {
	out := m.facts.Member
	spec := m.object.Spec
	out.Name, out.Labels = m.object.Name, m.object.Labels
	out.Role, out.Domain, out.SourceNAT = spec.Role, spec.PodNetwork.Domain, spec.PodNetwork.SourceNAT
	if len(spec.PodNetwork.CIDRs) > 0 {
		out.PodCIDRs = prefixes(spec.PodNetwork.CIDRs)
	}
	if m.pinned == "" || m.state.DuplicateOf != "" {
		// It may be, or is, a cluster that is registered already: the same pod CIDRs twice would look like an overlap, and close the older one's permits.
		out.PodCIDRs = nil
	}
	return out
}

// problems are what could not be read of a cluster that is in sight, and what is wrong with where its pods' addresses are.
func (f *Fleet) problems(m *member) []string {
	out, known := m.facts.Problems, m.compose()
	pods, accepted := f.pods.Count(known.Name)
	if problem := gather.PodCIDRProblem(&known, pods, accepted); problem != "" {
		out = append(slices.Clone(out), problem)
	}
	return out
}

func prefixes(cidrs []mcnv1alpha1.CIDR) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(cidrs))
	for _, cidr := range cidrs {
		if prefix, err := netip.ParsePrefix(string(cidr)); err == nil {
			out = append(out, prefix.Masked())
		}
	}
	return out
}

// update lets a session change its member; change reports whether it changed the facts, which are too large to compare under the lock. It returns whether
// the session still counts.
func (f *Fleet) update(s *session, change func(*member) (facts bool)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[s.name]
	if m == nil || m.session != s {
		return false
	}
	before, beforeConn := m.state, m.conn
	if change(m) || beforeConn != m.conn || !reflect.DeepEqual(before, m.state) {
		f.changedLocked()
	}
	return true
}

// facts returns what is known of a session's member.
func (f *Fleet) facts(s *session) gather.Facts {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.members[s.name]; m != nil {
		return m.facts
	}
	return gather.Facts{}
}

// startLocked starts a session.
func (f *Fleet) startLocked(m *member, cfg *rest.Config) {
	ctx, cancel := context.WithCancel(f.ctx)
	m.session = &session{
		fleet: f, name: m.object.Name, cfg: cfg, local: m.object.Spec.Access.Local != nil, ctx: ctx, cancel: cancel,
		log:   f.opts.Logger.WithValues("cluster", m.object.Name),
		again: make(chan struct{}, 1), rotated: make(chan struct{}, 1), registered: credentialOf(cfg),
	}
	f.wg.Go(m.session.run)
}

// jitter spreads a pause over its upper half, so that members that fell together do not return together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
