package controllers

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
)

// payPod is a pod of the network of networkObject, with an app label of its name.
func payPod(name, address string) snapshot.Pod {
	return snapshot.Pod{Namespace: "pay", Name: name, Labels: map[string]string{"app": name}, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
}

// populate gives member gcp a pod.
func (b *benchOfNetworks) populate() *snapshot.Member {
	gcp := &b.fleet.members[1]
	gcp.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	gcp.Namespaces = []snapshot.Namespace{{Name: "pay", Labels: map[string]string{"team": "pay"}}}
	gcp.Pods = []snapshot.Pod{payPod("web", "10.2.0.1")}
	return gcp
}

// withUID gives an object the UID that an API server would have given it.
func withUID[T client.Object](object T) T {
	object.SetUID(types.UID("uid-of-" + object.GetName()))
	return object
}

// recorded lists the generations of specs that are recorded, and the members that are.
func (b *benchOfNetworks) recorded() (generations []int64, members []string) {
	b.t.Helper()
	var list appsv1.ControllerRevisionList
	if err := b.Client.List(b.t.Context(), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, object := range list.Items {
		if object.Labels[recordLabel] == recordSpec {
			generations = append(generations, object.Revision)
			continue
		}
		var held heldRecord
		if err := json.Unmarshal(object.Data.Raw, &held); err != nil {
			b.t.Fatal(err)
		}
		members = append(members, held.Member)
	}
	slices.Sort(generations)
	return generations, members
}

func TestASpecThatIsHeldBackCountsAcrossARestart(t *testing.T) {
	never := func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Flat.Pods.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "none"}}
	}
	for name, tc := range map[string]struct {
		change  func(*mcnv1alpha1.MultiCloudNetworkSpec)
		release func(*mcnv1alpha1.MultiCloudNetworkSpec)
	}{
		"Held": {
			change:  func(s *mcnv1alpha1.MultiCloudNetworkSpec) { never(s); s.Updates = mcnv1alpha1.UpdatesHeld },
			release: func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Updates = mcnv1alpha1.UpdatesAutomatic },
		},
		"invalid": {
			change: func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
				s.Flat.Pods.PodSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like", Values: []string{"x"}}}}
			},
			release: never,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), memberObject("gcp"), withUID(networkObject("net", 1)))
			b.connect("aws", "gcp")
			gcp := b.populate()
			b.mustPass()
			policies := b.policyNames("aws")
			update(b, "net", &mcnv1alpha1.MultiCloudNetwork{}, func(n *mcnv1alpha1.MultiCloudNetwork) { n.Generation = 2; tc.change(&n.Spec) })
			b.mustPass()
			b.start(b.Client)
			gcp.Pods = append(gcp.Pods, payPod("db", "10.2.0.2"))
			b.mustPass()
			if got := b.policyNames("aws"); !slices.Equal(got, policies) || b.addresses("aws") != "10.2.0.1/32 10.2.0.2/32" {
				t.Errorf("after a restart policies went from %v to %v, and the sets hold %q; want the old policies with both pods", policies, got, b.addresses("aws"))
			}
			if got, _ := b.recorded(); !slices.Equal(got, []int64{1}) {
				t.Errorf("recorded are generations %v, want 1 alone", got)
			}
			update(b, "net", &mcnv1alpha1.MultiCloudNetwork{}, func(n *mcnv1alpha1.MultiCloudNetwork) { n.Generation = 3; tc.release(&n.Spec) })
			b.mustPass()
			if got, _ := b.recorded(); slices.Equal(b.policyNames("aws"), policies) || !slices.Equal(got, []int64{3}) {
				t.Errorf("recorded are generations %v and the policies %v, want generation 3 in force and recorded alone", got, b.policyNames("aws"))
			}
		})
	}
}

