package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlcluster "sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/cluster"
)

// intruder is the field manager of somebody who changes what is ours.
const intruder = "intruder"

// log is what an observer heard.
type heard struct {
	mu      sync.Mutex
	drifts  []string
	failed  []mcnv1alpha1.Reason
	wrote   int
	passes  int
	updates []apply.Outcome
}

func (h *heard) Wrote(_, _ string, outcome apply.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrote++
	h.updates = append(h.updates, outcome)
}

func (h *heard) Drift(_, kind string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drifts = append(h.drifts, kind)
}

func (h *heard) Failed(_ string, reason mcnv1alpha1.Reason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = append(h.failed, reason)
}

func (h *heard) Pass(string, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passes++
}

func (h *heard) drifted() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.drifts)
}

// onlyEvents turns the resync off and observes.
func onlyEvents(h *heard) func(*member.Options) {
	return func(o *member.Options) {
		o.Resync = time.Hour
		if h != nil {
			o.Observer = h
		}
	}
}

// engage makes the manager watch a member, as the fleet does, under a user agent of its own.
func (b *bench) engage(name string) {
	b.t.Helper()
	cfg := rest.CopyConfig(b.configs[name])
	cfg.UserAgent = b.owner + "-watch"
	cfg.Timeout = 30 * time.Second // as the fleet's; a watch must outlive it
	cl, err := ctrlcluster.New(cfg, func(o *ctrlcluster.Options) { o.Scheme = fleetScheme(b.t) })
	if err != nil {
		b.t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if err := b.manager.Engage(b.ctx, multicluster.ClusterName(name), cl); err != nil {
			b.t.Fatal(err)
		}
	}
}

// other is somebody else's client.
func (b *bench) other(name string) client.Client {
	b.t.Helper()
	c, err := client.New(b.on[name].RESTConfig(), client.Options{Scheme: fleetScheme(b.t)})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func read(ctx context.Context, c client.Client, key compile.Key) (*unstructured.Unstructured, error) {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(apply.GroupVersionKind(key.Kind))
	err := c.Get(ctx, client.ObjectKey{Name: key.Name}, out)
	return out, err
}

// change changes an object as somebody else.
func change(t *testing.T, c client.Client, key compile.Key, how func(*unstructured.Unstructured)) {
	t.Helper()
	eventually(t, "changing "+key.Name, func() string {
		live, err := read(t.Context(), c, key)
		if err != nil {
			return err.Error()
		}
		how(live)
		if err := c.Update(t.Context(), live, client.FieldOwner(intruder)); err != nil {
			return err.Error()
		}
		return ""
	})
}

func setField(value any, path ...string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { _ = unstructured.SetNestedField(u.Object, value, path...) }
}

func TestWhatOthersChangeIsPutBackFromEvents(t *testing.T) {
	t.Parallel()
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		h := &heard{}
		b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(h))
		b.engage("one")
		b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: append(b.version("net", "x"), b.addresses("net", "second", "10.0.0.2/32"))}}, nil)
		b.wait("one", "net", programmed(1))
		c := b.other("one")
		policy := compile.Key{Kind: apply.KindPolicy, Name: b.tier + ".net-flat-p-x"}
		denial := compile.Key{Kind: apply.KindPolicy, Name: b.tier + ".net-flat-d-x"}
		guard := compile.Key{Kind: apply.KindPolicy, Name: b.tier + ".guard-abc"}
		set := compile.Key{Kind: apply.KindSet, Name: "mcn-" + b.tier + "-netx"}
		second := compile.Key{Kind: apply.KindSet, Name: "mcn-" + b.tier + "-second"}
		tier := compile.Key{Kind: apply.KindTier, Name: b.tier}
		remove := func(key compile.Key) func() {
			return func() {
				live, err := read(t.Context(), c, key)
				if err == nil {
					err = c.Delete(t.Context(), live)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		alter := func(key compile.Key, how func(*unstructured.Unstructured)) func() {
			return func() { change(t, c, key, how) }
		}
		for _, tc := range []struct {
			what string
			key  compile.Key
			do   func()
		}{
			{"a selector edited", policy, alter(policy, setField("app == 'other'", "spec", "selector"))},
			{"a rule removed", denial, alter(denial, func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "spec", "ingress") })},
			{"an address added", set, alter(set, setField([]any{"10.0.0.1/32", "203.0.113.7/32"}, "spec", "nets"))},
			{"content and hash changed", second, alter(second, func(u *unstructured.Unstructured) {
				setField([]any{"203.0.113.8/32"}, "spec", "nets")(u)
				u.SetAnnotations(map[string]string{mcnv1alpha1.ContentHashAnnotation: "other"})
			})},
			{"a set deleted", second, remove(second)},
			{"a denial deleted", denial, remove(denial)},
			{"the guard edited", guard, alter(guard, setField("app == 'none-at-all'", "spec", "selector"))},
			{"the tier's order edited", tier, alter(tier, setField(int64(700), "spec", "order"))},
		} {
			before, err := read(t.Context(), c, tc.key)
			if err != nil {
				t.Fatal(err)
			}
			known := len(h.drifted())
			tc.do()
			began := time.Now()
			eventually(t, tc.what+": to be put back", func() string {
				now, err := read(t.Context(), c, tc.key)
				if err != nil {
					return err.Error()
				}
				if now.GetResourceVersion() == before.GetResourceVersion() || !apply.Equal(now, before) {
					return fmt.Sprintf("%v", now.Object["spec"])
				}
				return ""
			})
			t.Logf("%s: put back after %s", tc.what, time.Since(began).Round(time.Millisecond))
			eventually(t, tc.what+": to be told", func() string {
				if got := h.drifted()[known:]; !slices.Equal(got, []string{tc.key.Kind}) {
					return fmt.Sprintf("drifts %v, want one of %s", got, tc.key.Kind)
				}
				return ""
			})
			b.wait("one", "net", programmed(1))
		}

		// Without our label it is not ours any more; with the label back, it is.
		label := func(value string) func() {
			return alter(set, func(u *unstructured.Unstructured) {
				labels := u.GetLabels()
				delete(labels, mcnv1alpha1.OwnerLabel)
				if value != "" {
					labels[mcnv1alpha1.OwnerLabel] = value
				}
				u.SetLabels(labels)
			})
		}
		label("")()
		got := b.wait("one", "net", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonOwnershipConflict })
		for _, want := range []string{"its addresses are not updated meanwhile", "or delete the object",
			"kubectl label globalnetworksets.projectcalico.org " + set.Name + " " + mcnv1alpha1.OwnerLabel + "=" + b.owner + ";"} {
			if !strings.Contains(got.Message, want) {
				t.Errorf("%q: want %q in it", got.Message, want)
			}
		}
		label(b.owner)()
		b.wait("one", "net", programmed(1))
	})
}

