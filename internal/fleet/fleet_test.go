package fleet

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func testMember(name string, age int64) *mcnv1alpha1.MemberCluster {
	return &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1, CreationTimestamp: metav1.Unix(age, 0)},
		Spec:       mcnv1alpha1.MemberClusterSpec{Access: mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{}}},
	}
}

func testFleet(t *testing.T) *Fleet {
	t.Helper()
	f := New(Options{Logger: logr.Discard(), BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, Now: func() time.Time { return time.Unix(5000, 123) }})
	t.Cleanup(f.Close)
	return f
}

func received(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestStatusIsWhatIsKnownAfterARestart(t *testing.T) {
	f := testFleet(t)
	member := testMember("m", 1)
	stale := metav1.Unix(4000, 0)
	member.Labels = map[string]string{"env": "prod"}
	member.Spec.Role, member.Spec.PodNetwork.Domain = mcnv1alpha1.RoleSource, "vpc"
	member.Status = mcnv1alpha1.MemberClusterStatus{
		ClusterID: "id", KubernetesVersion: "v1.36.3", PodCIDRs: []mcnv1alpha1.CIDR{"10.1.0.0/16"}, StaleSince: &stale,
		Calico: mcnv1alpha1.CalicoStatus{CNI: "Calico"},
	}
	f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "gone")
	got := f.Snapshot().Members[0]
	if got.ClusterID != "id" || got.KubernetesVersion != "v1.36.3" || len(got.PodCIDRs) != 1 || got.Calico.CNI != "Calico" ||
		got.Labels["env"] != "prod" || got.Role != mcnv1alpha1.RoleSource || got.Domain != "vpc" {
		t.Errorf("got %+v", got)
	}
	state, _ := f.State("m")
	if !state.StaleSince.Equal(&stale) || !state.Seen || state.Synced || state.Reachable || state.ClusterID != "id" {
		t.Errorf("got %+v", state)
	}
}

func TestOnlyNewsIsSignalled(t *testing.T) {
	f := testFleet(t)
	changes := f.Subscribe()
	other := f.Subscribe()
	member := testMember("m", 1)
	steps := []struct {
		name string
		do   func()
		want bool
	}{
		{"a new member", func() { f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "gone") }, true},
		{"the same again", func() { f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "gone") }, false},
		{"another message", func() { f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "no key") }, true},
		{"other labels", func() {
			member.Labels = map[string]string{"a": "b"}
			f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "no key")
		}, true},
		{"another spec", func() {
			member.Generation = 2
			member.Spec.PodNetwork.CIDRs = []mcnv1alpha1.CIDR{"10.3.0.0/16"}
			f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "no key")
		}, true},
		{"removal", func() { f.Remove("m") }, true},
		{"removal of nobody", func() { f.Remove("m") }, false},
	}
	for _, step := range steps {
		step.do()
		if got, too := received(changes), received(other); got != step.want || too != step.want {
			t.Errorf("%s: signalled %v and %v, want %v", step.name, got, too, step.want)
		}
	}
}

func TestStaleSinceIsTheTransition(t *testing.T) {
	f := testFleet(t)
	member := testMember("m", 1)
	member.Status.KubernetesVersion = "v1.36.3"
	f.SetFault(member, mcnv1alpha1.ReasonSecretNotFound, "gone")
	first, _ := f.State("m")
	if want := metav1.Unix(5000, 0); !first.StaleSince.Equal(&want) || first.StaleSince.Nanosecond() != 0 {
		t.Errorf("got %v, want whole seconds of the clock", first.StaleSince)
	}
	f.opts.Now = func() time.Time { return time.Unix(9000, 0) }
	f.SetFault(member, mcnv1alpha1.ReasonKubeconfigInvalid, "bad")
	if second, _ := f.State("m"); !second.StaleSince.Equal(first.StaleSince) {
		t.Errorf("staleSince went on from %v to %v", first.StaleSince, second.StaleSince)
	}
}

func TestWhatWasNeverSeenIsNotStale(t *testing.T) {
	f := testFleet(t)
	f.SetFault(testMember("m", 1), mcnv1alpha1.ReasonSecretNotFound, "gone")
	if state, _ := f.State("m"); state.StaleSince != nil || state.Seen {
		t.Errorf("got %+v of a member that was never connected, want it neither seen nor stale", state)
	}
}

func TestOlderRegistrationKeepsItsCluster(t *testing.T) {
	f := testFleet(t)
	younger, older := testMember("younger", 20), testMember("older", 10)
	younger.Status.ClusterID, older.Status.ClusterID = "id", "id"
	f.SetFault(younger, mcnv1alpha1.ReasonSecretNotFound, "gone")
	f.SetFault(older, mcnv1alpha1.ReasonSecretNotFound, "gone")
	if state, _ := f.State("younger"); state.Reason != mcnv1alpha1.ReasonDuplicateCluster || state.DuplicateOf != "older" || state.ClusterID != "" {
		t.Errorf("got %+v", state)
	}
	if state, _ := f.State("older"); state.ClusterID != "id" || state.DuplicateOf != "" {
		t.Errorf("got %+v", state)
	}
}

func TestRefusedKubeconfigIsAFault(t *testing.T) {
	f := testFleet(t)
	f.Set(testMember("m", 1), []byte(withUser("exec: {command: "+canary+"}")))
	state, _ := f.State("m")
	if state.Reason != mcnv1alpha1.ReasonKubeconfigRefused || strings.Contains(state.Message, canary) {
		t.Errorf("got %+v", state)
	}
	if _, ok := f.Connection("m"); ok {
		t.Error("there is a connection")
	}
	var notConnected *NotConnectedError
	if _, err := f.Get(t.Context(), "m"); !errors.As(err, &notConnected) || errors.Is(err, multicluster.ErrClusterNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Get(t.Context(), "nobody"); !errors.Is(err, multicluster.ErrClusterNotFound) || errors.As(err, &notConnected) {
		t.Errorf("got %v", err)
	}
}

func TestUnreachableServer(t *testing.T) {
	g := gomega.NewWithT(t)
	f := testFleet(t)
	f.Set(testMember("m", 1), []byte(replaced("api.example.com:6443", "127.0.0.1:1")))
	g.Eventually(func() string { s, _ := f.State("m"); return s.Message }, 20*time.Second).Should(gomega.ContainSubstring("refuses connections"))
	f.Close()
}

func TestDescribe(t *testing.T) {
	for want, err := range map[string]error{
		"401":      apierrors.NewUnauthorized(canary),
		"refuses":  &fakeNetError{syscall.ECONNREFUSED},
		"as one":   errors.New(canary),
		"Internal": apierrors.NewInternalError(errors.New(canary)),
	} {
		got := describe(err)
		if !strings.Contains(got, want) || strings.Contains(got, canary) {
			t.Errorf("%v: got %q", err, got)
		}
	}
}

type fakeNetError struct{ error }

func (e *fakeNetError) Unwrap() error { return e.error }
