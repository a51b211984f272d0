package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/await"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/faults/proxy"
	scheme "multicloud.network/operator/test/operator"
)

// patience is how long a row waits for what should take moments, or what its row says.
const patience = 3 * time.Minute

// The members. All but north carry the networks of every model from the start; north begins without Calico.
const (
	east  = "east"  // aggregated
	west  = "west"  // native
	south = "south" // native
	north = "north" // none, native later
)

// site is one member.
type site struct {
	*cluster.Cluster
	name string
	// admin passes no proxy.
	admin client.Client
	// proxy is the operator's way to the member, with token.
	proxy *proxy.Proxy
	token string

	mu   sync.Mutex
	pods int
	// away says that a row has killed the API server.
	away bool
}

// world is a hub with the operator, and members.
type world struct {
	hub      *cluster.Cluster
	admin    client.Client
	sites    map[string]*site
	operator *program
}

// base are the networks that stand on all members but north while rows run; no row changes them.
var base = []string{"base-flat", "base-vlan", "base-calico"}

// start starts the world and waits until the base networks are in force.
func start(t *testing.T) *world {
	t.Helper()
	all := cluster.AllForTest(t,
		cluster.Options{Name: "hub"}, cluster.Options{Name: east, Calico: cluster.Aggregated},
		cluster.Options{Name: west, Calico: cluster.Native}, cluster.Options{Name: south, Calico: cluster.Native}, cluster.Options{Name: north})
	w := &world{hub: all[0], admin: scheme.Admin(t, all[0]), sites: map[string]*site{}}
	access.InstallHub(t, w.hub)
	for _, c := range all[1:] {
		w.sites[c.Name] = newSite(t, c)
		w.register(t, c.Name, c.Name != north)
	}
	for _, name := range []string{east, west, south} {
		s := w.sites[name]
		s.addPod(t, "base", "a", map[string]string{"app": "a"})
		s.addPod(t, "base", "b", map[string]string{"app": "b"})
	}
	w.operator = startProgram(t, w)
	w.createBase(t)
	for _, name := range base {
		w.waitReady(t, name)
	}
	return w
}

func newSite(t *testing.T, c *cluster.Cluster) *site {
	t.Helper()
	account := access.Member(t, c)
	s := &site{Cluster: c, name: c.Name, admin: scheme.Admin(t, c), token: account.BearerToken}
	var err error
	s.proxy, err = proxy.Start(proxy.Options{Name: c.Name, Backend: proxy.Backend{URL: c.URL(), CA: account.CAData}, Seed: 1})
	must(t, err)
	t.Cleanup(s.proxy.Close)
	t.Cleanup(func() {
		if t.Failed() {
			for _, i := range s.proxy.Injected() {
				t.Logf("%s %s: %s", i.At.Format(time.TimeOnly), s.name, i)
			}
		}
	})
	return s
}

// register makes a member known to the hub.
func (w *world) register(t *testing.T, name string, carriesBase bool) {
	t.Helper()
	s := w.sites[name]
	must(t, w.admin.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: access.Namespace, Name: name}, Data: map[string][]byte{"kubeconfig": s.proxy.Kubeconfig(s.token)},
	}))
	must(t, w.admin.Create(t.Context(), &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name, "base": fmt.Sprint(carriesBase)}},
		Spec: mcnv1alpha1.MemberClusterSpec{
			Access:     mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{SecretRef: mcnv1alpha1.SecretKeyReference{Name: name, Key: "kubeconfig"}}},
			PodNetwork: mcnv1alpha1.PodNetwork{CIDRs: []mcnv1alpha1.CIDR{mcnv1alpha1.CIDR(s.subnet() + ".0.0/16")}},
		},
	}))
}

// subnet is the first half of the member's pod addresses.
func (s *site) subnet() string {
	return fmt.Sprintf("10.%d", 20+slices.Index([]string{east, west, south, north}, s.name))
}

// addPod creates a running pod in a namespace, which it creates too, and returns its address.
func (s *site) addPod(t *testing.T, namespace, name string, labels map[string]string) string {
	t.Helper()
	s.mu.Lock()
	s.pods++
	address := fmt.Sprintf("%s.1.%d", s.subnet(), s.pods)
	s.mu.Unlock()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"team": namespace}}}
	if err := s.admin.Create(t.Context(), ns); !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
	}
	must(t, s.admin.Create(t.Context(), pod))
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}}
	must(t, s.admin.Status().Update(t.Context(), pod))
	return address
}

