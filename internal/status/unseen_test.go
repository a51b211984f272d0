package status_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/status"
)

func TestOfAClusterThatWasNeverConnectedNothingIsClaimed(t *testing.T) {
	for name, tc := range map[string]struct {
		cluster  status.ClusterFacts
		deleting bool
		want     string
	}{
		"never connected": {cluster: unseen("new"),
			want: "the cluster has never been connected (connection refused); nothing of the network is known to stand there, and it is written when the cluster connects"},
		"a source": {cluster: with(unseen("new"), func(c *status.ClusterFacts) { c.Role = mcnv1alpha1.RoleSource }),
			want: "the cluster has never been connected (connection refused); no address of its pods is known"},
		"registered before, and left": {cluster: with(unseen("new"), func(c *status.ClusterFacts) { c.Left = true }),
			want: "the cluster has never been connected (connection refused) since it was registered; what an earlier registration of it left there stays until it connects"},
		"being deleted": {cluster: unseen("new"), deleting: true,
			want: "the cluster has never been connected (connection refused); nothing of the network is known to stand there"},
		"lost": {cluster: away("old", 1),
			want: "the cluster is out of reach (connection refused); what was written there stays in force, and the current spec is written when it returns"},
	} {
		t.Run(name, func(t *testing.T) {
			got := status.Network(status.NetworkFacts{Generation: 2, Now: early, Deleting: tc.deleting, Clusters: []status.ClusterFacts{tc.cluster}}).Clusters[0]
			if got.Message != tc.want || got.Programmed != metav1.ConditionUnknown {
				t.Errorf("programmed is %s: %q, want Unknown: %q", got.Programmed, got.Message, tc.want)
			}
			if unseen := tc.cluster.Unseen; unseen != (got.StaleSince == nil) {
				t.Errorf("staleSince is %v of a cluster that was never seen: %v", got.StaleSince, unseen)
			}
		})
	}
}

func TestADeletionClaimsNothingOfAClusterThatWasNeverConnected(t *testing.T) {
	got := status.Network(status.NetworkFacts{Generation: 2, Now: early, Deleting: true, Clusters: []status.ClusterFacts{away("old", 2), unseen("new")}})
	want := "the network is being removed; out of reach, and waited for no longer than --barrier: old; what was written there stays until they return; " +
		"never connected, and waited for no longer than --barrier: new; nothing of the network is known to stand there"
	if c := meta.FindStatusCondition(got.Conditions, mcnv1alpha1.ConditionReady); c.Message != want {
		t.Errorf("Ready says %q, want %q", c.Message, want)
	}
}

// TestThatANameWasProgrammedOnceSaysNothingOfANewRegistration: status of an earlier object may still name a cluster that another one stands for now.
func TestThatANameWasProgrammedOnceSaysNothingOfANewRegistration(t *testing.T) {
	facts := status.NetworkFacts{Generation: 2, Now: early, Clusters: []status.ClusterFacts{done("a")}}
	facts.Previous = status.Network(facts)
	facts.Clusters[0] = unseen("a")
	if got := status.Network(facts).Clusters[0]; got.Programmed != metav1.ConditionUnknown {
		t.Errorf("programmed is %s on a cluster that was never connected, want Unknown", got.Programmed)
	}
}

func TestStatusNamesWhomANetworkWaitsFor(t *testing.T) {
	const waits = "waiting for cluster new until 2026-01-01T00:00:30Z at the latest (--barrier)"
	waiting := func(name string) status.ClusterFacts {
		return with(failing(name, mcnv1alpha1.ReasonProgressing, "6 of 9 objects are in place; at denials, "+waits), func(c *status.ClusterFacts) { c.Report.Waits = waits })
	}
	facts := status.NetworkFacts{Generation: 2, Now: early, Clusters: []status.ClusterFacts{waiting("a"), waiting("b"), unseen("new")}}
	got := status.Network(facts)
	c := meta.FindStatusCondition(got.Conditions, mcnv1alpha1.ConditionReady)
	if c.Reason != string(mcnv1alpha1.ReasonClusterUnreachable) || !strings.HasSuffix(c.Message, "; meanwhile a, b: "+waits) {
		t.Errorf("Ready is %s: %q; want it to say that a and b wait, for whom and until when", c.Reason, c.Message)
	}
	facts.Clusters = facts.Clusters[:2]
	c = meta.FindStatusCondition(status.Network(facts).Conditions, mcnv1alpha1.ConditionReady)
	if strings.Count(c.Message, waits) != 1 {
		t.Errorf("Ready says %q, want it once for whom they wait", c.Message)
	}
	facts.Clusters = append(facts.Clusters, with(waiting("c"), func(c *status.ClusterFacts) { c.Reachable = false }))
	c = meta.FindStatusCondition(status.Network(facts).Conditions, mcnv1alpha1.ConditionReady)
	if strings.Contains(c.Message, "meanwhile a, b, c") {
		t.Errorf("Ready says %q of c, which nobody can write to", c.Message)
	}
}