func TestWhatCountsForAHeldMemberCountsAcrossARestart(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, withUID(memberObject("aws")), memberObject("gcp"), withUID(networkObject("net", 1)))
	b.connect("aws", "gcp")
	gcp := b.populate()
	b.mustPass()
	policies := b.policyNames("aws")
	update(b, "aws", &mcnv1alpha1.MemberCluster{}, func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesHeld })
	update(b, "net", &mcnv1alpha1.MultiCloudNetwork{}, func(n *mcnv1alpha1.MultiCloudNetwork) {
		n.Generation, n.Spec.Flat.Pods.PodSelector = 2, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "none"}}
	})
	b.mustPass()
	b.fleet.members[0].Labels = map[string]string{"env": "other"}
	b.start(b.Client)
	gcp.Pods = append(gcp.Pods, payPod("db", "10.2.0.2"))
	for range 2 {
		b.mustPass()
		if got := b.policyNames("aws"); !slices.Equal(got, policies) || b.addresses("aws") != "10.2.0.1/32 10.2.0.2/32" {
			t.Errorf("after a restart policies for aws went from %v to %v, and the sets hold %q; want those from before with both pods", policies, got, b.addresses("aws"))
		}
	}
	if generations, members := b.recorded(); !slices.Equal(generations, []int64{1, 2}) || !slices.Equal(members, []string{"aws"}) {
		t.Errorf("recorded are generations %v and members %v, want both generations and aws", generations, members)
	}
	update(b, "aws", &mcnv1alpha1.MemberCluster{}, func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesAutomatic })
	b.mustPass()
	if generations, members := b.recorded(); !slices.Equal(generations, []int64{2}) || len(members) > 0 || !b.fleet.intents["aws"].Networks["net"].Remove {
		t.Errorf("recorded are generations %v and members %v, want generation 2 alone, and the network off aws", generations, members)
	}
}

func TestARestartRecordsNothingAnew(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), withUID(networkObject("net", 1)))
	b.connect("aws")
	b.mustPass()
	var before, after appsv1.ControllerRevisionList
	if err := b.Client.List(t.Context(), &before); err != nil {
		t.Fatal(err)
	}
	b.start(b.Client)
	b.mustPass()
	if err := b.Client.List(t.Context(), &after); err != nil || len(after.Items) != 1 || before.Items[0].ResourceVersion != after.Items[0].ResourceVersion {
		t.Errorf("records went from %v to %v (%v)", before.Items, after.Items, err)
	}
}

// lose makes a member unreachable, for longer than anybody waits.
func (b *benchOfNetworks) lose(name string) {
	b.fleet.states[name] = fleet.State{Synced: true, Seen: true, Reason: mcnv1alpha1.ReasonConnectionFailed, ClusterID: b.fleet.states[name].ClusterID}
	b.fleet.statuses[name] = member.Status{LostSince: b.clock.Add(-time.Hour)}
}

func TestLeftoversAreRemovedWhenTheClusterReturnsUnderAnyName(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), deleted("net", 2))
	b.connect("aws")
	b.lose("aws")
	b.mustPass() // writes the status
	b.mustPass()
	if b.exists("net") {
		t.Fatal("the network is held up by a member that is out of reach")
	}
	b.start(b.Client)
	b.fleet.members, b.fleet.statuses = nil, map[string]member.Status{}
	if err := b.Client.Delete(t.Context(), memberObject("aws")); err != nil {
		t.Fatal(err)
	}
	if err := b.Client.Create(t.Context(), memberObject("renamed")); err != nil {
		t.Fatal(err)
	}
	b.connect("renamed")
	b.fleet.states["renamed"] = fleet.State{Reachable: true, Synced: true, CalicoReady: true, ClusterID: "id-aws"}
	b.mustPass()
	intent := b.fleet.intents["renamed"]
	if got := intent.Networks["net"]; !got.Remove || !got.Deleted || got.Generation != 2 || intent.Reclaim != "" {
		t.Fatalf("the intent is %+v, want the removal of net and nothing else", intent)
	}
	b.fleet.statuses["renamed"] = member.Status{Connected: true, Results: map[string]member.Result{"net": {Generation: 2, Gone: true}}}
	b.mustPass()
	b.mustPass()
	var object corev1.ConfigMap
	err := b.Client.Get(t.Context(), client.ObjectKey{Namespace: b.Namespace, Name: leftoversName}, &object)
	if err != nil || len(object.Data) > 0 || len(b.fleet.intents["renamed"].Networks) > 0 {
		t.Errorf("after the removal %v is recorded (%v), and wanted is %+v", object.Data, err, b.fleet.intents["renamed"].Networks)
	}
}

