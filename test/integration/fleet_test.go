package integration

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/onsi/gomega"
	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/snapshot"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// relay is a TCP path to an API server that can be cut.
type relay struct {
	listen *net.TCPListener
	target string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listen: listener.(*net.TCPListener), target: strings.TrimPrefix(target, "https://"), conns: map[net.Conn]bool{}}
	go r.serve()
	t.Cleanup(func() {
		r.setCut(true)
		_ = listener.Close()
	})
	return r
}

func (r *relay) url() string { return "https://" + r.listen.Addr().String() }

func (r *relay) serve() {
	for {
		in, err := r.listen.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		cut := r.cut
		r.mu.Unlock()
		out, err := net.Dial("tcp", r.target)
		if err != nil || cut {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		r.mu.Lock()
		r.conns[in], r.conns[out] = true, true
		r.mu.Unlock()
		go r.pipe(in, out)
		go r.pipe(out, in)
	}
}

func (r *relay) pipe(from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err == nil {
			_, err = to.Write(buffer[:n])
		}
		if err != nil {
			_, _ = from.Close(), to.Close()
			r.mu.Lock()
			delete(r.conns, from)
			delete(r.conns, to)
			r.mu.Unlock()
			return
		}
	}
}

// setCut closes what is open and refuses what comes, or lets it pass again.
func (r *relay) setCut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for c := range r.conns {
			_ = c.Close()
		}
	}
}

// kubeconfigFor is the kubeconfig of a member's account, toward another URL.
func kubeconfigFor(t *testing.T, member *cluster.Cluster, url string) []byte {
	t.Helper()
	cfg := access.Member(t, member)
	cfg.Host = url
	return access.Kubeconfig(t, cfg)
}

func fleetScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, calicov3.AddToScheme, mcnv1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func newFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f := fleet.New(fleet.Options{
		Scheme: fleetScheme(t), Logger: testr.New(t),
		ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 2 * time.Second, ProbeFailures: 2,
		BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
		RefreshInterval: time.Second, OptionalTimeout: 20 * time.Second, FrozenTimeout: time.Second,
	})
	t.Cleanup(f.Close)
	return f
}

// registration is a MemberCluster; the smaller age is the older one.
func registration(name string, age int) *mcnv1alpha1.MemberCluster {
	return &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), Generation: 1, Labels: map[string]string{"env": "test"},
			CreationTimestamp: metav1.Unix(int64(1000+age), 0),
		},
		Spec: mcnv1alpha1.MemberClusterSpec{Access: mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{}}, Role: mcnv1alpha1.RoleManaged},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// createPod creates a pod with an address in the namespace kube-system.
func createPod(t *testing.T, c client.Client, name, ip string) *corev1.Pod {
	t.Helper()
	ctx := t.Context()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	must(t, c.Create(ctx, pod))
	t.Cleanup(func() { _ = c.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	must(t, c.Status().Update(ctx, pod))
	return pod
}

func podNames(pods []snapshot.Pod) []string {
	out := []string{}
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}

func stateReason(f *fleet.Fleet, name string) func() mcnv1alpha1.Reason {
	return func() mcnv1alpha1.Reason {
		state, _ := f.State(name)
		return state.Reason
	}
}

func seenPods(f *fleet.Fleet, name string) func() []string {
	return func() []string {
		return podNames(f.Pods().List(name))
	}
}

const patience = 60 * time.Second

func TestFleet(t *testing.T) {
	t.Parallel()
	clusters := cluster.AllForTest(t, cluster.Options{Name: "fleet-native", Calico: cluster.Native}, cluster.Options{Name: "fleet-plain"})
	native, plain := clusters[0], clusters[1]
	c, err := client.New(native.RESTConfig(), client.Options{Scheme: fleetScheme(t)})
	must(t, err)
	must(t, c.Create(t.Context(), &calicov3.IPPool{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Spec: calicov3.IPPoolSpec{CIDR: "10.1.0.0/16"}}))
	must(t, c.Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"topology.kubernetes.io/region": "eu-1"}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///eu-1a/i-1"},
	}))
	t.Run("view", func(t *testing.T) { testFleetView(t, native, c) })
	t.Run("wrong cluster", func(t *testing.T) { testFleetWrongCluster(t, native, plain) })
	t.Run("other credential", func(t *testing.T) { testFleetOtherCredential(t, native, plain) })
	t.Run("duplicate", func(t *testing.T) { testFleetDuplicate(t, native) })
	t.Run("forbidden kind", func(t *testing.T) { testFleetForbiddenKind(t, native, c) })
	t.Run("faults", func(t *testing.T) { testFleetFaults(t, native) })
}

