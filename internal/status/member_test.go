package status

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func connectedMember() MemberFacts {
	return MemberFacts{
		Generation: 3, Now: metav1.NewTime(time.Unix(100, 0)),
		Role: mcnv1alpha1.RoleManaged, SourceNAT: mcnv1alpha1.SourceNATUnmanaged,
		Reachable: true, Reason: mcnv1alpha1.ReasonConnected, Message: "connected",
		ClusterID: "id", KubernetesVersion: "v1.36.3",
		Calico:      mcnv1alpha1.CalicoStatus{API: mcnv1alpha1.CalicoAPINative, CNI: "Calico"},
		PodCIDRs:    []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		CalicoReady: true, CalicoReason: mcnv1alpha1.ReasonCalicoReady, CalicoMessage: "ready",
	}
}

func TestMember(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*MemberFacts)
		// want is Reachable, CalicoReady, SourcePreserved, Ready, each as status/reason.
		want [4]string
	}{
		"connected": {change: func(*MemberFacts) {}, want: [4]string{"True/Connected", "True/CalicoReady", "Unknown/Unmanaged", "True/Ready"}},
		"connecting": {change: func(f *MemberFacts) { f.Reachable, f.Reason = false, mcnv1alpha1.ReasonConnecting },
			want: [4]string{"Unknown/Connecting", "Unknown/Connecting", "Unknown/Unmanaged", "Unknown/Connecting"}},
		"lost": {change: func(f *MemberFacts) { f.Reachable, f.Reason = false, mcnv1alpha1.ReasonConnectionFailed },
			want: [4]string{"False/ConnectionFailed", "Unknown/ClusterUnreachable", "Unknown/Unmanaged", "False/ConnectionFailed"}},
		"no Calico": {change: func(f *MemberFacts) { f.CalicoReady, f.CalicoReason = false, mcnv1alpha1.ReasonCalicoNotInstalled },
			want: [4]string{"True/Connected", "False/CalicoNotInstalled", "Unknown/Unmanaged", "False/CalicoNotInstalled"}},
		"Calico not known": {change: func(f *MemberFacts) { f.CalicoReady, f.CalicoReason = false, mcnv1alpha1.ReasonConnecting },
			want: [4]string{"True/Connected", "Unknown/Connecting", "Unknown/Unmanaged", "Unknown/Connecting"}},
		"source without Calico": {change: func(f *MemberFacts) {
			f.Role, f.CalicoReady, f.CalicoReason = mcnv1alpha1.RoleSource, false, mcnv1alpha1.ReasonCalicoNotInstalled
		}, want: [4]string{"True/Connected", "True/RoleSource", "Unknown/Unmanaged", "True/RoleSource"}},
		"preserved": {change: func(f *MemberFacts) { f.SourceNAT, f.OwnPools = mcnv1alpha1.SourceNATPreserve, 2 },
			want: [4]string{"True/Connected", "True/CalicoReady", "True/Preserved", "True/Ready"}},
		"no pools yet": {change: func(f *MemberFacts) { f.SourceNAT = mcnv1alpha1.SourceNATPreserve },
			want: [4]string{"True/Connected", "True/CalicoReady", "Unknown/Pending", "True/Ready"}},
		"being removed": {change: func(f *MemberFacts) { f.Deleting = "policies are being taken away" },
			want: [4]string{"True/Connected", "True/CalicoReady", "Unknown/Unmanaged", "False/Deleting"}},
		"a pool in the way": {change: func(f *MemberFacts) {
			f.SourceNAT, f.OwnPools, f.Compiled, f.PoolOverlap = mcnv1alpha1.SourceNATPreserve, 2, true, "pool x overlaps"
		}, want: [4]string{"True/Connected", "True/CalicoReady", "False/PoolOverlap", "True/Ready"}},
		"pod CIDRs that overlap": {change: func(f *MemberFacts) { f.Compiled, f.PodCIDROverlap = true, "10.1.0.0/16 is that of b" },
			want: [4]string{"True/Connected", "True/CalicoReady", "Unknown/Unmanaged", "True/PodCIDROverlap"}},
		"a token that cannot be renewed": {change: func(f *MemberFacts) {
			f.Credential, f.Compiled, f.PodCIDROverlap = "the token ends", true, "10.1.0.0/16 is that of b"
		}, want: [4]string{"True/Connected", "True/CalicoReady", "Unknown/Unmanaged", "True/CredentialExpiring"}},
		"lost, with a token that cannot be renewed": {change: func(f *MemberFacts) {
			f.Reachable, f.Reason, f.Credential = false, mcnv1alpha1.ReasonConnectionFailed, "the token ends"
		}, want: [4]string{"False/ConnectionFailed", "Unknown/ClusterUnreachable", "Unknown/Unmanaged", "False/ConnectionFailed"}},
		"another CNI": {change: func(f *MemberFacts) { f.SourceNAT, f.Calico.CNI = mcnv1alpha1.SourceNATPreserve, "AmazonVPC" },
			want: [4]string{"True/Connected", "True/CalicoReady", "False/CNINotCalico", "True/Ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := connectedMember()
			tc.change(&facts)
			got := Member(facts)
			var conditions [4]string
			for i, kind := range []string{mcnv1alpha1.ConditionReachable, mcnv1alpha1.ConditionCalicoReady, mcnv1alpha1.ConditionSourcePreserved, mcnv1alpha1.ConditionReady} {
				c := meta.FindStatusCondition(got.Conditions, kind)
				if c == nil || c.ObservedGeneration != 3 || c.Message == "" && kind != mcnv1alpha1.ConditionReachable && facts.CalicoMessage != "" && facts.Message != "" {
					t.Fatalf("%s: %+v", kind, c)
				}
				conditions[i] = string(c.Status) + "/" + c.Reason
			}
			if diff := cmp.Diff(tc.want, conditions); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMemberChangesNothingWithoutCause(t *testing.T) {
	facts := connectedMember()
	first := Member(facts)
	facts.Previous, facts.Now = first, metav1.NewTime(time.Unix(900, 0))
	if diff := cmp.Diff(first, Member(facts)); diff != "" {
		t.Error(diff)
	}
}

func TestMemberTellsOfUpdatesThatAreHeld(t *testing.T) {
	ready := func(f MemberFacts) *metav1.Condition {
		return meta.FindStatusCondition(Member(f).Conditions, mcnv1alpha1.ConditionReady)
	}
	facts := connectedMember()
	facts.Compiled, facts.HeldUpdates, facts.HeldNetworks = true, true, []string{"d", "b", "a", "c"}
	want := "networks can be in force on the cluster; updates are Held here: policies stay as they are, and addresses keep flowing, until spec.updates is " +
		"Automatic; networks whose own updates are Held: a, b, c, and 1 more"
	if c := ready(facts); c.Status != metav1.ConditionTrue || c.Message != want {
		t.Errorf("Ready is %s: %q, want True: %q", c.Status, c.Message, want)
	}
	for _, overlap := range []string{"", "10.1.0.0/16 is that of b"} {
		facts.PodCIDROverlap, facts.Compiled = overlap, true
		first := Member(facts)
		restarted := facts
		restarted.Previous, restarted.Compiled, restarted.HeldNetworks, restarted.PodCIDROverlap = first, false, nil, ""
		if diff := cmp.Diff(first, Member(restarted)); diff != "" {
			t.Errorf("after a restart, before networks are compiled: %s", diff)
		}
		restarted.Compiled = true
		if c := ready(restarted); strings.Contains(c.Message, "whose own") || strings.Contains(c.Message, "10.1") {
			t.Errorf("Ready says %q when neither is true any more", c.Message)
		}
	}
	facts.Role = mcnv1alpha1.RoleSource
	if c := ready(facts); strings.Contains(c.Message, "Held") {
		t.Errorf("Ready says %q of a cluster that nothing is written to", c.Message)
	}
}

func TestMemberNamesWhatCannotBeRead(t *testing.T) {
	facts := connectedMember()
	facts.Problems = []string{"cannot list apiservices: forbidden"}
	c := meta.FindStatusCondition(Member(facts).Conditions, mcnv1alpha1.ConditionReachable)
	if c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, facts.Problems[0]) {
		t.Errorf("got %+v", c)
	}
}

func TestMemberKeepsWhatWasSaidOfOverlapsUntilNetworksAreCompiled(t *testing.T) {
	facts := connectedMember()
	facts.SourceNAT, facts.Compiled, facts.PoolOverlap, facts.PodCIDROverlap = mcnv1alpha1.SourceNATPreserve, true, "pool x overlaps", "10.1.0.0/16 is that of b"
	first := Member(facts)
	facts.Previous, facts.Compiled, facts.PoolOverlap, facts.PodCIDROverlap = first, false, "", ""
	if diff := cmp.Diff(first, Member(facts)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	facts.Compiled = true
	for kind, want := range map[string]mcnv1alpha1.Reason{
		mcnv1alpha1.ConditionReady: mcnv1alpha1.ReasonReady, mcnv1alpha1.ConditionSourcePreserved: mcnv1alpha1.ReasonPending,
	} {
		if c := meta.FindStatusCondition(Member(facts).Conditions, kind); c.Reason != string(want) {
			t.Errorf("%s is %+v once the overlaps are gone, want reason %s", kind, c, want)
		}
	}
}
