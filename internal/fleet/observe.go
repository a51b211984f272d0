package fleet

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"multicloud.network/operator/internal/gather"
)

// kindError is why a kind cannot be read, and since when that is so.
type kindError struct {
	verb  string
	err   error
	since time.Time
	told  bool // that it is overdue
}

// frozen names the required kinds that have not been listed or watched with success for a while, and says why. What is known of them is of the past. It
// returns "" while there are none: a watch that is merely interrupted is taken up again at once.
func (w *view) frozen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, k := range gather.BaseKinds() {
		problem, has := w.problems[k.GroupVersionKind]
		if k.Required && has && w.overdue(problem) {
			out = append(out, gather.Problem(problem.verb, k, problem.err))
		}
	}
	return strings.Join(out, "; ")
}

// overdue says whether a problem has stood for so long that what is known of its kind is of the past.
func (w *view) overdue(problem kindError) bool {
	return w.opts.Now().Sub(problem.since) >= w.opts.FrozenTimeout
}

// tellOverdue makes the kinds be read again that may be missing and whose problem has become overdue: no event would.
func (w *view) tellOverdue() {
	w.mu.Lock()
	news := false
	for _, k := range allKinds() {
		problem, has := w.problems[k.GroupVersionKind]
		if !has || k.Required || problem.told || !w.overdue(problem) {
			continue
		}
		problem.told, w.dirty[k], news = true, true, true
		w.problems[k.GroupVersionKind] = problem
	}
	w.mu.Unlock()
	if news {
		signal(w.changed)
	}
}

func (w *view) hasProblem(k gather.Kind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, has := w.problems[k.GroupVersionKind]
	return has
}

// setProblem records how a list or watch of a kind ended; nil clears, but that a list succeeds does not clear that the watch after it fails.
func (w *view) setProblem(gvk schema.GroupVersionKind, verb string, err error) {
	w.mu.Lock()
	problem, had := w.problems[gvk]
	if err == nil && verb == "list" && problem.verb == "watch" {
		w.mu.Unlock()
		return
	}
	news := had != (err != nil)
	if err == nil {
		delete(w.problems, gvk)
		news = news || (verb == "watch" && !w.watched[gvk])
		w.watched[gvk] = w.watched[gvk] || verb == "watch"
	} else {
		if !had {
			problem.since = w.opts.Now()
		}
		w.problems[gvk] = kindError{verb: verb, err: err, since: problem.since, told: problem.told}
	}
	if news {
		for _, k := range allKinds() {
			if k.GroupVersionKind == gvk {
				w.dirty[k] = true
			}
		}
	}
	w.mu.Unlock()
	if news {
		signal(w.changed)
	}
	// A connection that breaks need not mean much; the probe tells.
	broken := err != nil && !had && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown
	if broken || apierrors.IsUnauthorized(err) || errors.Is(err, errOtherCluster) {
		signal(w.suspect)
	}
}

// newInformer makes informers that tell how their lists and watches end.
func (w *view) newInformer(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	gvk, err := apiutil.GVKForObject(object, w.conn.scheme)
	if err != nil {
		return toolscache.NewSharedIndexInformer(lw, object, resync, indexers)
	}
	observed := w.observed(lw, gvk)
	var from toolscache.ListerWatcher = observed
	if strings.HasSuffix(gvk.Group, "projectcalico.org") {
		from = withoutWatchList{observed}
	}
	return quietInformer{toolscache.NewSharedIndexInformer(from, object, resync, indexers), w.conn.log.V(1).WithValues("kind", gvk.Kind)}
}

// observed is a way to list and watch a kind that believes only the right cluster, and tells how lists and watches end.
func (w *view) observed(lw toolscache.ListerWatcher, gvk schema.GroupVersionKind) *toolscache.ListWatch {
	inner := toolscache.ToListerWatcherWithContext(lw)
	return &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := w.list(ctx, inner, options)
			if err == nil {
				err = gather.ProveList(list, gvk.Kind)
			}
			w.observe(ctx, gvk, "list", err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := w.open(ctx, inner, options)
			w.observe(ctx, gvk, "watch", err)
			return events, err
		},
	}
}

// quietInformer logs what client-go says of its lists and watches with the member's key, and not by default: what matters of it is a problem of the view,
// which status tells, and watches that a proxy or a load balancer on the way ends come back by themselves.
type quietInformer struct {
	toolscache.SharedIndexInformer
	log logr.Logger
}

// RunWithContext implements toolscache.SharedIndexInformer.
func (i quietInformer) RunWithContext(ctx context.Context) {
	// Only an informer that runs already refuses it.
	_ = i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *toolscache.Reflector, err error) {
		i.log.Info("a list or watch ended; trying again", "cause", err.Error())
	})
	i.SharedIndexInformer.RunWithContext(klog.NewContext(ctx, i.log))
}

// errOtherCluster says that another cluster answers under the member's address.
var errOtherCluster = errors.New("another cluster answers than the one that was connected to")

// list lists, and believes the answer only if the cluster is the right one both before and after it. Between two probes another one may come to answer under
// the member's address, and its list would take away all that the member has.
func (w *view) list(ctx context.Context, from toolscache.ListerWithContext, options metav1.ListOptions) (runtime.Object, error) {
	if err := w.sameCluster(ctx); err != nil {
		return nil, err
	}
	list, err := from.ListWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	return list, w.sameCluster(ctx)
}

// open begins a watch, whose events count only if the cluster is the right one once it has begun.
func (w *view) open(ctx context.Context, from toolscache.WatcherWithContext, options metav1.ListOptions) (watch.Interface, error) {
	events, err := from.WatchWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := w.sameCluster(ctx); err != nil {
		events.Stop()
		return nil, err
	}
	return events, nil
}

// sameCluster asks for the cluster's ID, as a probe does.
func (w *view) sameCluster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.opts.ProbeTimeout)
	defer cancel()
	id, err := w.conn.clusterID(ctx)
	if err == nil && id != w.conn.id {
		err = errOtherCluster
	}
	return err
}

// withoutWatchList lists first and watches then: calico-apiserver sends no bookmark at the end of a streamed list, so that one would never end.
type withoutWatchList struct{ *toolscache.ListWatch }

// IsWatchListSemanticsUnSupported is how client-go asks.
func (withoutWatchList) IsWatchListSemanticsUnSupported() bool { return true }

func (w *view) observe(ctx context.Context, gvk schema.GroupVersionKind, verb string, err error) {
	if ctx.Err() == nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		w.setProblem(gvk, verb, err)
	}
}
