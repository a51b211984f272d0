package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/controllers"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// modesNetworks are one network of each kind that leaves different objects on a member.
const modesNetworks = `
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: shop}
spec:
  clusters: {selector: {matchLabels: {env: prod}}}
  model: VLAN
  vlan:
    segments:
    - {name: web, pods: {namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: web}}}}
    - {name: cart, pods: {namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: cart}}}}
    - {name: oracle, cidrs: [192.168.130.0/24]}
  routes:
  - {name: edge, from: [{nodes: {}}], to: [{segment: web}], ports: [{protocol: TCP, port: 8443}]}
  - {name: cart, from: [{segment: web}], to: [{segment: cart}], ports: [{protocol: TCP, port: 8080}]}
  - {name: scrape, from: [{pods: {namespaceSelector: {matchLabels: {team: ops}}}}], to: [{segment: cart}]}
  - {name: database, from: [{segment: cart}], to: [{segment: oracle}], ports: [{protocol: TCP, port: 1521}]}
---
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: books}
spec:
  clusters: {selector: {}}
  model: Calico
  calico:
    policies:
    - name: web
      order: 10
      types: [Ingress, Egress]
      pods: {namespaceSelector: {matchLabels: {team: ops}}}
      ingress: [{action: Allow, protocol: TCP, source: {selector: app == 'web'}, destination: {ports: [9090]}}]
      egress: [{action: Deny, destination: {selector: app == 'cart', namespaceSelector: team == 'shop'}}, {action: Pass}]
---
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: vault}
spec:
  clusters: {selector: {}}
  model: Flat
  flat: {pods: {namespaceSelector: {matchLabels: {team: vault}}}}
  boundary: Closed
  membership: Exclusive
---
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: trial}
spec:
  clusters: {selector: {}}
  model: Flat
  flat: {pods: {namespaceSelector: {matchLabels: {team: ops}}}}
  stagedClusters: {matchLabels: {name: gcp}}
  boundary: Closed
`

// modesBench is three clusters with pods, each of which can be hub and member.
type modesBench struct {
	*terminal
	names []string
}

func newModesBench(t *testing.T) *modesBench {
	t.Helper()
	names := []string{"aws", "gcp", "prem"}
	var options []cluster.Options
	for i, name := range names {
		options = append(options, cluster.Options{Name: name, Calico: []cluster.Calico{cluster.Native, cluster.Native, cluster.Aggregated}[i]})
	}
	b := &modesBench{terminal: newTerminal(t, cluster.AllForTest(t, options...)...), names: names}
	for i, name := range names {
		b.fill(name, 21+i)
	}
	return b
}

// fill gives a cluster what clusters have: a pool, nodes, pods of three teams.
func (b *modesBench) fill(name string, net int) {
	b.t.Helper()
	c, ctx := b.clients[name], b.t.Context()
	must(b.t, c.Create(ctx, &calicov3.IPPool{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Spec: calicov3.IPPoolSpec{CIDR: fmt.Sprintf("10.%d.0.0/16", net), NATOutgoing: true}}))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}, Spec: corev1.NodeSpec{ProviderID: name + "://node"}}
	must(b.t, c.Create(ctx, node))
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.%d.0.1", net)}}
	must(b.t, c.Status().Update(ctx, node))
	for i, w := range []struct{ namespace, app string }{{"shop", "web"}, {"shop", "cart"}, {"ops", "web"}, {"vault", "safe"}} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace, Labels: map[string]string{"team": w.namespace}}}
		if err := c.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
			b.t.Fatal(err)
		}
		ip := fmt.Sprintf("10.%d.1.%d", net, i+1)
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.app, Labels: map[string]string{"app": w.app}},
			Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		must(b.t, c.Create(ctx, pod))
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
		must(b.t, c.Status().Update(ctx, pod))
	}
}

// run installs the operator on a cluster and runs it there, with the owner ID of the fleet.
func (b *modesBench) run(hub string) (stop func()) {
	b.t.Helper()
	access.InstallHub(b.t, b.clusters[hub])
	return operator.Run(b.t, b.clusters[hub], operator.Options{Options: controllers.Options{
		Settings: compile.Settings{OwnerID: "one-fleet"}, Metrics: prometheus.NewRegistry(),
	}})
}

// register registers a cluster with a hub, and has it keep its pods' addresses toward the others if it is written to.
func (b *modesBench) register(hub, name string, role mcnv1alpha1.MemberRole) {
	b.t.Helper()
	args := []string{"register", "--hub-context", hub, "--name", name, "--labels", "env=prod,name=" + name, "--role", string(role)}
	if hub == name {
		args = append(args, "--local")
	} else {
		args = append(args, "--context", name)
	}
	b.ok(args...)
	if role == mcnv1alpha1.RoleManaged {
		m := b.memberCluster(hub, name)
		before := m.DeepCopy()
		m.Spec.PodNetwork.SourceNAT = mcnv1alpha1.SourceNATPreserve
		must(b.t, b.clients[hub].Patch(b.t.Context(), m, client.MergeFrom(before)))
	}
	b.ok(append(args, "--wait")...)
}

// networks returns the networks of the test.
func (b *modesBench) networks() []*mcnv1alpha1.MultiCloudNetwork {
	b.t.Helper()
	var out []*mcnv1alpha1.MultiCloudNetwork
	for _, text := range bytes.Split([]byte(modesNetworks), []byte("\n---\n")) {
		n := &mcnv1alpha1.MultiCloudNetwork{}
		must(b.t, yaml.UnmarshalStrict(text, n))
		out = append(out, n)
	}
	return out
}

