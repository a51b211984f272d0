package controllers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
)

// stubMembers is a fleet of members whose states a test sets, and the worker that cleans them.
type stubMembers struct {
	states  map[string]fleet.State
	done    bool
	err     error
	unknown map[string]int
	cleaned int
	spared  []string
}

func (f *stubMembers) Set(*mcnv1alpha1.MemberCluster, []byte)                          {}
func (f *stubMembers) SetFault(*mcnv1alpha1.MemberCluster, mcnv1alpha1.Reason, string) {}
func (f *stubMembers) Remove(string)                                                   {}
func (f *stubMembers) State(name string) (fleet.State, bool)                           { s, ok := f.states[name]; return s, ok }
func (f *stubMembers) States() map[string]fleet.State                                  { return f.states }
func (f *stubMembers) Member(string) (snapshot.Member, bool)                           { return snapshot.Member{}, true }
func (f *stubMembers) Subscribe() <-chan struct{}                                      { return nil }
func (f *stubMembers) CleanMember(_ context.Context, _ string, spared ...string) (bool, error) {
	f.spared = spared
	f.cleaned++
	return f.done, f.err
}
func (f *stubMembers) Statuses() map[string]member.Status {
	return map[string]member.Status{"one": {Connected: true, Unknown: f.unknown}}
}

// benchOfMembers is a MemberClusterReconciler on a hub of memory, with member "one" and a clock that stands still.
type benchOfMembers struct {
	*MemberClusterReconciler
	t     *testing.T
	fleet *stubMembers
	clock time.Time
}

func newBenchOfMembers(t *testing.T, state fleet.State, one *mcnv1alpha1.MemberCluster, others ...client.Object) *benchOfMembers {
	t.Helper()
	scheme := runtime.NewScheme()
	requireNoError(t, clientgoscheme.AddToScheme(scheme))
	requireNoError(t, mcnv1alpha1.AddToScheme(scheme))
	hub := fake.NewClientBuilder().WithScheme(scheme).WithObjects(one).WithObjects(others...).WithStatusSubresource(&mcnv1alpha1.MemberCluster{}).Build()
	b := &benchOfMembers{t: t, fleet: &stubMembers{states: map[string]fleet.State{"one": state}}, clock: time.Unix(5000, 0)}
	b.MemberClusterReconciler = &MemberClusterReconciler{
		Client: hub, Namespace: memberNamespace, Fleet: b.fleet, Cleaner: b.fleet, Barrier: 30 * time.Second, Now: func() time.Time { return b.clock },
		Leftovers: &Leftovers{Client: hub, Reader: hub, Namespace: memberNamespace, Owner: "hub"}, notes: &memberNotes{},
	}
	requireNoError(t, b.Leftovers.Load(t.Context()))
	return b
}

// one is member "one"; nil if it is gone.
func (b *benchOfMembers) one() *mcnv1alpha1.MemberCluster {
	b.t.Helper()
	var m mcnv1alpha1.MemberCluster
	err := b.Get(b.t.Context(), client.ObjectKey{Name: "one"}, &m)
	if apierrors.IsNotFound(err) {
		return nil
	}
	requireNoError(b.t, err)
	return &m
}

func (b *benchOfMembers) reconcileOne() {
	b.t.Helper()
	_, err := b.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "one"}})
	requireNoError(b.t, err)
}

// ready is the message of a member's condition.
func (b *benchOfMembers) message(kind string) string {
	b.t.Helper()
	if c := meta.FindStatusCondition(b.one().Status.Conditions, kind); c != nil {
		return c.Message
	}
	return ""
}

// leaving is member "one" while it is deleted, of a cluster with the ID "id".
func leavingMember(change func(*mcnv1alpha1.MemberCluster)) *mcnv1alpha1.MemberCluster {
	m := memberCluster("one", mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}})
	m.Finalizers, m.DeletionTimestamp = []string{mcnv1alpha1.CleanupFinalizer}, &metav1.Time{Time: time.Unix(4000, 0)}
	m.UID, m.Status.ClusterID = "one", "id"
	if change != nil {
		change(m)
	}
	return m
}

var (
	inReach = fleet.State{Reachable: true, CalicoReady: true, Reason: mcnv1alpha1.ReasonConnected, ClusterID: "id"}
	lost    = fleet.State{Reason: mcnv1alpha1.ReasonConnectionFailed, ClusterID: "id"}
)

func TestADeletedMemberSaysWhatItWaitsFor(t *testing.T) {
	for name, tc := range map[string]struct {
		state fleet.State
		err   error
		want  string
	}{
		"being cleaned":     {state: inReach, want: "is being taken away"},
		"cannot be cleaned": {state: inReach, err: errors.New("deletion is forbidden"), want: "cannot be taken away (deletion is forbidden)"},
		"just lost":         {state: lost, want: "out of reach, and is waited for no longer than --barrier"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBenchOfMembers(t, tc.state, leavingMember(nil))
			b.fleet.err = tc.err
			b.reconcileOne()
			if got := b.message(mcnv1alpha1.ConditionReady); !strings.Contains(got, tc.want) || !b.Leftovers.of("id").empty() {
				t.Errorf("Ready says %q, want %q, and nothing recorded yet", got, tc.want)
			}
		})
	}
}

