package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// bench is a Manager with workers on real clusters, whose writes are recorded.
type bench struct {
	t       *testing.T
	manager *member.Manager
	tier    string
	owner   string
	on      map[string]*cluster.Cluster
	configs map[string]*rest.Config // how the operator reaches them
	ctx     context.Context         // of the manager
	stop    func()                  // ends the manager

	mu      sync.Mutex
	clients map[string]client.WithWatch
	away    map[string]bool
	refuse  map[string]bool // names whose writes fail
	writes  []string        // "member verb Kind name"
	times   []time.Time
}

// newBench makes a manager for members, each on a cluster of its own. The owner ID is the test's, so that tests can share clusters.
func newBench(t *testing.T, settle, barrier time.Duration, members map[string]*cluster.Cluster, more ...func(*member.Options)) *bench {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	b := &bench{
		t: t, owner: name[:min(60, len(name))], tier: "t" + fmt.Sprint(len(name)) + name[4:min(20, len(name))], on: members,
		clients: map[string]client.WithWatch{}, configs: map[string]*rest.Config{}, away: map[string]bool{}, refuse: map[string]bool{},
	}
	for member, c := range members {
		cfg := access.MemberWithTier(t, c, b.tier)
		cfg.UserAgent = b.owner
		base, err := client.NewWithWatch(cfg, client.Options{Scheme: fleetScheme(t)})
		if err != nil {
			t.Fatal(err)
		}
		b.clients[member], b.configs[member] = b.recorded(member, base), cfg
	}
	opts := member.Options{
		OwnerID: b.owner, Settle: settle, Barrier: barrier, Retry: 50 * time.Millisecond, Log: testr.New(t),
		Connect: func(name string) (member.Connection, bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			c, ok := b.clients[name]
			return member.Connection{ID: name, Client: c, Context: context.Background()}, ok && !b.away[name]
		},
	}
	for _, change := range more {
		change(&opts)
	}
	b.start(opts)
	t.Cleanup(func() { b.stop() })
	t.Cleanup(func() {
		for name := range members {
			b.clean(name)
		}
	})
	return b
}