// apply applies the networks on a hub, in their order or in the reverse, and waits until they are in force.
func (b *modesBench) apply(hub string, reverse bool) {
	b.t.Helper()
	networks := b.networks()
	if reverse {
		slices.Reverse(networks)
	}
	for _, n := range networks {
		must(b.t, b.clients[hub].Create(b.t.Context(), n))
		if reverse {
			b.waitReady(hub, n) // so that they are not of one second, in which the name decides
		}
	}
	for _, n := range networks {
		b.waitReady(hub, n)
	}
}

func (b *modesBench) waitReady(hub string, n *mcnv1alpha1.MultiCloudNetwork) {
	b.t.Helper()
	eventually(b.t, n.Name+" to be ready on hub "+hub, func() string {
		must(b.t, b.clients[hub].Get(b.t.Context(), client.ObjectKeyFromObject(n), n))
		if apimeta.IsStatusConditionTrue(n.Status.Conditions, mcnv1alpha1.ConditionReady) {
			return ""
		}
		return fmt.Sprintf("%+v", n.Status)
	})
}

// remove removes the networks of a hub and waits until they are away.
func (b *modesBench) remove(hub string) {
	b.t.Helper()
	for _, n := range b.networks() {
		must(b.t, client.IgnoreNotFound(b.clients[hub].Delete(b.t.Context(), n)))
	}
	eventually(b.t, "the networks of hub "+hub+" to be away", func() string {
		var left mcnv1alpha1.MultiCloudNetworkList
		must(b.t, b.clients[hub].List(b.t.Context(), &left))
		if len(left.Items) == 0 {
			return ""
		}
		return fmt.Sprintf("%+v", left.Items[0].Status)
	})
}

// content is all that stands on a cluster of ours: name to labels, annotations and spec.
func (b *modesBench) content(name string) map[string]string {
	b.t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{
		&calicov3.TierList{}, &calicov3.GlobalNetworkPolicyList{}, &calicov3.StagedGlobalNetworkPolicyList{}, &calicov3.GlobalNetworkSetList{},
		&calicov3.IPPoolList{},
	} {
		must(b.t, b.clients[name].List(b.t.Context(), list, client.HasLabels{mcnv1alpha1.OwnerLabel}))
		items, err := apimeta.ExtractList(list)
		must(b.t, err)
		for _, item := range items {
			content, err := json.Marshal(item)
			must(b.t, err)
			var fields map[string]any
			must(b.t, json.Unmarshal(content, &fields))
			o := item.(client.Object)
			content, err = json.Marshal([]any{o.GetLabels(), o.GetAnnotations(), fields["spec"]})
			must(b.t, err)
			out[strings.TrimPrefix(fmt.Sprintf("%T ", item), "*v3.")+o.GetName()] = string(content)
		}
	}
	return out
}

// contents is what stands on each cluster.
func (b *modesBench) contents() map[string]map[string]string {
	b.t.Helper()
	out := map[string]map[string]string{}
	for _, name := range b.names {
		out[name] = b.content(name)
	}
	return out
}

// TestModes runs one fleet in the modes of the guide: one hub that is a member itself, and an operator in every cluster that manages its own and reads the
// others. With one owner ID and the same names, the same stands on each cluster.
func TestModes(t *testing.T) {
	t.Parallel()
	b := newModesBench(t)
	stop := b.run("aws")
	for _, name := range b.names {
		b.register("aws", name, mcnv1alpha1.RoleManaged)
	}
	b.apply("aws", false)
	want := b.contents()
	for _, name := range b.names {
		kinds := slices.Collect(maps.Keys(want[name]))
		if countKind(kinds, "IPPool") != 2 || countKind(kinds, "GlobalNetworkSet") < 8 || countKind(kinds, "GlobalNetworkPolicy") < 10 {
			t.Errorf("with one hub %s holds %v, want pools, sets and policies to compare", name, kinds)
		}
		if staged := countKind(kinds, "StagedGlobalNetworkPolicy"); (staged > 0) != (name == "gcp") {
			t.Errorf("with one hub %s holds %d staged policies", name, staged)
		}
	}
	b.remove("aws")
	for _, name := range b.names {
		b.ok("unregister", "--hub-context", "aws", "--name", name, "--context", name)
		if left := b.content(name); len(left) > 0 {
			t.Fatalf("between the modes %s holds %v", name, left)
		}
	}
	stop()

	for _, hub := range b.names {
		b.run(hub)
	}
	for _, hub := range b.names {
		for _, name := range b.names {
			role := mcnv1alpha1.RoleSource
			if hub == name {
				role = mcnv1alpha1.RoleManaged
			}
			b.register(hub, name, role)
		}
	}
	for i, hub := range b.names {
		b.apply(hub, i == 1) // ages decide between networks that meet in a tie only, and these do not
	}
	for _, name := range b.names {
		eventually(t, name+" to hold without a hub what it holds with one", func() string { return cmp.Diff(want[name], b.content(name)) })
		n := &mcnv1alpha1.MultiCloudNetwork{}
		must(t, b.clients[name].Get(t.Context(), client.ObjectKey{Name: "shop"}, n))
		if n.Status.Summary.Clusters != "1/1" || len(n.Status.Clusters) != 3 {
			t.Errorf("hub %s says %q and lists %d clusters, want its own, and the Sources", name, n.Status.Summary.Clusters, len(n.Status.Clusters))
		}
	}
	// One hub gone changes nothing for the others, and unregistering a Source there takes nothing away here.
	b.ok("unregister", "--hub-context", "gcp", "--name", "prem", "--context", "prem")
	if got := b.versions("prem")["ServiceAccount multicloud-network-system/multicloud-network-source"]; got == "" {
		t.Error("unregistering prem from gcp took away the account that aws uses there")
	}
	if diff := cmp.Diff(want["prem"], b.content("prem")); diff != "" {
		t.Errorf("unregistering prem as a Source of gcp changed it: %s", diff)
	}
}
