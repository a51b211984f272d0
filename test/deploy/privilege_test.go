package deploy

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
	"multicloud.network/operator/test/operator"
)

// notUsedHere are grants that no scenario here can make use of, each with the reason.
var notUsedHere = map[string]string{
	"update tier.globalnetworkpolicies.projectcalico.org multicloud.*":       webhook,
	"update tier.stagedglobalnetworkpolicies.projectcalico.org multicloud.*": webhook,
}

// webhook is why rights to tiers are given that calico-apiserver does not ask for.
const webhook = "the admission webhook of Calico 3.32, which these clusters do not have, takes the admission's operation for the verb, and a patch is an update there"

// TestLeastPrivilege drives the operator's program through all that it does, on a hub and members of every form of Calico's API, and compares what its
// accounts asked the API servers for with what their roles give: nothing is refused, and nothing is given that is not used.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := startScenario(t)
	s.run()
	s.p.Kill()
	hub, members := audit.Read(t, s.hub), []audit.Event{}
	for _, name := range []string{"aggregated", "native", "source"} {
		members = append(members, audit.Read(t, s.clusters[name])...)
	}
	for _, side := range []struct {
		where   string
		account string
		events  []audit.Event
		grants  []audit.Grant
	}{
		{"hub", access.OperatorAccount, hub, audit.Grants(t, s.hub, access.Namespace, access.OperatorAccount)},
		{"members", access.MemberAccount, members, audit.Grants(t, s.clusters["aggregated"], access.Namespace, access.MemberAccount)},
	} {
		t.Run(side.where, func(t *testing.T) {
			for _, line := range s.refusals(audit.Of(side.events, access.Namespace, side.account)) {
				t.Errorf("refused: %s", line)
			}
			for _, g := range side.grants {
				if problem := dangerous(g, side.where); problem != "" {
					t.Errorf("%s grants %s: %s", side.account, g, problem)
				}
			}
			for _, line := range audit.Redundant(side.grants) {
				t.Errorf("%s is granted twice: %s", side.account, line)
			}
			unused := audit.Unused(side.grants, audit.Uses(side.events, access.Namespace, side.account))
			for _, g := range unused {
				if notUsedHere[g.String()] == "" {
					t.Errorf("%s may %s, and never did: take it from the role, or make this scenario use it", side.account, g)
				}
			}
			t.Logf("%s on the %s: of %d grants %d used, %d given for a reason that this scenario lacks",
				side.account, side.where, len(side.grants), len(side.grants)-len(unused), len(unused))
		})
	}
}

// refusals returns what was answered with 403, each once. An API server that starts answers so before it has read any role.
func (s *scenario) refusals(events []audit.Event) []string {
	var out []string
	for _, e := range events {
		at := e.RequestReceivedTimestamp
		if line := e.Verb + " " + e.RequestURI; e.Code() == 403 && !slices.Contains(out, line) && (at.Before(s.stopped) || at.After(s.started)) {
			out = append(out, line)
		}
	}
	return out
}

// dangerous says what is wrong with giving a right to the operator at all.
func dangerous(g audit.Grant, where string) string {
	switch {
	case strings.Contains(g.Verb+g.Group+g.Resource, "*"):
		return "a wildcard gives what does not exist yet"
	case g.Verb == "escalate", g.Verb == "bind", g.Verb == "impersonate":
		return "who may do that may do everything"
	case strings.HasPrefix(g.Resource, "pods/"), strings.HasPrefix(g.Resource, "nodes/"):
		return "the operator enters no pod and no node"
	case g.Resource == "secrets" && (where == "members" || g.Namespace == ""):
		return "Secrets are read in the operator's namespace on the hub, and nowhere else"
	case g.Resource == "serviceaccounts/token" && g.Name == "":
		return "a token of any account gives that account's rights"
	case g.Group == "rbac.authorization.k8s.io":
		return "roles are for administrators"
	}
	return ""
}

// scenario is a fleet that lives through everything that the operator does.
type scenario struct {
	t        *testing.T
	hub      *cluster.Cluster
	clusters map[string]*cluster.Cluster
	clients  map[string]client.Client
	admin    client.Client
	p        *operator.Process
	// stopped and started are when a member's API server was taken away, and was ready again.
	stopped, started time.Time
}

