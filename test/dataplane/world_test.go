package dataplane

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/dataplane/intent"
	"multicloud.network/operator/test/dataplane/lab"
	"multicloud.network/operator/test/operator"
)

// patience bounds the wait for what should take moments, on a busy machine.
const patience = 2 * time.Minute

// memberLabels are those of the MemberClusters, by cluster.
var memberLabels = map[string]map[string]string{
	"a": {"name": "a", "env": "prod"}, "b": {"name": "b", "env": "prod"}, "c": {"name": "c", "env": "dev"},
}

// namespaces are those that every cluster has, with their labels.
var namespaces = map[string]map[string]string{"shop": {"team": "shop"}, "bank": {"team": "bank"}, "tools": {"team": "tools"}}

// population are the pods of every cluster: namespace, name and tier.
var population = [][3]string{
	{"shop", "web", "web"}, {"shop", "api", "api"}, {"shop", "db", "db"}, {"bank", "web", "web"}, {"bank", "api", "api"}, {"bank", "db", "db"}, {"tools", "job", ""},
}

// flags are what the operator is always started with, quick those with which it does not wait for Felix: the tests do.
var (
	flags = []string{"--namespace=" + access.Namespace, "--metrics-bind-address=0", "--health-probe-bind-address=0"}
	quick = []string{"--settle=50ms", "--barrier=10s"}
)

// world is the range, the operator that rules it, and what the specification says of it now.
type world struct {
	*lab.Lab
	t        *testing.T // of the whole story
	program  string
	operator *operator.Process
	intent   intent.World
	pods     []*lab.Pod
	// labels are those of the namespaces now, by cluster and name.
	labels map[string]map[string]map[string]string
	places map[*lab.Place]intent.Place
	tally  tally
}

// start makes the range with its pods, registers the members and starts the operator.
func start(t *testing.T) *world {
	t.Helper()
	plane, err := lab.ParseDataplane(*dataplane)
	must(t, err)
	l, err := lab.Start(t.Context(), lab.Options{Nodes: []int{2, 1, 1}, Dataplane: plane, Progress: os.Stderr})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			l.KeepLogs()
		}
		if err := l.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Lab: l, t: t, intent: intent.World{Clusters: map[string]intent.Cluster{}, Local: map[string][]networkingv1.NetworkPolicy{}}}
	w.tally.dataplane = plane
	access.InstallHub(t, l.Hub)
	for _, s := range l.Sites {
		w.populate(t, s)
		operator.Register(t, l.Hub, s.Cluster, s.Name, func(m *mcnv1alpha1.MemberCluster) {
			m.Labels = memberLabels[s.Name]
			m.Spec.PodNetwork.SourceNAT = mcnv1alpha1.SourceNATPreserve
		})
		w.intent.Clusters[s.Name] = intent.Cluster{
			Labels: memberLabels[s.Name], Preserve: true,
			API: netip.AddrPortFrom(s.API.Address, s.APIPort), DNS: netip.AddrPortFrom(s.DNS.Address, 53),
		}
	}
	w.program = operator.Build(t)
	w.operator = operator.Start(t, w.program, l.Hub, append(slices.Clone(flags), quick...)...)
	for _, s := range l.Sites {
		w.eventually(t, "member "+s.Name+" is ready", func() error {
			var m mcnv1alpha1.MemberCluster
			if err := l.HubAdmin.Get(t.Context(), client.ObjectKey{Name: s.Name}, &m); err != nil {
				return err
			}
			return isTrue(m.Status.Conditions, "Ready")
		})
	}
	return w
}

// restart kills the operator and starts it with other flags.
func (w *world) restart(t *testing.T, more ...string) {
	t.Helper()
	w.operator.Kill()
	w.operator = operator.Start(w.t, w.program, w.Hub, append(slices.Clone(flags), more...)...)
}

