package fleet

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// recountPause is how long pods may change before it is looked whether their addresses are in the pod CIDRs.
const recountPause = 5 * time.Second

// gate lets one view of a member tell the index about its pods, the one that was opened last: what a former connection still says counts no more.
type gate struct {
	mu   sync.Mutex
	view *view
}

// open lets a view through, or nobody.
func (g *gate) open(w *view) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view = w
}

// through calls do if a view is let through, and holds the gate meanwhile.
func (g *gate) through(w *view, do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view == w {
		do()
	}
}

// openGate lets a session's view tell about pods, unless the session counts no more.
func (f *Fleet) openGate(s *session, w *view) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.members[s.name]; m != nil && m.session == s && m.state.DuplicateOf == "" {
		w.gate = m.gate
		w.gate.open(w)
	}
}

// podStore is where a reflector writes a member's pods: it hands them on to the index and keeps none.
type podStore struct {
	view   *view
	filter identity.Filter
	// listed says that there has been a complete list, and counting that pods will be counted soon.
	listed   atomic.Bool
	counting atomic.Bool
}

var _ toolscache.TransformingStore = &podStore{}

// Add is called for a pod that is new.
func (s *podStore) Add(object any) error { return s.Update(object) }

// Update is called for a pod that changed. Of one that is as it was, as far as it matters, nothing is allocated.
func (s *podStore) Update(object any) error {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil
	}
	reduced, counts := s.filter.Pod(pod)
	if !counts {
		return s.Delete(object)
	}
	s.tell(func(index *identity.Index, member string) bool { return index.UpsertPod(member, reduced) })
	return nil
}

// Delete is called for a pod that is gone.
func (s *podStore) Delete(object any) error {
	if pod, ok := object.(*corev1.Pod); ok {
		s.tell(func(index *identity.Index, member string) bool {
			return index.DeletePod(member, pod.Namespace, pod.Name)
		})
	}
	return nil
}

// Replace is called for a complete list.
func (s *podStore) Replace(list []any, _ string) error {
	s.tell(func(index *identity.Index, member string) bool {
		d := index.ReplacePods(member, func(yield func(snapshot.Pod) bool) {
			for _, object := range list {
				pod, ok := object.(*corev1.Pod)
				if !ok {
					continue
				}
				if reduced, counts := s.filter.Pod(pod); counts && !yield(reduced) {
					return
				}
			}
		})
		return d.Added+d.Changed+d.Removed > 0
	})
	if !s.listed.Swap(true) {
		s.view.markDirty(gather.Pods)
	}
	return nil
}

// Resync has nothing to do.
func (s *podStore) Resync() error { return nil }

// Transformer keeps a list small while it comes in.
func (s *podStore) Transformer() toolscache.TransformFunc { return gather.Strip }

// tell lets the index know, and others if that was news.
func (s *podStore) tell(do func(index *identity.Index, member string) bool) {
	w, news := s.view, false
	if w.gate == nil {
		return
	}
	w.gate.through(w, func() { news = do(w.pods.index, w.pods.member) })
	if !news {
		return
	}
	w.pods.changed()
	w.weigh()
	if !s.counting.Swap(true) {
		time.AfterFunc(recountPause, func() {
			s.counting.Store(false)
			signal(w.recount)
		})
	}
}

// weigh ends the view when pods and caches hold too much.
func (w *view) weigh() {
	if w.weight.held.Load()+w.pods.index.Weight(w.pods.member) <= w.weight.most {
		return
	}
	select {
	case w.failed <- &fault{reason: mcnv1alpha1.ReasonViewTooLarge, message: tooMuch}:
	default:
	}
}

// podFeed is where a view's pods go.
type podFeed struct {
	index  *identity.Index
	member string
	// changed is called when the index changed.
	changed func()
}

// watchPods begins to watch the pods. They are not in the caches, because nobody needs whole pods.
func (w *view) watchPods(ctx context.Context) {
	clients, err := kubernetes.NewForConfigAndClient(protobuf(w.conn.watchCfg), w.conn.watching)
	if err != nil {
		w.setProblem(gather.Pods.GroupVersionKind, "list", err)
		return
	}
	w.podStore = &podStore{view: w}
	pods := clients.CoreV1().Pods(metav1.NamespaceAll)
	source := w.observed(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, o)
		},
	}, gather.Pods.GroupVersionKind)
	quiet := w.conn.log.V(1).WithValues("kind", gather.Pods.Kind) // as those of the other kinds: what matters is told by observe
	reflector := toolscache.NewReflectorWithOptions(toolscache.ToListWatcherWithWatchListSemantics(source, clients), &corev1.Pod{}, w.podStore,
		toolscache.ReflectorOptions{Logger: &quiet})
	w.running.Go(func() { reflector.RunWithContext(klog.NewContext(ctx, quiet)) })
}

// protobuf is a configuration whose requests ask for the smaller and faster encoding, which Kubernetes' own kinds have.
func protobuf(cfg *rest.Config) *rest.Config {
	out := rest.CopyConfig(cfg)
	out.ContentType = runtime.ContentTypeProtobuf
	out.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return out
}

// Pods is the index of the pods of all members. It follows them by itself.
func (f *Fleet) Pods() *identity.Index { return f.pods }

// SubscribePods returns a channel that gets a signal after something in Pods changed. Signals that are not taken become one.
func (f *Fleet) SubscribePods() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	sub := make(chan struct{}, 1)
	subs := append(slices.Clone(f.podSubs()), sub)
	f.podSubscribers.Store(&subs)
	return sub
}

func (f *Fleet) podSubs() []chan struct{} {
	if subs := f.podSubscribers.Load(); subs != nil {
		return *subs
	}
	return nil
}

// podsChanged tells those who asked, without waiting for any.
func (f *Fleet) podsChanged() {
	for _, sub := range f.podSubs() {
		signal(sub)
	}
}

// locateLocked tells the index where a member's pods may be, and in which namespaces.
func (f *Fleet) locateLocked(m *member) {
	known := m.compose()
	where := location{domain: known.Domain, cidrs: known.PodCIDRs}
	if m.located == nil || m.located.domain != where.domain || !slices.Equal(m.located.cidrs, where.cidrs) {
		m.located = &where
		f.pods.SetMember(m.object.Name, where.domain, where.cidrs)
		f.podsChanged()
	}
}

// nameLocked tells the index the namespaces that were read of a member.
func (f *Fleet) nameLocked(m *member) {
	d := f.pods.ReplaceNamespaces(m.object.Name, slices.Values(m.facts.Member.Namespaces))
	if d.Added+d.Changed+d.Removed > 0 {
		f.podsChanged()
	}
}

// forgetPodsLocked drops what is known of a member's pods.
func (f *Fleet) forgetPodsLocked(name string, m *member) {
	m.gate.open(nil)
	m.located = nil
	f.pods.RemoveMember(name)
	f.podsChanged()
}
