package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/controllers"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// change edits a network's spec.
func (f *fleetOfTest) change(name string, edit func(*mcnv1alpha1.MultiCloudNetworkSpec)) {
	f.t.Helper()
	n := f.network(name)
	base := client.MergeFrom(n.DeepCopy())
	edit(&n.Spec)
	if err := f.hub.Patch(f.t.Context(), n, base); err != nil {
		f.t.Fatal(err)
	}
}

// changeMember edits a MemberCluster.
func (f *fleetOfTest) changeMember(name string, edit func(*mcnv1alpha1.MemberCluster)) {
	f.t.Helper()
	m := &mcnv1alpha1.MemberCluster{}
	if err := f.hub.Get(f.t.Context(), client.ObjectKey{Name: name}, m); err != nil {
		f.t.Fatal(err)
	}
	base := client.MergeFrom(m.DeepCopy())
	edit(m)
	if err := f.hub.Patch(f.t.Context(), m, base); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleetOfTest) delete(object client.Object) {
	f.t.Helper()
	if err := f.hub.Delete(f.t.Context(), object); err != nil {
		f.t.Fatal(err)
	}
}

// policies lists a member's policies of ours by name, without the guard.
func (f *fleetOfTest) policies(member string) []string {
	f.t.Helper()
	return slices.DeleteFunc(f.ours(member), func(o string) bool {
		return !strings.Contains(o, "NetworkPolicy ") || strings.Contains(o, ".guard-")
	})
}

func (f *fleetOfTest) clusterStatus(network, member string) mcnv1alpha1.ClusterStatus {
	f.t.Helper()
	for _, c := range f.network(network).Status.Clusters {
		if c.Name == member {
			return c
		}
	}
	return mcnv1alpha1.ClusterStatus{}
}

func TestNetworksLiveThroughChangesOfTheirFleet(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"aws": cluster.Aggregated, "gcp": cluster.Native})
	for name := range f.members {
		f.pod(name, "pay", "web", map[string]string{"app": "web"}, strings.Replace(string(podCIDR(name)), "0.0/16", "1.1", 1))
	}
	stop := f.startOperator()
	f.create(f.hub, flatNetwork("net", nil))
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	good := f.policies("aws")

	invalid := func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Flat.Pods.PodSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like", Values: []string{"web"}}}}
	}
	valid := func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Flat.Pods.PodSelector = nil }

	t.Run("an invalid spec leaves the last good state in force", func(t *testing.T) { checkAnInvalidSpecLeavesTheLastGoodStateInForce(t, f, good, invalid) })
	t.Run("after a restart too", func(t *testing.T) { checkAfterARestartToo(t, f, &stop, valid) })
	t.Run("held on a member", func(t *testing.T) { checkHeldOnAMember(t, f, good) })
	t.Run("staged on one member", func(t *testing.T) { checkStagedOnOneMember(t, f) })
	t.Run("a member that is selected no more is left clean", func(t *testing.T) { checkAMemberThatIsSelectedNoMoreIsLeftClean(t, f) })
	t.Run("a member that is unregistered is left clean", func(t *testing.T) { checkAMemberThatIsUnregisteredIsLeftClean(t, f) })
	t.Run("orphaned, its objects stay", func(t *testing.T) { checkOrphanedItsObjectsStay(t, f) })
}

func checkAnInvalidSpecLeavesTheLastGoodStateInForce(t *testing.T, f *fleetOfTest, good []string, invalid func(*mcnv1alpha1.MultiCloudNetworkSpec)) {
	t.Helper()
	f.change("net", invalid)
	n := f.waitCondition("net", mcnv1alpha1.ConditionAccepted, metav1.ConditionFalse, mcnv1alpha1.ReasonInvalid)
	if c := apimeta.FindStatusCondition(n.Status.Conditions, mcnv1alpha1.ConditionStalled); c == nil || !strings.Contains(c.Message, "generation 1 stays in force") {
		t.Errorf("Stalled is %+v, want it to name the generation in force", c)
	}
	if now := f.policies("aws"); !slices.Equal(now, good) {
		t.Errorf("policies went from %v to %v", good, now)
	}
}

