package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/flowcontrol"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// errNotCalico says that the API which we write to is not there.
var errNotCalico = errors.New("the cluster does not serve Calico's projectcalico.org/v3 API, so that nothing can be read or written: see condition CalicoReady of its MemberCluster")

// errNotKept says that an object was written and then read back with another content.
var errNotKept = errors.New("the API server took the object but holds another content: see whether its CustomResourceDefinition is of an older Calico and lacks the field, or an admission webhook changes it")

// worker brings one member to its intent.
type worker struct {
	name    string
	m       *Manager
	log     logr.Logger
	uid     string             // the MemberCluster's; held by the manager's lock
	stop    context.CancelFunc // set by the manager when the worker runs
	wakeups chan struct{}      // holds a token when there is something to look at
	events  chan struct{}      // holds a token when a watch saw something
	seat    *seat              // at the barrier
	done    chan struct{}      // closed when run has returned

	mu       sync.Mutex
	intent   *prepared // nil before the first one
	version  int       // counts intents
	relist   bool      // somebody asked for a new look
	clean    bool      // everything is to go
	spared   []string  // networks that stay nevertheless
	cleanErr error
	cleaned  bool
	state    Status
	// seenObjects is what watches saw since the last pass.
	seenObjects sightings

	// The rest is the run loop's own.
	conn      Connection
	current   *prepared // the intent of this pass
	seen      int       // its version
	live      content
	stale     map[string]bool // kinds to list before live may be believed
	resyncAt  time.Time       // when to list everything again
	attached  time.Time
	unread    int       // how often listing failed in a row
	rereadAt  time.Time // before that it is not tried again
	progress  map[string]*progress
	written   map[compile.Key]bool // in this pass
	sharedErr error                // why tier, guard or pools are not all there
	limits    limits
	writes    flowcontrol.RateLimiter
	notOurs   error // that the tier is somebody else's: nothing is written then
	dropErr   error // why those that are not needed any more are still there

	listed      map[string]string           // the resourceVersion of the last list, by kind
	askedAt     map[string]time.Time        // when a watch last made us list a kind
	taken       map[compile.Key]string      // what others deleted or gave another content hash, with the one it had
	managers    map[compile.Key][]string    // the field managers beside ours
	contentions map[compile.Key]*contention // what was put back of late
	notKept     map[compile.Key]string      // what the server holds otherwise than we wrote it, with its resourceVersion
	unserved    map[string]bool             // kinds that the member's API does not have
	lookAt      time.Time                   // when to look at what was put off
}

// progress is what a worker remembers of a network between passes. Losing it costs waiting, never order.
type progress struct {
	wrote     map[phase]time.Time // the last write in each phase
	policies  bool                // policies were written or deleted since all was settled
	at        phase               // the phase that the network stands at
	since     time.Time           // since when
	waitsFor  string              // what beside other clusters it waits for
	waits     string              // for which other clusters it waits
	named     bool                // those waited for in vain are in the log
	failures  int
	retryAt   time.Time
	retryPlan string // what failed
	err       error
}

func newWorker(m *Manager, name string) *worker {
	return &worker{
		name: name, m: m, seat: &seat{member: name}, done: make(chan struct{}), log: m.opts.Log.WithValues("cluster", name), wakeups: make(chan struct{}, 1), events: make(chan struct{}, 1),
		progress: map[string]*progress{}, stale: map[string]bool{},
		listed: map[string]string{}, askedAt: map[string]time.Time{}, taken: map[compile.Key]string{}, managers: map[compile.Key][]string{},
		writes:      flowcontrol.NewTokenBucketRateLimiter(m.opts.WriteRate, m.opts.WriteBurst),
		contentions: map[compile.Key]*contention{}, notKept: map[compile.Key]string{}, unserved: map[string]bool{},
		state: Status{LostSince: time.Now()},
	}
}

func (w *worker) wake() {
	select {
	case w.wakeups <- struct{}{}:
	default:
	}
}

func (w *worker) kick() {
	w.mu.Lock()
	w.relist = true
	w.mu.Unlock()
	w.wake()
}

