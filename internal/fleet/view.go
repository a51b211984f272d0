package fleet

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
)

// view watches one cluster over one connection. Its informers run in goroutines of their own; all methods belong to the session's goroutine.
type view struct {
	conn *connection
	opts *Options
	// indexes returns those that the caches are to have.
	indexes func() []index
	// cluster has the cache. It holds our own objects too, stripped: of an object that gets our label, calico-apiserver tells no watch that selects by it.
	cluster cluster.Cluster
	// gatherer reads from the caches.
	gatherer *gather.Gatherer
	// pods is where what the watch of pods brings goes, gate who lets it through, and podStore what a reflector writes to once pods are watched.
	pods     podFeed
	gate     *gate
	podStore *podStore
	// recount signals that pods changed a while ago.
	recount chan struct{}
	// informers are those of the other kinds that are watched.
	informers map[gather.Kind]cache.Informer
	// believed says that the view was complete once.
	believed bool
	// deadline is until when kinds that may be missing are waited for.
	deadline time.Time
	running  sync.WaitGroup
	// weight is how much the caches hold.
	weight weight

	// changed signals that a kind's objects or its readability changed, suspect that a watch was answered 401 or not at all, failed that a cache ended.
	changed, suspect chan struct{}
	// extended signals that the cluster may have come to serve more kinds.
	extended chan struct{}
	failed   chan error

	mu sync.Mutex
	// dirty are the kinds to be read anew; problems are the last answers to lists and watches that failed.
	dirty    map[gather.Kind]bool
	problems map[schema.GroupVersionKind]kindError
	// watched are the kinds of which a watch was opened.
	watched map[schema.GroupVersionKind]bool
	// indexable are the kinds whose informers exist, indexed the indexes that they have.
	indexable map[schema.GroupVersionKind]bool
	indexed   map[indexKey]bool
}

func newView(conn *connection, opts *Options, last gather.Facts, indexes func() []index) *view {
	w := &view{
		conn: conn, opts: opts, indexes: indexes,
		informers: map[gather.Kind]cache.Informer{},
		recount:   make(chan struct{}, 1),
		changed:   make(chan struct{}, 1), suspect: make(chan struct{}, 1), extended: make(chan struct{}, 1), failed: make(chan error, 2),
		dirty: map[gather.Kind]bool{}, problems: map[schema.GroupVersionKind]kindError{}, watched: map[schema.GroupVersionKind]bool{},
		indexable: map[schema.GroupVersionKind]bool{}, indexed: map[indexKey]bool{},
	}
	w.weight.most = opts.MaxResponseBytes
	w.gatherer = gather.New(w, last)
	return w
}

// start makes the caches and begins to watch the kinds that every cluster serves. The caches run until ctx ends.
func (w *view) start(ctx context.Context) error {
	mapper := w.conn.client.RESTMapper()
	options := cache.Options{
		HTTPClient: w.conn.watching, Scheme: w.conn.scheme, Mapper: mapper,
		DefaultTransform: gather.Strip, ReaderFailOnMissingInformer: true, NewInformer: w.newInformer,
	}
	daemonSets, endpointSlices := objectFor(gather.DaemonSets), objectFor(gather.EndpointSlices)
	var err error
	w.cluster, err = cluster.New(w.conn.watchCfg, func(o *cluster.Options) {
		o.Scheme, o.HTTPClient, o.Logger = w.conn.scheme, w.conn.watching, w.conn.log
		o.MapperProvider = mapperOf(w.conn.client)
		o.Cache = options
		o.Cache.ByObject = map[client.Object]cache.ByObject{
			daemonSets:     {Namespaces: map[string]cache.Config{gather.DaemonSets.Namespace: {}}},
			endpointSlices: {Namespaces: map[string]cache.Config{gather.EndpointSlices.Namespace: {}}},
		}
	})
	if err != nil {
		return err
	}
	w.deadline = time.Now().Add(w.opts.OptionalTimeout)
	w.running.Go(func() { w.report(ctx, w.cluster.Start(ctx)) })
	for _, k := range gather.BaseKinds() {
		w.watch(ctx, k)
	}
	// Without any event the wait for missing kinds still ends.
	timer := time.AfterFunc(w.opts.OptionalTimeout+time.Millisecond, func() { signal(w.changed) })
	context.AfterFunc(ctx, func() { timer.Stop() })
	return nil
}