// selection picks the pods of a namespace; of one app, if it is not empty.
func selection(namespace, app string) mcnv1alpha1.PodSelection {
	out := mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": namespace}}}
	if app != "" {
		out.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	return out
}

// on selects members by name.
func on(names ...string) mcnv1alpha1.ClusterSelection {
	return mcnv1alpha1.ClusterSelection{Selector: metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "name", Operator: metav1.LabelSelectorOpIn, Values: names}},
	}}
}

// flat is a Flat network of the pods of a namespace that is named like it.
func flat(name string, members ...string) *mcnv1alpha1.MultiCloudNetwork {
	return &mcnv1alpha1.MultiCloudNetwork{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcnv1alpha1.MultiCloudNetworkSpec{
			Clusters: on(members...), Model: mcnv1alpha1.ModelFlat, Boundary: mcnv1alpha1.BoundaryClosed, Flat: &mcnv1alpha1.FlatSpec{Pods: selection(name, "")},
		},
	}
}

// subnets is a VLAN network of the pods of a namespace that is named like it, and of a subnet, whose addresses stand in a set.
func subnets(name string, members ...string) *mcnv1alpha1.MultiCloudNetwork {
	out := flat(name, members...)
	out.Spec.Model, out.Spec.Flat = mcnv1alpha1.ModelVLAN, nil
	out.Spec.VLAN = &mcnv1alpha1.VLANSpec{Segments: []mcnv1alpha1.Segment{
		{Name: "app", Pods: ptr(selection(name, ""))}, {Name: "outside", CIDRs: []mcnv1alpha1.CIDR{"198.51.100.0/24"}},
	}}
	out.Spec.Routes = []mcnv1alpha1.Route{{Name: "out", From: []mcnv1alpha1.Peer{{Segment: "app"}}, To: []mcnv1alpha1.Peer{{Segment: "outside"}}}}
	return out
}

// create creates a network, with a pod on each of the members, and deletes it at the end of the row.
func (w *world) create(t *testing.T, n *mcnv1alpha1.MultiCloudNetwork, members ...string) {
	t.Helper()
	for _, member := range members {
		w.sites[member].addPod(t, n.Name, "app", nil)
	}
	must(t, w.admin.Create(t.Context(), n))
	t.Cleanup(func() { w.forget(t, n.Name) })
}

// forget deletes a network that is still there, and waits until it is gone: what goes away of it would be counted by the next row.
func (w *world) forget(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.IgnoreNotFound(w.admin.Delete(ctx, &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}})); err != nil {
		t.Error(err)
		return
	}
	eventually(t, "network "+name+" is gone", func() error {
		if n, err := w.get(name); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %v, %w", n.Status.Conditions, err)
		}
		return nil
	})
}

// remove deletes a network and waits until it is gone from the hub.
func (w *world) remove(t *testing.T, name string) time.Duration {
	t.Helper()
	began := time.Now()
	w.forget(t, name)
	return time.Since(began)
}

// network creates a Flat network with a pod on each of its members, and waits until it is ready.
func (w *world) network(t *testing.T, name string, members ...string) {
	t.Helper()
	w.create(t, flat(name, members...), members...)
	w.waitReady(t, name)
}

