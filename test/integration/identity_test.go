package integration

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster"
)

var (
	identitySteps = flag.Int("identity-steps", 1000, "steps of the random history that sets have to follow")
	identitySeed  = flag.Uint64("identity-seed", 1, "its seed")
)

// theSets has three members: aws and azure share one address space, and a CIDR; gcp has one of its own, of which a part overlaps theirs.
type theSets struct {
	*fleetOfTest
	rand  *rand.Rand
	pods  map[string]map[string]*modelPod // by member, then namespace and name
	teams map[string]map[string]string    // by member and namespace, the value of label team
	cidrs map[string][]netip.Prefix
	uids  int
}

type modelPod struct {
	namespace, name, app  string
	addresses             []netip.Addr
	terminating, released bool
}

var domainOf = map[string]string{"aws": "vpc", "azure": "vpc", "gcp": "own"}

func mustPrefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// draw returns an address for a pod of a member: its own mostly, one that others may have too, or one outside of its pod CIDRs.
func (s *theSets) draw(member string) []netip.Addr {
	n := s.rand.IntN(24)
	own := map[string]string{"aws": "10.60.1.%d", "azure": "10.60.2.%d", "gcp": "10.62.0.%d"}[member]
	text := fmt.Sprintf(own, n)
	switch s.rand.IntN(6) {
	case 0:
		text = fmt.Sprintf("10.60.0.%d", n) // shared by aws and azure, and from 16 on withheld because of gcp
	case 1:
		text = fmt.Sprintf("10.99.0.%d", n)
	}
	out := []netip.Addr{netip.MustParseAddr(text)}
	if s.rand.IntN(3) == 0 {
		out = append(out, netip.MustParseAddr(fmt.Sprintf("fd00:%s::%x", map[string]string{"aws": "60", "azure": "61", "gcp": "62"}[member], n+1)))
	}
	return out
}

func (s *theSets) object(member string, p *modelPod) (client.Client, *corev1.Pod) {
	return s.clients[member], &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: p.name}}
}

func (s *theSets) patch(c client.Client, o client.Object, text string, status bool) {
	s.t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(text))
	var err error
	if status {
		err = c.Status().Patch(s.t.Context(), o, patch)
	} else {
		err = c.Patch(s.t.Context(), o, patch)
	}
	if err != nil {
		s.t.Fatalf("patching %s/%s with %s: %v", o.GetNamespace(), o.GetName(), text, err)
	}
}

const holdOn = "multicloud.test/hold"

