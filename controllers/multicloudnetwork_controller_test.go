package controllers

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
)

// stubFleet is a fleet and its workers, as a test sets them.
type stubFleet struct {
	members  []snapshot.Member
	states   map[string]fleet.State
	statuses map[string]member.Status
	intents  map[string]member.Intent // what was last asked for
}

func (f *stubFleet) Snapshot() snapshot.Fleet               { return snapshot.Fleet{Members: f.members} }
func (f *stubFleet) States() map[string]fleet.State         { return f.states }
func (f *stubFleet) Subscribe() <-chan struct{}             { return nil }
func (f *stubFleet) Wake()                                  {}
func (f *stubFleet) SetIntents(in map[string]member.Intent) { f.intents = in }
func (f *stubFleet) Statuses() map[string]member.Status     { return f.statuses }

// benchOfNetworks is a reconciler on a hub of memory, with a clock and a fleet that stand still.
type benchOfNetworks struct {
	*NetworkReconciler
	t     *testing.T
	fleet *stubFleet
	clock time.Time
}

func newBenchOfNetworks(t *testing.T, hooks interceptor.Funcs, objects ...client.Object) *benchOfNetworks {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcnv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	f := &stubFleet{states: map[string]fleet.State{}, statuses: map[string]member.Status{}}
	b := &benchOfNetworks{t: t, fleet: f, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	hub := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&mcnv1alpha1.MultiCloudNetwork{}).
		WithInterceptorFuncs(hooks).Build()
	b.start(hub)
	return b
}

// start begins a process that knows nothing but what is on the hub.
func (b *benchOfNetworks) start(hub client.Client) {
	b.NetworkReconciler = &NetworkReconciler{
		Client: hub, Reader: hub, Namespace: mcnv1alpha1.DefaultNamespace,
		Leftovers: &Leftovers{Client: hub, Reader: hub, Namespace: mcnv1alpha1.DefaultNamespace, Owner: "hub"},
		Fleet:     b.fleet, Members: b.fleet, Barrier: 30 * time.Second, Now: func() time.Time { return b.clock },
		Settings: compile.Settings{OwnerID: "hub", Tier: mcnv1alpha1.DefaultTier, TierOrder: mcnv1alpha1.DefaultTierOrder},
	}
	b.memory = b.newMemory()
}

// connect makes the fleet know members that are in order.
func (b *benchOfNetworks) connect(names ...string) {
	for _, name := range names {
		b.fleet.members = append(b.fleet.members, snapshot.Member{Name: name, Labels: map[string]string{"env": "test", "name": name}})
		b.fleet.states[name] = fleet.State{Reachable: true, Synced: true, Seen: true, CalicoReady: true, ClusterID: "id-" + name}
		b.fleet.statuses[name] = member.Status{Connected: true}
	}
}

// pass reconciles once and tells what it returned.
func (b *benchOfNetworks) pass() (ctrl.Result, error) {
	b.t.Helper()
	return b.Reconcile(context.Background(), allNetworks)
}

func (b *benchOfNetworks) mustPass() ctrl.Result {
	b.t.Helper()
	out, err := b.pass()
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// exists tells whether a network is still there.
func (b *benchOfNetworks) exists(name string) bool {
	b.t.Helper()
	err := b.Client.Get(context.Background(), client.ObjectKey{Name: name}, &mcnv1alpha1.MultiCloudNetwork{})
	if client.IgnoreNotFound(err) != nil {
		b.t.Fatal(err)
	}
	return err == nil
}

func memberObject(name string) *mcnv1alpha1.MemberCluster {
	return &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"env": "test", "name": name}}}
}

func networkObject(name string, generation int64) *mcnv1alpha1.MultiCloudNetwork {
	return &mcnv1alpha1.MultiCloudNetwork{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation},
		Spec: mcnv1alpha1.MultiCloudNetworkSpec{
			Clusters: mcnv1alpha1.ClusterSelection{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"env": "test"}}},
			Model:    mcnv1alpha1.ModelFlat, Boundary: mcnv1alpha1.BoundaryClosed,
			Flat: &mcnv1alpha1.FlatSpec{Pods: mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}}}},
		},
	}
}