// createBase creates a network of each model.
func (w *world) createBase(t *testing.T) {
	t.Helper()
	carriers := mcnv1alpha1.ClusterSelection{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"base": "true"}}}
	for i, spec := range []mcnv1alpha1.MultiCloudNetworkSpec{
		{Model: mcnv1alpha1.ModelFlat, Flat: &mcnv1alpha1.FlatSpec{Pods: selection("base", "")}},
		{
			Model: mcnv1alpha1.ModelVLAN,
			VLAN: &mcnv1alpha1.VLANSpec{Segments: []mcnv1alpha1.Segment{
				{Name: "a", Pods: ptr(selection("base", "a"))}, {Name: "b", Pods: ptr(selection("base", "b"))},
			}},
			Routes: []mcnv1alpha1.Route{{Name: "a-to-b", From: []mcnv1alpha1.Peer{{Segment: "a"}}, To: []mcnv1alpha1.Peer{{Segment: "b"}}}},
		},
		{
			Model: mcnv1alpha1.ModelCalico,
			Calico: &mcnv1alpha1.CalicoSpec{Policies: []mcnv1alpha1.CalicoPolicy{{
				Name: "b", Order: 100, Pods: selection("base", "b"), Types: []mcnv1alpha1.PolicyType{mcnv1alpha1.PolicyTypeIngress},
				Ingress: []mcnv1alpha1.Rule{{Action: "Allow", Source: &mcnv1alpha1.EntityRule{NamespaceSelector: "team == 'base'", Selector: "app == 'a'"}}},
			}}},
		},
	} {
		spec.Clusters = carriers
		must(t, w.admin.Create(t.Context(), &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: base[i]}, Spec: spec}))
	}
}

func ptr[T any](v T) *T { return &v }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a look at something finds no fault, and returns how long that took.
func eventually(t *testing.T, what string, look func() error) time.Duration {
	t.Helper()
	return await.Until(t, patience, what, func() string {
		if err := look(); err != nil {
			return err.Error()
		}
		return ""
	})
}

// steadily looks at something for a while, and fails at the first fault found.
func steadily(t *testing.T, what string, d time.Duration, look func() error) {
	t.Helper()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < d; <-ticker.C {
		if err := look(); err != nil {
			t.Fatalf("%s: %v after %s", what, err, time.Since(began).Round(time.Millisecond))
		}
	}
}

// rest lets time pass, where only time shows that nothing happens.
func rest(t *testing.T, d time.Duration) {
	t.Helper()
	steadily(t, "waiting", d, func() error { return t.Context().Err() })
}

// get reads a network.
func (w *world) get(name string) (*mcnv1alpha1.MultiCloudNetwork, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n := &mcnv1alpha1.MultiCloudNetwork{}
	return n, w.admin.Get(ctx, client.ObjectKey{Name: name}, n)
}

// member reads a MemberCluster.
func (w *world) member(name string) (*mcnv1alpha1.MemberCluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m := &mcnv1alpha1.MemberCluster{}
	return m, w.admin.Get(ctx, client.ObjectKey{Name: name}, m)
}

// condition checks one condition of an object; an empty reason is any, and so is an empty part of the message.
func condition(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason, part string) error {
	c := apimeta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != status || (reason != "" && c.Reason != string(reason)) || !strings.Contains(c.Message, part) {
		return fmt.Errorf("condition %s is %+v, want %s %s %q", kind, c, status, reason, part)
	}
	return nil
}

// waitReady waits until a network is in force as it is specified now.
func (w *world) waitReady(t *testing.T, name string) time.Duration {
	t.Helper()
	return eventually(t, "network "+name+" is ready", func() error {
		n, err := w.get(name)
		if err != nil {
			return err
		}
		if n.Status.ObservedGeneration != n.Generation {
			return fmt.Errorf("generation %d is observed, not %d", n.Status.ObservedGeneration, n.Generation)
		}
		return condition(n.Status.Conditions, mcnv1alpha1.ConditionReady, metav1.ConditionTrue, "", "")
	})
}

// waitReachable waits until a member is, or is not, reachable, with a reason and a part of the message.
func (w *world) waitReachable(t *testing.T, name string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason, part string) time.Duration {
	t.Helper()
	return eventually(t, fmt.Sprintf("Reachable of %s is %s", name, status), func() error { return w.reachable(name, status, reason, part) })
}

func (w *world) reachable(name string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason, part string) error {
	m, err := w.member(name)
	if err != nil {
		return err
	}
	return condition(m.Status.Conditions, mcnv1alpha1.ConditionReachable, status, reason, part)
}

// clusterStatus reads what a network says of one member.
func (w *world) clusterStatus(network, member string) (mcnv1alpha1.ClusterStatus, error) {
	n, err := w.get(network)
	if err != nil {
		return mcnv1alpha1.ClusterStatus{}, err
	}
	for _, c := range n.Status.Clusters {
		if c.Name == member {
			return c, nil
		}
	}
	return mcnv1alpha1.ClusterStatus{}, fmt.Errorf("network %s does not list %s", network, member)
}