// start runs a manager.
func (b *bench) start(opts member.Options) {
	b.manager = member.NewManager(opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func(m *member.Manager) { defer close(done); _ = m.Start(ctx) }(b.manager)
	b.ctx = ctx
	b.stop = func() {
		cancel()
		<-done
	}
}

// restart ends the manager and starts one that knows nothing.
func (b *bench) restart(opts member.Options) {
	b.stop()
	b.start(opts)
}

// clean removes everything of the test's.
func (b *bench) clean(name string) {
	eventually(b.t, name+" to be clean", func() string {
		b.manager.Wake()
		done, err := b.manager.CleanMember(context.Background(), name)
		if done {
			return ""
		}
		return fmt.Sprint(err)
	})
}

func (b *bench) recorded(member string, base client.WithWatch) client.WithWatch {
	note := func(verb, kind, name string) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.refuse[name] {
			return fmt.Errorf("the test refuses to write %s", name)
		}
		b.writes = append(b.writes, fmt.Sprintf("%s %s %s %s", member, verb, kind, name))
		b.times = append(b.times, time.Now())
		return nil
	}
	return interceptor.NewClient(base, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			a := obj.(interface {
				GetKind() string
				GetName() string
			})
			if err := note("apply", a.GetKind(), a.GetName()); err != nil {
				return err
			}
			return c.Apply(ctx, obj, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if err := note("apply", obj.GetObjectKind().GroupVersionKind().Kind, obj.GetName()); err != nil {
				return err
			}
			return c.Create(ctx, obj, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			if err := note("delete", obj.GetObjectKind().GroupVersionKind().Kind, obj.GetName()); err != nil {
				return err
			}
			return c.Delete(ctx, obj, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := note("apply", obj.GetObjectKind().GroupVersionKind().Kind, obj.GetName()); err != nil {
				return err
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	})
}

// taken returns the writes so far and forgets them.
func (b *bench) taken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.writes
	b.writes, b.times = nil, nil
	return out
}

func (b *bench) set(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
}

// wait waits for a network's result on a member.
func (b *bench) wait(name, network string, check func(member.Result) bool) member.Result {
	b.t.Helper()
	var got member.Result
	eventually(b.t, network+" on "+name, func() string {
		got = b.manager.Statuses()[name].Results[network]
		if check(got) {
			return ""
		}
		return fmt.Sprintf("%+v", got)
	})
	return got
}

func programmed(generation int64) func(member.Result) bool {
	return func(r member.Result) bool { return r.Programmed && !r.Outdated && r.Generation == generation }
}

func (b *bench) meta(name, network string) metav1.ObjectMeta {
	out := metav1.ObjectMeta{Name: name, Labels: map[string]string{mcnv1alpha1.OwnerLabel: b.owner}, Annotations: map[string]string{mcnv1alpha1.ContentHashAnnotation: "h"}}
	if network != "" {
		out.Labels[mcnv1alpha1.NetworkLabel] = network
	}
	return out
}

func (b *bench) shared() []compile.Object {
	pass := calicov3.Pass
	return []compile.Object{
		{Role: compile.RoleTier, Resource: &calicov3.Tier{TypeMeta: calicoType("Tier"), ObjectMeta: b.meta(b.tier, ""),
			Spec: calicov3.TierSpec{Order: ptr(500.0), DefaultAction: &pass}}},
		{Role: compile.RoleGuard, Resource: &calicov3.GlobalNetworkPolicy{TypeMeta: calicoType("GlobalNetworkPolicy"), ObjectMeta: b.meta(b.tier+".guard-abc", ""),
			Spec: b.policySpec(0, calicov3.Pass)}},
	}
}

func (b *bench) policySpec(order float64, action calicov3.Action) calicov3.GlobalNetworkPolicySpec {
	return calicov3.GlobalNetworkPolicySpec{
		Tier: b.tier, Order: &order, Types: []calicov3.PolicyType{calicov3.PolicyTypeIngress}, Selector: "app == 'none'", NamespaceSelector: "all()",
		Ingress: []calicov3.Rule{{Action: action}},
	}
}

func (b *bench) policy(network, role, hash string, order float64) compile.Object {
	roles := map[string]compile.Role{"p": compile.RolePermit, "c": compile.RoleRules, "d": compile.RoleDeny}
	action := calicov3.Pass
	if role == "d" {
		action = calicov3.Deny
	}
	return compile.Object{Role: roles[role], Network: network, Resource: &calicov3.GlobalNetworkPolicy{
		TypeMeta: calicoType("GlobalNetworkPolicy"), ObjectMeta: b.meta(b.tier+"."+network+"-flat-"+role+"-"+hash, network), Spec: b.policySpec(order, action),
	}}
}

func (b *bench) staged(o compile.Object) compile.Object {
	enforced := o.Resource.(*calicov3.GlobalNetworkPolicy)
	o.Resource = &calicov3.StagedGlobalNetworkPolicy{
		TypeMeta: calicoType("StagedGlobalNetworkPolicy"), ObjectMeta: enforced.ObjectMeta,
		Spec: calicov3.StagedGlobalNetworkPolicySpec{
			StagedAction: calicov3.StagedActionSet, Tier: enforced.Spec.Tier, Order: enforced.Spec.Order, Types: enforced.Spec.Types,
			Selector: enforced.Spec.Selector, NamespaceSelector: enforced.Spec.NamespaceSelector, Ingress: enforced.Spec.Ingress,
		},
	}
	return o
}

func (b *bench) addresses(network, name string, nets ...string) compile.Object {
	m := b.meta("mcn-"+b.tier+"-"+name, network)
	m.Labels[mcnv1alpha1.GroupLabel] = "g" + name
	m.Labels[mcnv1alpha1.SourceClusterLabel] = "elsewhere"
	m.Annotations[mcnv1alpha1.ContentHashAnnotation] = strings.ReplaceAll(strings.Join(nets, "_"), "/", "_")
	return compile.Object{Role: compile.RoleSet, Network: network, Resource: &calicov3.GlobalNetworkSet{
		TypeMeta: calicoType("GlobalNetworkSet"), ObjectMeta: m, Spec: calicov3.GlobalNetworkSetSpec{Nets: nets},
	}}
}

// version is a network's content: set, permit, rule, denial, each with a hash of its own.
func (b *bench) version(network, hash string) []compile.Object {
	return []compile.Object{
		b.addresses(network, network+hash, "10.0.0.1/32"), b.policy(network, "p", hash, 2100), b.policy(network, "c", hash+"b", 2300),
		b.policy(network, "c", hash+"a", 2200), b.policy(network, "d", hash, 4000),
	}
}

func (b *bench) intend(name string, networks map[string]member.NetworkIntent, change func(*member.Intent)) {
	in := member.Intent{UID: name, Shared: b.shared(), Networks: networks}
	if change != nil {
		change(&in)
	}
	b.manager.SetIntent(name, in)
}

func eachFormOfWorker(t *testing.T, test func(t *testing.T, on *cluster.Cluster)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, forms[name])
		})
	}
}