// setIntent replaces the intent. One that is equal is not looked at again: it comes with every pass of the reconciler, and must not cut waiting short.
func (w *worker) setIntent(p *prepared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.intent != nil && w.intent.whole == p.whole {
		return
	}
	for name, n := range p.networks {
		if n.Remove && (w.intent == nil || w.intent.networks[name] == nil || !w.intent.networks[name].Remove) {
			// That nothing was left after an earlier removal says nothing about this one.
			delete(w.state.Results, name)
		}
	}
	w.intent = p
	w.version++
	w.wake()
}

// planned returns what the last intent said of a network.
func (w *worker) planned(network string) *networkPlan {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.intent == nil {
		return nil
	}
	return w.intent.networks[network]
}

func (w *worker) requestClean(spared []string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.clean || !slices.Equal(w.spared, spared) {
		w.clean, w.relist, w.spared, w.cleaned = true, true, slices.Clone(spared), false
		w.version++
		defer w.wake()
	}
	return w.cleaned, w.cleanErr
}

func (w *worker) status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.state
	out.Results, out.Unknown = maps.Clone(out.Results), maps.Clone(out.Unknown)
	for name, r := range out.Results {
		r.Outdated = w.intent == nil || w.intent.networks[name] == nil || w.intent.networks[name].content != r.content
		out.Results[name] = r
	}
	return out
}

// run makes passes until the context ends.
func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events:
			if !w.concerns() {
				continue
			}
		case <-w.wakeups:
		case <-timer.C:
		}
		began := time.Now()
		next := w.pass(ctx)
		w.m.opts.Observer.Pass(w.name, time.Since(began))
		timer.Reset(next)
	}
}

// pass does all that may be done now, and returns when to look again.
func (w *worker) pass(ctx context.Context) time.Duration {
	conn, ok := w.m.opts.Connect(w.name)
	if !ok {
		w.lose()
		return w.jittered(w.m.opts.Resync)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if conn.Context != nil {
		defer context.AfterFunc(conn.Context, cancel)()
	}
	w.attach(conn)
	if wait := w.rereadWait(); wait > 0 {
		return wait
	}
	if !w.take() {
		return w.jittered(w.m.opts.Resync)
	}
	cluster := apply.New(conn.Client, w.m.opts.OwnerID)
	w.written = map[compile.Key]bool{}
	for {
		if err := w.refresh(ctx, cluster); err != nil {
			return w.failAll(ctx, err)
		}
		wrote, next := w.bring(ctx, cluster)
		if w.outdated() || ctx.Err() != nil {
			return 0
		}
		if !wrote {
			w.tally()
			w.publish()
			return min(next, time.Until(w.resyncAt), time.Until(w.lookAt), w.recallIn())
		}
	}
}

// rereadWait tells how long to make no call after a failure, whatever wakes us, but for somebody who asks for it.
func (w *worker) rereadWait() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.relist {
		return 0
	}
	wait := time.Until(w.limits.until)
	if w.unread > 0 {
		wait = max(wait, time.Until(w.rereadAt))
	}
	return wait
}

// take picks up the newest intent; it tells whether there is anything to do.
func (w *worker) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.relist || time.Now().After(w.resyncAt) {
		w.relist = false
		w.markStale(apply.Kinds()...)
		clear(w.notKept)
	}
	w.recall()
	w.lookAt = time.Now().Add(min(w.judge(), w.m.opts.Resync))
	w.seen = w.version
	w.current = w.intent
	return w.clean || (w.intent != nil && !w.intent.Frozen)
}

func (w *worker) isCleaning() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clean
}

// sparedByCleaning are the networks that cleaning leaves alone.
func (w *worker) sparedByCleaning() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spared
}

func (w *worker) outdated() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version != w.seen
}

// attach begins anew on a connection that is not the one of the last pass.
func (w *worker) attach(conn Connection) {
	if w.conn.ID == conn.ID {
		return
	}
	w.conn, w.live, w.attached, w.unread = conn, nil, time.Now(), 0
	w.notOurs, w.limits = nil, limits{}
	clear(w.listed)
	clear(w.taken)
	clear(w.managers)
	clear(w.notKept)
	w.progress = map[string]*progress{}
	w.markStale(apply.Kinds()...)
	w.m.barrier.connection(w.seat, true)
}