func testFleetView(t *testing.T, native *cluster.Cluster, c client.Client) {
	g := gomega.NewWithT(t)
	path := newRelay(t, native.URL())
	f := newFleet(t)
	changes := f.Subscribe()
	first := createPod(t, c, "first", "10.1.0.1")
	f.Set(registration("m", 0), kubeconfigFor(t, native, path.url()))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(changes).Should(gomega.Receive())
	g.Expect(seenPods(f, "m")()).To(gomega.ContainElement("first"))

	m := f.Snapshot().Members[0]
	g.Expect(m.Labels).To(gomega.HaveKeyWithValue("env", "test"))
	g.Expect(m.Calico.API).To(gomega.Equal(mcnv1alpha1.CalicoAPINative))
	g.Expect(m.Calico.CNI).To(gomega.Equal("Calico"))
	g.Expect(m.Cloud).To(gomega.Equal(mcnv1alpha1.CloudStatus{Provider: "aws", Region: "eu-1"}))
	g.Expect(m.KubernetesVersion).To(gomega.HavePrefix("v1."))
	g.Expect(m.PodCIDRs).To(gomega.HaveLen(1))
	g.Expect(m.DNS).To(gomega.HaveLen(1))
	g.Expect(m.APIServer.ClusterIPs).To(gomega.HaveLen(1))
	g.Expect(m.APIServerEndpoints).To(gomega.HaveLen(1))
	g.Eventually(func() fleet.State { s, _ := f.State("m"); return s }, patience).Should(gomega.And(
		gomega.HaveField("CalicoReady", true), gomega.HaveField("Problems", gomega.BeEmpty()), gomega.HaveField("StaleSince", gomega.BeNil())))
	conn, ok := f.Connection("m")
	g.Expect(ok).To(gomega.BeTrue())
	g.Expect(conn.ClusterID).To(gomega.Equal(m.ClusterID))

	second := createPod(t, c, "second", "10.1.0.2")
	g.Eventually(seenPods(f, "m"), patience).Should(gomega.ContainElements("first", "second"))
	must(t, c.Delete(t.Context(), second, client.GracePeriodSeconds(0)))
	g.Eventually(seenPods(f, "m"), patience).ShouldNot(gomega.ContainElement("second"))

	path.setCut(true)
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnectionFailed))
	state, _ := f.State("m")
	g.Expect(state.StaleSince).NotTo(gomega.BeNil())
	g.Expect(conn.Context().Err()).To(gomega.HaveOccurred())
	_, ok = f.Connection("m")
	g.Expect(ok).To(gomega.BeFalse())
	must(t, c.Delete(t.Context(), first, client.GracePeriodSeconds(0)))
	g.Consistently(seenPods(f, "m"), 700*time.Millisecond).Should(gomega.ContainElement("first"), "what was last known is held")
	after, _ := f.State("m")
	g.Expect(after).To(gomega.Equal(state), "nothing in a state ticks")

	path.setCut(false)
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Expect(seenPods(f, "m")()).NotTo(gomega.ContainElement("first"))
	state, _ = f.State("m")
	g.Expect(state.StaleSince).To(gomega.BeNil())
	for len(changes) > 0 {
		<-changes
	}
	g.Consistently(changes, time.Second).ShouldNot(gomega.Receive(), "a quiet member signals nothing")

	f.Remove("m")
	g.Expect(f.Snapshot().Members).To(gomega.BeEmpty())
}