// short makes writes readable: verb and the tail of the name.
func (b *bench) short(writes []string) []string {
	out := make([]string, len(writes))
	for i, w := range writes {
		f := strings.Fields(w)
		name := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(f[3], "mcn-"), b.tier), ".")
		out[i] = f[1] + " " + strings.TrimPrefix(f[2], "Global") + " " + strings.TrimPrefix(name, "-")
	}
	return out
}

func TestWorkerChangesInAnOrderThatCutsNothing(t *testing.T) {
	t.Parallel()
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		b := newBench(t, 20*time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on})
		b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, nil)
		b.wait("one", "net", programmed(1))
		want := []string{
			"apply Tier ", "apply NetworkPolicy guard-abc", "apply NetworkSet netx", "apply NetworkPolicy net-flat-p-x", "apply NetworkPolicy net-flat-c-xa",
			"apply NetworkPolicy net-flat-c-xb", "apply NetworkPolicy net-flat-d-x",
		}
		if got := b.short(b.taken()); !slices.Equal(got, want) {
			t.Errorf("first writes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}

		b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 2, Objects: b.version("net", "y")}}, nil)
		b.wait("one", "net", programmed(2))
		want = []string{
			"apply NetworkSet nety", "apply NetworkPolicy net-flat-p-y", "apply NetworkPolicy net-flat-c-ya", "apply NetworkPolicy net-flat-c-yb",
			"apply NetworkPolicy net-flat-d-y",
			"delete NetworkPolicy net-flat-d-x", "delete NetworkPolicy net-flat-c-xb", "delete NetworkPolicy net-flat-c-xa", "delete NetworkPolicy net-flat-p-x",
			"delete NetworkSet netx",
		}
		if got := b.short(b.taken()); !slices.Equal(got, want) {
			t.Errorf("change:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}

		b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 3, Objects: b.version("net", "y")}}, nil)
		b.manager.Kick("one")
		b.wait("one", "net", programmed(3))
		if got := b.short(b.taken()); len(got) > 0 {
			t.Errorf("an equal intent wrote %v", got)
		}

		b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 4, Remove: true}}, func(in *member.Intent) { in.Shared = nil })
		b.wait("one", "net", func(r member.Result) bool { return r.Gone })
		eventually(t, "the tier to go", func() string { return b.left("one") })
		want = []string{
			"delete NetworkPolicy net-flat-d-y", "delete NetworkPolicy net-flat-c-yb", "delete NetworkPolicy net-flat-c-ya", "delete NetworkPolicy net-flat-p-y",
			"delete NetworkSet nety", "delete NetworkPolicy guard-abc", "delete Tier ",
		}
		if got := b.short(b.taken()); !slices.Equal(got, want) {
			t.Errorf("removal:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// left tells what of the test's is on a member.
func (b *bench) left(name string) string {
	b.t.Helper()
	all, err := oursOn(context.Background(), b.clients[name])
	if err != nil {
		return err.Error()
	}
	var out []string
	for key := range all {
		if strings.Contains(key, b.tier) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// intents is one network's content on several members.
func (b *bench) intents(hash string, generation int64, members ...string) map[string]member.Intent {
	out := map[string]member.Intent{}
	for _, name := range members {
		out[name] = member.Intent{UID: name, Shared: b.shared(), Networks: map[string]member.NetworkIntent{
			"net": {Generation: generation, Objects: b.version("net", hash)},
		}}
	}
	return out
}

func TestWorkerWaitsForTheOtherMembers(t *testing.T) {
	t.Parallel()
	// The barrier outlasts the test: whoever is slow is waited for.
	b := newBench(t, time.Millisecond, time.Hour, map[string]*cluster.Cluster{"one": forms["aggregated"], "two": forms["native"]})
	b.manager.SetIntents(b.intents("x", 1, "one", "two"))
	b.wait("one", "net", programmed(1))
	b.wait("two", "net", programmed(1))
	lastPermit, firstDenial := -1, -1
	for i, w := range b.taken() {
		if strings.Contains(w, "-p-") || strings.Contains(w, "-c-") {
			lastPermit = i
		}
		if strings.Contains(w, "-d-") && firstDenial < 0 {
			firstDenial = i
		}
	}
	if lastPermit > firstDenial {
		t.Errorf("a denial was written at %d, before the last permit at %d", firstDenial, lastPermit)
	}
}

func TestWorkerDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	const barrier = 700 * time.Millisecond
	b := newBench(t, time.Millisecond, barrier, map[string]*cluster.Cluster{"one": forms["aggregated"], "two": forms["native"]})
	b.manager.SetIntents(b.intents("x", 1, "one", "two"))
	b.wait("one", "net", programmed(1))
	b.wait("two", "net", programmed(1))
	b.taken()

	// Member two cannot write its set: one waits with its permits, then goes on.
	b.set(func() { b.refuse["mcn-"+b.tier+"-nety"] = true })
	began := time.Now()
	next := b.intents("y", 2, "one", "two")
	next["one"] = onlyPolicies(next["one"])
	b.manager.SetIntents(next)
	b.wait("one", "net", programmed(2))
	if took := time.Since(began); took < barrier {
		t.Errorf("member one was done after %s, without waiting for member two", took)
	}
	got := b.wait("two", "net", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonWriteFailed })
	if got.Programmed || !strings.Contains(got.Message, "nety") {
		t.Errorf("member two says %+v, want the set that failed", got)
	}
	for _, w := range b.taken() {
		if strings.HasPrefix(w, "two apply GlobalNetworkPolicy") {
			t.Errorf("%s: a policy was written whose set had failed", w)
		}
	}
	b.set(func() { clear(b.refuse) })
	b.wait("two", "net", programmed(2))
}

func TestCalicoRulesStopAtTheFirstThatFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": forms["aggregated"]})
	failed := func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonWriteFailed }
	b.set(func() { b.refuse[b.tier+".net-flat-c-xa"] = true })
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, nil)
	b.wait("one", "net", failed)
	if left := b.left("one"); strings.Contains(left, "-c-xb") || !strings.Contains(left, "-p-x") {
		t.Errorf("%s: want the permit, but no rule behind the one that failed", left)
	}
	b.set(func() { clear(b.refuse) })
	b.wait("one", "net", programmed(1))

	b.set(func() { b.refuse[b.tier+".net-flat-c-xb"] = true })
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 2, Remove: true}}, nil)
	b.wait("one", "net", failed)
	if left := b.left("one"); !strings.Contains(left, "-c-xa") || strings.Contains(left, "-p-x") {
		t.Errorf("%s: want the rules to stay before the one that failed to go, and the permit gone", left)
	}
	b.set(func() { clear(b.refuse) })
	b.wait("one", "net", func(r member.Result) bool { return r.Gone })
}

