package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
	"multicloud.network/operator/internal/identity"
)

func testView(most int64) *view {
	opts := &Options{MaxResponseBytes: most}
	opts.setDefaults()
	return newView(nil, opts, gather.Facts{}, nil)
}

func TestAMemberThatTellsOfObjectsWithoutEndIsRefused(t *testing.T) {
	pod := func(i int) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("pod-", i), Labels: map[string]string{"text": strings.Repeat("x", 1000)}}}
	}
	set := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"labels": map[string]any{"text": strings.Repeat("x", 9000)}}, "list": []any{"y"}}}
	w := testView(10_000)
	marks := 0
	handler := w.handler(func() { marks++ })
	refused := func() *fault {
		select {
		case err := <-w.failed:
			return asFault(err)
		default:
			return nil
		}
	}
	// However often objects come and go, only what is held counts.
	for i := range 100 {
		handler.OnAdd(pod(i), false)
		handler.OnUpdate(pod(i), pod(i))
		handler.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "pod", Obj: pod(i)})
	}
	if got := refused(); got != nil || w.weight.held.Load() != 0 || marks != 300 {
		t.Fatalf("after all are gone %d bytes are held, %d events marked: %v", w.weight.held.Load(), marks, got)
	}
	for i := range 7 {
		handler.OnAdd(pod(i), false)
	}
	if got := refused(); got != nil {
		t.Fatalf("7 pods: %v", got)
	}
	handler.OnAdd(set, false)
	if got := refused(); got == nil || got.reason != mcnv1alpha1.ReasonViewTooLarge || !strings.Contains(got.message, "--max-response") {
		t.Errorf("with %d bytes: %+v", w.weight.held.Load(), got)
	}
}

// syncedInformer has listed its kind once.
type syncedInformer struct{ cache.Informer }

func (syncedInformer) HasSynced() bool { return true }

func TestAKindThatStandsStillIsToldAfterAWhile(t *testing.T) {
	now := time.Unix(5000, 0)
	w := testView(0)
	w.opts.Now = func() time.Time { return now }
	k := gather.GlobalNetworkSets
	w.setProblem(k.GroupVersionKind, "list", apierrors.NewInternalError(errors.New("by a test")))
	clear(w.dirty)
	for _, s := range []struct {
		after time.Duration
		want  bool
	}{{59 * time.Second, false}, {time.Second, true}, {time.Second, false}} {
		now = now.Add(s.after)
		w.tellOverdue()
		if got := w.dirty[k]; got != s.want {
			t.Errorf("after %s more: told %v, want %v", s.after, got, s.want)
		}
		clear(w.dirty)
	}
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	var problem *gather.ReadError
	w.conn, w.informers[k] = &connection{}, syncedInformer{}
	if err := w.List(t.Context(), &list); !errors.As(err, &problem) || problem.Verb != "list" {
		t.Errorf("it is read with %v, want the problem told", err)
	}
}

// Pods are in no cache, and count all the same.
func TestPodsCountAmongWhatIsHeld(t *testing.T) {
	w := testView(10_000)
	w.pods = podFeed{index: identity.NewIndex(), member: "m", changed: func() {}}
	w.gate = &gate{view: w}
	store := &podStore{view: w}
	pod := func(i int) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("pod-", i), Labels: map[string]string{"text": strings.Repeat("x", 1000)}},
			Status:     corev1.PodStatus{PodIP: fmt.Sprintf("10.0.0.%d", i+1)},
		}
	}
	for i := range 100 {
		_ = store.Add(pod(i))
		_ = store.Delete(pod(i))
	}
	for i := range 7 {
		_ = store.Add(pod(i))
	}
	if len(w.failed) > 0 || w.pods.index.Weight("m") < 7_000 {
		t.Fatalf("7 pods weigh %d: %v", w.pods.index.Weight("m"), <-w.failed)
	}
	for i := range 5 {
		_ = store.Add(pod(7 + i))
	}
	if len(w.failed) == 0 {
		t.Errorf("12 pods weigh %d, and are held", w.pods.index.Weight("m"))
	}
	// A view that was replaced tells of nothing any more.
	w.gate.open(nil)
	_ = store.Replace(nil, "1")
	if got := len(w.pods.index.List("m")); got != 12 {
		t.Errorf("%d pods are known after a list of a former connection, want 12", got)
	}
}
