package status_test

import (
	"testing"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/status"
)

// health is what kstatus, and with it Flux, makes of an object.
func health(t *testing.T, object runtime.Object) kstatus.Status {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	got, err := kstatus.Compute(&unstructured.Unstructured{Object: fields})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status
}

func healthOfNetwork(t *testing.T, facts status.NetworkFacts, written mcnv1alpha1.MultiCloudNetworkStatus) kstatus.Status {
	t.Helper()
	n := &mcnv1alpha1.MultiCloudNetwork{Status: written}
	n.Generation = facts.Generation
	if facts.Deleting {
		n.DeletionTimestamp = &early
	}
	return health(t, n)
}

func healthOfMember(t *testing.T, facts status.MemberFacts) kstatus.Status {
	t.Helper()
	m := &mcnv1alpha1.MemberCluster{Status: status.Member(facts)}
	m.Generation = facts.Generation
	return health(t, m)
}

// memberHealth is what is to be made of a member for each reason that it can have while it is not connected, and while it is.
var memberHealth = map[string]struct {
	facts       status.MemberFacts
	wantReady   mcnv1alpha1.Reason
	wantHealth  kstatus.Status
	wantStalled bool
}{
	"connecting":                      {facts: lost(mcnv1alpha1.ReasonConnecting), wantReady: mcnv1alpha1.ReasonConnecting, wantHealth: kstatus.InProgressStatus},
	"out of reach":                    {facts: lost(mcnv1alpha1.ReasonConnectionFailed), wantReady: mcnv1alpha1.ReasonConnectionFailed, wantHealth: kstatus.InProgressStatus},
	"no Secret, which may come later": {facts: lost(mcnv1alpha1.ReasonSecretNotFound), wantReady: mcnv1alpha1.ReasonSecretNotFound, wantHealth: kstatus.InProgressStatus},
	"a kubeconfig that is none": {facts: lost(mcnv1alpha1.ReasonKubeconfigInvalid), wantReady: mcnv1alpha1.ReasonKubeconfigInvalid,
		wantHealth: kstatus.FailedStatus, wantStalled: true},
	"a kubeconfig that is refused": {facts: lost(mcnv1alpha1.ReasonKubeconfigRefused), wantReady: mcnv1alpha1.ReasonKubeconfigRefused,
		wantHealth: kstatus.FailedStatus, wantStalled: true},
	"another cluster": {facts: lost(mcnv1alpha1.ReasonClusterIDMismatch), wantReady: mcnv1alpha1.ReasonClusterIDMismatch,
		wantHealth: kstatus.FailedStatus, wantStalled: true},
	"registered twice": {facts: lost(mcnv1alpha1.ReasonDuplicateCluster), wantReady: mcnv1alpha1.ReasonDuplicateCluster,
		wantHealth: kstatus.FailedStatus, wantStalled: true},
	"no Calico yet": {facts: connected(mcnv1alpha1.RoleManaged, false, mcnv1alpha1.ReasonCalicoNotInstalled), wantReady: mcnv1alpha1.ReasonCalicoNotInstalled,
		wantHealth: kstatus.InProgressStatus},
	"Calico's API is not served yet": {facts: connected(mcnv1alpha1.RoleManaged, false, mcnv1alpha1.ReasonCalicoAPIUnavailable),
		wantReady: mcnv1alpha1.ReasonCalicoAPIUnavailable, wantHealth: kstatus.InProgressStatus},
	"Calico migrates": {facts: connected(mcnv1alpha1.RoleManaged, false, mcnv1alpha1.ReasonDatastoreNotReady), wantReady: mcnv1alpha1.ReasonDatastoreNotReady,
		wantHealth: kstatus.InProgressStatus},
	"Calico is not read yet": {facts: connected(mcnv1alpha1.RoleManaged, false, mcnv1alpha1.ReasonConnecting), wantReady: mcnv1alpha1.ReasonConnecting,
		wantHealth: kstatus.InProgressStatus},
	"ready":                                  {facts: connected(mcnv1alpha1.RoleManaged, true, mcnv1alpha1.ReasonCalicoReady), wantReady: mcnv1alpha1.ReasonReady, wantHealth: kstatus.CurrentStatus},
	"ready, but its token cannot be renewed": {facts: expiring(), wantReady: mcnv1alpha1.ReasonCredentialExpiring, wantHealth: kstatus.CurrentStatus},
	"ready, but some of its addresses are withheld": {facts: overlapping(), wantReady: mcnv1alpha1.ReasonPodCIDROverlap, wantHealth: kstatus.CurrentStatus},
	"a source": {facts: connected(mcnv1alpha1.RoleSource, false, mcnv1alpha1.ReasonCalicoNotInstalled), wantReady: mcnv1alpha1.ReasonRoleSource,
		wantHealth: kstatus.CurrentStatus},
}

func lost(reason mcnv1alpha1.Reason) status.MemberFacts {
	return status.MemberFacts{Generation: 2, Now: early, Reason: reason, Message: "because", StaleSince: &early}
}

func expiring() status.MemberFacts {
	f := connected(mcnv1alpha1.RoleManaged, true, mcnv1alpha1.ReasonCalicoReady)
	f.Credential = "because"
	return f
}

