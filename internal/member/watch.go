package member

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// servedPause is how long a kind that a member does not serve is not looked for again.
const servedPause = 30 * time.Second

// engagement is a member whose objects are watched over one connection.
type engagement struct {
	name    string
	cluster cluster.Cluster
	ctx     context.Context // ends with the connection, and with the manager
	cancel  context.CancelFunc
	client  metadata.Interface
}

var _ multicluster.Aware = &Manager{}

// Engage makes a member's worker see what happens to our objects there, until the context ends: it then puts back at once what it otherwise finds at the
// next Resync. Only metadata is watched, and nothing of it is kept. It returns at once, and does nothing for a cluster that is engaged already.
func (m *Manager) Engage(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
	// The cluster's own client may bound every request in time, which would cut watches.
	unbounded := *cl.GetHTTPClient()
	unbounded.Timeout = 0
	client, err := metadata.NewForConfigAndClient(metadata.ConfigFor(cl.GetConfig()), &unbounded)
	if err != nil {
		return fmt.Errorf("watching our objects on cluster %q: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.engaged[name.String()]; ok {
		if before.cluster == cl && before.ctx.Err() == nil {
			return nil
		}
		before.cancel()
	}
	e := &engagement{name: name.String(), cluster: cl, client: client}
	e.ctx, e.cancel = context.WithCancel(ctx)
	m.engaged[e.name] = e
	context.AfterFunc(e.ctx, func() { m.disengage(e) })
	if m.ctx != nil {
		m.watch(e)
	}
	return nil
}

func (m *Manager) disengage(e *engagement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.engaged[e.name] == e {
		delete(m.engaged, e.name)
	}
}

// watch starts the watches of a member; the lock is held.
func (m *Manager) watch(e *engagement) {
	if m.ctx.Err() != nil || e.ctx.Err() != nil {
		return
	}
	stop := context.AfterFunc(m.ctx, e.cancel)
	context.AfterFunc(e.ctx, func() { stop() })
	for _, kind := range apply.Kinds() {
		m.group.Go(func() { m.watchKind(e, kind) })
	}
	m.group.Go(func() { m.watchSchemas(e) })
}

// watchKind watches one kind until the engagement ends. A kind that is not served may come later.
func (m *Manager) watchKind(e *engagement, kind string) {
	log := m.opts.Log.WithValues("cluster", e.name, "kind", kind)
	var mapping *meta.RESTMapping
	_ = wait.PollUntilContextCancel(e.ctx, wait.Jitter(servedPause, jitterShare), true, func(context.Context) (bool, error) {
		gvk := apply.GroupVersionKind(kind)
		var err error
		if mapping, err = e.cluster.GetRESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
			log.V(1).Info("cannot watch a kind that is not served", "reason", err.Error())
		}
		return err == nil, nil
	})
	if mapping == nil {
		return
	}
	resource := e.client.Resource(mapping.Resource)
	told := &teller{log: log}
	// No label is selected by: calico-apiserver does not tell such a watch of an object that loses the label.
	source := listThenWatch{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := resource.List(ctx, o)
			told.tell(ctx, "list", err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			events, err := resource.Watch(ctx, o)
			told.tell(ctx, "watch", err)
			return events, err
		},
	}}
	quiet := logr.Discard() // problems are logged once, by told
	store := &sight{m: m, member: e.name, kind: kind}
	cache.NewReflectorWithOptions(source, &metav1.PartialObjectMetadata{}, store, cache.ReflectorOptions{Logger: &quiet}).
		RunWithContext(klog.NewContext(e.ctx, quiet))
}

// teller logs that a kind cannot be watched when that begins, and when it ends.
type teller struct {
	log  logr.Logger
	verb string // that failed last; empty while none does
}

func (t *teller) tell(ctx context.Context, verb string, err error) {
	switch {
	case ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
	case err != nil && t.verb == "":
		t.verb = verb
		t.log.Info("cannot watch our objects; changes of others are found at the next resync only", "verb", verb, "reason", err.Error())
	case err == nil && t.verb == verb:
		t.verb = ""
		t.log.Info("watching our objects again")
	}
}

// jitterShare is by how much pauses of watches differ from each other.
const jitterShare = 0.2

// listThenWatch lists first and watches then: calico-apiserver sends no bookmark at the end of a streamed list, so that one would never end.
type listThenWatch struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is how client-go asks.
func (listThenWatch) IsWatchListSemanticsUnSupported() bool { return true }

// sighting is what a watch saw of one object of ours.
type sighting struct {
	version string
	deleted bool
}

// inventory is a complete list: names with their resourceVersions, and the list's own.
type inventory struct {
	version string
	items   map[string]string
}

// sight is what a watch writes to. It keeps nothing, and hands on to the member's worker.
type sight struct {
	m            *Manager
	member, kind string
}

// Add is called for an object that is new.
func (s *sight) Add(obj any) error { return s.tell(obj, false) }

// Update is called for an object that changed.
func (s *sight) Update(obj any) error { return s.tell(obj, false) }

// Delete is called for an object that is gone.
func (s *sight) Delete(obj any) error { return s.tell(obj, true) }

// Resync has nothing to do.
func (s *sight) Resync() error { return nil }

// Replace is called for a complete list.
func (s *sight) Replace(list []any, version string) error {
	seen := &inventory{version: version, items: make(map[string]string, len(list))}
	for _, obj := range list {
		object, err := meta.Accessor(obj)
		if err != nil {
			return err
		}
		if object.GetLabels()[mcnv1alpha1.OwnerLabel] != s.m.opts.OwnerID {
			continue
		}
		seen.items[object.GetName()] = object.GetResourceVersion()
	}
	if w := s.worker(); w != nil {
		w.sawAll(s.kind, seen)
	}
	return nil
}

func (s *sight) tell(obj any, deleted bool) error {
	object, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	// What has another owner is gone as far as we are concerned; mostly it never was ours, which the worker knows.
	deleted = deleted || object.GetLabels()[mcnv1alpha1.OwnerLabel] != s.m.opts.OwnerID
	if w := s.worker(); w != nil {
		w.saw(compile.Key{Kind: s.kind, Name: object.GetName()}, sighting{version: object.GetResourceVersion(), deleted: deleted})
	}
	return nil
}

func (s *sight) worker() *worker {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.workers[s.member]
}

// newer tells whether a resourceVersion is later than another. What cannot be compared is newer if it is different.
func newer(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	if errX != nil || errY != nil {
		return a != b
	}
	return x > y
}
