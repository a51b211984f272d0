package status_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/status"
)

var (
	early = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	late  = metav1.NewTime(early.Add(time.Hour))
)

func done(name string) status.ClusterFacts {
	return status.ClusterFacts{
		Name: name, Role: mcnv1alpha1.RoleManaged, Reachable: true, CalicoReady: true,
		Report: &status.Report{Generation: 2, Programmed: true},
	}
}

func with(c status.ClusterFacts, change func(*status.ClusterFacts)) status.ClusterFacts {
	change(&c)
	return c
}

func failing(name string, reason mcnv1alpha1.Reason, message string) status.ClusterFacts {
	return with(done(name), func(c *status.ClusterFacts) {
		c.Report = &status.Report{Generation: 2, Reason: reason, Message: message}
	})
}

func away(name string, generation int64) status.ClusterFacts {
	return with(done(name), func(c *status.ClusterFacts) {
		c.Reachable, c.UnreachableMessage, c.StaleSince = false, "connection refused", &early
		c.Report.Generation = generation
	})
}

// unseen is a member that was never connected.
func unseen(name string) status.ClusterFacts {
	return with(away(name, 0), func(c *status.ClusterFacts) { c.Unseen, c.StaleSince, c.Report = true, nil, nil })
}

// line writes conditions in one line each: type=status reason.
func lines(conditions []metav1.Condition) []string {
	var out []string
	for _, kind := range []string{"Accepted", "Programmed", "Ready", "Reconciling", "Stalled"} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil {
			out = append(out, fmt.Sprintf("%s=%s %s", kind, c.Status, c.Reason))
		}
	}
	return out
}

// conditionTest is a set of facts and what is to be said of them.
type conditionTest struct {
	facts       status.NetworkFacts
	want        []string
	wantSummary string
	wantMessage string // in Ready
	wantHealth  kstatus.Status
}