func overlapping() status.MemberFacts {
	f := connected(mcnv1alpha1.RoleManaged, true, mcnv1alpha1.ReasonCalicoReady)
	f.Compiled, f.PodCIDROverlap = true, "because"
	return f
}

func connected(role mcnv1alpha1.MemberRole, calico bool, reason mcnv1alpha1.Reason) status.MemberFacts {
	return status.MemberFacts{
		Generation: 2, Now: early, Role: role, Reachable: true, Reason: mcnv1alpha1.ReasonConnected, Message: "connected",
		CalicoReady: calico, CalicoReason: reason, CalicoMessage: "because",
	}
}

func TestMemberHealth(t *testing.T) {
	for name, tc := range memberHealth {
		t.Run(name, func(t *testing.T) {
			got := status.Member(tc.facts)
			if c := meta.FindStatusCondition(got.Conditions, mcnv1alpha1.ConditionReady); c.Reason != string(tc.wantReady) {
				t.Errorf("Ready is %+v, want reason %s", c, tc.wantReady)
			}
			if stalled := meta.IsStatusConditionTrue(got.Conditions, mcnv1alpha1.ConditionStalled); stalled != tc.wantStalled {
				t.Errorf("stalled: %v, want %v", stalled, tc.wantStalled)
			}
			if health := healthOfMember(t, tc.facts); health != tc.wantHealth {
				t.Errorf("kstatus says %s, want %s", health, tc.wantHealth)
			}
		})
	}
}

// TestAMemberThatIsRemovedIsTerminating: the column REASON, which shows Ready's, and kstatus say the same, whatever else is wrong with it.
func TestAMemberThatIsRemovedIsTerminating(t *testing.T) {
	for name, facts := range map[string]status.MemberFacts{
		"connected": connected(mcnv1alpha1.RoleManaged, true, mcnv1alpha1.ReasonCalicoReady), "lost": lost(mcnv1alpha1.ReasonConnectionFailed),
		"refused": lost(mcnv1alpha1.ReasonKubeconfigRefused),
	} {
		facts.Deleting = "because"
		m := &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Generation: facts.Generation, DeletionTimestamp: &early}, Status: status.Member(facts)}
		c := meta.FindStatusCondition(m.Status.Conditions, mcnv1alpha1.ConditionReady)
		if got := health(t, m); got != kstatus.TerminatingStatus || c.Status != metav1.ConditionFalse || c.Reason != string(mcnv1alpha1.ReasonDeleting) {
			t.Errorf("%s: kstatus says %s, and Ready is %s %s; want Terminating, and False Deleting", name, got, c.Status, c.Reason)
		}
	}
}

func TestStalledGoesWhenItsCauseDoes(t *testing.T) {
	facts := lost(mcnv1alpha1.ReasonKubeconfigRefused)
	first := status.Member(facts)
	facts = connected(mcnv1alpha1.RoleManaged, true, mcnv1alpha1.ReasonCalicoReady)
	facts.Previous = first
	if c := meta.FindStatusCondition(status.Member(facts).Conditions, mcnv1alpha1.ConditionStalled); c != nil {
		t.Errorf("a connected member is still stalled: %+v", c)
	}
}

// TestHealthOfWhatNobodyHasSeen: an object that is new, changed or going is never taken for done.
func TestHealthOfWhatNobodyHasSeen(t *testing.T) {
	ready := []metav1.Condition{{Type: mcnv1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: string(mcnv1alpha1.ReasonReady)}}
	pending := []metav1.Condition{{Type: mcnv1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: string(mcnv1alpha1.ReasonPending)}}
	for name, tc := range map[string]struct {
		observed   int64
		conditions []metav1.Condition
		deleted    *metav1.Time
		wantHealth kstatus.Status
	}{
		"newborn":             {observed: -1, conditions: pending, wantHealth: kstatus.InProgressStatus},
		"changed since":       {observed: 1, conditions: ready, wantHealth: kstatus.InProgressStatus},
		"seen and ready":      {observed: 2, conditions: ready, wantHealth: kstatus.CurrentStatus},
		"ready, and deleted":  {observed: 2, conditions: ready, deleted: &early, wantHealth: kstatus.TerminatingStatus},
		"newborn and deleted": {observed: -1, conditions: pending, deleted: &early, wantHealth: kstatus.TerminatingStatus},
	} {
		t.Run(name, func(t *testing.T) {
			object := metav1.ObjectMeta{Generation: 2, DeletionTimestamp: tc.deleted}
			for _, o := range []runtime.Object{
				&mcnv1alpha1.MultiCloudNetwork{ObjectMeta: object, Status: mcnv1alpha1.MultiCloudNetworkStatus{ObservedGeneration: tc.observed, Conditions: tc.conditions}},
				&mcnv1alpha1.MemberCluster{ObjectMeta: object, Status: mcnv1alpha1.MemberClusterStatus{ObservedGeneration: tc.observed, Conditions: tc.conditions}},
			} {
				if got := health(t, o); got != tc.wantHealth {
					t.Errorf("kstatus says %s of a %T, want %s", got, o, tc.wantHealth)
				}
			}
		})
	}
}