// onlyPolicies drops sets, so that a refused name concerns the other member alone.
func onlyPolicies(in member.Intent) member.Intent {
	n := in.Networks["net"]
	n.Objects = slices.DeleteFunc(slices.Clone(n.Objects), func(o compile.Object) bool { return o.Role == compile.RoleSet })
	in.Networks = map[string]member.NetworkIntent{"net": n}
	return in
}

func TestWorkerTouchesOnlyWhatIsOursAndKnown(t *testing.T) {
	t.Parallel()
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on})
		foreign := &calicov3.GlobalNetworkSet{ObjectMeta: metav1.ObjectMeta{Name: "mcn-" + b.tier + "-ax"}, Spec: calicov3.GlobalNetworkSetSpec{Nets: []string{"192.0.2.1/32"}}}
		if err := b.clients["one"].Create(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.clients["one"].Delete(context.Background(), foreign) })
		b.taken()
		b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 1, Objects: b.version("a", "x")}, "b": {Generation: 1, Objects: b.version("b", "x")}}, nil)
		b.wait("one", "b", programmed(1))
		got := b.wait("one", "a", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonOwnershipConflict })
		if !strings.Contains(got.Message, foreign.Name) {
			t.Errorf("the conflict is told as %q, want the object's name", got.Message)
		}
		if left := b.left("one"); strings.Contains(left, ".a-flat") {
			t.Errorf("policies of network a were written without their set: %s", left)
		}
		now := foreign.DeepCopy()
		if err := b.clients["one"].Get(t.Context(), client.ObjectKeyFromObject(foreign), now); err != nil || now.ResourceVersion != foreign.ResourceVersion {
			t.Errorf("the foreign set went from %s to %s (%v)", foreign.ResourceVersion, now.ResourceVersion, err)
		}

		// Network b goes out of sight, as an invalid one does after a restart: it stays, and so do the tier and the guard.
		b.taken()
		b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 2, Remove: true}}, func(in *member.Intent) { in.Shared = nil })
		b.wait("one", "a", func(r member.Result) bool { return r.Gone })
		b.manager.Kick("one")
		b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 3, Remove: true}}, func(in *member.Intent) { in.Shared = nil })
		b.wait("one", "a", func(r member.Result) bool { return r.Gone && r.Generation == 3 })
		if writes := b.taken(); len(writes) > 0 {
			t.Errorf("what belongs to a network without intent was touched: %v", writes)
		}
	})
}