var conditionTests = map[string]conditionTest{
	"all is in place": {
		wantHealth: kstatus.CurrentStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{done("a"), done("b")}},
		want:       []string{"Accepted=True Accepted", "Programmed=True Programmed", "Ready=True Ready"}, wantSummary: "2/2",
	},
	"no cluster is selected": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{},
		want:       []string{"Accepted=True Accepted", "Programmed=False NoClusters", "Ready=False NoClusters"}, wantSummary: "0/0",
		wantMessage: "label one, or change the selector",
	},
	"only Source members are selected": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) { c.Role = mcnv1alpha1.RoleSource })}},
		want:       []string{"Accepted=True Accepted", "Programmed=False NoClusters", "Ready=False NoClusters"}, wantSummary: "0/0",
	},
	"a Source member is away": {
		wantHealth: kstatus.CurrentStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{done("a"), with(away("b", 2), func(c *status.ClusterFacts) { c.Role = mcnv1alpha1.RoleSource })}},
		want:       []string{"Accepted=True Accepted", "Programmed=True Programmed", "Ready=True Ready"}, wantSummary: "1/1",
	},
	"a worker has not looked yet": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) { c.Report = nil })}},
		want:       []string{"Accepted=True Accepted", "Programmed=False Progressing", "Ready=False Progressing", "Reconciling=True Progressing"}, wantSummary: "0/1",
	},
	"a worker has not looked yet, but an earlier run of the operator has": {
		wantHealth: kstatus.CurrentStatus,
		facts: status.NetworkFacts{
			Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) { c.Report = nil })},
			Previous: mcnv1alpha1.MultiCloudNetworkStatus{ObservedGeneration: 2, Clusters: []mcnv1alpha1.ClusterStatus{
				{Name: "a", Programmed: metav1.ConditionTrue, Mode: mcnv1alpha1.ModeEnforced}}},
		},
		want: []string{"Accepted=True Accepted", "Programmed=True Programmed", "Ready=True Ready"}, wantSummary: "1/1",
	},
	"a worker speaks of the former generation": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) { c.Report.Generation = 1 })}},
		want:       []string{"Accepted=True Accepted", "Programmed=False Progressing", "Ready=False Progressing", "Reconciling=True Progressing"}, wantSummary: "0/1",
	},
	"a cluster is away that holds the current spec": {
		wantHealth: kstatus.CurrentStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{done("a"), away("b", 2)}},
		want:       []string{"Accepted=True Accepted", "Programmed=True Programmed", "Ready=True Ready"}, wantSummary: "2/2",
	},
	"a cluster is away that holds a former spec": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{done("a"), away("b", 1)}},
		want: []string{"Accepted=True Accepted", "Programmed=Unknown ClusterUnreachable", "Ready=Unknown ClusterUnreachable",
			"Reconciling=True ClusterUnreachable"}, wantSummary: "1/2", wantMessage: "b: the cluster is out of reach (connection refused)",
	},
	"a cluster is away within maxUnavailable": {
		wantHealth: kstatus.CurrentStatus,
		facts:      status.NetworkFacts{MaxUnavailable: 1, Clusters: []status.ClusterFacts{done("a"), away("b", 1)}},
		want:       []string{"Accepted=True Accepted", "Programmed=Unknown ClusterUnreachable", "Ready=True Ready"}, wantSummary: "1/2",
		wantMessage: "maxUnavailable is 1",
	},
	"one away and one failing, and what is away decides": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{MaxUnavailable: 1, Clusters: []status.ClusterFacts{done("a"), away("b", 1), failing("c", mcnv1alpha1.ReasonWriteFailed, "no")}},
		want:       []string{"Accepted=True Accepted", "Programmed=False WriteFailed", "Ready=Unknown WriteFailed", "Reconciling=True WriteFailed"}, wantSummary: "1/3",
	},
	"a write failed": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{done("a"), failing("b", mcnv1alpha1.ReasonWriteFailed, "quota is used up")}},
		want:       []string{"Accepted=True Accepted", "Programmed=False WriteFailed", "Ready=False WriteFailed", "Reconciling=True WriteFailed"}, wantSummary: "1/2",
		wantMessage: "b: quota is used up",
	},
	"an object is not ours": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{failing("a", mcnv1alpha1.ReasonWriteFailed, "x"), failing("b", mcnv1alpha1.ReasonOwnershipConflict, "tier is theirs")}},
		want: []string{"Accepted=True Accepted", "Programmed=False OwnershipConflict", "Ready=False OwnershipConflict",
			"Reconciling=True OwnershipConflict"}, wantSummary: "0/2", wantMessage: "b: tier is theirs",
	},
	"somebody else keeps changing an object": {
		wantHealth: kstatus.InProgressStatus,
		facts: status.NetworkFacts{Clusters: []status.ClusterFacts{
			failing("a", mcnv1alpha1.ReasonWriteFailed, "x"), failing("b", mcnv1alpha1.ReasonContended, "argocd changes the tier")}},
		want: []string{"Accepted=True Accepted", "Programmed=False Contended", "Ready=False Contended", "Reconciling=True Contended"}, wantSummary: "0/2",
		wantMessage: "b: argocd changes the tier",
	},
	"a kind is not served": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{Clusters: []status.ClusterFacts{done("a"), failing("b", mcnv1alpha1.ReasonKindNotServed, "upgrade Calico")}},
		want: []string{"Accepted=True Accepted", "Programmed=False KindNotServed", "Ready=False KindNotServed",
			"Reconciling=True KindNotServed"}, wantSummary: "1/2", wantMessage: "b: upgrade Calico",
	},
	"Calico is not ready": {
		wantHealth: kstatus.InProgressStatus,
		facts: status.NetworkFacts{Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) {
			c.CalicoReady, c.CalicoMessage = false, "install Calico"
		})}},
		want: []string{"Accepted=True Accepted", "Programmed=False ClusterNotReady", "Ready=False ClusterNotReady", "Reconciling=True ClusterNotReady"}, wantSummary: "0/1",
		wantMessage: "a: install Calico",
	},
	"updates are held": {
		wantHealth: kstatus.InProgressStatus,
		facts: status.NetworkFacts{Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) {
			c.Held, c.Report.Generation = true, 1
		})}},
		want: []string{"Accepted=True Accepted", "Programmed=False Held", "Ready=False Held"}, wantSummary: "0/1", wantMessage: "generation 1 stays in force",
	},
	"the spec is invalid": {
		wantHealth: kstatus.FailedStatus,
		facts: status.NetworkFacts{InForce: 1, Errors: field.ErrorList{field.Invalid(field.NewPath("spec", "routes"), "x", "write y")},
			Clusters: []status.ClusterFacts{with(done("a"), func(c *status.ClusterFacts) { c.Report.Generation = 1 })}},
		want: []string{"Accepted=False Invalid", "Programmed=False Invalid", "Ready=False Invalid", "Stalled=True Invalid"}, wantSummary: "0/1",
		wantMessage: "write y; generation 1 stays in force",
	},
	"there is no slot for an Exclusive network": {
		wantHealth:  kstatus.FailedStatus,
		facts:       status.NetworkFacts{Errors: field.ErrorList{field.Forbidden(field.NewPath("spec", "membership"), "full")}},
		want:        []string{"Accepted=False NoExclusiveSlot", "Programmed=False NoExclusiveSlot", "Ready=False NoExclusiveSlot", "Stalled=True NoExclusiveSlot"},
		wantSummary: "0/0",
	},
	"one is still written to within maxUnavailable": {
		wantHealth: kstatus.InProgressStatus,
		facts:      status.NetworkFacts{MaxUnavailable: 1, Clusters: []status.ClusterFacts{done("a"), with(done("b"), func(c *status.ClusterFacts) { c.Report.Outdated = true })}},
		want:       []string{"Accepted=True Accepted", "Programmed=False Progressing", "Ready=True Ready", "Reconciling=True Progressing"}, wantSummary: "1/2",
	},
	"one fails within maxUnavailable": {
		wantHealth: kstatus.CurrentStatus,
		facts:      status.NetworkFacts{MaxUnavailable: 1, Clusters: []status.ClusterFacts{done("a"), failing("b", mcnv1alpha1.ReasonWriteFailed, "no")}},
		want:       []string{"Accepted=True Accepted", "Programmed=False WriteFailed", "Ready=True Ready"}, wantSummary: "1/2",
	},
	"one is held within maxUnavailable": {
		wantHealth: kstatus.CurrentStatus,
		facts: status.NetworkFacts{MaxUnavailable: 1, Clusters: []status.ClusterFacts{done("a"), with(done("b"), func(c *status.ClusterFacts) {
			c.Held, c.Report.Generation = true, 1
		})}},
		want: []string{"Accepted=True Accepted", "Programmed=False Held", "Ready=True Ready"}, wantSummary: "1/2",
	},
	"the spec is invalid and a cluster is away": {
		wantHealth: kstatus.FailedStatus,
		facts: status.NetworkFacts{Errors: field.ErrorList{field.Invalid(field.NewPath("spec", "routes"), "x", "write y")},
			Clusters: []status.ClusterFacts{done("a"), away("b", 1)}},
		want: []string{"Accepted=False Invalid", "Programmed=False Invalid", "Ready=False Invalid", "Stalled=True Invalid"}, wantSummary: "0/2",
	},
	"the network is being deleted": {
		wantHealth: kstatus.TerminatingStatus,
		facts: status.NetworkFacts{Deleting: true, Clusters: []status.ClusterFacts{
			with(done("a"), func(c *status.ClusterFacts) { c.Report = &status.Report{Gone: true} }), done("b"), away("c", 2)}},
		want: []string{"Accepted=True Accepted", "Programmed=False Deleting", "Ready=False Deleting", "Reconciling=True Deleting"}, wantSummary: "0/3",
		wantMessage: "the network is being removed from b; out of reach, and waited for no longer than --barrier: c",
	},
	"deleting, with an obstacle": {
		wantHealth: kstatus.TerminatingStatus,
		facts:      status.NetworkFacts{Deleting: true, Obstacle: "the record is full"},
		want:       []string{"Accepted=True Accepted", "Programmed=False Deleting", "Ready=False Deleting", "Reconciling=True Deleting"}, wantSummary: "0/0",
		wantMessage: "the network is being removed; the record is full",
	},
}