// deleted is a network that is being deleted and waits for us.
func deleted(name string, generation int64) *mcnv1alpha1.MultiCloudNetwork {
	n := networkObject(name, generation)
	n.Finalizers = []string{mcnv1alpha1.CleanupFinalizer}
	n.DeletionTimestamp = &metav1.Time{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	return n
}

func TestStartUpGraceBeginsWithTheFirstPass(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"))
	b.clock = b.clock.Add(time.Hour) // another replica led until now
	if got := b.mustPass(); got.RequeueAfter != debounce || b.fleet.intents != nil {
		t.Errorf("the first pass gave %+v and intents %v, want it to wait for member aws", got, b.fleet.intents)
	}
	b.clock = b.clock.Add(b.Barrier + time.Second)
	if b.mustPass(); b.fleet.intents == nil {
		t.Error("no intents after the barrier, want aws waited for no longer")
	}
}

func TestDeletionWaitsForMembersThatTheFleetDoesNotKnowYet(t *testing.T) {
	gcp := memberObject("gcp")
	gcp.Status.ClusterID, gcp.Status.KubernetesVersion = "id-gcp", "v1.36.3"
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), gcp, deleted("net", 2))
	b.connect("aws")
	b.fleet.statuses["aws"] = member.Status{Connected: true, Results: map[string]member.Result{"net": {Generation: 2, Gone: true}}}
	s := &scope{}
	b.memory.started = b.clock
	if err := b.read(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.statuses = b.fleet.statuses
	if left, wait := b.remains(s, s.deleting[0]); wait != b.Barrier {
		t.Errorf("remains on %v, wait %s: want to wait for gcp", left, wait)
	}
	b.clock = b.clock.Add(b.Barrier + time.Second)
	b.mustPass() // writes the status
	b.mustPass()
	if left := b.Leftovers.of("id-gcp"); b.exists("net") || left.Networks["net"].Generation != 2 {
		t.Errorf("exists: %v, leftovers: %+v; want the network gone, and gcp remembered", b.exists("net"), left)
	}
}

func TestDeletionIgnoresWhatWasGoneBeforeIt(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), deleted("net", 3))
	b.connect("aws")
	tell := func(generation int64) {
		b.fleet.statuses["aws"] = member.Status{Connected: true, Results: map[string]member.Result{"net": {Generation: generation, Gone: true}}}
	}
	tell(2)
	if b.mustPass(); !b.exists("net") {
		t.Error("the network went by a report about an earlier generation")
	}
	tell(3)
	if b.mustPass(); b.exists("net") {
		t.Error("the network is still there after it was gone from its only member")
	}
}

func TestANetworkThatCannotBeWrittenStopsNoOther(t *testing.T) {
	refuse := func(obj client.Object) error {
		switch obj.GetName() {
		case "bad", "bad-deleted":
			return apierrors.NewInternalError(errors.New("the test refuses to write it"))
		case "vanished":
			return apierrors.NewNotFound(schema.GroupResource{Resource: "multicloudnetworks"}, obj.GetName())
		}
		return nil
	}
	hooks := interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := refuse(obj); err != nil {
				return err
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if err := refuse(obj); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	}
	b := newBenchOfNetworks(t, hooks, memberObject("aws"), networkObject("bad", 1), networkObject("vanished", 1), networkObject("good", 1),
		deleted("bad-deleted", 2), deleted("deleted", 2))
	b.connect("aws")
	b.fleet.statuses["aws"] = member.Status{Connected: true, Results: map[string]member.Result{
		"good": {Generation: 1, Programmed: true}, "bad-deleted": {Generation: 2, Gone: true}, "deleted": {Generation: 2, Gone: true},
	}}
	for range 3 {
		if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), `"bad"`) {
			t.Errorf("the pass gave %v, want it to name network bad", err)
		}
	}
	var good mcnv1alpha1.MultiCloudNetwork
	if err := b.Client.Get(t.Context(), client.ObjectKey{Name: "good"}, &good); err != nil {
		t.Fatal(err)
	}
	if len(good.Finalizers) == 0 || good.Status.Summary.Clusters != "1/1" || b.exists("deleted") {
		t.Errorf("network good is %+v and deleted exists: %v; want all done for them", good, b.exists("deleted"))
	}
	intents := b.fleet.intents["aws"].Networks
	if _, ok := intents["good"]; !ok || len(intents) > 2 {
		t.Errorf("intents are for %v, want good, and bad-deleted as long as it is there", slices.Collect(maps.Keys(intents)))
	}
}

