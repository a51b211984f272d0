package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// leftovers are the keys of the ConfigMap in which the operator remembers what has to be removed.
func (f *fleetOfTest) leftovers() map[string]string {
	f.t.Helper()
	var object corev1.ConfigMap
	err := f.hub.Get(f.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "multicloud-network-leftovers"}, &object)
	if client.IgnoreNotFound(err) != nil {
		f.t.Fatal(err)
	}
	return object.Data
}

// member reads a MemberCluster; nil if it is not there.
func (f *fleetOfTest) member(name string) *mcnv1alpha1.MemberCluster {
	f.t.Helper()
	var m mcnv1alpha1.MemberCluster
	err := f.hub.Get(f.t.Context(), client.ObjectKey{Name: name}, &m)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return &m
}

// waitMember waits until a member's condition is as it should be, and its message holds a text.
func (f *fleetOfTest) waitMember(name, kind string, reason mcnv1alpha1.Reason, text string) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("%s of member %s to be %s with %q", kind, name, reason, text), func() string {
		m := f.member(name)
		if m == nil {
			return "it is not there"
		}
		c := apimeta.FindStatusCondition(m.Status.Conditions, kind)
		if c != nil && c.Reason == string(reason) && strings.Contains(c.Message, text) && c.ObservedGeneration == m.Generation {
			return ""
		}
		return fmt.Sprintf("%+v", m.Status.Conditions)
	})
}

// waitGone waits until a MemberCluster is not there any more.
func (f *fleetOfTest) waitGone(member string) {
	f.t.Helper()
	eventually(f.t, "member "+member+" to be gone", func() string {
		if m := f.member(member); m != nil {
			return fmt.Sprintf("%+v", m.Status.Conditions)
		}
		return ""
	})
}

// of are what a member holds of a network.
func (f *fleetOfTest) of(network, member string) []string {
	f.t.Helper()
	out, err := ofNetwork(f.t.Context(), f.clients[member], network)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// registerAs registers the cluster of a member under another name.
func (f *fleetOfTest) registerAs(member, name string) {
	f.t.Helper()
	f.create(f.hub,
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name},
			Data:       map[string][]byte{"kubeconfig": access.MemberKubeconfig(f.t, f.members[member])},
		},
		&mcnv1alpha1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"env": "test", "name": name}},
			Spec: mcnv1alpha1.MemberClusterSpec{
				Access:     mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{SecretRef: mcnv1alpha1.SecretKeyReference{Name: name, Key: "kubeconfig"}}},
				PodNetwork: mcnv1alpha1.PodNetwork{CIDRs: []mcnv1alpha1.CIDR{podCIDR(member)}},
			},
		})
}

// TestADeadMemberHoldsUpNoDeletion is the fault matrix's row F39: a member dies, then a network is deleted, then the member. The others are clean at once, nothing hangs,
// and what was left is removed when the cluster returns under another name, to another operator process.
func TestADeadMemberHoldsUpNoDeletion(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"aws": cluster.Aggregated, "gcp": cluster.Native, "prem": cluster.Native})
	for name := range f.members {
		f.pod(name, "pay", "web", map[string]string{"app": "web"}, strings.Replace(string(podCIDR(name)), "0.0/16", "1.1", 1))
	}
	stop := f.startOperator()
	for _, name := range []string{"net", "stays", "old"} {
		f.create(f.hub, flatNetwork(name, nil))
	}
	for _, name := range []string{"net", "stays", "old"} {
		f.waitCondition(name, mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	}
	if err := f.members["prem"].StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	deleted := time.Now()
	f.delete(f.network("net"))
	for _, name := range []string{"aws", "gcp"} {
		eventually(t, name+" to be clean of net", func() string { return strings.Join(f.of("net", name), ", ") })
	}
	t.Logf("the members that are alive were clean after %s", time.Since(deleted))
	f.waitDeletionNaming("net", "prem")
	eventually(t, "network net to be gone", func() string { return f.gone("net") })
	t.Logf("the network was gone after %s", time.Since(deleted))
	if left := f.leftovers(); len(left) != 1 || !strings.Contains(fmt.Sprint(left), `"net"`) {
		t.Errorf("recorded is %v, want net on one cluster", left)
	}

	f.delete(f.member("prem"))
	f.delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "prem"}})
	f.waitGone("prem")
	eventually(t, "the Secret to be gone", func() string {
		err := f.hub.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "prem"}, &corev1.Secret{})
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprint("still there, ", err)
	})
	if left := f.leftovers(); len(left) != 1 || !strings.Contains(fmt.Sprint(left), `"all"`) {
		t.Errorf("recorded is %v, want everything on one cluster", left)
	}
	f.delete(f.network("old")) // which nobody has to remember for a cluster of which everything goes
	eventually(t, "network old to be gone", func() string { return f.gone("old") })

	stop()
	f.startOperator()
	if err := f.members["prem"].StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.of("net", "prem")) == 0 || len(f.of("old", "prem")) == 0 {
		t.Fatal("the cluster that was away holds nothing; the test proves nothing")
	}
	f.registerAs("prem", "back")
	eventually(t, "the cluster that returned to hold network stays alone", func() string {
		net, old, stays := f.of("net", "prem"), f.of("old", "prem"), f.of("stays", "prem")
		if len(net)+len(old) == 0 && len(stays) > 0 && len(f.leftovers()) == 0 {
			return ""
		}
		return fmt.Sprint(net, old, stays, f.leftovers())
	})
	n := f.waitCondition("stays", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if n.Status.Summary.Clusters != "3/3" {
		t.Errorf("network stays is on %s clusters, want 3/3", n.Status.Summary.Clusters)
	}
	t.Run("Secrets and roles", func(t *testing.T) {
		f.t = t
		checkAPrunedMemberIsCleaned(t, f)
		checkAFormerlyManagedSourceIsLeftAlone(t, f)
	})
}