func TestRemovingANetworkLeavesWhatAnotherUses(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": forms["aggregated"]})
	b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 1, Objects: b.version("a", "x")}, "b": {Generation: 1, Objects: b.version("b", "x")}}, nil)
	b.wait("one", "a", programmed(1))
	b.wait("one", "b", programmed(1))
	b.taken()
	b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 2, Remove: true}, "b": {Generation: 1, Objects: b.version("b", "x")}}, nil)
	b.wait("one", "a", func(r member.Result) bool { return r.Gone })
	for _, w := range b.taken() {
		if !strings.Contains(w, ".a-flat") && !strings.Contains(w, "-ax") {
			t.Errorf("removing network a did: %s", w)
		}
	}
	b.wait("one", "b", programmed(1))
}

func TestHeldFreezesPoliciesAndLetsSetsFlow(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": forms["aggregated"]})
	objects := func(hash, address string) []compile.Object {
		return append([]compile.Object{b.addresses("net", "web", address)}, b.version("net", hash)[1:]...)
	}
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: objects("x", "10.0.0.1/32")}}, nil)
	b.wait("one", "net", programmed(1))
	b.taken()
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 2, Held: true, Objects: objects("y", "10.0.0.2/32")}}, nil)
	got := b.wait("one", "net", func(r member.Result) bool { return r.Generation == 2 && r.Reason == mcnv1alpha1.ReasonHeld })
	if got.Programmed || !got.Held {
		t.Errorf("the network is reported as %+v, want Held", got)
	}
	if writes := b.short(b.taken()); !slices.Equal(writes, []string{"apply NetworkSet web"}) {
		t.Errorf("while held: %v, want the set alone", writes)
	}
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 3, Objects: objects("y", "10.0.0.2/32")}}, nil)
	b.wait("one", "net", programmed(3))
}

