package member

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// thing is an object: "kind name" with the network that it belongs to.
func thing(kind, name, network string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "projectcalico.org/v3", "kind": kind, "spec": spec}}
	u.SetName(name)
	u.SetLabels(map[string]string{mcnv1alpha1.OwnerLabel: "o"})
	if network != "" {
		u.SetLabels(map[string]string{mcnv1alpha1.OwnerLabel: "o", mcnv1alpha1.NetworkLabel: network})
	}
	return u
}

func labelled(u *unstructured.Unstructured, key, value string) *unstructured.Unstructured {
	labels := u.GetLabels()
	labels[key] = value
	u.SetLabels(labels)
	return u
}

func there(objects ...*unstructured.Unstructured) content {
	out := content{}
	for _, u := range objects {
		out[apply.KeyOf(u)] = u
	}
	return out
}

func wants(objects ...*unstructured.Unstructured) map[compile.Key]*wanted {
	out := map[compile.Key]*wanted{}
	for i, u := range objects {
		p := phaseBase
		if isPolicy(apply.KeyOf(u)) && !isGuard(u) {
			p = map[string]phase{"p": phasePermits, "c": phasePermits, "d": phaseDenies}[policyRole(u.GetName())]
		}
		out[apply.KeyOf(u)] = &wanted{key: apply.KeyOf(u), phase: p, order: orderOf(u), seq: i, object: u}
	}
	return out
}

func told(t *todo) []string {
	var out []string
	for _, a := range t.actions {
		verb := "write"
		if a.drop != nil {
			verb = "drop"
		}
		out = append(out, fmt.Sprintf("%d %s %s", a.phase, verb, a.key().Name))
	}
	return out
}