// waitDeletionNaming waits until a network that is deleted has said that a member is out of reach, or is gone.
func (f *fleetOfTest) waitDeletionNaming(network, member string) {
	f.t.Helper()
	eventually(f.t, "the status of "+network+" to name "+member, func() string {
		var n mcnv1alpha1.MultiCloudNetwork
		if err := f.hub.Get(f.t.Context(), client.ObjectKey{Name: network}, &n); err != nil {
			return strings.TrimPrefix(fmt.Sprint(client.IgnoreNotFound(err)), "<nil>")
		}
		c := apimeta.FindStatusCondition(n.Status.Conditions, mcnv1alpha1.ConditionProgrammed)
		if c == nil || c.Reason != string(mcnv1alpha1.ReasonDeleting) || !strings.Contains(c.Message, member) || strings.Contains(c.Message, "aws") {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
}

// checkAPrunedMemberIsCleaned deletes a Secret, then its MemberCluster, as a GitOps tool may.
func checkAPrunedMemberIsCleaned(t *testing.T, f *fleetOfTest) {
	t.Helper()
	key := client.ObjectKey{Namespace: operatorNamespace, Name: "back"}
	var secret corev1.Secret
	if err := f.hub.Get(t.Context(), key, &secret); err != nil || !slices.Contains(secret.Finalizers, mcnv1alpha1.CleanupFinalizer) {
		t.Fatalf("the Secret has finalizers %v (%v), want ours", secret.Finalizers, err)
	}
	f.delete(&secret)
	f.delete(f.member("back"))
	f.waitGone("back")
	if left := f.ours("prem"); len(left) > 0 {
		t.Errorf("the member that was pruned still holds %v", left)
	}
	eventually(t, "the Secret to be gone", func() string {
		if err := f.hub.Get(t.Context(), key, &secret); !apierrors.IsNotFound(err) {
			return fmt.Sprint("still there, ", err)
		}
		return ""
	})
	if left := f.leftovers(); len(left) > 0 {
		t.Errorf("recorded is %v after a member was cleaned, want nothing", left)
	}
}

// checkAFormerlyManagedSourceIsLeftAlone makes a member a Source, deletes a network meanwhile, and makes it Managed again.
func checkAFormerlyManagedSourceIsLeftAlone(t *testing.T, f *fleetOfTest) {
	t.Helper()
	f.create(f.hub, flatNetwork("passing", nil))
	f.waitCondition("passing", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.changeMember("gcp", func(m *mcnv1alpha1.MemberCluster) { m.Spec.Role = mcnv1alpha1.RoleSource })
	f.waitMember("gcp", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "what was written there while the role was Managed stays")
	before, err := oursOn(t.Context(), f.clients["gcp"])
	if err != nil {
		t.Fatal(err)
	}
	f.delete(f.network("passing"))
	eventually(t, "network passing to be gone", func() string { return f.gone("passing") })
	if after, err := oursOn(t.Context(), f.clients["gcp"]); err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("as a Source gcp went from %v to %v (%v)", before, after, err)
	}
	f.changeMember("gcp", func(m *mcnv1alpha1.MemberCluster) { m.Spec.Role = mcnv1alpha1.RoleManaged })
	eventually(t, "gcp to be clean of what was deleted meanwhile", func() string {
		if passing, stays := f.of("passing", "gcp"), f.of("stays", "gcp"); len(passing) > 0 || len(stays) == 0 || len(f.leftovers()) > 0 {
			return fmt.Sprint(passing, stays, f.leftovers())
		}
		return ""
	})
	f.waitMember("gcp", mcnv1alpha1.ConditionReady, mcnv1alpha1.ReasonReady, "")
}

// TestTheHubAsAMemberIsCleaned deletes a network and a MemberCluster of the hub itself, which has no Secret.
func TestTheHubAsAMemberIsCleaned(t *testing.T) {
	t.Parallel()
	hub := cluster.ForTest(t, cluster.Options{Name: "hub", Calico: cluster.Native})
	f := &fleetOfTest{t: t, cfg: hub, members: map[string]*cluster.Cluster{"local": hub}, clients: map[string]client.Client{}}
	f.hub = f.client(hub)
	f.clients["local"] = f.hub
	access.InstallHub(t, hub)
	access.Apply(t, hub, "local")
	f.startOperator()
	f.create(f.hub, &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "local", Labels: map[string]string{"env": "test"}},
		Spec: mcnv1alpha1.MemberClusterSpec{
			Access: mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}}, PodNetwork: mcnv1alpha1.PodNetwork{CIDRs: []mcnv1alpha1.CIDR{podCIDR("local")}},
		},
	}, flatNetwork("net", nil))
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.delete(f.member("local"))
	f.waitGone("local")
	if left := f.ours("local"); len(left) > 0 {
		t.Errorf("the hub still holds %v", left)
	}
	f.delete(f.network("net"))
	eventually(t, "network net to be gone", func() string { return f.gone("net") })
	if left := f.leftovers(); len(left) > 0 {
		t.Errorf("recorded is %v, want nothing", left)
	}
}
