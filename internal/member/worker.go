package member

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
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
	// setsChanged holds a token when sets changed that follow pods.
	setsChanged chan struct{}
	seat        *seat         // at the barrier
	done        chan struct{} // closed when run has returned

	mu       sync.Mutex
	intent   *prepared // nil before the first one
	version  int       // counts intents
	relist   bool      // somebody asked for a new look
	clean    bool      // everything is to go
	spared   []string  // networks that stay nevertheless
	schemas  bool      // a definition of Calico's kinds changed
	cleanErr error
	cleaned  bool
	state    Status
	// sets are those that follow pods, uses says of which groups, and pending which of them changed and were not written since.
	sets    map[compile.Key]*wanted
	uses    map[source]bool
	pending map[compile.Key]setChange
	// synced are the sources that had been listed in full before sets was made of their pods.
	synced *listed
	// seenObjects is what watches saw since the last pass.
	seenObjects sightings

	// The rest is the run loop's own.
	conn       Connection
	current    *prepared // the intent of this pass
	seen       int       // its version
	live       content
	stale      map[string]bool // kinds to list before live may be believed
	resyncAt   time.Time       // when to list everything again
	attached   time.Time
	unread     int       // how often listing failed in a row
	unreadTold string    // why, as it is in the log
	rereadAt   time.Time // before that it is not tried again
	progress   map[string]*progress
	written    map[compile.Key]bool // in this pass
	sharedErr  error                // why tier, guard or pools are not all there
	limits     limits
	writes     flowcontrol.RateLimiter
	notOurs    error // that the tier is somebody else's: nothing is written then
	dropErr    error // why those that are not needed any more are still there

	listed      map[string]string           // the resourceVersion of the last list, by kind
	askedAt     map[string]time.Time        // when a watch last made us list a kind
	taken       map[compile.Key]string      // what others deleted or gave another content hash, with the one it had
	managers    map[compile.Key][]string    // the field managers beside ours
	contentions map[compile.Key]*contention // what was put back of late
	notKept     map[compile.Key]unkept      // what the server holds otherwise than we wrote it
	unserved    map[string]bool             // kinds that the member's API does not have
	unlisted    map[string]error            // kinds that may not be listed, and why; what is there of them is not known
	refusals    int                         // how often a kind could not be listed in a row
	relistAt    time.Time                   // when to try those kinds again
	proof       proof
	lookAt      time.Time // when to look at what was put off
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
	told      string // the failure that is in the log; empty while there is none
}

func newWorker(m *Manager, name string) *worker {
	return &worker{
		name: name, m: m, seat: &seat{member: name}, done: make(chan struct{}), log: m.opts.Log.WithValues("cluster", name), wakeups: make(chan struct{}, 1), events: make(chan struct{}, 1),
		setsChanged: make(chan struct{}, 1),
		progress:    map[string]*progress{}, stale: map[string]bool{},
		listed: map[string]string{}, askedAt: map[string]time.Time{}, taken: map[compile.Key]string{}, managers: map[compile.Key][]string{},
		writes:      flowcontrol.NewTokenBucketRateLimiter(m.opts.WriteRate, m.opts.WriteBurst),
		contentions: map[compile.Key]*contention{}, notKept: map[compile.Key]unkept{}, unserved: map[string]bool{}, unlisted: map[string]error{},
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
func (w *worker) setIntent(p *prepared, sets map[compile.Key]*wanted, uses map[source]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sets, w.uses = sets, uses
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
		case <-w.setsChanged:
			if w.quick(ctx) {
				continue
			}
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
	w.written, w.proof.err = map[compile.Key]bool{}, nil
	for {
		if err := w.refresh(ctx, cluster); err != nil {
			return w.failAll(ctx, err)
		}
		if w.hasPending() && !w.isCleaning() {
			// In their order, which a plan does not know. What fails is met again.
			_ = w.writePending(ctx, cluster)
		}
		wrote, next := w.bring(ctx, cluster)
		if w.outdated() || ctx.Err() != nil {
			return 0
		}
		if !wrote {
			w.tally()
			w.publish()
			return min(next, time.Until(w.resyncAt), time.Until(w.lookAt), w.recallIn(), w.relistIn())
		}
	}
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
	if w.schemas {
		w.schemas = false
		w.retryAll()
	}
	if w.relistIn() <= 0 {
		w.markStale(slices.Collect(maps.Keys(w.unlisted))...)
	}
	w.recall()
	w.lookAt = time.Now().Add(min(w.judge(), w.m.opts.Resync))
	w.seen = w.version
	w.current = w.intent.withSets(w.sets, w.believed())
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
