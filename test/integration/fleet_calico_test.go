package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/snapshot"
	"multicloud.network/operator/test/cluster"
)

// TestFleetSeesCalico follows Calico's objects on both forms of its API: through calico-apiserver and as CRDs.
func TestFleetSeesCalico(t *testing.T) {
	t.Parallel()
	clusters := cluster.AllForTest(t, cluster.Options{Name: "sees-native", Calico: cluster.Native}, cluster.Options{Name: "sees-aggregated", Calico: cluster.Aggregated})
	for i, form := range []mcnv1alpha1.CalicoAPI{mcnv1alpha1.CalicoAPINative, mcnv1alpha1.CalicoAPIAggregated} {
		t.Run(string(form), func(t *testing.T) { testFleetSeesCalico(t, clusters[i], form) })
	}
}

func testFleetSeesCalico(t *testing.T, on *cluster.Cluster, form mcnv1alpha1.CalicoAPI) {
	g, ctx := gomega.NewWithT(t), t.Context()
	c, err := client.New(on.RESTConfig(), client.Options{Scheme: fleetScheme(t)})
	must(t, err)
	f := newFleet(t)
	f.Set(registration("m", 0), kubeconfigFor(t, on, on.URL()))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(func() bool { s, _ := f.State("m"); return s.CalicoReady }, patience).Should(gomega.BeTrue())
	m, _ := f.Member("m")
	g.Expect(m.Calico.API).To(gomega.Equal(form))
	g.Expect(m.Calico.Version).NotTo(gomega.BeEmpty())
	state, _ := f.State("m")
	g.Expect(state.Problems).To(gomega.BeEmpty())

	ours := map[string]string{mcnv1alpha1.OwnerLabel: "o", mcnv1alpha1.GroupLabel: "x"}
	objects := []client.Object{
		&calicov3.IPPool{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}, Spec: calicov3.IPPoolSpec{CIDR: "10.7.0.0/16"}},
		&calicov3.IPPool{ObjectMeta: metav1.ObjectMeta{Name: "ours", Labels: ours}, Spec: calicov3.IPPoolSpec{CIDR: "10.8.0.0/16", Disabled: true}},
		&calicov3.GlobalNetworkSet{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Labels: map[string]string{"a": "b"}}, Spec: calicov3.GlobalNetworkSetSpec{Nets: []string{"10.7.0.0/24"}}},
		&calicov3.GlobalNetworkSet{ObjectMeta: metav1.ObjectMeta{Name: "ours", Labels: ours}, Spec: calicov3.GlobalNetworkSetSpec{Nets: []string{"10.7.0.0/24"}}},
		&calicov3.NetworkSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "theirs"}, Spec: calicov3.NetworkSetSpec{Nets: []string{"10.7.0.0/24"}}},
		&calicov3.GlobalNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "default.theirs"}, Spec: calicov3.GlobalNetworkPolicySpec{
			Tier: "default", Selector: "all()", Types: []calicov3.PolicyType{calicov3.PolicyTypeIngress},
			Ingress: []calicov3.Rule{{Action: calicov3.Allow, Source: calicov3.EntityRule{Selector: "a == 'b'"}}},
		}},
	}
	for _, object := range objects {
		must(t, c.Create(ctx, object))
	}
	seen := func() snapshot.Member { m, _ := f.Member("m"); return m }
	g.Eventually(seen, patience).Should(gomega.And(
		gomega.HaveField("Pools", gomega.ConsistOf(gomega.HaveField("Name", "theirs"))),
		gomega.HaveField("PodCIDRs", gomega.HaveLen(1)),
		gomega.HaveField("Sets", gomega.ConsistOf(
			snapshot.NetworkSet{Name: "theirs", Labels: map[string]string{"a": "b"}},
			gomega.HaveField("Namespace", "kube-system"))),
		gomega.HaveField("Policies", gomega.ConsistOf(gomega.HaveField("Peers", []snapshot.Peer{{Selector: "a == 'b'"}}))),
	))
	g.Eventually(func() fleet.State { s, _ := f.State("m"); return s }, patience).Should(gomega.HaveField("OwnPools", 1))

	// One that gets an owner's label is nobody's foreign set any more, on either form of the API, and does not come back.
	mine := objects[2].DeepCopyObject().(client.Object)
	mine.SetLabels(map[string]string{"a": "b", mcnv1alpha1.OwnerLabel: "another"})
	must(t, c.Update(ctx, mine))
	g.Eventually(seen, patience).Should(gomega.HaveField("Sets", gomega.ConsistOf(gomega.HaveField("Namespace", "kube-system"))))

	// Watches deliver what goes, too.
	for _, object := range objects[2:] {
		must(t, c.Delete(ctx, object))
	}
	g.Eventually(seen, patience).Should(gomega.And(gomega.HaveField("Sets", gomega.BeEmpty()), gomega.HaveField("Policies", gomega.BeEmpty())))

	testFleetMigration(t, on, f)

	// calico-apiserver lets nobody change ClusterInformation; Calico itself does it in the storage form.
	info := &unstructured.Unstructured{}
	info.SetAPIVersion("projectcalico.org/v3")
	if form == mcnv1alpha1.CalicoAPIAggregated {
		info.SetAPIVersion("crd.projectcalico.org/v1")
	}
	info.SetKind("ClusterInformation")
	must(t, c.Get(ctx, client.ObjectKey{Name: "default"}, info))
	must(t, unstructured.SetNestedField(info.Object, false, "spec", "datastoreReady"))
	must(t, c.Update(ctx, info))
	g.Eventually(func() mcnv1alpha1.Reason { s, _ := f.State("m"); return s.CalicoReason }, patience).Should(gomega.Equal(mcnv1alpha1.ReasonDatastoreNotReady))

	_, writable := f.Writable("m")
	g.Expect(writable).To(gomega.BeFalse(), "nothing is written meanwhile")

	changes := f.Subscribe()
	g.Consistently(changes, time.Second).ShouldNot(gomega.Receive(), "a quiet member signals nothing")
}

