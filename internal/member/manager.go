package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/identity"
)

// ErrNotConnected says that a member cannot be reached now.
var ErrNotConnected = errors.New("the cluster is not connected: see condition Reachable of its MemberCluster")

// Connection is a way to a member that works now.
type Connection struct {
	// ID tells one connection from the next; it must be comparable and not nil.
	ID any
	// ClusterID is the ID that the cluster had when the connection was made.
	ClusterID string
	// Client reads and writes there, bounded in time.
	Client client.Client
	// Context ends when the connection is given up.
	Context context.Context
	// Prove returns an error unless the cluster that answers is the one that was connected to; nil where nobody doubts it.
	Prove func(context.Context) error
}

// Options are what a Manager needs.
type Options struct {
	// OwnerID is the owner ID of this operator.
	OwnerID string
	// Connect returns the connection to a member, if there is one.
	Connect func(name string) (Connection, bool)
	// Pods are the pods of all members, which the sets follow, and PodsChanged gets a signal when they changed; Settings say how sets are made.
	Pods        *identity.Index
	PodsChanged <-chan struct{}
	Settings    compile.Settings
	// Unsynced tells whether a member has not been listed in full, at this moment: it may have become so since the intents were made. Nil if none ever is.
	Unsynced func(member string) bool
	// Settle is how long Calico is given to take a phase in.
	Settle time.Duration
	// Barrier is how long a phase waits for other members.
	Barrier time.Duration
	// Resync is about how often everything on a member is listed again; default 10 minutes.
	Resync time.Duration
	// Truce is how long an object of ours that somebody else keeps changing is left alone between two writes; default a minute.
	Truce time.Duration
	// WriteRate and WriteBurst bound the writes on one member: a second, and at once; defaults 20 and 50.
	WriteRate  float32
	WriteBurst int
	// BreakAfter is how many passes without any success make a worker pause before each further try, and BreakFor for about how long; defaults 8 and 2 minutes.
	BreakAfter int
	BreakFor   time.Duration
	// CallTimeout bounds one API call; default 15 seconds.
	CallTimeout time.Duration
	// Proof is for how long it is believed that the cluster which answers is the right one, once it was asked; default a second. What is created within that
	// time of a moment at which another cluster took its address may go to that one. What is changed or deleted may not: that is sent for an object of one UID.
	Proof time.Duration
	// Retry is the first delay after a failure, doubled each time up to a minute; default half a second.
	Retry time.Duration
	// Log is where workers log.
	Log logr.Logger
	// Observer is told what workers do; nobody by default.
	Observer Observer
}

// Manager keeps one worker per member. Its workers begin when Start is called.
type Manager struct {
	opts    Options
	barrier *barrier

	mu      sync.Mutex
	ctx     context.Context // set by Start
	workers map[string]*worker
	ending  map[string]<-chan struct{} // workers that were stopped, by name: the next one begins when it is closed
	group   sync.WaitGroup
	subs    []chan struct{}
	engaged map[string]*engagement // members whose objects are watched
	pods    *podSets               // nil if no sets follow pods
}

// NewManager returns a manager without members.
func NewManager(opts Options) *Manager {
	opts.Resync = cmp.Or(opts.Resync, 10*time.Minute)
	opts.Truce = cmp.Or(opts.Truce, time.Minute)
	opts.WriteRate = cmp.Or(opts.WriteRate, 20)
	opts.WriteBurst = cmp.Or(opts.WriteBurst, 50)
	opts.BreakAfter = cmp.Or(opts.BreakAfter, 8)
	opts.BreakFor = cmp.Or(opts.BreakFor, 2*time.Minute)
	opts.CallTimeout = cmp.Or(opts.CallTimeout, 15*time.Second)
	opts.Proof = cmp.Or(opts.Proof, time.Second)
	opts.Retry = cmp.Or(opts.Retry, 500*time.Millisecond)
	if opts.Observer == nil {
		opts.Observer = unobserved{}
	}
	out := &Manager{
		opts: opts, barrier: newBarrier(opts.Barrier), workers: map[string]*worker{}, ending: map[string]<-chan struct{}{}, engaged: map[string]*engagement{},
	}
	if opts.Pods != nil {
		out.pods = &podSets{index: opts.Pods, settings: opts.Settings, log: opts.Log, unsynced: opts.Unsynced, made: map[source]map[string]*wanted{}}
	}
	return out
}

// Start runs the workers until the context ends, and returns when the last one has finished its API call.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	for _, w := range m.workers {
		m.launch(w)
	}
	for _, e := range m.engaged {
		m.watch(e)
	}
	if m.pods != nil {
		m.group.Go(func() { m.followPods(ctx) })
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.group.Wait()
	return nil
}