// startScenario starts a hub and one member of each kind, fills the members, registers them and starts the operator.
func startScenario(t *testing.T) *scenario {
	names := []string{"hub", "aggregated", "native", "source"}
	options := []cluster.Options{{}, {Calico: cluster.Aggregated}, {Calico: cluster.Native}, {}}
	for i := range options {
		options[i].Name, options[i].APIServerArgs = "audited-"+names[i], audit.Args(t)
	}
	s := &scenario{t: t, clusters: map[string]*cluster.Cluster{}, clients: map[string]client.Client{}}
	for i, c := range cluster.AllForTest(t, options...) {
		s.clusters[names[i]], s.clients[names[i]] = c, operator.Admin(t, c)
	}
	s.hub, s.admin = s.clusters["hub"], s.clients["hub"]
	access.InstallHub(t, s.hub)
	s.fillMembers()
	s.p = operator.Start(t, operator.Build(t), s.hub, "--leader-elect", "--namespace="+access.Namespace,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--settle=100ms", "--barrier=5s")
	for i, name := range names[1:] {
		operator.Register(t, s.hub, s.clusters[name], name, func(m *mcnv1alpha1.MemberCluster) {
			m.Labels["env"] = "prod"
			m.Spec.PodNetwork = mcnv1alpha1.PodNetwork{
				CIDRs: []mcnv1alpha1.CIDR{mcnv1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i))}, SourceNAT: mcnv1alpha1.SourceNATPreserve,
			}
			if name == "source" {
				m.Spec.Role, m.Spec.PodNetwork.SourceNAT = mcnv1alpha1.RoleSource, mcnv1alpha1.SourceNATUnmanaged
			}
		})
	}
	return s
}

// installation is the kind by which the Tigera operator's installations are known, and the one by which Calico's migrations are.
const installation = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: installations.operator.tigera.io}
spec:
  group: operator.tigera.io
  names: {kind: Installation, listKind: InstallationList, plural: installations, singular: installation}
  scope: Cluster
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: datastoremigrations.migration.projectcalico.org}
spec:
  group: migration.projectcalico.org
  names: {kind: DatastoreMigration, listKind: DatastoreMigrationList, plural: datastoremigrations, singular: datastoremigration}
  scope: Cluster
  versions:
  - {name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// fillMembers gives the members what clusters in use have: pods of teams, Calico's pool, its operator's kinds, the storage form of its API.
func (s *scenario) fillMembers() {
	for i, name := range []string{"aggregated", "native", "source"} {
		c := s.clients[name]
		for _, team := range []string{"pay", "shop"} {
			s.create(c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team, Labels: map[string]string{"team": team}}})
			s.pod(name, team, "web", fmt.Sprintf("10.%d.1.%d", i, len(team)))
		}
		s.create(c, &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "calico-node"},
			Spec: appsv1.DaemonSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
			},
		})
		if name != "source" {
			s.create(c, &calicov3.IPPool{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Spec: calicov3.IPPoolSpec{CIDR: fmt.Sprintf("10.%d.0.0/16", i)}})
		}
	}
	if _, err := s.clusters["aggregated"].KubectlInput(s.t.Context(), strings.NewReader(installation), "apply", "-f", "-"); err != nil {
		s.t.Fatal(err)
	}
	paths, err := tools.Ensure(s.t.Context(), s.t.Output(), tools.CalicoStorageCRDs)
	if err != nil {
		s.t.Fatal(err)
	}
	kubectl(s.t, s.clusters["source"], "apply", "--server-side", "-f", filepath.Clean(paths[tools.CalicoStorageCRDs]))
}