func TestStagedAndEnforcedTradePlacesWithoutAGap(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": forms["native"]})
	enforced := []compile.Object{b.policy("net", "p", "x", 2100), b.policy("net", "d", "x", 4000)}
	staged := []compile.Object{b.staged(enforced[0]), b.staged(enforced[1])}
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Staged: true, Objects: staged}}, nil)
	b.wait("one", "net", programmed(1))
	b.taken()
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 2, Objects: enforced}}, nil)
	b.wait("one", "net", programmed(2))
	want := []string{
		"apply NetworkPolicy net-flat-p-x", "apply NetworkPolicy net-flat-d-x",
		"delete StagedGlobalNetworkPolicy net-flat-d-x", "delete StagedGlobalNetworkPolicy net-flat-p-x",
	}
	if got := b.short(b.taken()); !slices.Equal(got, want) {
		t.Errorf("enforcing: %v, want %v", got, want)
	}
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 3, Staged: true, Objects: staged}}, nil)
	b.wait("one", "net", programmed(3))
	want = []string{
		"apply StagedGlobalNetworkPolicy net-flat-p-x", "apply StagedGlobalNetworkPolicy net-flat-d-x",
		"delete NetworkPolicy net-flat-d-x", "delete NetworkPolicy net-flat-p-x",
	}
	if got := b.short(b.taken()); !slices.Equal(got, want) {
		t.Errorf("staging: %v, want %v", got, want)
	}
}

func TestSetsOfAMemberThatWasNotListedYetStay(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": forms["aggregated"]})
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, nil)
	b.wait("one", "net", programmed(1))
	b.taken()
	without := member.NetworkIntent{Generation: 2, Objects: b.version("net", "x")[1:]}
	b.intend("one", map[string]member.NetworkIntent{"net": without}, func(in *member.Intent) { in.Unsynced = []string{"elsewhere"} })
	b.wait("one", "net", programmed(2))
	if writes := b.taken(); len(writes) > 0 {
		t.Errorf("ignorance of member elsewhere led to %v", writes)
	}
	without.Generation = 3
	b.intend("one", map[string]member.NetworkIntent{"net": without}, nil)
	b.wait("one", "net", programmed(3))
	if writes := b.short(b.taken()); !slices.Equal(writes, []string{"delete NetworkSet netx"}) {
		t.Errorf("once it was listed: %v, want the set deleted", writes)
	}
}

func TestAMemberThatWasNotReadYetIsOnlyFreedOfWhatIsDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": forms["aggregated"]})
	b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 1, Objects: b.version("a", "x")}, "b": {Generation: 1, Objects: b.version("b", "x")}}, nil)
	b.wait("one", "a", programmed(1))
	b.wait("one", "b", programmed(1))
	b.taken()
	b.intend("one", map[string]member.NetworkIntent{"a": {Generation: 2, Remove: true}, "b": {Generation: 1, Objects: b.version("b", "y")}}, func(in *member.Intent) {
		in.Unread, in.Shared = true, in.Shared[:1] // what was compiled without the member lacks the guard
	})
	b.wait("one", "a", func(r member.Result) bool { return r.Gone })
	for _, w := range b.taken() {
		if !strings.Contains(w, ".a-flat") && !strings.Contains(w, "-ax") {
			t.Errorf("before it was read: %s", w)
		}
	}
	b.intend("one", map[string]member.NetworkIntent{"b": {Generation: 1, Objects: b.version("b", "y")}}, nil)
	b.wait("one", "b", programmed(1))
}

func TestAMemberThatIsAwayIsBroughtUpToDateWhenItReturns(t *testing.T) {
	t.Parallel()
	b := newBench(t, time.Millisecond, 100*time.Millisecond, map[string]*cluster.Cluster{"one": forms["aggregated"], "two": forms["native"]})
	b.set(func() { b.away["two"] = true })
	intents := map[string]member.Intent{}
	for _, name := range []string{"one", "two"} {
		intents[name] = member.Intent{UID: name, Shared: b.shared(), Networks: map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}}
	}
	b.manager.SetIntents(intents)
	b.wait("one", "net", programmed(1))
	if s := b.manager.Statuses()["two"]; s.Connected || s.LostSince.IsZero() {
		t.Errorf("member two says %+v, want not connected", s)
	}
	b.set(func() { b.away["two"] = false })
	b.manager.Wake()
	b.wait("two", "net", programmed(1))
}
