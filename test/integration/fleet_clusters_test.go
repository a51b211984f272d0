package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// TestClustersUnderOtherNamesAndLabels is the row "Clusters" of bad input, on a hub that is a member itself, and one other member.
func TestClustersUnderOtherNamesAndLabels(t *testing.T) {
	t.Parallel()
	all := cluster.AllForTest(t, cluster.Options{Name: "hub", Calico: cluster.Native}, cluster.Options{Name: "aws", Calico: cluster.Native})
	f := &fleetOfTest{t: t, cfg: all[0], members: map[string]*cluster.Cluster{"local": all[0], "aws": all[1]}, clients: map[string]client.Client{}}
	f.hub, f.clients["aws"] = f.client(all[0]), f.client(all[1])
	f.clients["local"] = f.hub
	access.InstallHub(t, all[0])
	access.LocalMember(t, all[0])
	f.create(f.hub, &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "local", Labels: map[string]string{"env": "test"}},
		Spec: mcnv1alpha1.MemberClusterSpec{
			Access: mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}}, PodNetwork: mcnv1alpha1.PodNetwork{CIDRs: []mcnv1alpha1.CIDR{podCIDR("local")}},
		},
	})
	f.register("aws")
	f.pod("local", "pay", "web", map[string]string{"app": "web"}, "10.108.1.1")
	f.pod("aws", "pay", "web", map[string]string{"app": "web"}, "10.97.1.1")
	f.startOperator()
	f.create(f.hub, flatNetwork("net", nil))
	f.waitSpan("2/2")
	for _, step := range []struct {
		name  string
		check func(*fleetOfTest)
	}{
		{"labels that change", checkLabelsThatChange},
		{"renamed", checkRenamed},
		{"renamed, with what is in force left there", checkRenamedAsOrphan},
		{"made again under the same name", checkMadeAgain},
		{"the hub registered twice", checkTheHubTwice},
	} {
		if !t.Run(step.name, func(t *testing.T) { f.t = t; step.check(f) }) {
			return
		}
	}
}

// waitSpan waits until network net is ready on so many of so many clusters.
func (f *fleetOfTest) waitSpan(want string) {
	f.t.Helper()
	eventually(f.t, "network net to be ready on "+want, func() string {
		n := f.network("net")
		for _, c := range n.Status.Conditions {
			if c.Type == mcnv1alpha1.ConditionReady && c.Status == metav1.ConditionTrue && n.Status.Summary.Clusters == want {
				return ""
			}
		}
		return fmt.Sprintf("%+v", n.Status)
	})
}

// holds counts in how many sets on a member an address is.
func (f *fleetOfTest) holds(member, ip string) int {
	f.t.Helper()
	var sets calicov3.GlobalNetworkSetList
	must(f.t, f.clients[member].List(f.t.Context(), &sets))
	count := 0
	for _, s := range sets.Items {
		if netsHold(s.Spec.Nets, ip) {
			count++
		}
	}
	return count
}

// waitOnce waits until the address of aws is in one set on the hub and in no other, and the other way round.
func (f *fleetOfTest) waitOnce() {
	f.t.Helper()
	eventually(f.t, "each address in one set", func() string {
		if hub, aws := f.holds("local", "10.97.1.1"), f.holds("aws", "10.108.1.1"); hub != 1 || aws != 1 {
			return fmt.Sprintf("the address of aws is in %d sets on the hub, that of the hub in %d on aws", hub, aws)
		}
		return ""
	})
}

func checkLabelsThatChange(f *fleetOfTest) {
	before, err := oursOn(f.t.Context(), f.clients["aws"])
	must(f.t, err)
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Labels["env"] = "other" })
	f.waitSpan("1/1")
	eventually(f.t, "aws to be clean of the network, and the hub of its address", func() string {
		if left, held := f.of("net", "aws"), f.holds("local", "10.97.1.1"); len(left) > 0 || held > 0 {
			return fmt.Sprint(left, held)
		}
		return ""
	})
	f.waitMember("aws", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "")
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Labels["env"] = "test" })
	f.waitSpan("2/2")
	f.waitOnce()
	// One that selects nobody anew is none of the network's business.
	version := f.network("net").ResourceVersion
	f.changeMember("aws", func(m *mcnv1alpha1.MemberCluster) { m.Labels["irrelevant"] = "yes" })
	f.waitMember("aws", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "")
	f.waitOnce()
	if now := f.ours("aws"); !slices.Equal(now, slices.Sorted(maps.Keys(before))) {
		f.t.Errorf("after it left and came back aws holds %v, want %v as before (network at %s)", now, slices.Sorted(maps.Keys(before)), version)
	}
}

func checkRenamed(f *fleetOfTest) {
	before := f.ours("aws")
	f.delete(f.member("aws"))
	f.waitGone("aws")
	if left := f.ours("aws"); len(left) > 0 {
		f.t.Errorf("after its removal aws holds %v", left)
	}
	f.registerAs("aws", "renamed")
	f.waitSpan("2/2")
	f.waitOnce()
	if after := f.ours("aws"); !slices.Equal(before, after) {
		f.t.Errorf("under another name the member holds %v, want %v as before", after, before)
	}
	if left := f.leftovers(); len(left) > 0 {
		f.t.Errorf("recorded is %v, want nothing", left)
	}
}

