package controllers

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

const (
	memberNamespace = mcnv1alpha1.DefaultNamespace
	memberPatience  = 60 * time.Second
	memberBarrier   = 3 * time.Second
)

// recordingCleaner is done at the second call for a member.
type recordingCleaner struct {
	mu    sync.Mutex
	calls map[string]int
}

func (c *recordingCleaner) CleanMember(_ context.Context, name string, _ ...string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[name]++
	return c.calls[name] > 1, nil
}

func (c *recordingCleaner) Statuses() map[string]member.Status { return nil }

func (c *recordingCleaner) Subscribe() <-chan struct{} { return nil }

func (c *recordingCleaner) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[name]
}

// memberHub is a hub with the controller running on it, as the operator's service account.
type memberHub struct {
	client.Client
	cleaner *recordingCleaner
	// operator is how the operator reaches the hub.
	operator *rest.Config
	scheme   *runtime.Scheme
	// kubeconfig is that of the members' account on the hub, which stands in for every member.
	kubeconfig []byte
}

func startMemberHub(t *testing.T) *memberHub {
	t.Helper()
	hub := cluster.ForTest(t, cluster.Options{Name: "membercluster", Calico: cluster.Native})
	access.InstallHub(t, hub)
	access.LocalMember(t, hub)
	s := runtime.NewScheme()
	requireNoError(t, clientgoscheme.AddToScheme(s))
	requireNoError(t, mcnv1alpha1.AddToScheme(s))
	c, err := client.New(hub.RESTConfig(), client.Options{Scheme: s})
	requireNoError(t, err)
	return &memberHub{Client: c, operator: access.Operator(t, hub), scheme: s, kubeconfig: access.MemberKubeconfig(t, hub)}
}

// run starts an operator; stop waits for its end.
func (h *memberHub) run(t *testing.T) (members *fleet.Fleet, stop func()) {
	t.Helper()
	mgr, err := ctrl.NewManager(h.operator, ctrl.Options{
		Scheme: h.scheme, Logger: testr.New(t), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:          cache.Options{ByObject: HubCacheByObject(memberNamespace)},
		Controller:     config.Controller{SkipNameValidation: new(true)},
		LeaderElection: true, LeaderElectionID: "multicloud-network-operator", LeaderElectionNamespace: memberNamespace, LeaderElectionReleaseOnCancel: true,
	})
	requireNoError(t, err)
	members = fleet.New(fleet.Options{
		Hub: h.operator, Scheme: h.scheme, Logger: testr.New(t),
		ProbeInterval: 200 * time.Millisecond, BackoffMin: 50 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
	})
	requireNoError(t, mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return members.Start(ctx, nil) })))
	h.cleaner = &recordingCleaner{calls: map[string]int{}}
	leftovers := &Leftovers{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Namespace: memberNamespace, Owner: "hub"}
	r := &MemberClusterReconciler{
		Client: mgr.GetClient(), Namespace: memberNamespace, Fleet: members, Cleaner: h.cleaner, Leftovers: leftovers, Barrier: memberBarrier,
	}
	secrets := &SecretReconciler{Client: mgr.GetClient(), Namespace: memberNamespace, Barrier: memberBarrier}
	requireNoError(t, secrets.SetupWithManager(mgr))
	requireNoError(t, r.SetupWithManager(mgr))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return members, stop
}

func requireNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// condition returns a member's condition as status/reason.
func (h *memberHub) condition(t *testing.T, name, kind string) func() string {
	return func() string {
		var m mcnv1alpha1.MemberCluster
		if err := h.Get(t.Context(), client.ObjectKey{Name: name}, &m); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(m.Status.Conditions, kind)
		if c == nil {
			return ""
		}
		return string(c.Status) + "/" + c.Reason
	}
}

func (h *memberHub) gone(t *testing.T, name string) func() bool {
	return func() bool {
		return apierrors.IsNotFound(h.Get(t.Context(), client.ObjectKey{Name: name}, &mcnv1alpha1.MemberCluster{}))
	}
}

func (h *memberHub) secret(name string, kubeconfig []byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: name}, Data: map[string][]byte{"kubeconfig": kubeconfig}}
}

func memberCluster(name string, access mcnv1alpha1.Access) *mcnv1alpha1.MemberCluster {
	return &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: mcnv1alpha1.MemberClusterSpec{Access: access}}
}

func bySecret(name string) mcnv1alpha1.Access {
	return mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{SecretRef: mcnv1alpha1.SecretKeyReference{Name: name}}}
}