// populate makes the pods of one cluster, on all its nodes by turns.
func (w *world) populate(t *testing.T, s *lab.Site) {
	t.Helper()
	if w.labels == nil {
		w.labels = map[string]map[string]map[string]string{}
	}
	w.labels[s.Name] = map[string]map[string]string{}
	for name, labels := range namespaces {
		w.setNamespace(t, s, name, labels)
	}
	var specs []lab.PodSpec
	for i, p := range population {
		specs = append(specs, lab.PodSpec{Node: i % len(s.Nodes), Namespace: p[0], Name: p[1], Labels: labelsOf(p)})
	}
	pods, err := s.AddPods(t.Context(), specs...)
	must(t, err)
	w.pods = append(w.pods, pods...)
}

// labelsOf are the labels of one of the population.
func labelsOf(p [3]string) map[string]string {
	out := map[string]string{"app": p[0] + "-" + p[1]}
	if p[2] != "" {
		out["tier"] = p[2]
	}
	return out
}

// setNamespace gives a namespace labels, in the cluster and in what the specification is asked of.
func (w *world) setNamespace(t *testing.T, s *lab.Site, name string, labels map[string]string) {
	t.Helper()
	must(t, s.SetNamespace(t.Context(), name, labels))
	all := map[string]string{"kubernetes.io/metadata.name": name}
	maps.Copy(all, labels)
	w.labels[s.Name][name] = all
}

// look describes the range to the specification as it is now: pods first, then nodes, then hosts outside.
func (w *world) look() []*lab.Place {
	w.places = map[*lab.Place]intent.Place{}
	var order []*lab.Place
	add := func(at *lab.Place, p intent.Place) {
		p.Address = at.Address
		w.places[at] = p
		order = append(order, at)
	}
	pod := func(p *lab.Pod, namespace map[string]string) {
		add(&p.Place, intent.Place{
			Cluster: p.Site.Name, Node: p.Node.Name, NodeAddress: p.Node.Address, Namespace: p.Namespace, NamespaceLabels: namespace, Labels: p.Labels(),
		})
	}
	for _, p := range w.pods {
		pod(p, w.labels[p.Site.Name][p.Namespace])
	}
	for _, s := range w.Sites {
		pod(s.DNS, map[string]string{"kubernetes.io/metadata.name": s.DNS.Namespace})
	}
	for _, s := range w.Sites {
		for _, n := range s.Nodes {
			add(&n.Place, intent.Place{Cluster: s.Name, Node: n.Name, NodeAddress: n.Address})
		}
	}
	for _, o := range w.Outside {
		add(o, intent.Place{})
	}
	return order
}

// set makes these networks the only ones, and waits until all are in force and those before them are gone.
func (w *world) set(t *testing.T, networks ...*mcnv1alpha1.MultiCloudNetwork) {
	t.Helper()
	var old mcnv1alpha1.MultiCloudNetworkList
	must(t, w.HubAdmin.List(t.Context(), &old))
	for i := range old.Items {
		same := func(n *mcnv1alpha1.MultiCloudNetwork) bool { return n.Name == old.Items[i].Name }
		if !slices.ContainsFunc(networks, same) {
			must(t, client.IgnoreNotFound(w.HubAdmin.Delete(t.Context(), &old.Items[i])))
		}
	}
	for _, n := range networks {
		w.apply(t, n)
	}
	w.waitFor(t, networks...)
}

// apply creates or updates a network.
func (w *world) apply(t *testing.T, n *mcnv1alpha1.MultiCloudNetwork) {
	t.Helper()
	w.eventually(t, "network "+n.Name+" is applied", func() error {
		var live mcnv1alpha1.MultiCloudNetwork
		err := w.HubAdmin.Get(t.Context(), client.ObjectKeyFromObject(n), &live)
		if apierrors.IsNotFound(err) {
			fresh := n.DeepCopy()
			fresh.ResourceVersion = ""
			return w.HubAdmin.Create(t.Context(), fresh)
		}
		if err != nil {
			return err
		}
		if live.DeletionTimestamp != nil {
			return fmt.Errorf("the one before is still being deleted")
		}
		live.Spec = *n.Spec.DeepCopy()
		return w.HubAdmin.Update(t.Context(), &live)
	})
}