// NeedLeaderElection says that only the leader writes to members.
func (m *Manager) NeedLeaderElection() bool { return true }

// SetIntents says what each member should hold. Members that are not named lose their worker; what was written there stays.
func (m *Manager) SetIntents(intents map[string]Intent) {
	ready := make(map[string]*prepared, len(intents))
	for name, in := range intents {
		ready[name] = prepare(in)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, w := range m.workers {
		in, ok := ready[name]
		if !ok || (w.uid != "" && w.uid != in.UID) {
			m.remove(name, w)
		}
	}
	// All members are marked before one of them begins: a network that changes is at its start everywhere.
	for name, in := range ready {
		w := m.worker(name)
		w.uid = in.UID
		m.markChanged(w, in)
	}
	m.usePods(ready)
	for name, in := range ready {
		m.hand(m.workers[name], in)
	}
}

// SetIntent says what one member should hold, and leaves the others as they are.
func (m *Manager) SetIntent(name string, in Intent) {
	p := prepare(in)
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.worker(name)
	w.uid = in.UID
	m.markChanged(w, p)
	m.usePods(map[string]*prepared{name: p})
	m.hand(w, p)
}

// hand gives a worker its intent; the lock is held.
func (m *Manager) hand(w *worker, in *prepared) {
	var sets map[compile.Key]*wanted
	var uses map[source]bool
	if m.pods != nil {
		sets, uses = m.pods.of(in)
	}
	w.setIntent(in, sets, uses)
}

// markChanged puts a member at the start of each network whose policies change there, for the others to wait for it.
func (m *Manager) markChanged(w *worker, in *prepared) {
	if in.Frozen {
		m.barrier.forget("", w.seat)
		return
	}
	for network, plan := range in.networks {
		before := w.planned(network)
		if samePolicies(before, plan) {
			continue
		}
		if plan.Remove && (before == nil || before.Remove) {
			// As far as is known the network has no part in this member: if it has, the worker finds it and tells. Others must not wait for one that cannot
			// be read, because Calico is not there for example.
			continue
		}
		m.barrier.report(network, w.seat, phaseNone)
	}
}

// CleanMember takes away everything of ours on a member: policies, then sets and pools, then guard and tier. It does not block: it tells whether
// that is done, and what failed last. From the first call on nothing is written there any more, whatever the intent. Networks that are spared stay, and with
// them the tier, the guard and the pools. Subscribe tells when to ask again.
func (m *Manager) CleanMember(_ context.Context, name string, spared ...string) (bool, error) {
	m.mu.Lock()
	w := m.worker(name)
	m.mu.Unlock()
	done, err := w.requestClean(spared)
	if err != nil {
		return false, fmt.Errorf("removing our objects from cluster %q: %w", name, err)
	}
	return done, nil
}

// Kick makes a member's worker list everything anew, now.
func (m *Manager) Kick(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w, ok := m.workers[name]; ok {
		w.kick()
	}
}

// Wake lets all workers look at their connections again; nothing is listed where none changed.
func (m *Manager) Wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.workers {
		w.wake()
	}
}

// Statuses tells how far each member is.
func (m *Manager) Statuses() map[string]Status {
	m.mu.Lock()
	workers := maps.Clone(m.workers)
	m.mu.Unlock()
	out := make(map[string]Status, len(workers))
	for name, w := range workers {
		out[name] = w.status()
	}
	return out
}

// Subscribe returns a channel that holds a token when something in Statuses changed since it was last emptied.
func (m *Manager) Subscribe() <-chan struct{} {
	ch := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subs = append(m.subs, ch)
	return ch
}

func (m *Manager) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ch := range m.subs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// worker returns a member's worker, a new one if it has none; the lock is held.
func (m *Manager) worker(name string) *worker {
	w, ok := m.workers[name]
	if !ok {
		w = newWorker(m, name)
		m.workers[name] = w
		m.barrier.connection(w.seat, false)
		if m.ctx != nil {
			m.launch(w)
		}
	}
	return w
}

// launch starts a worker, once the one before it under the same name has finished its API call: only one may write to a member. The lock is held.
func (m *Manager) launch(w *worker) {
	ctx, cancel := context.WithCancel(m.ctx)
	w.stop = cancel
	before := m.ending[w.name]
	m.group.Go(func() {
		defer close(w.done)
		if before != nil {
			<-before
		}
		w.run(ctx)
	})
}

// remove stops a worker; the lock is held.
func (m *Manager) remove(name string, w *worker) {
	if w.stop != nil {
		w.stop()
		m.ending[name] = w.done
	}
	delete(m.workers, name)
	m.barrier.leave(w.seat)
}