func (s *theSets) createPod(member string, p *modelPod) {
	s.t.Helper()
	c, pod := s.object(member, p)
	pod.Labels, pod.Finalizers = map[string]string{"app": p.app}, []string{holdOn}
	pod.Annotations = map[string]string{"cni.projectcalico.org/podIPs": p.addresses[0].String()}
	pod.Spec = corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	s.create(c, pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: p.addresses[0].String()}
	for _, a := range p.addresses {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	if err := c.Status().Update(s.t.Context(), pod); err != nil {
		s.t.Fatal(err)
	}
	s.pods[member][p.namespace+"/"+p.name] = p
}

func (s *theSets) removePod(member string, p *modelPod) {
	s.t.Helper()
	c, pod := s.object(member, p)
	s.patch(c, pod, `{"metadata":{"finalizers":null}}`, false)
	if !p.terminating {
		s.deletePod(c, pod)
	}
	delete(s.pods[member], p.namespace+"/"+p.name)
}

func (s *theSets) deletePod(c client.Client, pod *corev1.Pod) {
	s.t.Helper()
	if err := c.Delete(s.t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		s.t.Fatal(err)
	}
}

var apps = []string{"web", "db", "other"}

// step makes one change on one member, and says which.
func (s *theSets) step() string {
	s.t.Helper()
	member := []string{"aws", "azure", "gcp"}[s.rand.IntN(3)]
	pods := slices.Sorted(maps.Keys(s.pods[member]))
	namespace := []string{"pay", "lab"}[s.rand.IntN(2)]
	if n := s.rand.IntN(40); n == 0 {
		team := []string{"pay", "lab"}[s.rand.IntN(2)]
		s.teams[member][namespace] = team
		s.patch(s.clients[member], &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, fmt.Sprintf(`{"metadata":{"labels":{"team":%q}}}`, team), false)
		return member + ": namespace " + namespace + " gets team " + team
	}
	if len(pods) < 4 || (len(pods) < 20 && s.rand.IntN(3) == 0) {
		s.uids++
		p := &modelPod{namespace: namespace, name: fmt.Sprintf("p-%d", s.uids), app: apps[s.rand.IntN(3)], addresses: s.draw(member)}
		s.createPod(member, p)
		return fmt.Sprintf("%s: create %+v", member, *p)
	}
	p := s.pods[member][pods[s.rand.IntN(len(pods))]]
	c, pod := s.object(member, p)
	switch s.rand.IntN(6) {
	case 0, 1:
		p.app = apps[s.rand.IntN(3)]
		s.patch(c, pod, fmt.Sprintf(`{"metadata":{"labels":{"app":%q}}}`, p.app), false)
		return fmt.Sprintf("%s: relabel %+v", member, *p)
	case 2:
		s.removePod(member, p)
		return fmt.Sprintf("%s: delete %+v", member, *p)
	case 3: // its address passes at once to another pod
		s.removePod(member, p)
		s.uids++
		next := &modelPod{namespace: namespace, name: fmt.Sprintf("p-%d", s.uids), app: apps[s.rand.IntN(3)], addresses: p.addresses}
		s.createPod(member, next)
		return fmt.Sprintf("%s: move %+v to %+v", member, *p, *next)
	case 4:
		if !p.terminating {
			p.terminating = true
			s.deletePod(c, pod)
			return fmt.Sprintf("%s: terminate %+v", member, *p)
		}
		p.released = true
		s.patch(c, pod, `{"metadata":{"annotations":{"cni.projectcalico.org/podIPs":""}}}`, false)
		return fmt.Sprintf("%s: release %+v", member, *p)
	default: // nothing of this counts
		s.patch(c, pod, fmt.Sprintf(`{"metadata":{"annotations":{"note":"%d"}}}`, s.rand.IntN(100)), false)
		return member + ": annotate " + p.name
	}
}

func (s *theSets) accepts(member string, a netip.Addr) bool {
	return slices.ContainsFunc(s.cidrs[member], func(p netip.Prefix) bool { return p.Contains(a) })
}

func (s *theSets) holders(member string, a netip.Addr) (out []*modelPod) {
	for _, p := range s.pods[member] {
		if !p.released && slices.Contains(p.addresses, a) {
			out = append(out, p)
		}
	}
	return out
}

// addresses are those by which other members may know the pods of an app, computed in the plainest way.
func (s *theSets) addresses(member, app string, permit bool) []string {
	found := map[netip.Addr]bool{}
	for _, p := range s.pods[member] {
		for _, a := range p.addresses {
			if !p.released && s.accepts(member, a) && s.belongs(member, a, app, permit) {
				found[a] = true
			}
		}
	}
	var out []string
	for _, a := range slices.SortedFunc(maps.Keys(found), netip.Addr.Compare) {
		out = append(out, a.String())
	}
	return out
}

func (s *theSets) belongs(member string, a netip.Addr, app string, permit bool) bool {
	holders := s.holders(member, a)
	matches := func(p *modelPod) bool { return p.app == app && s.teams[member][p.namespace] == "pay" }
	if !permit {
		return slices.ContainsFunc(holders, matches)
	}
	for other := range s.pods {
		if other != member && s.accepts(other, a) && (domainOf[other] != domainOf[member] || len(s.holders(other, a)) > 0) {
			return false
		}
	}
	staying := slices.DeleteFunc(slices.Clone(holders), func(p *modelPod) bool { return p.terminating })
	if len(staying) == 0 {
		staying = holders
	}
	return !slices.ContainsFunc(staying, func(p *modelPod) bool { return !matches(p) })
}

// want is what a member's sets should hold, by network and source: the addresses of each group, sorted. Empty groups have no sets.
func (s *theSets) want(member string) map[string][]string {
	out := map[string][]string{}
	add := func(network, source, app string, permit bool) {
		if all := s.addresses(source, app, permit); len(all) > 0 {
			key := network + " " + source
			out[key] = append(out[key], strings.Join(all, " "))
		}
	}
	for source := range s.pods {
		if source == member {
			continue
		}
		for _, app := range []string{"web", "db"} {
			add("closed", source, app, true)
			add("open", source, app, true)
			add("open", source, app, false)
		}
	}
	for _, groups := range out {
		slices.Sort(groups)
	}
	return out
}

// got is what a member's sets hold.
func (s *theSets) got(member string) map[string][]string {
	s.t.Helper()
	var sets calicov3.GlobalNetworkSetList
	if err := s.clients[member].List(s.t.Context(), &sets, client.HasLabels{mcnv1alpha1.GroupLabel}); err != nil {
		s.t.Fatal(err)
	}
	groups := map[[3]string][]netip.Addr{}
	for _, set := range sets.Items {
		key := [3]string{set.Labels[mcnv1alpha1.NetworkLabel], set.Labels[mcnv1alpha1.SourceClusterLabel], set.Labels[mcnv1alpha1.GroupLabel]}
		for _, net := range set.Spec.Nets {
			prefix := netip.MustParsePrefix(net)
			for a := prefix.Addr(); prefix.Contains(a); a = a.Next() {
				groups[key] = append(groups[key], a)
			}
		}
	}
	out := map[string][]string{}
	for key, all := range groups {
		slices.SortFunc(all, netip.Addr.Compare)
		texts := make([]string, 0, len(all))
		for _, a := range all {
			texts = append(texts, a.String())
		}
		out[key[0]+" "+key[1]] = append(out[key[0]+" "+key[1]], strings.Join(texts, " "))
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// converge waits until the sets of all members are right.
func (s *theSets) converge(after string) {
	s.t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for member := range s.pods {
		want := s.want(member)
		for {
			got := s.got(member)
			if maps.EqualFunc(want, got, slices.Equal[[]string]) {
				break
			}
			if time.Since(began) > longest {
				s.t.Fatalf("%s: the sets of %s are\n%v\nwant\n%v", after, member, got, want)
			}
			<-tick.C
		}
	}
}

func vlanOf(name string, boundary mcnv1alpha1.Boundary) *mcnv1alpha1.MultiCloudNetwork {
	n := flatNetwork(name, nil)
	n.Spec.Model, n.Spec.Boundary, n.Spec.Flat, n.Spec.VLAN = mcnv1alpha1.ModelVLAN, boundary, nil, &mcnv1alpha1.VLANSpec{}
	for _, app := range []string{"web", "db"} {
		n.Spec.VLAN.Segments = append(n.Spec.VLAN.Segments, mcnv1alpha1.Segment{Name: app, Pods: &mcnv1alpha1.PodSelection{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}},
			PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		}})
	}
	return n
}

// TestSetsFollowPodsExactly lets the pods of three members come, go and change at random, and looks after each step at all sets of all members.
func TestSetsFollowPodsExactly(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"aws": cluster.Aggregated, "azure": cluster.Native, "gcp": cluster.Native})
	s := &theSets{
		fleetOfTest: f, rand: rand.New(rand.NewPCG(*identitySeed, 0)), pods: map[string]map[string]*modelPod{}, teams: map[string]map[string]string{},
		cidrs: map[string][]netip.Prefix{
			"aws":   mustPrefixes("10.60.0.0/24", "10.60.1.0/24", "fd00:60::/64"),
			"azure": mustPrefixes("10.60.0.0/24", "10.60.2.0/24", "fd00:61::/64"),
			"gcp":   mustPrefixes("10.60.0.16/28", "10.62.0.0/24", "fd00:62::/64"),
		},
	}
	for member := range f.members {
		s.pods[member], s.teams[member] = map[string]*modelPod{}, map[string]string{"pay": "pay", "lab": "lab"}
		for namespace, team := range s.teams[member] {
			f.create(f.clients[member], &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"team": team}}})
		}
		f.changeMember(member, func(m *mcnv1alpha1.MemberCluster) {
			m.Spec.PodNetwork.Domain, m.Spec.PodNetwork.CIDRs = domainOf[member], nil
			for _, p := range s.cidrs[member] {
				m.Spec.PodNetwork.CIDRs = append(m.Spec.PodNetwork.CIDRs, mcnv1alpha1.CIDR(p.String()))
			}
		})
	}
	stop := f.startOperator()
	for name, boundary := range map[string]mcnv1alpha1.Boundary{"closed": mcnv1alpha1.BoundaryClosed, "open": mcnv1alpha1.BoundaryOpen} {
		n := vlanOf(name, boundary)
		if name == "closed" {
			n.Spec.Routes = []mcnv1alpha1.Route{{Name: "r", From: []mcnv1alpha1.Peer{{Segment: "web"}}, To: []mcnv1alpha1.Peer{{Segment: "db"}}}}
		}
		f.create(f.hub, n)
		f.waitCondition(name, mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	}
	began := time.Now()
	for i := range *identitySteps {
		what := s.step()
		s.converge(fmt.Sprintf("step %d with -identity-seed=%d, %s", i+1, *identitySeed, what))
	}
	t.Logf("%d steps, %s each", *identitySteps, (time.Since(began) / time.Duration(max(1, *identitySteps))).Round(time.Millisecond))
	s.restart(&stop)
	for i := range *identitySteps / 20 {
		s.converge(fmt.Sprintf("step %d after the restart: %s", i+1, s.step()))
	}
}