func TestMemberCluster(t *testing.T) {
	h := startMemberHub(t)
	_, stop := h.run(t)
	t.Run("by Secret", func(t *testing.T) { testMemberBySecret(t, h) })
	t.Run("local, deleted with orphans", func(t *testing.T) { testMemberLocal(t, h) })
	t.Run("unreachable, deleted", func(t *testing.T) { testMemberUnreachable(t, h) })
	t.Run("restart", func(t *testing.T) { testMemberRestart(t, h, stop) })
}

func testMemberBySecret(t *testing.T, h *memberHub) {
	g, ctx := gomega.NewWithT(t), t.Context()
	ready := h.condition(t, "one", mcnv1alpha1.ConditionReady)
	member := memberCluster("one", bySecret("one"))
	requireNoError(t, h.Create(ctx, member))
	g.Eventually(ready, memberPatience).Should(gomega.Equal("False/SecretNotFound"))

	secret := h.secret("one", []byte("users: [{name: u, user: {exec: {command: touch}}}]"))
	requireNoError(t, h.Create(ctx, secret))
	g.Eventually(ready, memberPatience).Should(gomega.Equal("False/KubeconfigRefused"))
	good := secret.DeepCopy()
	good.Data["kubeconfig"] = h.kubeconfig
	requireNoError(t, h.Patch(ctx, good, client.MergeFrom(secret)))
	g.Eventually(ready, memberPatience).Should(gomega.Equal("True/Ready"))

	key := client.ObjectKeyFromObject(member)
	requireNoError(t, h.Get(ctx, key, member))
	var system corev1.Namespace
	requireNoError(t, h.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system))
	g.Expect(member.Status.ClusterID).To(gomega.Equal(string(system.UID)))
	g.Expect(member.Status.ObservedGeneration).To(gomega.Equal(member.Generation))
	g.Expect(member.Status.KubernetesVersion).NotTo(gomega.BeEmpty())
	g.Expect(member.Status.StaleSince).To(gomega.BeNil())
	g.Expect(member.Finalizers).To(gomega.ContainElement(mcnv1alpha1.CleanupFinalizer))

	written := member.ResourceVersion
	requireNoError(t, h.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "unrelated"}}))
	g.Consistently(func() string {
		requireNoError(t, h.Get(ctx, key, member))
		return member.ResourceVersion
	}, time.Second).Should(gomega.Equal(written), "what changes no status writes none")

	requireNoError(t, h.Delete(ctx, secret))
	g.Eventually(func() string {
		requireNoError(t, h.Get(ctx, key, member))
		return meta.FindStatusCondition(member.Status.Conditions, mcnv1alpha1.ConditionReachable).Message
	}, memberPatience).Should(gomega.Or(gomega.ContainSubstring("Secret "+memberNamespace+"/one is being deleted"), gomega.ContainSubstring("is not there")))
	g.Eventually(ready, memberPatience).Should(gomega.Equal("False/SecretNotFound"))
	requireNoError(t, h.Get(ctx, key, member))
	g.Expect(member.Status.StaleSince).NotTo(gomega.BeNil())
	g.Expect(member.Status.ClusterID).To(gomega.Equal(string(system.UID)))
	requireNoError(t, h.Create(ctx, h.secret("one", h.kubeconfig)))
	g.Eventually(ready, memberPatience).Should(gomega.Equal("True/Ready"))

	requireNoError(t, h.Delete(ctx, member))
	g.Eventually(h.gone(t, "one"), memberPatience).Should(gomega.BeTrue())
	g.Expect(h.cleaner.count("one")).To(gomega.BeNumerically(">=", 2), "it is cleaned until it is clean")
}

func testMemberLocal(t *testing.T, h *memberHub) {
	g, ctx := gomega.NewWithT(t), t.Context()
	member := memberCluster("hub", mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}})
	member.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan
	requireNoError(t, h.Create(ctx, member))
	g.Eventually(h.condition(t, "hub", mcnv1alpha1.ConditionReady), memberPatience).Should(gomega.Equal("True/Ready"))
	requireNoError(t, h.Delete(ctx, member))
	g.Eventually(h.gone(t, "hub"), memberPatience).Should(gomega.BeTrue())
	g.Expect(h.cleaner.count("hub")).To(gomega.BeZero())
}