// checkRenamedAsOrphan gives a member a new name with the old one's policy to leave everything in force: nothing there may go away for a moment.
func checkRenamedAsOrphan(f *fleetOfTest) {
	before := f.versions("aws")
	f.changeMember("renamed", func(m *mcnv1alpha1.MemberCluster) { m.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan })
	f.registerAs("aws", "third")
	f.waitMember("third", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonDuplicateCluster, "registered as renamed already; delete one of the two MemberClusters")
	f.delete(f.member("renamed"))
	f.waitGone("renamed")
	f.waitMember("third", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "")
	f.waitSpan("2/2")
	f.waitOnce()
	f.untouched("aws", "after it was renamed as an orphan", before)
	if left := f.leftovers(); len(left) > 0 {
		f.t.Errorf("recorded is %v, want nothing", left)
	}
}

// checkMadeAgain deletes a MemberCluster and makes it again at once: another UID, the same name and Secret.
func checkMadeAgain(f *fleetOfTest) {
	before, old := f.ours("aws"), f.member("third")
	again := &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: old.Name, Labels: old.Labels}, Spec: *old.Spec.DeepCopy()}
	f.delete(old)
	eventually(f.t, "the name to be free", func() string {
		if err := f.hub.Create(f.t.Context(), again); err != nil {
			return err.Error()
		}
		return ""
	})
	if again.UID == old.UID {
		f.t.Fatal("it is the same object; the test proves nothing")
	}
	f.waitMember("third", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "")
	f.waitSpan("2/2")
	f.waitOnce()
	if after := f.ours("aws"); !slices.Equal(before, after) {
		f.t.Errorf("made again the member holds %v, want %v as before", after, before)
	}
}

// checkTheHubTwice registers the hub, which is a member by access local, by a kubeconfig as well. The younger is told so, and what it is selected by and its removal change
// nothing on the hub.
func checkTheHubTwice(f *fleetOfTest) {
	before := map[string]map[string]string{}
	for name, c := range f.clients {
		var err error
		before[name], err = oursOn(f.t.Context(), c)
		must(f.t, err)
	}
	f.registerAs("local", "mirror")
	f.waitMember("mirror", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonDuplicateCluster, "registered as local already; delete one of the two MemberClusters")
	f.waitMember("local", mcnv1alpha1.ConditionReachable, mcnv1alpha1.ReasonConnected, "")
	eventually(f.t, "the network to name the duplicate", func() string {
		for _, c := range f.network("net").Status.Clusters {
			if c.Name == "mirror" {
				return ""
			}
		}
		return fmt.Sprintf("%+v", f.network("net").Status)
	})
	f.waitOnce()
	f.delete(f.member("mirror"))
	f.waitGone("mirror")
	f.waitSpan("2/2")
	f.waitOnce()
	for name, c := range f.clients {
		// The sets too: the same pod CIDRs twice are no overlap, for which addresses would be taken out.
		if after, err := oursOn(f.t.Context(), c); err != nil || !maps.Equal(before[name], after) {
			f.t.Errorf("after the hub was registered twice %s went from %v to %v (%v)", name, before[name], after, err)
		}
	}
	if left := f.leftovers(); len(left) > 0 {
		f.t.Errorf("recorded is %v, want nothing", left)
	}
	var secret corev1.Secret
	must(f.t, f.hub.Get(f.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "mirror"}, &secret))
	f.delete(&secret)
}

// TestAnotherClusterUnderTheSameName registers a name anew, with another UID, for another cluster: nothing of the former one is held, and it is no mismatch.
func TestAnotherClusterUnderTheSameName(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	first, second := forms["native"], forms["aggregated"]
	createPod(t, fleetAdmin(t, first), "of-the-first", "10.1.0.1")
	createPod(t, fleetAdmin(t, second), "of-the-second", "10.2.0.1")
	f := newFleet(t)
	f.Set(registration("m", 0), kubeconfigFor(t, first, first.URL()))
	g.Eventually(seenPods(f, "m"), patience).Should(gomega.ContainElement("of-the-first"))
	before, _ := f.State("m")
	again := registration("m", 1)
	again.UID = "another"
	f.Set(again, kubeconfigFor(t, second, second.URL()))
	g.Expect(seenPods(f, "m")()).To(gomega.BeEmpty(), "nothing is held of another registration")
	g.Eventually(seenPods(f, "m"), patience).Should(gomega.ContainElement("of-the-second"))
	g.Expect(seenPods(f, "m")()).NotTo(gomega.ContainElement("of-the-first"))
	after, _ := f.State("m")
	g.Expect(after.ClusterID).NotTo(gomega.Equal(before.ClusterID))
	g.Expect(strings.TrimSpace(after.ClusterID)).NotTo(gomega.BeEmpty())
}
