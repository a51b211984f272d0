package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/cluster"
)

// fight changes an object every second, whatever anybody else does, until it is stopped.
func fight(t *testing.T, c client.Client, key compile.Key) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			// Conflicts are part of it: the next round comes.
			if live, err := read(ctx, c, key); err == nil {
				_ = unstructured.SetNestedStringSlice(live.Object, []string{"198.51.100.1/32"}, "spec", "nets")
				_ = c.Update(ctx, live, client.FieldOwner(intruder))
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func TestWhoeverKeepsChangingOurObjectsIsNamedAndNotFought(t *testing.T) {
	t.Parallel()
	const truce = 6 * time.Second
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil), func(o *member.Options) { o.Truce = truce })
		b.engage("one")
		b.intend("one", map[string]member.NetworkIntent{
			"net": {Generation: 1, Objects: b.version("net", "x")}, "calm": {Generation: 1, Objects: b.version("calm", "x")},
		}, nil)
		b.wait("one", "net", programmed(1))
		b.wait("one", "calm", programmed(1))
		set := compile.Key{Kind: apply.KindSet, Name: "mcn-" + b.tier + "-netx"}
		writes := func() (out []time.Time) {
			for _, r := range requests(t, on, b.owner) {
				if r.name == set.Name && r.verb == "patch" {
					out = append(out, r.at)
				}
			}
			return out
		}
		stop := fight(t, b.other("one"), set)
		contended := func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonContended }
		got := b.wait("one", "net", contended)
		if got.Programmed || !strings.Contains(got.Message, set.Name) || !strings.Contains(got.Message, intruder) || strings.Contains(got.Message, mcnv1alpha1.FieldManager) {
			t.Errorf("%+v: want the object's name and the other manager's, not our own", got)
		}
		hot := len(writes())
		eventually(t, "three more tries", func() string {
			if r := b.manager.Statuses()["one"].Results["net"]; !contended(r) {
				t.Errorf("%+v: want Contended as long as it lasts", r)
			}
			if len(writes()) < hot+3 {
				return "not yet"
			}
			return ""
		})
		for i, at := range writes() {
			if i > hot-1 && at.Sub(writes()[i-1]) < truce-time.Second/10 {
				t.Errorf("write %d came %s after the one before, want at least %s", i, at.Sub(writes()[i-1]), truce)
			}
		}
		t.Logf("%d writes until it was given up; then one each %s", hot, truce)
		if r := b.manager.Statuses()["one"].Results["calm"]; !programmed(1)(r) {
			t.Errorf("another network on the member says %+v", r)
		}

		// Meanwhile what else is ours is put back at once.
		denial := compile.Key{Kind: apply.KindPolicy, Name: b.tier + ".net-flat-d-x"}
		change(t, b.other("one"), denial, setField(int64(5000), "spec", "order"))
		eventually(t, "the denial to be put back", func() string {
			live, err := read(t.Context(), b.other("one"), denial)
			if err != nil {
				return err.Error()
			}
			if order, _, _ := unstructured.NestedFieldNoCopy(live.Object, "spec", "order"); fmt.Sprint(order) != "4000" {
				return fmt.Sprint(order)
			}
			return ""
		})

		stop()
		b.wait("one", "net", programmed(1))
		live, err := read(t.Context(), b.other("one"), set)
		if err != nil {
			t.Fatal(err)
		}
		if nets, _, _ := unstructured.NestedStringSlice(live.Object, "spec", "nets"); strings.Join(nets, " ") != "10.0.0.1/32" {
			t.Errorf("the set holds %v in the end", nets)
		}
	})
}
