package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/await"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// longest is how long a test waits for what should take moments.
const longest = 2 * time.Minute

const operatorNamespace = access.Namespace

// fleetOfTest is a hub with the operator, and members.
type fleetOfTest struct {
	t       *testing.T
	hub     client.Client
	cfg     *cluster.Cluster
	members map[string]*cluster.Cluster
	clients map[string]client.Client
}

// startFleet starts a hub and members, and makes the members known to the hub. The operator does not run yet.
func startFleet(t *testing.T, forms map[string]cluster.Calico) *fleetOfTest {
	t.Helper()
	names := slices.Sorted(maps.Keys(forms))
	options := []cluster.Options{{Name: "hub"}}
	for _, name := range names {
		options = append(options, cluster.Options{Name: name, Calico: forms[name]})
	}
	all := cluster.AllForTest(t, options...)
	f := &fleetOfTest{t: t, cfg: all[0], members: map[string]*cluster.Cluster{}, clients: map[string]client.Client{}}
	f.hub = f.client(all[0])
	access.InstallHub(t, all[0])
	for i, name := range names {
		f.members[name] = all[i+1]
		f.clients[name] = f.client(all[i+1])
		f.register(name)
	}
	return f
}

func (f *fleetOfTest) client(c *cluster.Cluster) client.Client {
	f.t.Helper()
	out, err := client.New(c.RESTConfig(), client.Options{Scheme: fleetScheme(f.t)})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *fleetOfTest) create(c client.Client, objects ...client.Object) {
	f.t.Helper()
	for _, o := range objects {
		if err := c.Create(f.t.Context(), o); err != nil {
			f.t.Fatal(err)
		}
	}
}

// register creates a member's Secret and MemberCluster.
func (f *fleetOfTest) register(name string) {
	f.t.Helper()
	kubeconfig := access.MemberKubeconfig(f.t, f.members[name])
	f.create(f.hub,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, Data: map[string][]byte{"kubeconfig": kubeconfig}},
		&mcnv1alpha1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"env": "test", "name": name}},
			Spec: mcnv1alpha1.MemberClusterSpec{
				Access:     mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{SecretRef: mcnv1alpha1.SecretKeyReference{Name: name, Key: "kubeconfig"}}},
				PodNetwork: mcnv1alpha1.PodNetwork{CIDRs: []mcnv1alpha1.CIDR{podCIDR(name)}},
			},
		})
}

// podCIDR gives each member of a test its own.
func podCIDR(name string) mcnv1alpha1.CIDR {
	return mcnv1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", name[0]))
}

// startOperator runs the operator as its service account, and returns what stops it.
func (f *fleetOfTest) startOperator() (stop func()) {
	f.t.Helper()
	return operator.Run(f.t, f.cfg, operator.Options{})
}

// pod creates a pod with an address on a member.
func (f *fleetOfTest) pod(member, namespace, name string, podLabels map[string]string, ip string) {
	f.t.Helper()
	c := f.clients[member]
	err := c.Create(f.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"team": namespace}}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		f.t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: podLabels},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	f.create(c, pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	if err := c.Status().Update(f.t.Context(), pod); err != nil {
		f.t.Fatal(err)
	}
}

// eventually waits until check says nothing, and fails with what it said last.
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	await.Until(t, longest, what, check)
}

