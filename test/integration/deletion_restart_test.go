package integration

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster"
)

// TestWhatIsInForceOutlivesEverythingOnTheHub restarts the operator while specs are held back, takes the hub's API server away, and in the end everything on it.
func TestWhatIsInForceOutlivesEverythingOnTheHub(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"aws": cluster.Aggregated, "gcp": cluster.Native})
	for name := range f.members {
		f.pod(name, "pay", "web", map[string]string{"app": "web"}, strings.Replace(string(podCIDR(name)), "0.0/16", "1.1", 1))
	}
	stop := f.startOperator()
	f.create(f.hub, flatNetwork("net", nil))
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	for _, step := range []struct {
		name  string
		check func(*testing.T, *fleetOfTest, *func())
	}{
		{"a spec that is Held, after a restart", checkHeldAfterARestart},
		{"a member that is Held, after a restart", checkAHeldMemberAfterARestart},
		{"a spec that is invalid, after a restart", checkInvalidAfterARestart},
		{"two networks that claim one pod", checkTwoNetworksThatClaimOnePod},
		{"a hub that is down", checkAHubThatIsDown},
		{"a hub that is empty", checkAHubThatIsEmpty},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.check(t, f, &stop) }) {
			return
		}
	}
}

// onlyWeb is a spec that picks fewer pods than flatNetwork's.
func onlyWeb(s *mcnv1alpha1.MultiCloudNetworkSpec) {
	s.Flat.Pods.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
}

// versions are the policies on a member with UID and resourceVersion: equal ones were not touched.
func (f *fleetOfTest) versions(member string) map[string]string {
	f.t.Helper()
	out, err := oursOn(f.t.Context(), f.clients[member])
	if err != nil {
		f.t.Fatal(err)
	}
	maps.DeleteFunc(out, func(key, _ string) bool { return strings.HasPrefix(key, "GlobalNetworkSet ") })
	return out
}

// waitAddress waits for an address in a set on a member.
func (f *fleetOfTest) waitAddress(member, ip string) {
	f.t.Helper()
	eventually(f.t, ip+" in a set on "+member, func() string {
		var sets calicov3.GlobalNetworkSetList
		if err := f.clients[member].List(f.t.Context(), &sets); err != nil {
			return err.Error()
		}
		for _, s := range sets.Items {
			if netsHold(s.Spec.Nets, ip) {
				return ""
			}
		}
		return fmt.Sprint(sets.Items)
	})
}

// arrives makes a pod of the network appear on gcp, and waits until its address is in a set on aws. The pod is no web, so that a spec narrowed to those would leave it out.
func (f *fleetOfTest) arrives(name, ip string) {
	f.t.Helper()
	f.pod("gcp", "pay", name, map[string]string{"app": name}, ip)
	f.waitAddress("aws", ip)
}

// untouched compares the policies on a member with those from before.
func (f *fleetOfTest) untouched(member, when string, before map[string]string) {
	f.t.Helper()
	if after := f.versions(member); !maps.Equal(before, after) {
		f.t.Errorf("%s the policies on %s went from %v to %v", when, member, before, after)
	}
}

func checkHeldAfterARestart(t *testing.T, f *fleetOfTest, stop *func()) {
	before := f.versions("aws")
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { onlyWeb(s); s.Updates = mcnv1alpha1.UpdatesHeld })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonHeld)
	(*stop)()
	*stop = f.startOperator()
	f.arrives("held", "10.103.2.1")
	f.untouched("aws", "after a restart while the network is Held", before)
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonHeld)
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Updates = mcnv1alpha1.UpdatesAutomatic })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if maps.Equal(before, f.versions("aws")) {
		t.Error("the change did not go out when it was let out")
	}
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Flat.Pods.PodSelector = nil })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
}

func checkAHeldMemberAfterARestart(t *testing.T, f *fleetOfTest, stop *func()) {
	before := f.versions("aws")
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesHeld })
	f.change("net", onlyWeb)
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonHeld)
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Labels["env"] = "other" })
	eventually(t, "the network to span gcp alone", func() string { return strings.TrimPrefix(f.network("net").Status.Summary.Clusters, "1/1") })
	(*stop)()
	*stop = f.startOperator()
	f.arrives("late", "10.103.2.2")
	f.untouched("aws", "after a restart while the member is Held", before)
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) {
		m.Labels["env"], m.Spec.Updates = "test", mcnv1alpha1.UpdatesAutomatic
	})
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Flat.Pods.PodSelector = nil })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	eventually(t, "the network to span both again", func() string { return strings.TrimPrefix(f.network("net").Status.Summary.Clusters, "2/2") })
}

func checkInvalidAfterARestart(t *testing.T, f *fleetOfTest, stop *func()) {
	before := map[string]map[string]string{"aws": f.versions("aws"), "gcp": f.versions("gcp")}
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Flat.Pods.PodSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like", Values: []string{"web"}}}}
	})
	f.waitCondition("net", mcnv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcnv1alpha1.ReasonInvalid)
	status := f.network("net").ResourceVersion
	(*stop)()
	*stop = f.startOperator()
	f.arrives("invalid", "10.103.2.3")
	for name, policies := range before {
		f.untouched(name, "after a restart while the spec is invalid", policies)
	}
	if c := apimeta.FindStatusCondition(f.network("net").Status.Conditions, mcnv1alpha1.ConditionStalled); c == nil || !strings.Contains(c.Message, "stays in force") {
		t.Errorf("after a restart Stalled is %+v (resourceVersion was %s), want it to name the generation in force", c, status)
	}
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Flat.Pods.PodSelector = nil })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	var records appsv1.ControllerRevisionList
	if err := f.hub.List(t.Context(), &records, client.InNamespace(operatorNamespace)); err != nil || len(records.Items) != 1 {
		t.Errorf("%d specs are recorded (%v), want the one in force", len(records.Items), err)
	}
}