// wait waits for the caches, after their context has ended.
func (w *view) wait() { w.running.Wait() }

func (w *view) report(ctx context.Context, err error) {
	if err == nil {
		return
	}
	select {
	case w.failed <- err:
	case <-ctx.Done():
	}
}

// watch begins to watch a kind. A kind that the cluster does not serve is tried again by look.
func (w *view) watch(ctx context.Context, k gather.Kind) {
	if w.isWatched(k) {
		return
	}
	if k == gather.Pods {
		w.watchPods(ctx)
		return
	}
	informer, err := w.cluster.GetCache().GetInformer(ctx, objectFor(k), cache.BlockUntilSynced(false))
	if err != nil {
		w.setProblem(k.GroupVersionKind, "list", err)
		return
	}
	mark := func() { w.markDirty(k) }
	registration, err := informer.AddEventHandler(w.handler(mark))
	if err != nil {
		w.setProblem(k.GroupVersionKind, "list", err)
		return
	}
	w.informers[k] = informer
	w.mu.Lock()
	w.indexable[k.GroupVersionKind] = !k.Foreign
	w.mu.Unlock()
	w.applyIndexes(ctx)
	// An empty kind has no event; its being complete is one.
	w.running.Go(func() {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced, informer.HasSynced) {
			mark()
		}
	})
}

// isWatched says whether a kind's watch was begun.
func (w *view) isWatched(k gather.Kind) bool {
	if k == gather.Pods {
		return w.podStore != nil
	}
	return w.informers[k] != nil
}

// unwatched returns the kinds that the cluster may have come to serve.
func (w *view) unwatched() []gather.Kind {
	kinds := slices.Concat(gather.BaseKinds(), gather.CalicoKinds(w.gatherer.API()), w.gatherer.Optional())
	return slices.DeleteFunc(kinds, w.isWatched)
}

// served returns those kinds that the cluster serves now. It asks the API server, and may be called from any goroutine.
func (w *view) served(kinds []gather.Kind) (out []gather.Kind) {
	for _, k := range kinds {
		if _, err := w.conn.client.RESTMapper().RESTMapping(k.GroupVersionKind.GroupKind(), k.Version); err != nil {
			w.setProblem(k.GroupVersionKind, "list", err)
			continue
		}
		out = append(out, k)
	}
	return out
}

// look begins to watch what the cluster has come to serve.
func (w *view) look(ctx context.Context) {
	for _, k := range w.unwatched() {
		w.watch(ctx, k)
	}
}

// complete says whether the view may be believed: all required kinds have been listed and are watched, and the others have been listed, have failed, or have been waited
// for long enough.
func (w *view) complete(ctx context.Context) bool {
	if w.believed {
		return true
	}
	late := time.Now().After(w.deadline)
	for _, k := range gather.BaseKinds() {
		if !w.live(k) && (k.Required || (!late && !w.hasProblem(k))) {
			return false
		}
	}
	// What serves Calico's API stands in what has just been listed.
	w.gatherer.Read(ctx, gather.CRDs, gather.APIServices)
	w.look(ctx)
	for _, k := range slices.Concat(gather.CalicoKinds(w.gatherer.API()), w.gatherer.Optional()) {
		if !w.synced(k) && !late && !w.hasProblem(k) {
			return false
		}
	}
	// All at once: what has been listed may not have been told to the handlers that mark kinds as changed.
	w.gatherer.Read(ctx, allKinds()...)
	w.believed = true
	return true
}

// refused says whether a required kind still cannot be read after the time that kinds are waited for.
func (w *view) refused() bool {
	return time.Now().After(w.deadline) && slices.ContainsFunc(gather.BaseKinds(), func(k gather.Kind) bool {
		return k.Required && !w.live(k) && w.hasProblem(k)
	})
}