func TestOwnWritesListNothingMoreWhenWatched(t *testing.T) {
	t.Parallel()
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil))
		lists := func(hash string, generation int64) int {
			before := count(requests(t, on, b.owner), "list")
			b.intend("one", map[string]member.NetworkIntent{"net": {Generation: generation, Objects: b.version("net", hash)}}, nil)
			b.wait("one", "net", programmed(generation))
			b.settled("one", on)
			return count(requests(t, on, b.owner), "list") - before
		}
		lists("w", 1)
		unwatched := lists("x", 2)
		b.engage("one")
		b.settled("one", on)
		lists("y", 3)
		if watched := lists("z", 4); watched > unwatched {
			t.Errorf("%d lists for a change that is watched, %d for one that is not", watched, unwatched)
		}
	})
}

// settled waits until the API server has heard nothing of the worker for some time, and returns what it has heard by then.
func (b *bench) settled(name string, on *cluster.Cluster) []request {
	b.t.Helper()
	const quiet = 3 * time.Second
	var all []request
	since := time.Now()
	eventually(b.t, name+" to be quiet", func() string {
		now := requests(b.t, on, b.owner)
		if len(now) != len(all) {
			all, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return fmt.Sprintf("%d requests, the last %v", len(all), all[max(0, len(all)-1):])
		}
		return ""
	})
	return all
}

func TestNothingIsSentWhereNothingChanged(t *testing.T) {
	t.Parallel()
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		var opts member.Options
		b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil), func(o *member.Options) { opts = *o })
		intend := func() {
			b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, nil)
			b.wait("one", "net", programmed(1))
		}
		b.engage("one")
		intend()
		before := b.settled("one", on)

		// An event that changes nothing of ours costs a list, and no write.
		set := compile.Key{Kind: apply.KindSet, Name: "mcn-" + b.tier + "-netx"}
		change(t, b.other("one"), set, setField("x", "metadata", "annotations", "example.com/note"))
		after := b.settled("one", on)[len(before):]
		if count(after, writeVerbs...) > 0 || len(after) > 1 {
			t.Errorf("a note of somebody on a set led to %v, want one list at most", after)
		}

		// A new manager lists each kind, once to read and at most once more because of the watch, and writes nothing.
		b.restart(opts)
		before = b.settled("one", on)
		b.engage("one")
		intend()
		after = b.settled("one", on)[len(before):]
		if count(after, writeVerbs...) > 0 || count(after, "list") != len(after) || len(after) > 2*len(apply.Kinds()) {
			t.Errorf("a restart led to %v", after)
		}
		b.manager.Wake()
		intend()
		if more := b.settled("one", on)[len(before)+len(after):]; len(more) > 0 {
			t.Errorf("with nothing changed: %v", more)
		}
	})
}