// checkTwoNetworksThatClaimOnePod is the fault matrix's row F18.
func checkTwoNetworksThatClaimOnePod(t *testing.T, f *fleetOfTest, stop *func()) {
	exclusive := func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Membership = mcnv1alpha1.MembershipExclusive }
	f.create(f.hub, flatNetwork("claim-a", exclusive))
	f.waitCondition("claim-a", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.create(f.hub, flatNetwork("claim-b", exclusive))
	loser := f.waitCondition("claim-b", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	conflict := func(n *mcnv1alpha1.MultiCloudNetwork) bool {
		c := apimeta.FindStatusCondition(n.Status.Conditions, mcnv1alpha1.ConditionAccepted)
		return c != nil && strings.Contains(c.Message, string(mcnv1alpha1.WarningMembershipConflict))
	}
	// Both may bear the time of the same second; then the name decides, which is the same here.
	if winner := f.network("claim-a"); conflict(winner) || !conflict(loser) || *winner.Status.ExclusiveSlot != 0 || *loser.Status.ExclusiveSlot != 1 {
		t.Errorf("the older one says %+v, the younger one %+v; want the younger to report MembershipConflict", winner.Status, loser.Status)
	}
	before := map[string]map[string]string{"aws": f.versions("aws"), "gcp": f.versions("gcp")}
	(*stop)()
	*stop = f.startOperator()
	f.arrives("claimed", "10.103.2.4")
	f.create(f.hub, flatNetwork("passing", nil))
	f.waitCondition("passing", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.delete(f.network("passing"))
	eventually(t, "network passing to be gone", func() string { return f.gone("passing") })
	for name, policies := range before {
		f.untouched(name, "after a restart with two claims", policies)
	}
	for _, name := range []string{"claim-a", "claim-b"} {
		f.delete(f.network(name))
		eventually(t, name+" to be gone", func() string { return f.gone(name) })
	}
}

// checkAHubThatIsDown is row F22: without the hub's API server the members stay as they are, addresses keep flowing, and the operator goes on when it is back.
func checkAHubThatIsDown(t *testing.T, f *fleetOfTest, _ *func()) {
	before := map[string]map[string]string{"aws": f.versions("aws"), "gcp": f.versions("gcp")}
	if err := f.cfg.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	f.arrives("orphan", "10.103.2.5")
	for name, policies := range before {
		f.untouched(name, "without a hub", policies)
	}
	if err := f.cfg.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.arrives("after", "10.103.2.6")
	for name, policies := range before {
		f.untouched(name, "with the hub back", policies)
	}
	f.change("net", onlyWeb)
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if maps.Equal(before["aws"], f.versions("aws")) {
		t.Error("a change did not go out after the hub was back")
	}
}

// checkAHubThatIsEmpty is row F24: everything on the hub is lost, without a deletion that the operator could have seen. Nothing is removed from members, and what stands there is told. The
// network that comes again takes its own back.
func checkAHubThatIsEmpty(t *testing.T, f *fleetOfTest, stop *func()) {
	(*stop)()
	before := map[string]map[string]string{}
	for name, c := range f.clients {
		before[name], _ = oursOn(t.Context(), c)
	}
	for _, list := range []client.ObjectList{
		&mcnv1alpha1.MultiCloudNetworkList{}, &mcnv1alpha1.MemberClusterList{}, &appsv1.ControllerRevisionList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
	} {
		f.lose(list)
	}
	*stop = f.startOperator()
	for name := range f.members {
		f.register(name)
	}
	for name := range f.members {
		f.waitMember(name, mcnv1alpha1.ConditionReady, mcnv1alpha1.ReasonReady, "")
		f.waitMember(name, mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "belong to no network of this hub")
	}
	for name, c := range f.clients {
		if after, err := oursOn(t.Context(), c); err != nil || !maps.Equal(before[name], after) {
			t.Errorf("with an empty hub %s went from %v to %v (%v)", name, before[name], after, err)
		}
	}
	f.create(f.hub, flatNetwork("net", onlyWeb))
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	for name := range f.members {
		eventually(t, name+" to be accounted for", func() string {
			c := apimeta.FindStatusCondition(f.member(name).Status.Conditions, mcnv1alpha1.ConditionReachable)
			if strings.Contains(c.Message, "belong to no network") {
				return c.Message
			}
			return ""
		})
	}
}

// lose deletes all objects of a list, finalizers or not, as if they had never been.
func (f *fleetOfTest) lose(list client.ObjectList) {
	f.t.Helper()
	if err := f.hub.List(f.t.Context(), list); err != nil {
		f.t.Fatal(err)
	}
	items, err := apimeta.ExtractList(list)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, item := range items {
		o := item.(client.Object)
		if o.GetNamespace() != "" && o.GetNamespace() != operatorNamespace {
			continue
		}
		base := client.MergeFrom(o.DeepCopyObject().(client.Object))
		o.SetFinalizers(nil)
		if err := f.hub.Patch(f.t.Context(), o, base); err != nil {
			f.t.Fatal(err)
		}
		if err := f.hub.Delete(f.t.Context(), o); client.IgnoreNotFound(err) != nil {
			f.t.Fatal(err)
		}
	}
}
