package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// namedCluster is a cluster that can be told from others.
type namedCluster struct {
	cluster.Cluster
	name string
}

// witness is engaged; what it does about it depends on the member.
type witness struct {
	mu sync.Mutex
	// seen are the connections for which Engage returned nil, in order; calls counts all.
	seen  []string
	calls map[string]int
	fail  map[string]int
	hang  map[string]chan struct{}
}

func (w *witness) Engage(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
	w.mu.Lock()
	w.calls[name.String()]++
	hang := w.hang[name.String()]
	w.mu.Unlock()
	if hang != nil {
		<-hang // deaf to ctx
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail[name.String()] > 0 {
		w.fail[name.String()]--
		return errors.New("not now")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.seen = append(w.seen, cl.(*namedCluster).name)
	return nil
}

func (w *witness) engaged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.seen...)
}

// connect gives a member a connection, as its session does once the view is complete.
func connect(f *Fleet, member, name string) (disconnect context.CancelFunc) {
	ctx, cancel := context.WithCancel(f.ctx)
	conn := &Connection{Cluster: &namedCluster{name: name}, ctx: ctx, view: newView(nil, &f.opts, f.members[member].facts, f.allIndexes)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[member].conn, f.members[member].state.Reachable = conn, true
	f.engageLocked(member, conn)
	return cancel
}

func TestEngage(t *testing.T) {
	g := gomega.NewWithT(t)
	f := testFleet(t)
	for i, name := range []string{"before", "erring", "hanging", "healthy"} {
		f.SetFault(testMember(name, int64(i)), mcnv1alpha1.ReasonSecretNotFound, "gone")
	}
	released := make(chan struct{})
	w := &witness{calls: map[string]int{}, fail: map[string]int{"erring": 3}, hang: map[string]chan struct{}{"hanging": released}}
	connect(f, "before", "before-1")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Start(ctx, w) }()
	g.Eventually(w.engaged, time.Minute).Should(gomega.Equal([]string{"before-1"}), "who connected before the start is engaged too")

	// The hanging member comes and goes, and one call waits for it all the while.
	for _, name := range []string{"hanging-1", "hanging-2", "hanging-3"} {
		connect(f, "hanging", name)()
	}
	connect(f, "hanging", "hanging-4")
	connect(f, "erring", "erring-1")
	connect(f, "healthy", "healthy-1")
	g.Eventually(w.engaged, time.Minute).Should(gomega.ContainElements("erring-1", "healthy-1"))
	w.mu.Lock()
	g.Expect(w.calls["hanging"]).To(gomega.BeNumerically("<=", 1), "calls do not pile up")
	g.Expect(w.calls["erring"]).To(gomega.Equal(4))
	w.mu.Unlock()
	cl, err := f.Get(t.Context(), "hanging")
	g.Expect(err).NotTo(gomega.HaveOccurred(), "the member itself is not hurt")
	g.Expect(cl.(*namedCluster).name).To(gomega.Equal("hanging-4"))

	close(released)
	g.Eventually(w.engaged, time.Minute).Should(gomega.ContainElement("hanging-4"), "the latest connection is engaged in the end")
	connect(f, "healthy", "healthy-2")
	g.Eventually(w.engaged, time.Minute).Should(gomega.ContainElement("healthy-2"))
	stop()
	g.Eventually(ended, time.Minute).Should(gomega.Receive(gomega.BeNil()))
}

func TestIndexField(t *testing.T) {
	f := testFleet(t)
	none := func(client.Object) []string { return nil }
	for _, step := range []struct {
		object client.Object
		field  string
		want   string
	}{
		{&corev1.Pod{}, "spec.nodeName", ""},
		{&corev1.Pod{}, "spec.nodeName", "exists already"},
		{&corev1.Pod{}, "status.podIP", ""},
		{&corev1.Secret{}, "type", "do not hold this kind"},
	} {
		err := f.IndexField(t.Context(), step.object, step.field, none)
		if (err == nil) != (step.want == "") || (err != nil && !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%T %s: got %v, want %q", step.object, step.field, err, step.want)
		}
	}
	panics := f.harmless(corev1.SchemeGroupVersion.WithKind("Pod"), func(client.Object) []string { panic("by a test") })
	if got := panics(&corev1.Pod{}); got != nil {
		t.Errorf("got %v", got)
	}
}