func (s *scenario) create(c client.Client, o client.Object) {
	s.t.Helper()
	if err := c.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// pod creates a pod with an address.
func (s *scenario) pod(member, namespace, name, ip string) {
	s.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	s.create(s.clients[member], pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	if err := s.clients[member].Status().Update(s.t.Context(), pod); err != nil {
		s.t.Fatal(err)
	}
}

// run lives through networks of all models, staging, pods, drift and deletion.
func (s *scenario) run() {
	t := s.t
	for _, n := range networksOfAllModels() {
		s.create(s.admin, n)
		waitReady(t, s.admin, n.Name)
	}
	s.change("staged", func(spec *mcnv1alpha1.MultiCloudNetworkSpec) { spec.StagedClusters = nil })
	s.change("staged", func(spec *mcnv1alpha1.MultiCloudNetworkSpec) { spec.StagedClusters = &metav1.LabelSelector{} })
	s.drift()
	s.change("staged", func(spec *mcnv1alpha1.MultiCloudNetworkSpec) { spec.StagedClusters = nil })
	s.pod("source", "pay", "late", "10.2.1.77")
	for _, member := range []string{"aggregated", "native"} {
		eventually(t, "the new pod's address on "+member, func() string { return s.holds(member, "10.2.1.77") })
	}
	s.renewal()
	s.outage()
	for _, name := range []string{"shop", "staged"} {
		if err := s.admin.Delete(t.Context(), &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
		s.gone(&mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for _, name := range []string{"native", "source", "aggregated"} {
		member := &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := s.admin.Delete(t.Context(), member); err != nil {
			t.Fatal(err)
		}
		s.gone(member)
	}
	waitCondition(t, s.admin, "pay", metav1.ConditionFalse, mcnv1alpha1.ReasonNoClusters)
	for _, member := range []string{"aggregated", "native"} {
		if left := ours(t, s.clusters[member]); len(left) > 0 {
			t.Errorf("%s was removed, and still holds %v", member, left)
		}
	}
}

// renewal gives the hub a token of a member that is late in its life; the operator asks the member for another one.
func (s *scenario) renewal() {
	t, member := s.t, s.clusters["native"]
	old := access.Kubeconfig(t, access.Aged(t, member, access.Member(t, member), time.Hour, 10*time.Minute))
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: access.Namespace, Name: "native"}
	eventually(t, "writing the old token", func() string {
		err := s.admin.Get(t.Context(), key, secret)
		if err == nil {
			secret.Data["kubeconfig"] = old
			metav1.SetMetaDataAnnotation(&secret.ObjectMeta, mcnv1alpha1.RenewAnnotation, access.Namespace+"/"+access.MemberAccount)
			err = s.admin.Update(t.Context(), secret)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
	eventually(t, "the token to be renewed", func() string {
		if err := s.admin.Get(t.Context(), key, secret); err != nil {
			return err.Error()
		}
		if bytes.Equal(secret.Data["kubeconfig"], old) {
			return "it is the old one"
		}
		return ""
	})
}

// outage deletes a network while a member is out of reach: what it holds there is noted on the hub, and goes when the member is back.
func (s *scenario) outage() {
	t := s.t
	s.stopped = time.Now()
	if err := s.clusters["native"].StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	lost := &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: "calico"}}
	if err := s.admin.Delete(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	s.gone(lost)
	if err := s.clusters["native"].StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.started = time.Now()
	eventually(t, "the leftovers to go", func() string {
		for object := range ours(t, s.clusters["native"]) {
			if strings.Contains(object, ".calico-") {
				return object + " is still there"
			}
		}
		return ""
	})
}

// change changes a network and waits until it is ready again.
func (s *scenario) change(name string, change func(*mcnv1alpha1.MultiCloudNetworkSpec)) {
	s.t.Helper()
	eventually(s.t, "changing "+name, func() string {
		n := &mcnv1alpha1.MultiCloudNetwork{}
		err := s.admin.Get(s.t.Context(), client.ObjectKey{Name: name}, n)
		if err == nil {
			change(&n.Spec)
			err = s.admin.Update(s.t.Context(), n)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
	waitReady(s.t, s.admin, name)
}

// holds says whether a set of a member has an address.
func (s *scenario) holds(member, ip string) string {
	var sets calicov3.GlobalNetworkSetList
	if err := s.clients[member].List(s.t.Context(), &sets); err != nil {
		return err.Error()
	}
	for _, set := range sets.Items {
		for _, text := range set.Spec.Nets {
			// Addresses that fill a block are written as one prefix.
			if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Contains(netip.MustParseAddr(ip)) {
				return ""
			}
		}
	}
	return fmt.Sprintf("none of %d sets has it", len(sets.Items))
}

// drift changes and deletes what the operator wrote; a further network makes the workers look.
func (s *scenario) drift() {
	t := s.t
	for _, member := range []string{"aggregated", "native"} {
		c := s.clients[member]
		var sets calicov3.GlobalNetworkSetList
		if err := c.List(t.Context(), &sets, client.HasLabels{mcnv1alpha1.OwnerLabel}); err != nil || len(sets.Items) == 0 {
			t.Fatalf("%s has no sets of ours: %v", member, err)
		}
		sets.Items[0].Spec.Nets = append(sets.Items[0].Spec.Nets, "203.0.113.7/32")
		if err := c.Update(t.Context(), &sets.Items[0]); err != nil {
			t.Fatal(err)
		}
		var policies calicov3.GlobalNetworkPolicyList
		if err := c.List(t.Context(), &policies, client.HasLabels{mcnv1alpha1.OwnerLabel}); err != nil || len(policies.Items) == 0 {
			t.Fatalf("%s has no policies of ours: %v", member, err)
		}
		if err := c.Delete(t.Context(), &policies.Items[0]); err != nil {
			t.Fatal(err)
		}
		s.disturb(member)
	}
	s.create(s.admin, flat("passing"))
	waitReady(t, s.admin, "passing")
	for _, member := range []string{"aggregated", "native"} {
		eventually(t, "the foreign address to leave "+member, func() string {
			if s.holds(member, "203.0.113.7") == "" {
				return "it is still there"
			}
			return ""
		})
	}
	passing := flat("passing")
	if err := s.admin.Delete(t.Context(), passing); err != nil {
		t.Fatal(err)
	}
	s.gone(passing)
}

// disturb changes one object of ours of each kind on a member.
func (s *scenario) disturb(member string) {
	t, c := s.t, s.clients[member]
	for _, list := range []client.ObjectList{
		&calicov3.TierList{}, &calicov3.GlobalNetworkPolicyList{}, &calicov3.StagedGlobalNetworkPolicyList{}, &calicov3.IPPoolList{},
	} {
		var o client.Object
		eventually(t, fmt.Sprintf("changing one of a %T on %s", list, member), func() string {
			if err := c.List(t.Context(), list, client.HasLabels{mcnv1alpha1.OwnerLabel}); err != nil {
				return err.Error()
			}
			items, err := apimeta.ExtractList(list)
			if err != nil || len(items) == 0 {
				return fmt.Sprintf("there is none (%v)", err)
			}
			o = items[len(items)-1].(client.Object)
			annotations := o.GetAnnotations()
			annotations[mcnv1alpha1.ContentHashAnnotation] = "disturbed"
			o.SetAnnotations(annotations)
			if err := c.Update(t.Context(), o); err != nil {
				return err.Error()
			}
			return ""
		})
		eventually(t, o.GetName()+" to be put back on "+member, func() string {
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				return err.Error()
			}
			if o.GetAnnotations()[mcnv1alpha1.ContentHashAnnotation] == "disturbed" {
				return "it is as it was left"
			}
			return ""
		})
	}
}

// gone waits until an object on the hub has been let go.
func (s *scenario) gone(o client.Object) {
	s.t.Helper()
	eventually(s.t, o.GetName()+" to be gone", func() string {
		if err := s.admin.Get(s.t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
			return fmt.Sprintf("%v: %+v", err, o)
		}
		return ""
	})
}

// networksOfAllModels are a Closed Flat one, a VLAN with a route to a subnet, a Calico one, and one that is staged everywhere.
func networksOfAllModels() []*mcnv1alpha1.MultiCloudNetwork {
	vlan, calico, staged := flat("shop"), flat("calico"), flat("staged")
	pods := mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}}
	vlan.Spec.Model, vlan.Spec.Flat = mcnv1alpha1.ModelVLAN, nil
	vlan.Spec.VLAN = &mcnv1alpha1.VLANSpec{Segments: []mcnv1alpha1.Segment{
		{Name: "web", Pods: &pods}, {Name: "oracle", CIDRs: []mcnv1alpha1.CIDR{"192.168.130.0/24"}},
	}}
	vlan.Spec.Routes = []mcnv1alpha1.Route{{
		Name: "db", From: []mcnv1alpha1.Peer{{Segment: "web"}}, To: []mcnv1alpha1.Peer{{Segment: "oracle"}},
	}}
	calico.Spec.Model, calico.Spec.Flat = mcnv1alpha1.ModelCalico, nil
	calico.Spec.Calico = &mcnv1alpha1.CalicoSpec{Policies: []mcnv1alpha1.CalicoPolicy{{
		Name: "web", Order: 100, Pods: pods, Types: []mcnv1alpha1.PolicyType{mcnv1alpha1.PolicyTypeIngress},
		Ingress: []mcnv1alpha1.Rule{{Action: mcnv1alpha1.RuleActionAllow, Source: &mcnv1alpha1.EntityRule{Selector: "app == 'web'"}}},
	}}}
	staged.Spec.StagedClusters = &metav1.LabelSelector{}
	return []*mcnv1alpha1.MultiCloudNetwork{flat("pay"), vlan, calico, staged}
}