// lose notes that the member is out of reach. What was last known of its networks stays.
func (w *worker) lose() {
	w.conn, w.live = Connection{}, nil
	w.m.barrier.connection(w.seat, false)
	since, _ := w.m.barrier.lostSince(w.name)
	w.mu.Lock()
	changed := w.state.Connected
	w.state.Connected, w.state.LostSince = false, since
	if w.clean && !w.cleaned {
		w.cleanErr = ErrNotConnected
	}
	w.mu.Unlock()
	if changed {
		w.m.notify()
	}
}

func (w *worker) markStale(kinds ...string) {
	for _, kind := range kinds {
		w.stale[kind] = true
	}
}

// refresh lists the kinds whose content may have changed.
func (w *worker) refresh(ctx context.Context, cluster *apply.Cluster) error {
	if len(w.stale) == 0 {
		return nil
	}
	all := w.live == nil || len(w.stale) == len(apply.Kinds())
	ctx, cancel := context.WithTimeout(ctx, w.m.opts.CallTimeout)
	defer cancel()
	kinds := slices.Sorted(maps.Keys(w.stale))
	listing, err := cluster.List(ctx, kinds...)
	w.limits.listed(err)
	if err != nil {
		return err
	}
	for _, kind := range listing.NotServed {
		if kind != apply.KindStaged {
			return fmt.Errorf("%w (%s)", errNotCalico, kind)
		}
	}
	for _, kind := range kinds {
		w.unserved[kind] = slices.Contains(listing.NotServed, kind)
	}
	w.compare(listing)
	fresh := content{}
	for key, u := range w.live {
		if !w.stale[key.Kind] {
			fresh[key] = u
		}
	}
	maps.Copy(fresh, listing.Objects)
	maps.Copy(w.listed, listing.Versions)
	w.live = fresh
	clear(w.stale)
	if w.current != nil {
		w.reconcile(w.current)
	}
	w.unread = 0
	if all {
		w.resyncAt = time.Now().Add(w.jittered(w.m.opts.Resync))
	}
	return nil
}

// failAll notes a failure that concerns all networks, and returns when to try again.
func (w *worker) failAll(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil && w.conn.Context != nil && w.conn.Context.Err() != nil {
		return w.m.opts.Retry
	}
	w.unread++
	w.tally()
	delay := w.backoff(w.unread)
	w.rereadAt = time.Now().Add(delay)
	w.log.Error(err, "cannot read our objects on the cluster", "failures", w.unread)
	w.m.opts.Observer.Failed(w.name, failureReason(err))
	// Others wait for a member that cannot be read no longer than for one that is out of reach.
	w.m.barrier.connection(w.seat, false)
	var answer apierrors.APIStatus
	if !w.isCleaning() && !errors.As(err, &answer) && !errors.Is(err, errNotCalico) {
		// No answer at all says nothing about what the cluster holds; the fleet's probe says soon whether it is out of reach.
		return delay
	}
	w.mu.Lock()
	results := map[string]Result{}
	if w.current != nil && !w.clean {
		for name, n := range w.current.networks {
			if w.current.Unread && !n.Remove {
				continue
			}
			old := w.state.Results[name]
			old.Generation, old.content, old.Programmed, old.Gone = n.Generation, n.content, false, false
			old.Reason, old.Message = failureReason(err), steady(err)+w.pauseNote()
			results[name] = old
		}
	}
	if w.clean {
		w.cleanErr = err
	}
	now := Status{Connected: true, Results: results, Unknown: w.state.Unknown}
	w.mu.Unlock()
	w.store(now)
	return delay
}

func (w *worker) progressOf(network string) *progress {
	p, ok := w.progress[network]
	if !ok {
		p = &progress{wrote: map[phase]time.Time{}}
		if w.live.has(network) {
			// An earlier run may have stopped between two phases, and Calico may not have taken in what it wrote.
			for q := phaseBase; q < phaseDropBase; q++ {
				p.wrote[q] = w.attached
			}
		}
		w.progress[network] = p
	}
	return p
}

// backoff returns the delay before another try.
func (w *worker) backoff(failures int) time.Duration {
	delay := min(w.m.opts.Retry<<min(failures-1, 10), time.Minute)
	return w.jittered(delay)
}

// jittered spreads a duration over 20 % around itself.
func (w *worker) jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // jitter needs no secrecy
}

// forgetLive drops one object from what is known to be there.
func (w *worker) forgetLive(u *unstructured.Unstructured) {
	delete(w.live, apply.KeyOf(u))
	w.markStale(u.GetKind())
}