// waitFor waits until these networks, and no others, are there, each in force as it is specified now; the specification is asked about them from then on.
func (w *world) waitFor(t *testing.T, networks ...*mcnv1alpha1.MultiCloudNetwork) {
	t.Helper()
	var list mcnv1alpha1.MultiCloudNetworkList
	w.eventually(t, "the networks are in force", func() error {
		must(t, w.operator.Running())
		list = mcnv1alpha1.MultiCloudNetworkList{}
		if err := w.HubAdmin.List(t.Context(), &list); err != nil {
			return err
		}
		if len(list.Items) != len(networks) {
			return fmt.Errorf("there are %d, want %d", len(list.Items), len(networks))
		}
		return inForce(list)
	})
	w.intent.Networks = nil
	for i := range list.Items {
		w.intent.Networks = append(w.intent.Networks, &list.Items[i])
	}
	slices.SortFunc(w.intent.Networks, func(a, b *mcnv1alpha1.MultiCloudNetwork) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// inForce returns nil if all networks are in force as they are specified.
func inForce(list mcnv1alpha1.MultiCloudNetworkList) error {
	for _, n := range list.Items {
		if n.Status.ObservedGeneration != n.Generation {
			return fmt.Errorf("%s: generation %d is observed, not %d", n.Name, n.Status.ObservedGeneration, n.Generation)
		}
		if err := isTrue(n.Status.Conditions, mcnv1alpha1.ConditionReady); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

// inForceWithin waits for the networks, but not for ever, and tells whether they are in force.
func (w *world) inForceWithin(t *testing.T, limit time.Duration) bool {
	t.Helper()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < limit; <-ticker.C {
		var list mcnv1alpha1.MultiCloudNetworkList
		must(t, w.HubAdmin.List(t.Context(), &list))
		if inForce(list) == nil {
			return true
		}
	}
	return false
}

// local makes a NetworkPolicy the only one of its name in a cluster; the test's end removes it.
func (w *world) local(t *testing.T, cluster string, p networkingv1.NetworkPolicy) {
	t.Helper()
	s := w.site(cluster)
	must(t, s.Admin.Create(t.Context(), &p))
	w.intent.Local[cluster] = append(w.intent.Local[cluster], p)
	t.Cleanup(func() {
		w.intent.Local[cluster] = nil
		if err := s.Admin.Delete(context.Background(), &p); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) site(name string) *lab.Site {
	return w.Sites[slices.IndexFunc(w.Sites, func(s *lab.Site) bool { return s.Name == name })]
}

// pod finds a pod by cluster/namespace/name.
func (w *world) pod(name string) *lab.Pod {
	return w.pods[slices.IndexFunc(w.pods, func(p *lab.Pod) bool { return p.Name == name })]
}

// group returns the label of a group whose addresses a cluster holds.
func (w *world) group(t *testing.T, s *lab.Site) string {
	t.Helper()
	var list calicov3.GlobalNetworkSetList
	must(t, s.Admin.List(t.Context(), &list))
	for _, set := range list.Items {
		if group := set.Labels[mcnv1alpha1.GroupLabel]; group != "" {
			return group
		}
	}
	t.Fatalf("cluster %s has no set of a group", s.Name)
	return ""
}

func isTrue(conditions []metav1.Condition, kind string) error {
	c := apimeta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != metav1.ConditionTrue {
		return fmt.Errorf("condition %s is %+v", kind, c)
	}
	return nil
}

// eventually waits until a look at something finds no fault.
func (w *world) eventually(t *testing.T, what string, look func() error) {
	t.Helper()
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); ; <-ticker.C {
		err := look()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