// policyNames are the names of the policies in a member's last intent for network net.
func (b *benchOfNetworks) policyNames(name string) []string {
	var out []string
	for _, o := range b.fleet.intents[name].Networks["net"].Objects {
		if o.Role != compile.RoleSet {
			out = append(out, o.Resource.GetName())
		}
	}
	slices.Sort(out)
	return out
}

// addresses are those of all sets in a member's last intent for network net.
func (b *benchOfNetworks) addresses(name string) string {
	var out []string
	for _, o := range b.fleet.intents[name].Networks["net"].Objects {
		if set, ok := o.Resource.(*calicov3.GlobalNetworkSet); ok {
			out = append(out, set.Spec.Nets...)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// update changes an object of the hub.
func update[T client.Object](b *benchOfNetworks, name string, into T, change func(T)) {
	b.t.Helper()
	if err := b.Client.Get(context.Background(), client.ObjectKey{Name: name}, into); err != nil {
		b.t.Fatal(err)
	}
	change(into)
	if err := b.Client.Update(context.Background(), into); err != nil {
		b.t.Fatal(err)
	}
}

func TestSetsOfAHeldMemberFollowThePoliciesThatStandThere(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), memberObject("gcp"), networkObject("net", 1))
	b.connect("aws", "gcp")
	pod := func(name, address string) snapshot.Pod {
		return snapshot.Pod{Namespace: "pay", Name: name, Labels: map[string]string{"app": name}, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	gcp := &b.fleet.members[1]
	gcp.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	gcp.Namespaces = []snapshot.Namespace{{Name: "pay", Labels: map[string]string{"team": "pay"}}}
	gcp.Pods = []snapshot.Pod{pod("web", "10.2.0.1")}
	b.mustPass()
	policies := b.policyNames("aws")

	update(b, "aws", &mcnv1alpha1.MemberCluster{}, func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesHeld })
	update(b, "net", &mcnv1alpha1.MultiCloudNetwork{}, func(n *mcnv1alpha1.MultiCloudNetwork) {
		n.Generation, n.Spec.Flat.Pods.PodSelector = 2, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "none"}}
	})
	gcp.Pods = append(gcp.Pods, pod("db", "10.2.0.2"))
	b.mustPass()
	if got := b.policyNames("aws"); !slices.Equal(got, policies) || b.fleet.intents["aws"].Networks["net"].Generation != 1 {
		t.Errorf("policies for aws went from %v to %v while held", policies, got)
	}
	if got := b.addresses("aws"); got != "10.2.0.1/32 10.2.0.2/32" {
		t.Errorf("the sets on aws hold %q, want the new pod with the old one", got)
	}
	if slices.Equal(b.policyNames("gcp"), policies) {
		t.Error("the change did not reach gcp, which is not held")
	}

	b.fleet.members[0].Labels = map[string]string{"env": "other"}
	b.mustPass()
	if b.fleet.intents["aws"].Networks["net"].Remove {
		t.Error("another label took the network away from aws while held")
	}

	update(b, "aws", &mcnv1alpha1.MemberCluster{}, func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesAutomatic })
	b.mustPass()
	if !b.fleet.intents["aws"].Networks["net"].Remove {
		t.Error("the network stays on aws although it is not held any more")
	}
}