// everything is what a member holds of ours, with UID and resourceVersion: what is equal was not touched.
func (s *theSets) everything(member string) map[string]string {
	s.t.Helper()
	out, err := oursOn(s.t.Context(), s.clients[member])
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// restart stops the operator, and starts it again: that writes nothing.
func (s *theSets) restart(stop *func()) {
	s.t.Helper()
	before := map[string]map[string]string{}
	for member := range s.members {
		before[member] = s.everything(member)
	}
	(*stop)()
	*stop = s.startOperator()
	// A network that comes and goes takes each worker through all phases: what was only waiting to be written has been by then.
	s.create(s.hub, flatNetwork("passing", nil))
	s.waitCondition("passing", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	s.delete(s.network("passing"))
	eventually(s.t, "network passing to be gone", func() string { return s.gone("passing") })
	for member := range s.members {
		var m mcnv1alpha1.MemberCluster
		if err := s.hub.Get(s.t.Context(), client.ObjectKey{Name: member}, &m); err != nil || !apimeta.IsStatusConditionTrue(m.Status.Conditions, mcnv1alpha1.ConditionReachable) {
			s.t.Fatalf("%s is not reachable after the restart: %v", member, err)
		}
		if after := s.everything(member); !maps.Equal(before[member], after) {
			s.t.Errorf("the restart wrote to %s: %v became %v", member, before[member], after)
		}
	}
}