// testFleetMigration serves Calico's DatastoreMigration, and lets one begin and end.
func testFleetMigration(t *testing.T, on *cluster.Cluster, f *fleet.Fleet) {
	g, ctx := gomega.NewWithT(t), t.Context()
	apply := func(text string, args ...string) {
		t.Helper()
		_, err := on.KubectlInput(ctx, strings.NewReader(text), append([]string{"apply", "-f", "-"}, args...)...)
		must(t, err)
	}
	apply(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: datastoremigrations.migration.projectcalico.org, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: migration.projectcalico.org
  names: {kind: DatastoreMigration, plural: datastoremigrations}
  scope: Cluster
  versions:
  - name: v1beta1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`)
	migration := func(phase string) string {
		return "apiVersion: migration.projectcalico.org/v1beta1\nkind: DatastoreMigration\nmetadata: {name: m}\nstatus: {phase: " + phase + "}\n"
	}
	g.Eventually(func() error {
		_, err := on.KubectlInput(ctx, strings.NewReader(migration("Migrating")), "apply", "-f", "-")
		return err
	}, patience).Should(gomega.Succeed())
	calico := func() string { s, _ := f.State("m"); return string(s.CalicoReason) + " " + s.CalicoMessage }
	g.Eventually(calico, patience).Should(gomega.HavePrefix("DatastoreNotReady Calico's datastore is being migrated (DatastoreMigration, phase Migrating)"))
	_, reachable := f.Connection("m")
	_, writable := f.Writable("m")
	g.Expect([]bool{reachable, writable}).To(gomega.Equal([]bool{true, false}), "nothing is written meanwhile")
	apply(migration("Complete"))
	g.Eventually(calico, patience).Should(gomega.HavePrefix("CalicoReady "))
	_, writable = f.Writable("m")
	g.Expect(writable).To(gomega.BeTrue())
}