func testFleetWrongCluster(t *testing.T, native, plain *cluster.Cluster) {
	g := gomega.NewWithT(t)
	f := newFleet(t)
	f.Set(registration("m", 0), kubeconfigFor(t, native, native.URL()))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	before, _ := f.Member("m")
	conn, _ := f.Connection("m")

	f.Set(registration("m", 0), kubeconfigFor(t, plain, plain.URL()))
	g.Expect(conn.Context().Err()).To(gomega.HaveOccurred(), "a new credential ends the connection")
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonClusterIDMismatch))
	after, _ := f.Member("m")
	g.Expect(after).To(gomega.Equal(before), "nothing is read from the other cluster")

	pinned := registration("pinned", 0)
	pinned.Spec.ClusterID = "another"
	f.Set(pinned, kubeconfigFor(t, plain, plain.URL()))
	g.Eventually(stateReason(f, "pinned"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonClusterIDMismatch))

	f.Set(registration("m", 0), kubeconfigFor(t, native, native.URL()))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))

	f.Set(registration("plain", 1), kubeconfigFor(t, plain, plain.URL()))
	g.Eventually(stateReason(f, "plain"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	state, _ := f.State("plain")
	g.Expect(state.CalicoReason).To(gomega.Equal(mcnv1alpha1.ReasonCalicoNotInstalled))
}

func testFleetDuplicate(t *testing.T, native *cluster.Cluster) {
	g := gomega.NewWithT(t)
	f := newFleet(t)
	kubeconfig := kubeconfigFor(t, native, native.URL())
	f.Set(registration("younger", 2), kubeconfig)
	g.Eventually(stateReason(f, "younger"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	f.Set(registration("older", 1), kubeconfig)
	g.Eventually(stateReason(f, "older"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(stateReason(f, "younger"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonDuplicateCluster))
	m, _ := f.Member("younger")
	g.Expect(m.Namespaces).To(gomega.BeEmpty(), "a duplicate is not read")
	f.Remove("older")
	g.Eventually(stateReason(f, "younger"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
}

// testFleetForbiddenKind connects with a token that may read pods, namespaces, nodes and Services only, and then loses and gets back the right to watch
// one of them.
func testFleetForbiddenKind(t *testing.T, native *cluster.Cluster, c client.Client) {
	g := gomega.NewWithT(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "namespaces", "nodes", "services"}, Verbs: []string{"get", "list", "watch"}},
	}}
	must(t, c.Create(t.Context(), role))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "reader"}}
	must(t, c.Create(t.Context(), account))
	must(t, c.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "kube-system", Name: "reader"}},
	}))
	relay := newRelay(t, native.URL())
	f := newFleet(t)
	few := access.Token(t, native, account.Namespace, account.Name)
	few.Host = relay.url()
	f.Set(registration("m", 0), access.Kubeconfig(t, few))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	state, _ := f.State("m")
	g.Expect(state.Problems).To(gomega.ContainElement(gomega.HavePrefix("cannot list customresourcedefinitions.apiextensions.k8s.io: forbidden")))
	g.Expect(state.CalicoReady).To(gomega.BeFalse())

	// Only the next watch is refused; cutting the present ones brings it on.
	all := role.DeepCopy().Rules
	role.Rules[0].Resources = []string{"namespaces", "nodes", "services"}
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}})
	must(t, c.Update(t.Context(), role))
	relay.setCut(true)
	relay.setCut(false)
	message := func() string { s, _ := f.State("m"); return s.Message }
	g.Eventually(message, patience).Should(gomega.Equal("the cluster cannot be watched, and what is known of it is held: " +
		"cannot watch pods: forbidden; grant get, list and watch on pods to the operator's account on the member"))
	state, _ = f.State("m")
	g.Expect(state.Reachable).To(gomega.BeFalse())
	g.Expect(state.Reason).To(gomega.Equal(mcnv1alpha1.ReasonConnectionFailed))
	g.Expect(state.StaleSince).NotTo(gomega.BeNil())
	m, _ := f.Member("m")
	g.Expect(m.Namespaces).NotTo(gomega.BeEmpty(), "what was last known is held")
	g.Consistently(stateReason(f, "m"), 2*time.Second).Should(gomega.Equal(mcnv1alpha1.ReasonConnectionFailed), "lists alone connect nobody")
	role.Rules = all
	must(t, c.Update(t.Context(), role))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
}

func testFleetFaults(t *testing.T, native *cluster.Cluster) {
	g := gomega.NewWithT(t)
	f := newFleet(t)
	f.Set(registration("refused", 0), []byte("current-context: c\nusers: [{name: u, user: {exec: {command: touch}}}]\n"))
	state, _ := f.State("refused")
	g.Expect(state.Reason).To(gomega.Equal(mcnv1alpha1.ReasonKubeconfigRefused))
	g.Expect(state.StaleSince).To(gomega.BeNil(), "it was never seen, so that nothing of it is stale")

	unknown := access.Member(t, native)
	unknown.BearerToken = "no-such-token"
	f.Set(registration("unauthorized", 1), access.Kubeconfig(t, unknown))
	g.Eventually(func() string { s, _ := f.State("unauthorized"); return s.Message }, patience).Should(gomega.ContainSubstring("401"))

	// A member that does not answer holds up nobody.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	f.Set(registration("silent", 2), kubeconfigFor(t, native, "https://"+silent.Addr().String()))
	f.Set(registration("good", 3), kubeconfigFor(t, native, native.URL()))
	g.Eventually(stateReason(f, "good"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(func() string { s, _ := f.State("silent"); return s.Message }, patience).Should(gomega.ContainSubstring("in time"))

	f.SetFault(registration("good", 3), mcnv1alpha1.ReasonSecretNotFound, "the Secret is gone")
	g.Expect(stateReason(f, "good")()).To(gomega.Equal(mcnv1alpha1.ReasonSecretNotFound))
	m, _ := f.Member("good")
	g.Expect(m.Namespaces).NotTo(gomega.BeEmpty(), "what was last known is held")
}