func (f *fleetOfTest) network(name string) *mcnv1alpha1.MultiCloudNetwork {
	f.t.Helper()
	n := &mcnv1alpha1.MultiCloudNetwork{}
	if err := f.hub.Get(f.t.Context(), client.ObjectKey{Name: name}, n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// waitCondition waits for a condition of the newest generation.
func (f *fleetOfTest) waitCondition(name, kind string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason) *mcnv1alpha1.MultiCloudNetwork {
	f.t.Helper()
	var n *mcnv1alpha1.MultiCloudNetwork
	eventually(f.t, fmt.Sprintf("%s of %s to be %s %s", kind, name, status, reason), func() string {
		n = f.network(name)
		c := apimeta.FindStatusCondition(n.Status.Conditions, kind)
		if c != nil && c.Status == status && c.Reason == string(reason) && c.ObservedGeneration == n.Generation {
			return ""
		}
		return fmt.Sprintf("generation %d, status %+v", n.Generation, n.Status)
	})
	return n
}

// ours lists what a member holds of ours: kind and name.
func (f *fleetOfTest) ours(member string) []string {
	f.t.Helper()
	out, err := oursOn(f.t.Context(), f.clients[member])
	if err != nil {
		f.t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(out))
}

// oursOn lists what carries an owner label: kind and name to UID and resourceVersion.
func oursOn(ctx context.Context, c client.Client) (map[string]string, error) {
	out := map[string]string{}
	for _, list := range []client.ObjectList{
		&calicov3.TierList{}, &calicov3.GlobalNetworkPolicyList{}, &calicov3.StagedGlobalNetworkPolicyList{}, &calicov3.GlobalNetworkSetList{},
		&calicov3.IPPoolList{},
	} {
		if err := c.List(ctx, list, client.HasLabels{mcnv1alpha1.OwnerLabel}); err != nil {
			return nil, err
		}
		items, err := apimeta.ExtractList(list)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			o := item.(client.Object)
			kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v3.")
			out[kind+" "+o.GetName()] = string(o.GetUID()) + "/" + o.GetResourceVersion()
		}
	}
	return out, nil
}

func flatNetwork(name string, change func(*mcnv1alpha1.MultiCloudNetworkSpec)) *mcnv1alpha1.MultiCloudNetwork {
	n := &mcnv1alpha1.MultiCloudNetwork{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcnv1alpha1.MultiCloudNetworkSpec{
			Clusters: mcnv1alpha1.ClusterSelection{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"env": "test"}}},
			Model:    mcnv1alpha1.ModelFlat, Boundary: mcnv1alpha1.BoundaryClosed,
			Flat: &mcnv1alpha1.FlatSpec{Pods: mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}}}},
		},
	}
	if change != nil {
		change(&n.Spec)
	}
	return n
}

func countKind(objects []string, kind string) int {
	count := 0
	for _, o := range objects {
		if strings.HasPrefix(o, kind+" ") {
			count++
		}
	}
	return count
}

func TestFlatNetworkIsInForceOnThreeMembersAndGoesWithoutTrace(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"aws": cluster.Aggregated, "gcp": cluster.Aggregated, "prem": cluster.Native})
	for name := range f.members {
		f.pod(name, "pay", "web", map[string]string{"app": "web"}, strings.Replace(string(podCIDR(name)), "0.0/16", "1.1", 1))
	}
	stop := f.startOperator()
	f.create(f.hub, flatNetwork("payments", nil))
	n := f.waitCondition("payments", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if n.Status.Summary.Clusters != "3/3" || n.Status.Summary.Pods != 3 || n.Status.Mode != mcnv1alpha1.ModeEnforced {
		t.Errorf("status is %+v, want 3/3 clusters, 3 pods, Enforced", n.Status)
	}
	if c := apimeta.FindStatusCondition(n.Status.Conditions, mcnv1alpha1.ConditionReconciling); c != nil {
		t.Errorf("Reconciling is %+v on a network that is Ready, want it gone", c)
	}
	before := map[string]map[string]string{}
	for name, c := range f.clients {
		objects := f.ours(name)
		if countKind(objects, "Tier") != 1 || countKind(objects, "GlobalNetworkPolicy") < 3 || countKind(objects, "GlobalNetworkSet") < 2 {
			t.Errorf("%s holds %v, want a tier, guard, permits, denials and a set for each other member", name, objects)
		}
		before[name], _ = oursOn(t.Context(), c)
	}

	t.Run("a restart writes nothing", func(t *testing.T) { checkARestartWritesNothing(t, f, &stop, before) })
	t.Run("an address follows its pod", func(t *testing.T) { checkAnAddressFollowsItsPod(t, f) })
	t.Run("the deletion of another network takes nothing of this one", func(t *testing.T) { checkDeletionOfAnother(t, f) })
	t.Run("deletion", func(t *testing.T) { checkDeletion(t, f) })
}