func TestConditionsSayWhatIsTrue(t *testing.T) {
	for name, tc := range conditionTests {
		t.Run(name, func(t *testing.T) {
			tc.facts.Generation, tc.facts.Now = 2, early
			got := status.Network(tc.facts)
			if diff := cmp.Diff(tc.want, lines(got.Conditions)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got.Summary.Clusters != tc.wantSummary {
				t.Errorf("summary is %s, want %s", got.Summary.Clusters, tc.wantSummary)
			}
			if c := meta.FindStatusCondition(got.Conditions, "Ready"); !strings.Contains(c.Message, tc.wantMessage) {
				t.Errorf("Ready says %q, want %q in it", c.Message, tc.wantMessage)
			}
			if health := healthOfNetwork(t, tc.facts, got); health != tc.wantHealth {
				t.Errorf("kstatus says %s, want %s", health, tc.wantHealth)
			}
			for _, c := range got.Conditions {
				if c.ObservedGeneration != 2 || c.Reason == "" || c.Message == "" || len(c.Message) > status.MaxMessage {
					t.Errorf("condition %+v: want generation, reason and a message within bounds", c)
				}
			}
		})
	}
}

func TestStatusIsQuietAndTimesMoveOnlyWithStatus(t *testing.T) {
	facts := status.NetworkFacts{Generation: 2, Now: early, Clusters: []status.ClusterFacts{done("a"), away("b", 1)}}
	first := status.Network(facts)
	facts.Previous, facts.Now = first, late
	if diff := cmp.Diff(first, status.Network(facts)); diff != "" {
		t.Errorf("the same facts later give another status:\n%s", diff)
	}
	facts.Clusters[1] = done("b")
	second := status.Network(facts)
	for kind, want := range map[string]metav1.Time{"Accepted": early, "Programmed": late, "Ready": late} {
		if c := meta.FindStatusCondition(second.Conditions, kind); !c.LastTransitionTime.Equal(&want) {
			t.Errorf("%s changed at %v, want %v", kind, c.LastTransitionTime, want)
		}
	}
}

func TestClustersAreListedThoseThatNeedAttentionFirst(t *testing.T) {
	facts := status.NetworkFacts{Generation: 2, Now: early, Clusters: []status.ClusterFacts{
		done("d"), away("c", 1), failing("b", mcnv1alpha1.ReasonWriteFailed, strings.Repeat("é", 2000)), done("a"),
	}}
	var names []string
	for _, c := range status.Network(facts).Clusters {
		names = append(names, c.Name)
		if len(c.Message) > 1024 || !utf8.ValidString(c.Message) {
			t.Errorf("the message of %s has %d bytes, want at most 1024, whole characters", c.Name, len(c.Message))
		}
		if c.Programmed == metav1.ConditionTrue && (c.Reason != "" || c.Message != "") {
			t.Errorf("%s is programmed and still explained: %+v", c.Name, c)
		}
	}
	if got := strings.Join(names, " "); got != "b c a d" {
		t.Errorf("order is %s, want b c a d", got)
	}
	facts.Clusters = nil
	for i := range 1200 {
		facts.Clusters = append(facts.Clusters, done(fmt.Sprintf("c%04d", i)))
	}
	got := status.Network(facts)
	if len(got.Clusters) != status.MaxClusters || got.Summary.Total != 1200 {
		t.Errorf("%d clusters listed and %d counted, want 1000 and 1200", len(got.Clusters), got.Summary.Total)
	}
}

func TestModeAndCounts(t *testing.T) {
	staged := with(done("a"), func(c *status.ClusterFacts) { c.Staged, c.Report.Staged = true, true })
	held := with(done("b"), func(c *status.ClusterFacts) { c.Held = true })
	tests := map[string]struct {
		clusters []status.ClusterFacts
		want     mcnv1alpha1.Mode
	}{
		"none": {nil, ""}, "staged": {[]status.ClusterFacts{staged}, mcnv1alpha1.ModeStaged},
		"enforced": {[]status.ClusterFacts{held}, mcnv1alpha1.ModeEnforced}, "mixed": {[]status.ClusterFacts{staged, held}, mcnv1alpha1.ModeMixed},
	}
	for name, tc := range tests {
		if got := status.Network(status.NetworkFacts{Generation: 2, Clusters: tc.clusters}).Mode; got != tc.want {
			t.Errorf("%s: mode is %q, want %q", name, got, tc.want)
		}
	}
	got := status.Network(status.NetworkFacts{Generation: 2, Pods: 7, SharedPods: 3, Clusters: []status.ClusterFacts{staged, held, away("c", 2)}}).Summary
	want := mcnv1alpha1.NetworkSummary{Clusters: "3/3", Total: 3, Programmed: 3, Unreachable: 1, Staged: 1, Held: 1, Pods: 7, SharedPods: 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestEachCauseIsToldOfItsOwnClusters(t *testing.T) {
	failed := mcnv1alpha1.ReasonWriteFailed
	got := status.Network(status.NetworkFacts{Generation: 2, Clusters: []status.ClusterFacts{
		failing("a", failed, "no room"), failing("b", failed, "no right"), failing("c", failed, "no room"), failing("d", failed, "no room"),
		failing("e", failed, "no room"), failing("f", failed, "no time"), done("g"),
	}})
	want := "1 of 7 clusters hold the network as specified; a, c, d, and 1 more: no room; b: no right; 1 more for other causes: see status.clusters"
	if c := meta.FindStatusCondition(got.Conditions, mcnv1alpha1.ConditionProgrammed); c.Message != want {
		t.Errorf("Programmed says %q, want %q", c.Message, want)
	}
}

func TestReadyWithinMaxUnavailableNamesWhoLacksTheNetworkAndWhy(t *testing.T) {
	got := status.Network(status.NetworkFacts{Generation: 2, Now: early, MaxUnavailable: 2, Clusters: []status.ClusterFacts{
		done("a"), unseen("c"), failing("b", mcnv1alpha1.ReasonWriteFailed, "no room"),
	}})
	want := "the network is in force as specified on 1 of 3 clusters, and not on b, c; that is enough, because spec.clusters.maxUnavailable is 2; b: no room"
	if c := meta.FindStatusCondition(got.Conditions, mcnv1alpha1.ConditionReady); c.Status != metav1.ConditionTrue || c.Message != want {
		t.Errorf("Ready is %s %q, want True %q", c.Status, c.Message, want)
	}
}

func TestWarningsRideInAccepted(t *testing.T) {
	got := status.Network(status.NetworkFacts{Generation: 2, Clusters: []status.ClusterFacts{done("a")}, Warnings: []compile.Warning{
		{Code: mcnv1alpha1.WarningEmptySegment, Message: "segment api picks no pod"},
		{Code: mcnv1alpha1.WarningPoolOverlap, Cluster: "a", Message: "pool default"},
	}})
	c := meta.FindStatusCondition(got.Conditions, "Accepted")
	want := "the spec is valid; EmptySegment: segment api picks no pod; PoolOverlap on cluster a: pool default"
	if c.Status != metav1.ConditionTrue || c.Message != want {
		t.Errorf("Accepted is %s %q, want True %q", c.Status, c.Message, want)
	}
}

func TestTruncateKeepsTheTail(t *testing.T) {
	got := status.Truncate(strings.Repeat("x", 3000), "; and that stays")
	if len(got) != status.MaxMessage || !strings.HasSuffix(got, "...; and that stays") {
		t.Errorf("got %d bytes ending in %q", len(got), got[len(got)-30:])
	}
}

func TestWhatIsWantedByNowAndNotYetWrittenIsNotProgrammed(t *testing.T) {
	outdated := func(c *status.ClusterFacts) { c.Staged, c.Report.Outdated = true, true }
	tests := map[string]struct {
		cluster status.ClusterFacts
		want    metav1.ConditionStatus
	}{
		"within reach":     {with(done("a"), outdated), metav1.ConditionFalse},
		"out of reach":     {with(away("a", 2), outdated), metav1.ConditionUnknown},
		"as wanted":        {done("a"), metav1.ConditionTrue},
		"as wanted, away":  {away("a", 2), metav1.ConditionTrue},
		"not looked at it": {with(done("a"), func(c *status.ClusterFacts) { c.Report = nil }), metav1.ConditionFalse},
	}
	for name, tc := range tests {
		got := status.Network(status.NetworkFacts{Generation: 2, Clusters: []status.ClusterFacts{tc.cluster}}).Clusters[0]
		if got.Programmed != tc.want || got.Mode != mcnv1alpha1.ModeEnforced {
			t.Errorf("%s: programmed %s, mode %s; want %s, and Enforced, which stands", name, got.Programmed, got.Mode, tc.want)
		}
	}
}