// missing names the required kinds that have not been listed or are not watched, for a message.
func (w *view) missing() string {
	var out []string
	for _, k := range gather.BaseKinds() {
		if !k.Required || w.live(k) {
			continue
		}
		w.mu.Lock()
		problem, known := w.problems[k.GroupVersionKind]
		w.mu.Unlock()
		if known {
			out = append(out, gather.Problem(problem.verb, k, problem.err))
		} else {
			out = append(out, "no answer to the list or watch of "+k.GroupResource())
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, "; ")
}

func (w *view) synced(k gather.Kind) bool {
	if k == gather.Pods {
		return w.podStore != nil && w.podStore.listed.Load()
	}
	informer := w.informers[k]
	return informer != nil && informer.HasSynced()
}

// live says whether what is known of a kind is complete and, where the kind is required, kept so by a watch: one that could only be listed would be
// believed, and then stand still.
func (w *view) live(k gather.Kind) bool {
	if !w.synced(k) || !k.Required {
		return w.synced(k)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, has := w.problems[k.GroupVersionKind]
	return w.watched[k.GroupVersionKind] && !has
}

// readChanged lets the gatherer read the kinds that changed.
func (w *view) readChanged(ctx context.Context) {
	w.mu.Lock()
	kinds := make([]gather.Kind, 0, len(w.dirty))
	for k := range w.dirty {
		kinds = append(kinds, k)
	}
	clear(w.dirty)
	w.mu.Unlock()
	w.gatherer.Read(ctx, kinds...)
	if slices.Contains(kinds, gather.CRDs) || slices.Contains(kinds, gather.APIServices) {
		signal(w.extended)
	}
}

func (w *view) markDirty(k gather.Kind) {
	w.mu.Lock()
	w.dirty[k] = true
	w.mu.Unlock()
	signal(w.changed)
}

// List implements client.Reader for the gatherer: it reads a cache, but only one that is complete; of one that cannot be filled it says why.
func (w *view) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, w.conn.scheme)
	if err != nil {
		return err
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	i := slices.IndexFunc(allKinds(), func(k gather.Kind) bool { return k.GroupVersionKind == gvk })
	if i < 0 {
		return gather.ErrNotRead
	}
	k := allKinds()[i]
	synced := w.synced(k)
	w.mu.Lock()
	problem, has := w.problems[gvk]
	w.mu.Unlock()
	// A watch that is merely interrupted is the probe's business, one that stays so is that of frozen; one that is forbidden leaves the cache behind for good. Of a
	// kind that may be missing, what is known stays, and it is told that it stands still.
	if has && (!synced || apierrors.IsForbidden(problem.err) || (!k.Required && w.overdue(problem))) {
		return &gather.ReadError{Verb: problem.verb, Err: problem.err}
	}
	if !synced || k == gather.Pods {
		return gather.ErrNotRead // pods are in the index
	}
	return w.cluster.GetCache().List(ctx, list, opts...)
}

// Get implements client.Reader; gathering only lists.
func (w *view) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return gather.ErrNotRead
}

// allKinds are the kinds that may be watched.
var allKinds = sync.OnceValue(func() []gather.Kind {
	return slices.Concat(gather.BaseKinds(), gather.CalicoKinds(mcnv1alpha1.CalicoAPINative), gather.CalicoKinds(mcnv1alpha1.CalicoAPIStorageOnly),
		gather.OptionalKinds())
})

func objectFor(k gather.Kind) client.Object {
	switch k {
	case gather.Pods:
		return &corev1.Pod{}
	case gather.Namespaces:
		return &corev1.Namespace{}
	case gather.Nodes:
		return &corev1.Node{}
	case gather.Services:
		return &corev1.Service{}
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(k.GroupVersionKind)
	return object
}

// mapperOf lets the cluster share the mapper of a client, and so its discovery.
func mapperOf(c client.Client) func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	return func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return c.RESTMapper(), nil }
}

// signal fills a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