func TestADeletedMemberGoesAndWhatIsLeftIsRecorded(t *testing.T) {
	for name, tc := range map[string]struct {
		state   fleet.State
		change  func(*mcnv1alpha1.MemberCluster)
		kept    bool
		other   *mcnv1alpha1.MemberCluster
		after   time.Duration
		wantAll bool
		cleaned int
	}{
		"clean":                    {state: inReach, cleaned: 1},
		"out of reach":             {state: lost, after: time.Minute, wantAll: true},
		"without a Secret":         {state: fleet.State{Reason: mcnv1alpha1.ReasonSecretNotFound, ClusterID: "id"}, wantAll: true},
		"without Calico":           {state: fleet.State{Reachable: true, CalicoReason: mcnv1alpha1.ReasonCalicoNotInstalled, ClusterID: "id"}, wantAll: true},
		"Orphan":                   {state: lost, change: func(m *mcnv1alpha1.MemberCluster) { m.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan }},
		"Orphan, formerly Managed": {state: lost, kept: true, change: func(m *mcnv1alpha1.MemberCluster) { m.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan }},
		"Source":                   {state: inReach, change: func(m *mcnv1alpha1.MemberCluster) { m.Spec.Role = mcnv1alpha1.RoleSource }},
		"Source, formerly Managed": {state: inReach, kept: true, wantAll: true, change: func(m *mcnv1alpha1.MemberCluster) { m.Spec.Role = mcnv1alpha1.RoleSource }},
		"Source, Managed until a moment ago": {state: inReach, wantAll: true, change: func(m *mcnv1alpha1.MemberCluster) {
			m.Spec.Role = mcnv1alpha1.RoleSource
			m.Status.Conditions = []metav1.Condition{{Type: mcnv1alpha1.ConditionCalicoReady, Status: metav1.ConditionTrue, Reason: string(mcnv1alpha1.ReasonCalicoReady)}}
		}},
		"Source since its registration": {state: inReach, change: func(m *mcnv1alpha1.MemberCluster) {
			m.Spec.Role = mcnv1alpha1.RoleSource
			m.Status.Conditions = []metav1.Condition{{Type: mcnv1alpha1.ConditionCalicoReady, Status: metav1.ConditionTrue, Reason: string(mcnv1alpha1.ReasonRoleSource)}}
		}},
		"never connected": {state: fleet.State{Reason: mcnv1alpha1.ReasonSecretNotFound},
			change: func(m *mcnv1alpha1.MemberCluster) { m.Status.ClusterID = "" }},
		"one of two of the same cluster": {state: fleet.State{Reason: mcnv1alpha1.ReasonDuplicateCluster}, other: &mcnv1alpha1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: "two"}, Status: mcnv1alpha1.MemberClusterStatus{ClusterID: "id"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var others []client.Object
			if tc.other != nil {
				others = append(others, tc.other)
			}
			b := newBenchOfMembers(t, tc.state, leavingMember(tc.change), others...)
			if tc.kept {
				note := b.Leftovers.note(b.clock, 0)
				requireNoError(t, b.Leftovers.change(t.Context(), map[string]func(*clusterLeftovers){"id": func(c *clusterLeftovers) { c.Kept = &note }}))
			}
			b.fleet.done = true
			b.reconcileOne()
			b.clock = b.clock.Add(tc.after)
			b.reconcileOne()
			left := b.Leftovers.of("id")
			if b.one() != nil || (left.All != nil) != tc.wantAll || left.Kept != nil || b.fleet.cleaned != tc.cleaned {
				t.Errorf("the object is %v, recorded %+v, cleaned %d times; want it gone, everything recorded: %v, cleaned %d times",
					b.one(), left, b.fleet.cleaned, tc.wantAll, tc.cleaned)
			}
		})
	}
}

func TestAFullRecordHoldsAMember(t *testing.T) {
	full := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: leftoversName}, Data: map[string]string{"old": strings.Repeat("x", maxLeftovers)},
	}
	b := newBenchOfMembers(t, fleet.State{Reason: mcnv1alpha1.ReasonSecretNotFound, ClusterID: "id"}, leavingMember(nil), full)
	b.reconcileOne()
	if got := b.message(mcnv1alpha1.ConditionReady); !strings.Contains(got, leftoversName+" is full") {
		t.Errorf("Ready says %q, want it to say what holds the member up", got)
	}
	full.Data = nil
	requireNoError(t, b.Update(t.Context(), full))
	if b.reconcileOne(); b.one() != nil || b.Leftovers.of("id").All == nil {
		t.Errorf("the member is still there, or recorded is %+v, although there is room now", b.Leftovers.of("id"))
	}
}

func TestWhatNobodyLooksAfterIsTold(t *testing.T) {
	present := memberCluster("one", mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}})
	b := newBenchOfMembers(t, inReach, present, networkObject("known", 1))
	b.fleet.unknown = map[string]int{"known": 3, "gone": 2}
	b.reconcileOne()
	if got := b.message(mcnv1alpha1.ConditionReachable); !strings.Contains(got, "stay as they are: 2;") {
		t.Errorf("Reachable says %q, want the two objects of the network that is gone", got)
	}
	m := b.one()
	m.Status.ClusterID, m.Spec.Role = "id", mcnv1alpha1.RoleSource
	requireNoError(t, b.Update(t.Context(), m))
	requireNoError(t, b.Status().Update(t.Context(), m))
	b.reconcileOne()
	if got := b.message(mcnv1alpha1.ConditionReachable); !strings.Contains(got, "while the role was Managed stays") || b.Leftovers.of("id").Kept == nil {
		t.Errorf("Reachable says %q, and recorded is %+v; want what a former role left", got, b.Leftovers.of("id"))
	}
}