func checkAfterARestartToo(t *testing.T, f *fleetOfTest, stop *func(), valid func(*mcnv1alpha1.MultiCloudNetworkSpec)) {
	t.Helper()
	before, _ := oursOn(t.Context(), f.clients["aws"])
	(*stop)()
	*stop = f.startOperator()
	f.create(f.hub, flatNetwork("second", nil))
	f.waitCondition("second", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	after, _ := oursOn(t.Context(), f.clients["aws"])
	for key, version := range before {
		if after[key] != version {
			t.Errorf("%s went from %s to %s", key, version, after[key])
		}
	}
	f.delete(f.network("second"))
	eventually(t, "network second to be gone", func() string { return f.gone("second") })
	eventually(t, "aws to hold what it held", func() string {
		if now, _ := oursOn(t.Context(), f.clients["aws"]); !maps.Equal(before, now) {
			return fmt.Sprint(now)
		}
		return ""
	})
	f.change("net", valid)
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
}

func checkHeldOnAMember(t *testing.T, f *fleetOfTest, good []string) {
	t.Helper()
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesHeld })
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Boundary = mcnv1alpha1.BoundaryOpen })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonHeld)
	// The other member may still be written to when the first one is known to be held.
	eventually(t, "one member to be held and the other to have the change", func() string {
		if s := f.network("net").Status.Summary; s.Held != 1 || s.Clusters != "1/2" {
			return fmt.Sprintf("summary %+v", s)
		}
		return ""
	})
	if now := f.policies("aws"); !slices.Equal(now, good) {
		t.Errorf("policies went from %v to %v while held", good, now)
	}
	checkHeldKeepsItsGroups(t, f, good)
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Spec.Updates = mcnv1alpha1.UpdatesAutomatic })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if now := f.policies("aws"); slices.Equal(now, good) {
		t.Error("policies are still those from before")
	}
}

// checkHeldKeepsItsGroups changes which pods the network picks: the sets of the policies that stand on the held member keep following the pods. Then it
// takes the label away that the network selects: they stay all the same.
func checkHeldKeepsItsGroups(t *testing.T, f *fleetOfTest, good []string) {
	t.Helper()
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Flat.Pods.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	})
	late := strings.Replace(string(podCIDR("gcp")), "0.0/16", "1.9", 1)
	f.pod("gcp", "pay", "late", map[string]string{"app": "late"}, late)
	holds := func() string {
		var sets calicov3.GlobalNetworkSetList
		if err := f.clients["aws"].List(t.Context(), &sets); err != nil {
			return err.Error()
		}
		for _, set := range sets.Items {
			if netsHold(set.Spec.Nets, late) {
				return ""
			}
		}
		return fmt.Sprint(sets.Items)
	}
	eventually(t, "a pod of the old selection in a set of the held member", holds)
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Labels["env"] = "other" })
	eventually(t, "the network to span gcp alone", func() string { return strings.TrimPrefix(f.network("net").Status.Summary.Clusters, "1/1") })
	if now := f.policies("aws"); !slices.Equal(now, good) || holds() != "" {
		t.Errorf("policies went from %v to %v while held, or the sets changed: %s", good, now, holds())
	}
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Labels["env"] = "test" })
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Flat.Pods.PodSelector = nil })
}

func checkStagedOnOneMember(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Boundary = mcnv1alpha1.BoundaryClosed
		s.StagedClusters = &metav1.LabelSelector{MatchLabels: map[string]string{"name": "gcp"}}
	})
	n := f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if n.Status.Mode != mcnv1alpha1.ModeMixed || f.clusterStatus("net", "gcp").Mode != mcnv1alpha1.ModeStaged {
		t.Errorf("mode is %s and %s on gcp, want Mixed and Staged", n.Status.Mode, f.clusterStatus("net", "gcp").Mode)
	}
	for _, p := range f.policies("gcp") {
		if !strings.HasPrefix(p, "StagedGlobalNetworkPolicy ") {
			t.Errorf("gcp holds %s, want Staged kinds alone", p)
		}
	}
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.StagedClusters = nil })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
}

func checkAMemberThatIsSelectedNoMoreIsLeftClean(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Clusters.Selector.MatchLabels = map[string]string{"name": "aws"}
	})
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	eventually(t, "gcp to be empty", func() string { return strings.Join(f.ours("gcp"), ", ") })
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Clusters.Selector.MatchLabels = map[string]string{"env": "test"}
	})
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
}