func TestANetworkThatExistsAgainRulesOverLeftovers(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), memberObject("gcp"), deleted("net", 2))
	b.connect("aws", "gcp")
	b.lose("aws")
	b.lose("gcp")
	b.mustPass() // writes the status
	b.mustPass()
	again := networkObject("net", 1)
	again.Spec.Clusters.Selector.MatchLabels = map[string]string{"name": "aws"}
	if err := b.Client.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	b.mustPass()
	if got := b.fleet.intents["aws"].Networks["net"]; got.Remove {
		t.Errorf("aws is to have %+v, want the network that selects it", got)
	}
	if got := b.fleet.intents["gcp"].Networks["net"]; !got.Deleted {
		t.Errorf("gcp is to have %+v, want the former network removed", got)
	}
	if aws, gcp := b.Leftovers.of("id-aws"), b.Leftovers.of("id-gcp"); !aws.empty() || gcp.Networks["net"].Generation != 2 {
		t.Errorf("recorded are %+v on aws and %+v on gcp, want gcp alone", aws, gcp)
	}
}

func TestAFullRecordHoldsTheFinalizerAndIsTold(t *testing.T) {
	full := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: mcnv1alpha1.DefaultNamespace, Name: leftoversName}, Data: map[string]string{"old": strings.Repeat("x", maxLeftovers)},
	}
	b := newBenchOfNetworks(t, interceptor.Funcs{}, full, memberObject("aws"), deleted("net", 2))
	b.connect("aws")
	b.lose("aws")
	b.mustPass()
	if got := b.mustPass(); got.RequeueAfter != b.Barrier {
		t.Errorf("it is tried again after %s, want the barrier", got.RequeueAfter)
	}
	var n mcnv1alpha1.MultiCloudNetwork
	if err := b.Client.Get(t.Context(), client.ObjectKey{Name: "net"}, &n); err != nil {
		t.Fatalf("the network went without a record: %v", err)
	}
	if message := n.Status.Conditions[0].Message + n.Status.Conditions[1].Message; !strings.Contains(message, leftoversName+" is full") {
		t.Errorf("status says %+v, want it to say what holds it up", n.Status.Conditions)
	}
	full.Data = nil
	if err := b.Client.Update(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if b.mustPass(); b.exists("net") {
		t.Error("the network stays although there is room now")
	}
}

func TestEverythingUnknownIsReclaimedOfAMemberThatWasDeregistered(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), networkObject("net", 1))
	b.connect("aws")
	all := b.Leftovers.note(b.clock, 0)
	edit := map[string]func(*clusterLeftovers){"id-aws": func(c *clusterLeftovers) { c.All = &all }}
	if err := b.Leftovers.change(t.Context(), edit); err != nil {
		t.Fatal(err)
	}
	b.start(b.Client)
	b.mustPass()
	if got := b.fleet.intents["aws"]; got.Reclaim != "id-aws" || got.Networks["net"].Remove {
		t.Errorf("the intent is %+v, want what is unknown reclaimed and net written", got)
	}
	b.fleet.statuses["aws"] = member.Status{Connected: true, Reclaimed: "id-aws"}
	b.mustPass()
	b.mustPass()
	if got := b.fleet.intents["aws"]; got.Reclaim != "" || !b.Leftovers.of("id-aws").empty() {
		t.Errorf("after that the intent is %+v and recorded is %+v", got, b.Leftovers.of("id-aws"))
	}
}

func TestRecordsOfAnotherOwnerAreLeftAlone(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"))
	b.connect("aws")
	foreign := &Leftovers{Client: b.Client, Reader: b.Client, Namespace: b.Namespace, Owner: "another"}
	note := foreign.note(b.clock, 0)
	edit := map[string]func(*clusterLeftovers){"id-aws": func(c *clusterLeftovers) { c.All, c.Networks["net"] = &note, note }}
	if err := foreign.change(t.Context(), edit); err != nil {
		t.Fatal(err)
	}
	b.start(b.Client)
	b.mustPass()
	if got := b.fleet.intents["aws"]; got.Reclaim != "" || len(got.Networks) > 0 || foreign.of("id-aws").All == nil {
		t.Errorf("the intent is %+v, want nothing done on another's word", got)
	}
}
