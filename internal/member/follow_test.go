package member

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/identity"
)

// followingManager is a manager whose worker for "one" has a network that refers to both groups of following. unsynced says whether aws has been listed in full.
func followingManager(t *testing.T, unsynced *bool) (*Manager, *worker, *identity.Index) {
	t.Helper()
	ix, p := following(t)
	m := NewManager(Options{OwnerID: "me", Pods: ix, Settings: p.settings, Unsynced: func(string) bool { return *unsynced }})
	m.SetIntent("one", Intent{UID: "one", Networks: map[string]NetworkIntent{"net": {Generation: 1, Groups: []compile.PodGroup{p.groups["a"], p.groups["b"]}}}})
	return m, m.workers["one"], ix
}

// standing is a set of aws as it was read from the member.
func standing(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nets": []any{"10.0.0.7/32"}}}}
	u.SetGroupVersionKind(apply.GroupVersionKind(apply.KindSet))
	u.SetName(name)
	u.SetLabels(map[string]string{
		mcnv1alpha1.OwnerLabel: "me", mcnv1alpha1.NetworkLabel: "net", mcnv1alpha1.GroupLabel: "a", mcnv1alpha1.SourceClusterLabel: "aws",
	})
	return u
}

// A source may come to be listed in full while a pass goes on that began with what was known before (invariant I2).
func TestSetsOfASourceStayUntilAPassKnowsAllOfIt(t *testing.T) {
	unsynced := true
	m, w, ix := followingManager(t, &unsynced)
	set := standing("mcn-net-aws-0")
	w.live = content{apply.KeyOf(set): set}
	w.take()
	upsert(ix, "one", "1", "b", "10.0.0.7")
	unsynced = false
	if got := planNetwork("net", w.current.networks["net"], w.current, w.live).actions; len(got) > 0 {
		t.Errorf("a pass that began before takes away %v", got)
	}
	w.take()
	if got := planNetwork("net", w.current.networks["net"], w.current, w.live).actions; len(got) > 0 {
		t.Errorf("a pass that began before its pods were handed on takes away %v", got)
	}
	<-w.wakeups
	m.follow(m.pods.take())
	if len(w.wakeups) == 0 {
		t.Error("nobody looks at what may be taken away now")
	}
	w.take()
	got := planNetwork("net", w.current.networks["net"], w.current, w.live).actions
	if len(got) != 2 || got[0].want == nil || got[1].drop == nil {
		t.Errorf("with all of its pods known the plan is %v, want the set of b and then the removal", got)
	}
}

// What a whole pass takes over keeps the order that keeps addresses apart (invariant I5), and waits for the tier.
func TestAWholePassKeepsTheOrderOfSets(t *testing.T) {
	unsynced := false
	m, w, ix := followingManager(t, &unsynced)
	upsert(ix, "one", "1", "b", "10.0.0.7")
	m.follow(m.pods.take())
	w.take()
	if !w.hasPending() {
		t.Fatal("a pass forgets what changed, and with it the order")
	}
	tier := &unstructured.Unstructured{}
	tier.SetGroupVersionKind(apply.GroupVersionKind(apply.KindTier))
	tier.SetName("t")
	w.current.shared = map[compile.Key]*wanted{apply.KeyOf(tier): {key: apply.KeyOf(tier), object: tier}}
	if err := w.writePending(t.Context(), nil); err == nil || !w.hasPending() {
		t.Errorf("without the tier: %v, pending %t; want to wait", err, w.hasPending())
	}
	ranks := func() (out []string) {
		for _, c := range w.pending {
			out = append(out, c.group)
		}
		slices.Sort(out)
		return out
	}
	ix.DeletePod("aws", "ns", "one")
	upsert(ix, "two", "2", "a", "10.0.0.7")
	m.follow(m.pods.take())
	if got := strings.Join(ranks(), " "); got != "a b" {
		t.Errorf("pending are the groups %q", got)
	}
	for _, c := range w.pending {
		if (c.group == "b") != (c.rank == rankRemove) {
			t.Errorf("group %s has rank %d; the address leaves b first", c.group, c.rank)
		}
	}
}