func checkARestartWritesNothing(t *testing.T, f *fleetOfTest, stop *func(), before map[string]map[string]string) {
	t.Helper()
	version := f.network("payments").ResourceVersion
	(*stop)()
	*stop = f.startOperator()
	f.create(f.hub, flatNetwork("marker", func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.Clusters.Selector.MatchLabels = map[string]string{"env": "none"}
	}))
	f.waitCondition("marker", mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonNoClusters)
	eventually(t, "all members connected again", func() string {
		for name := range f.members {
			var m mcnv1alpha1.MemberCluster
			if err := f.hub.Get(t.Context(), client.ObjectKey{Name: name}, &m); err != nil {
				return err.Error()
			}
			if !apimeta.IsStatusConditionTrue(m.Status.Conditions, mcnv1alpha1.ConditionReachable) {
				return name + " is not reachable"
			}
		}
		return ""
	})
	if now := f.network("payments").ResourceVersion; now != version {
		t.Errorf("the status was written again: resourceVersion went from %s to %s", version, now)
	}
	// Once another network has come and gone everywhere, each worker has gone through all phases, and whatever was only waiting to be written has been: a guard
	// without the member's DNS Service, if one was compiled before the member was read.
	f.create(f.hub, flatNetwork("passing", nil))
	f.waitCondition("passing", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.delete(f.network("passing"))
	eventually(t, "network passing to be gone", func() string { return f.gone("passing") })
	for name, c := range f.clients {
		after, err := oursOn(t.Context(), c)
		if err != nil || !maps.Equal(before[name], after) {
			t.Errorf("%s went from %v to %v (%v)", name, before[name], after, err)
		}
	}
	if err := f.hub.Delete(t.Context(), f.network("marker")); err != nil {
		t.Fatal(err)
	}
}

func checkAnAddressFollowsItsPod(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.pod("aws", "pay", "db", nil, "10.97.1.77")
	eventually(t, "the new address on gcp", func() string {
		var sets calicov3.GlobalNetworkSetList
		if err := f.clients["gcp"].List(t.Context(), &sets); err != nil {
			return err.Error()
		}
		for _, s := range sets.Items {
			if netsHold(s.Spec.Nets, "10.97.1.77") {
				return ""
			}
		}
		return fmt.Sprint(sets.Items)
	})
}

func checkDeletionOfAnother(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.create(f.hub, flatNetwork("other", nil))
	f.waitCondition("other", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if err := f.hub.Delete(t.Context(), f.network("other")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "network other to be gone", func() string { return f.gone("other") })
	for name := range f.clients {
		for _, o := range f.ours(name) {
			if strings.Contains(o, ".other-") {
				t.Errorf("%s still holds %s", name, o)
			}
		}
		if objects := f.ours(name); countKind(objects, "Tier") != 1 || countKind(objects, "GlobalNetworkPolicy") < 3 {
			t.Errorf("%s holds only %v after another network went", name, objects)
		}
	}
}

func checkDeletion(t *testing.T, f *fleetOfTest) {
	t.Helper()
	if err := f.hub.Delete(t.Context(), f.network("payments")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "network payments to be gone", func() string { return f.gone("payments") })
	for name := range f.clients {
		eventually(t, name+" to be empty", func() string { return strings.Join(f.ours(name), ", ") })
	}
}

func (f *fleetOfTest) gone(name string) string {
	var n mcnv1alpha1.MultiCloudNetwork
	if err := f.hub.Get(f.t.Context(), client.ObjectKey{Name: name}, &n); apierrors.IsNotFound(err) {
		return ""
	}
	return fmt.Sprintf("it is still there: %+v", n.Status)
}

// ofNetwork lists what a cluster holds of a network: kind and name, without what is shared.
func ofNetwork(ctx context.Context, c client.Client, network string) ([]string, error) {
	var out []string
	for _, list := range []client.ObjectList{
		&calicov3.GlobalNetworkPolicyList{}, &calicov3.StagedGlobalNetworkPolicyList{}, &calicov3.GlobalNetworkSetList{},
	} {
		if err := c.List(ctx, list, client.MatchingLabels{mcnv1alpha1.NetworkLabel: network}); err != nil {
			return nil, err
		}
		items, err := apimeta.ExtractList(list)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			out = append(out, fmt.Sprintf("%T %s", item, item.(client.Object).GetName()))
		}
	}
	return out, nil
}