func checkAMemberThatIsUnregisteredIsLeftClean(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.delete(&mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "gcp"}})
	eventually(t, "gcp to be unregistered", func() string {
		if err := f.hub.Get(t.Context(), client.ObjectKey{Name: "gcp"}, &mcnv1alpha1.MemberCluster{}); !apierrors.IsNotFound(err) {
			return fmt.Sprint(err)
		}
		return ""
	})
	if left := f.ours("gcp"); len(left) > 0 {
		t.Errorf("gcp still holds %v", left)
	}
	eventually(t, "the network to span one cluster", func() string {
		if s := f.network("net").Status.Summary; s.Clusters != "1/1" {
			return s.Clusters
		}
		return ""
	})
}

func checkOrphanedItsObjectsStay(t *testing.T, f *fleetOfTest) {
	t.Helper()
	before := f.ours("aws")
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.DeletionPolicy = mcnv1alpha1.DeletionOrphan })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.delete(f.network("net"))
	eventually(t, "network net to be gone", func() string { return f.gone("net") })
	f.create(f.hub, flatNetwork("last", nil))
	f.waitCondition("last", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.delete(f.network("last"))
	eventually(t, "network last to be gone", func() string { return f.gone("last") })
	if now := f.ours("aws"); !slices.Equal(before, now) {
		t.Errorf("aws went from %v to %v, want the orphans, the tier and the guard to stay", before, now)
	}
}

func TestAClusterOutOfReachIsToldAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"aws": cluster.Native, "gcp": cluster.Native})
	// Long enough for a busy machine to tell, meanwhile, whom a network waits for.
	operator.Run(t, f.cfg, operator.Options{Options: controllers.Options{Barrier: 20 * time.Second}})
	f.create(f.hub, flatNetwork("net", nil))
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if err := f.members["gcp"].StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gcp to be known as out of reach", func() string {
		if s := f.network("net").Status.Summary; s.Unreachable != 1 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	if n := f.network("net"); !apimeta.IsStatusConditionTrue(n.Status.Conditions, mcnv1alpha1.ConditionReady) {
		t.Errorf("the spec has not changed and gcp holds it, but the status is %+v", n.Status)
	}
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Boundary = mcnv1alpha1.BoundaryOpen })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionUnknown, mcnv1alpha1.ReasonClusterUnreachable)
	eventually(t, "aws to be programmed", func() string {
		if c := f.clusterStatus("net", "aws"); c.Programmed != metav1.ConditionTrue {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	if c := f.clusterStatus("net", "gcp"); c.Programmed != metav1.ConditionUnknown || c.StaleSince == nil {
		t.Errorf("gcp is told as %+v, want Unknown since some time", c)
	}

	f.delete(f.network("net"))
	eventually(t, "network net to be gone", func() string { return f.gone("net") })
	if left := f.ours("aws"); len(left) > 0 {
		t.Errorf("aws still holds %v", left)
	}
	if err := f.members["gcp"].StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gcp to be cleaned when it returns", func() string { return strings.Join(f.ours("gcp"), ", ") })
	checkAClusterThatWasNeverConnected(t, f)
}

// checkAClusterThatWasNeverConnected registers a member whose Secret is not there: nothing is claimed of it, and while the others wait for it, status says so.
func checkAClusterThatWasNeverConnected(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.create(f.hub, &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "never", Labels: map[string]string{"env": "test"}},
		Spec: mcnv1alpha1.MemberClusterSpec{Access: mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{
			SecretRef: mcnv1alpha1.SecretKeyReference{Name: "never", Key: "kubeconfig"}}}},
	})
	f.create(f.hub, flatNetwork("late", nil)) // at once: others wait for a member no longer than the barrier, counted from when it is first known
	eventually(t, "status to say that aws and gcp wait for never, and until when", func() string {
		c := apimeta.FindStatusCondition(f.network("late").Status.Conditions, mcnv1alpha1.ConditionReady)
		if c == nil || !strings.Contains(c.Message, "meanwhile aws, gcp: waiting for cluster never until 20") {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
	eventually(t, "aws and gcp to go on without never", func() string { return strings.TrimPrefix(f.network("late").Status.Summary.Clusters, "2/3") })
	if c := f.clusterStatus("late", "never"); c.StaleSince != nil || !strings.Contains(c.Message, "never been connected") || strings.Contains(c.Message, "stays in force") {
		t.Errorf("never is told as %+v, want nothing claimed to stand there", c)
	}
	f.waitMember("never", mcnv1alpha1.ConditionReady, mcnv1alpha1.ReasonSecretNotFound, "never")
	if m := f.member("never"); m.Status.StaleSince != nil {
		t.Errorf("never was never seen, and its status says stale since %v", m.Status.StaleSince)
	}
}