func TestSharedObjectsStayAsLongAsAnyoneMayNeedThem(t *testing.T) {
	tier, guard, pool := thing(apply.KindTier, "t", "", nil), thing(apply.KindPolicy, "t.guard-a", "", nil), thing(apply.KindPool, "mcn-remote-a", "", nil)
	policy := thing(apply.KindPolicy, "t.net-flat-p-a", "net", nil)
	known := map[string]*networkPlan{"net": {NetworkIntent: NetworkIntent{Remove: true}}}
	inUse := map[string]*networkPlan{"net": {wants: wants(policy)}}
	newGuard := thing(apply.KindPolicy, "t.guard-b", "", nil)
	tests := map[string]struct {
		plan prepared
		live content
		want []string
	}{
		"nothing there, nothing wanted":     {prepared{}, there(), nil},
		"last network gone":                 {prepared{networks: known}, there(tier, guard, pool), []string{"6 drop mcn-remote-a", "6 drop t.guard-a", "6 drop t"}},
		"last network going":                {prepared{networks: known}, there(tier, guard, pool, policy), []string{"6 drop mcn-remote-a"}},
		"a network without intent is there": {prepared{}, there(tier, guard, pool, policy), nil},
		"a network is about to be written":  {prepared{networks: inUse}, there(tier, guard), nil},
		"the guard changes": {prepared{networks: inUse, shared: wants(tier, newGuard)}, there(tier, guard, policy),
			[]string{"1 write t.guard-b", "5 drop t.guard-a"}},
		"the guard changes while the member is held": {prepared{Intent: Intent{Held: true}, networks: inUse, shared: wants(tier, newGuard)},
			there(tier, guard, policy), nil},
		"a pool is not needed any more": {prepared{networks: inUse, shared: wants(tier, guard)}, there(tier, guard, pool, policy), []string{"6 drop mcn-remote-a"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := told(planShared(&tc.plan, tc.live)); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNetworkPlansTouchOnlyTheirOwn(t *testing.T) {
	old := there(
		thing(apply.KindPolicy, "t.net-a-d-old", "net", map[string]any{"order": int64(4000)}),
		thing(apply.KindPolicy, "t.net-a-c-low", "net", map[string]any{"order": int64(2201)}),
		thing(apply.KindPolicy, "t.net-a-c-high", "net", map[string]any{"order": 2202.5}),
		thing(apply.KindPolicy, "t.strange", "net", nil),
		thing(apply.KindSet, "mcn-old", "net", nil),
		thing(apply.KindPolicy, "t.other-a-d-x", "other", nil),
		thing(apply.KindTier, "t", "", nil),
	)
	got := told(planNetwork("net", &networkPlan{NetworkIntent: NetworkIntent{Remove: true}}, &prepared{}, old))
	want := []string{"4 drop t.net-a-d-old", "4 drop t.strange", "5 drop t.net-a-c-high", "5 drop t.net-a-c-low", "6 drop mcn-old"}
	if !slices.Equal(got, want) {
		t.Errorf("removal: %v, want %v", got, want)
	}
	deselected := &networkPlan{NetworkIntent: NetworkIntent{Remove: true}}
	if p := planNetwork("net", deselected, &prepared{Intent: Intent{Held: true}}, old); len(p.actions) > 0 || p.frozen != 4 {
		t.Errorf("selected no more, but held: %v and %d frozen, want all 4 policies to stay, and the set", told(p), p.frozen)
	}
	deselected.Deleted = true
	if got := told(planNetwork("net", deselected, &prepared{Intent: Intent{Held: true}}, old)); !slices.Equal(got, want) {
		t.Errorf("deleted while held: %v, want %v", got, want)
	}
	n := &networkPlan{wants: wants(thing(apply.KindPolicy, "t.net-a-p-new", "net", map[string]any{"selector": "group == 'current'"}))}
	n.Held = true
	old[compile.Key{Kind: apply.KindSet, Name: "mcn-spare"}] = labelled(thing(apply.KindSet, "mcn-spare", "net", nil), mcnv1alpha1.GroupLabel, "current")
	old[compile.Key{Kind: apply.KindSet, Name: "mcn-used"}] = labelled(thing(apply.KindSet, "mcn-used", "net", nil), mcnv1alpha1.GroupLabel, "former")
	held := planNetwork("net", n, &prepared{}, old)
	if got := told(held); !slices.Equal(got, []string{"6 drop mcn-spare"}) || held.frozen != 5 {
		t.Errorf("held: %v and %d frozen, want the spare shard dropped and 5 frozen", got, held.frozen)
	}
}

func TestBarrierWaitsForThoseBehindButNotForTheLongLost(t *testing.T) {
	b := newBarrier(time.Hour)
	woken := 0
	seats := map[string]*seat{}
	for _, m := range []string{"a", "b", "c"} {
		seats[m] = &seat{member: m}
		b.connection(seats[m], true)
		b.report("net", seats[m], phaseNone)
	}
	b.report("net", seats["a"], phasePermits)
	if got := b.behind("net", seats["a"], phasePermits, func() { woken++ }); strings.Join(got, " ") != "b c" {
		t.Errorf("behind are %v, want b and c", got)
	}
	b.report("net", seats["b"], phaseSettled)
	if woken != 1 {
		t.Errorf("woken %d times when b got further, want once", woken)
	}
	b.connection(seats["c"], false)
	if got := b.behind("net", seats["a"], phasePermits, func() {}); strings.Join(got, " ") != "c" {
		t.Errorf("behind are %v, want c, which was lost just now", got)
	}
	b.lost["c"] = time.Now().Add(-2 * time.Hour)
	if got := b.behind("net", seats["a"], phasePermits, func() {}); len(got) > 0 {
		t.Errorf("behind are %v, want nobody: c is long lost", got)
	}
	b.forget("", seats["c"])
	if _, lost := b.lostSince("c"); lost || b.phases["net"]["c"] != 0 {
		t.Error("c was not forgotten")
	}
}

func TestAWorkerThatWasStoppedIsNotHeardAtTheBarrier(t *testing.T) {
	b := newBarrier(time.Hour)
	old, successor, other := &seat{member: "a"}, &seat{member: "a"}, &seat{member: "b"}
	b.connection(old, true)
	b.leave(old)
	b.report("net", successor, phaseNone)
	b.report("net", old, phaseSettled)
	b.forget("net", old)
	b.connection(old, false)
	if got := b.behind("net", other, phasePermits, func() {}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("behind are %v, want a: only its former worker is done", got)
	}
	if _, lost := b.lostSince("a"); lost {
		t.Error("the former worker of a made it look lost")
	}
}

func TestASuccessorBeginsWhenTheFormerWorkerHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, release := make(chan string, 2), make(chan struct{})
		var m *Manager
		m = NewManager(Options{Log: logr.Discard(), Connect: func(string) (Connection, bool) {
			m.mu.Lock()
			uid := m.workers["one"].uid
			m.mu.Unlock()
			calls <- uid
			<-release
			return Connection{}, false
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		m.SetIntents(map[string]Intent{"one": {UID: "old"}})
		go func() { ended <- m.Start(ctx) }()
		if got := <-calls; got != "old" {
			t.Fatalf("the first to look is %q, want old", got)
		}
		m.SetIntents(map[string]Intent{"one": {UID: "new"}})
		synctest.Wait()
		if len(calls) > 0 {
			t.Errorf("%q looks while the former worker is still at it", <-calls)
		}
		close(release)
		<-calls
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatBelongsToNoNetworkIsCountedAndReclaimedWhereItIsKnownToBeLeftOver(t *testing.T) {
	live := there(
		thing(apply.KindTier, "t", "", nil), thing(apply.KindPolicy, "t.net-flat-p-a", "net", nil),
		thing(apply.KindPolicy, "t.old-flat-p-a", "old", nil), thing(apply.KindPolicy, "t.old-flat-d-a", "old", nil), thing(apply.KindSet, "mcn-old", "old", nil),
	)
	p := prepare(Intent{Reclaim: "id", Networks: map[string]NetworkIntent{"net": {}}})
	if got := p.unknown(live); len(got) != 1 || got["old"] != 3 {
		t.Errorf("unknown are %v, want 3 of old", got)
	}
	w := &worker{conn: Connection{ClusterID: "other"}, current: p, live: live, progress: map[string]*progress{}}
	if got := w.effective(); got.networks["old"] != nil {
		t.Error("objects on another cluster than the one to reclaim are to be removed")
	}
	w.conn.ClusterID = "id"
	got := w.effective()
	if told := told(planNetwork("old", got.networks["old"], got, live)); !slices.Equal(told, []string{"4 drop t.old-flat-d-a", "5 drop t.old-flat-p-a", "6 drop mcn-old"}) {
		t.Errorf("the unknown network goes as %v, want denials, permits, sets", told)
	}
	if len(got.unknown(live)) != 1 || got.networks["net"].Remove {
		t.Errorf("while it is being removed, unknown are %v, and net is %+v", got.unknown(live), got.networks["net"])
	}
}

func TestWhatIsSparedStaysWithWhatItNeeds(t *testing.T) {
	live := there(
		thing(apply.KindTier, "t", "", nil), thing(apply.KindPolicy, "t.guard-1", "", nil), thing(apply.KindPool, "mcn-remote-1", "", nil),
		thing(apply.KindPolicy, "t.left-a-d-1", "left", nil), thing(apply.KindPolicy, "t.gone-a-d-1", "gone", nil),
	)
	clean := cleanIntent(live, []string{"left"})
	if got := told(planShared(clean, live)); len(clean.networks) != 1 || clean.networks["gone"] == nil || len(got) > 0 {
		t.Errorf("cleaned are %v, and of the shared objects %v; want gone alone", clean.networks, got)
	}
	reclaim := prepare(Intent{Reclaim: "id", Spared: []string{"left"}}).withUnknown(live)
	if got := told(planShared(reclaim, live)); len(reclaim.networks) != 1 || reclaim.networks["gone"] == nil || len(got) > 0 {
		t.Errorf("reclaimed are %v, and of the shared objects %v; want gone alone", reclaim.networks, got)
	}
	if reclaim.reclaimed(reclaim.unknown(live)) || !reclaim.reclaimed(map[string]int{"left": 1}) {
		t.Error("it is not told when all is reclaimed but what is spared")
	}
	w := watching()
	w.live, w.spared = live, []string{"left"}
	if w.onlyTierLeft() {
		t.Error("it is clean before network gone is")
	}
	delete(live, compile.Key{Kind: apply.KindPolicy, Name: "t.gone-a-d-1"})
	if !w.onlyTierLeft() {
		t.Error("it is never clean")
	}
}