func testMemberUnreachable(t *testing.T, h *memberHub) {
	g, ctx := gomega.NewWithT(t), t.Context()
	member := memberCluster("lost", bySecret("lost"))
	requireNoError(t, h.Create(ctx, member))
	g.Eventually(h.condition(t, "lost", mcnv1alpha1.ConditionReachable), memberPatience).Should(gomega.Equal("False/SecretNotFound"))
	g.Expect(h.condition(t, "lost", mcnv1alpha1.ConditionCalicoReady)()).To(gomega.Equal("Unknown/ClusterUnreachable"))
	requireNoError(t, h.Delete(ctx, member))
	g.Eventually(h.gone(t, "lost"), memberPatience).Should(gomega.BeTrue())
	g.Expect(h.cleaner.count("lost")).To(gomega.BeZero())
}

// testMemberRestart ends the operator that runs and starts another.
func testMemberRestart(t *testing.T, h *memberHub, stop func()) {
	g, ctx := gomega.NewWithT(t), t.Context()
	good, bad := memberCluster("good", mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}}), memberCluster("bad", bySecret("bad"))
	requireNoError(t, h.Create(ctx, good))
	requireNoError(t, h.Create(ctx, bad))
	refused := []byte(strings.ReplaceAll(string(h.kubeconfig), "https://127.0.0.1:", "https://127.0.0.1:1 # "))
	requireNoError(t, h.Create(ctx, h.secret("bad", refused)))
	versions := func() (out []string) {
		for _, m := range []*mcnv1alpha1.MemberCluster{good, bad} {
			requireNoError(t, h.Get(ctx, client.ObjectKeyFromObject(m), m))
			out = append(out, m.ResourceVersion)
		}
		return out
	}
	g.Eventually(h.condition(t, "good", mcnv1alpha1.ConditionReady), memberPatience).Should(gomega.Equal("True/Ready"))
	g.Eventually(h.condition(t, "bad", mcnv1alpha1.ConditionReachable), memberPatience).Should(gomega.Equal("False/ConnectionFailed"))
	stop()
	before := versions()
	members, _ := h.run(t)
	reason := func(name string) func() mcnv1alpha1.Reason {
		return func() mcnv1alpha1.Reason { s, _ := members.State(name); return s.Reason }
	}
	g.Eventually(reason("good"), memberPatience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(reason("bad"), memberPatience).Should(gomega.Equal(mcnv1alpha1.ReasonConnectionFailed))
	g.Consistently(versions, time.Second).Should(gomega.Equal(before), "a restart writes no status where nothing changed")
}

func TestMemberAwaitsAVerdictAfterAStart(t *testing.T) {
	connecting := fleet.State{Reason: mcnv1alpha1.ReasonConnecting}
	for name, tc := range map[string]struct {
		stored     mcnv1alpha1.Reason
		generation int64
		state      fleet.State
		after      time.Duration
		want       time.Duration
	}{
		"a new member":                   {generation: 1, state: connecting},
		"one that was connected":         {stored: mcnv1alpha1.ReasonConnected, generation: 1, state: connecting, want: restartPatience},
		"one that was lost":              {stored: mcnv1alpha1.ReasonConnectionFailed, generation: 1, state: connecting, want: restartPatience},
		"one that was connecting":        {stored: mcnv1alpha1.ReasonConnecting, generation: 1, state: connecting},
		"a changed spec":                 {stored: mcnv1alpha1.ReasonConnected, generation: 2, state: connecting},
		"some time after the start":      {stored: mcnv1alpha1.ReasonConnected, generation: 1, state: connecting, after: 10 * time.Second, want: restartPatience - 10*time.Second},
		"a long time after the start":    {stored: mcnv1alpha1.ReasonConnected, generation: 1, state: connecting, after: restartPatience},
		"a verdict of failure":           {stored: mcnv1alpha1.ReasonConnected, generation: 1, state: fleet.State{Reason: mcnv1alpha1.ReasonConnectionFailed}},
		"one that this process has seen": {stored: mcnv1alpha1.ReasonConnected, generation: 1, state: fleet.State{Reason: mcnv1alpha1.ReasonConnecting, Synced: true}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(5000, 0)
			r := &MemberClusterReconciler{Now: func() time.Time { return now }}
			r.awaits(&mcnv1alpha1.MemberCluster{}, connecting) // the first that it looks at
			now = now.Add(tc.after)
			member := memberCluster("m", bySecret("m"))
			member.Generation, member.Status.ObservedGeneration = tc.generation, 1
			if tc.stored != "" {
				member.Status.Conditions = []metav1.Condition{{Type: mcnv1alpha1.ConditionReachable, Reason: string(tc.stored)}}
			}
			if got := r.awaits(member, tc.state); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
