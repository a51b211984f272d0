package compile

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// shuffled returns the same input with every list whose order means nothing in another order.
func shuffled(t *rapid.T, in Input) Input {
	out := in
	out.Networks = nil
	for _, n := range rapid.Permutation(in.Networks).Draw(t, "networks") {
		c := n.DeepCopy()
		c.Spec.Routes = rapid.Permutation(c.Spec.Routes).Draw(t, "routes")
		for i := range c.Spec.Routes {
			r := &c.Spec.Routes[i]
			r.From, r.To = rapid.Permutation(r.From).Draw(t, "from"), rapid.Permutation(r.To).Draw(t, "to")
			r.Ports = rapid.Permutation(r.Ports).Draw(t, "ports")
		}
		if c.Spec.VLAN != nil {
			c.Spec.VLAN.Segments = rapid.Permutation(c.Spec.VLAN.Segments).Draw(t, "segments")
		}
		if c.Spec.Calico != nil {
			c.Spec.Calico.Policies = rapid.Permutation(c.Spec.Calico.Policies).Draw(t, "policies")
		}
		out.Networks = append(out.Networks, c)
	}
	out.Fleet.Members = rapid.Permutation(in.Fleet.Members).Draw(t, "members")
	for i := range out.Fleet.Members {
		m := &out.Fleet.Members[i]
		m.Pods = rapid.Permutation(m.Pods).Draw(t, "pods")
		m.Namespaces = rapid.Permutation(m.Namespaces).Draw(t, "namespaces")
	}
	out.Settings.ExcludedNamespaces = rapid.Permutation(in.Settings.ExcludedNamespaces).Draw(t, "excluded")
	return out
}

func TestCompilingTwiceAndInAnyOrderGivesTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		first := textOf(compileAll(t, in))
		if again := textOf(compileAll(t, in)); again != first {
			t.Fatalf("the second time:\n%s\nthe first:\n%s", again, first)
		}
		if other := textOf(compileAll(t, shuffled(t, in))); other != first {
			t.Fatalf("in another order:\n%s\nbefore:\n%s", other, first)
		}
	})
}

// textOf writes what all members should hold, independent of the order in which networks were compiled.
func textOf(objects map[string][]Object) string {
	var lines []string
	for cluster, list := range objects {
		for _, o := range list {
			lines = append(lines, fmt.Sprintf("%s %v %s", cluster, o.Role, canonical(o.Resource)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestNamesFitAndNeverCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		if rapid.Bool().Draw(t, "long names") {
			for i, n := range in.Networks {
				n.Name = fmt.Sprintf("%s-%d", strings.Repeat("n", 61), i)
			}
		}
		for cluster, objects := range compileAll(t, in) {
			seen := map[Key]string{}
			for _, o := range objects {
				checkName(t, o)
				if was, double := seen[o.Key()]; double {
					t.Fatalf("%s: two objects are %v:\n%s\n%s", cluster, o.Key(), was, canonical(o.Resource))
				}
				seen[o.Key()] = canonical(o.Resource)
			}
		}
	})
}

func checkName(t *rapid.T, o Object) {
	name := o.Resource.GetName()
	parts := strings.Split(name, ".")
	switch o.Resource.(type) {
	case *calicov3.GlobalNetworkPolicy, *calicov3.StagedGlobalNetworkPolicy:
		if len(parts) != 2 || parts[0] != mcnv1alpha1.DefaultTier {
			t.Fatalf("%s: a policy's name is its tier, one dot and a DNS label", name)
		}
	default:
		if len(parts) != 1 {
			t.Fatalf("%s: not a DNS label", name)
		}
	}
	for _, part := range parts {
		if len(part) > 63 || strings.HasSuffix(part, "-") || strings.HasPrefix(part, "-") {
			t.Fatalf("%s: %q is not a DNS label", name, part)
		}
	}
	for key, value := range o.Resource.GetLabels() {
		if len(value) > 63 {
			t.Fatalf("%s: label %s is longer than 63 characters", name, key)
		}
	}
}

// Without one network, the others and what they share stand as before: deleting one never takes what another uses. Networks whose places move may be renamed,
// and are compared without their orders.
func TestDeletingOneNetworkLeavesTheOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		// What the operator does after each compilation: the slots are in status.
		before := New(in)
		for _, n := range in.Networks {
			n.Status.ExclusiveSlot = before.Network(n.Name).ExclusiveSlot
		}
		gone := rapid.IntRange(0, len(in.Networks)-1).Draw(t, "gone")
		rest := in
		rest.Networks = slices.Delete(slices.Clone(in.Networks), gone, gone+1)
		after := New(rest)
		for _, n := range rest.Networks {
			was, is := before.Network(n.Name), after.Network(n.Name)
			keep := n.Spec.Model != mcnv1alpha1.ModelCalico || n.Spec.Membership == mcnv1alpha1.MembershipExclusive
			if !reflect.DeepEqual(contents(was, keep), contents(is, keep)) {
				t.Fatalf("%s changed when %s went:\n%v\n%v", n.Name, in.Networks[gone].Name, contents(was, keep), contents(is, keep))
			}
			for _, cluster := range is.Clusters {
				shared, _ := after.Shared(cluster.Name)
				if len(shared) < 2 {
					t.Fatalf("%s lost its tier or guard when %s went", cluster.Name, in.Networks[gone].Name)
				}
			}
		}
	})
}

func contents(r Result, withOrder bool) []string {
	var out []string
	for _, cluster := range r.Clusters {
		for _, o := range cluster.Objects {
			resource := o.Resource.DeepCopyObject().(Resource)
			if !withOrder && o.Role == RoleRules {
				resource.SetName("")
				resource.SetAnnotations(nil)
				switch p := resource.(type) {
				case *calicov3.GlobalNetworkPolicy:
					p.Spec.Order = nil
				case *calicov3.StagedGlobalNetworkPolicy:
					p.Spec.Order = nil
				}
			}
			out = append(out, cluster.Name+" "+canonical(resource))
		}
	}
	slices.Sort(out)
	return out
}

// Invariants of every compiled object.
func TestObjectsKeepTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		for cluster, objects := range compileAll(t, in) {
			sets := map[string]bool{}
			used := map[string]map[calicov3.Action]bool{}
			for _, o := range objects {
				if o.Resource.GetLabels()[mcnv1alpha1.OwnerLabel] != in.Settings.OwnerID || o.Resource.GetAnnotations()[mcnv1alpha1.ContentHashAnnotation] == "" {
					t.Fatalf("%s: %s lacks its owner or hash", cluster, o.Resource.GetName())
				}
				if set, ok := o.Resource.(*calicov3.GlobalNetworkSet); ok {
					sets[set.Labels[mcnv1alpha1.GroupLabel]] = true
					if len(set.Spec.Nets) == 0 || len(set.Spec.Nets) > shardSize || !slices.IsSortedFunc(parsePrefixes(set.Spec.Nets), comparePrefix) {
						t.Fatalf("%s: %s is empty, too large or not sorted: %v", cluster, set.Name, set.Spec.Nets)
					}
				}
				checkPolicy(t, o, used)
			}
			for group := range sets {
				if used[group] == nil {
					t.Fatalf("%s: no rule uses group %s", cluster, group)
				}
			}
			for group, actions := range used {
				if actions[calicov3.Deny] && (actions[calicov3.Allow] || actions[calicov3.Pass]) {
					t.Fatalf("%s: group %s both permits and denies (I3)", cluster, group)
				}
			}
		}
	})
}

// parsePrefixes reads the texts of a set.
func parsePrefixes(nets []string) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range nets {
		out = append(out, netip.MustParsePrefix(n))
	}
	return out
}

func checkPolicy(t *rapid.T, o Object, used map[string]map[calicov3.Action]bool) {
	var spec calicov3.GlobalNetworkPolicySpec
	switch p := o.Resource.(type) {
	case *calicov3.GlobalNetworkPolicy:
		spec = p.Spec
	case *calicov3.StagedGlobalNetworkPolicy:
		spec = calicov3.GlobalNetworkPolicySpec{Tier: p.Spec.Tier, Order: p.Spec.Order, Types: p.Spec.Types, Selector: p.Spec.Selector,
			NamespaceSelector: p.Spec.NamespaceSelector, Ingress: p.Spec.Ingress, Egress: p.Spec.Egress}
	default:
		return
	}
	if spec.Tier == "" || spec.Order == nil || len(spec.Types) == 0 || spec.NamespaceSelector == "" || !strings.Contains(spec.Selector, identity.PodsOnly) {
		t.Fatalf("%s: tier, order, types, namespaceSelector or the pods-only selector is missing: %s", o.Resource.GetName(), canonical(spec))
	}
	for _, r := range slices.Concat(spec.Ingress, spec.Egress) {
		for _, e := range []calicov3.EntityRule{r.Source, r.Destination} {
			switch {
			case e.NamespaceSelector == "global()":
				group, ok := strings.CutPrefix(e.Selector, mcnv1alpha1.GroupLabel+` == "`)
				if !ok || len(group) != hashLength+1 {
					t.Fatalf("%s: a rule over sets selects exactly one group: %q", o.Resource.GetName(), e.Selector)
				}
				group = strings.TrimSuffix(group, `"`)
				if used[group] == nil {
					used[group] = map[calicov3.Action]bool{}
				}
				used[group][r.Action] = true
			case e.Selector != "" || e.NamespaceSelector != "":
				if e.NamespaceSelector == "" || !strings.Contains(e.Selector, identity.PodsOnly) {
					t.Fatalf("%s: a peer of local pods could match sets or host endpoints: %+v", o.Resource.GetName(), e)
				}
			}
		}
		// Nobody is a type: Flat and VLAN permits always name their peer.
		if o.Role == RolePermit && r.Source.Selector == "" && r.Destination.Selector == "" {
			t.Fatalf("%s: a permit for everybody: %s", o.Resource.GetName(), canonical(r))
		}
	}
}

// A pod cannot label itself into a group: Felix looks for the group's label among things without a namespace.
func TestNoPodSatisfiesARuleOverSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		for cluster, objects := range compileAll(t, in) {
			for _, peer := range rulePeers(objects) {
				if peer.NamespaceSelector != "global()" {
					continue
				}
				group := strings.Split(peer.Selector, `"`)[1]
				forged := setLabels{
					set:    snapshot.NetworkSet{Namespace: "one", Name: "forged", Labels: map[string]string{mcnv1alpha1.GroupLabel: group}},
					member: &member{},
				}
				if matchesSet(peer, "", forged) {
					t.Fatalf("%s: a pod or set in a namespace satisfies %+v", cluster, peer)
				}
			}
		}
	})
}

func TestShardsHoldEverythingOnceAndMoveLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var prefixes []netip.Prefix
		for i := range rapid.IntRange(0, 3000).Draw(t, "addresses") {
			prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
		}
		before := split(prefixes)
		ids, total := map[string]string{}, 0
		for _, s := range before {
			if _, double := ids[s.id]; double || len(s.prefixes) == 0 || len(s.prefixes) > shardSize {
				t.Fatalf("shard %s is double, empty or too large: %d", s.id, len(s.prefixes))
			}
			ids[s.id] = fmt.Sprint(s.prefixes)
			total += len(s.prefixes)
		}
		if total != len(prefixes) {
			t.Fatalf("%d of %d addresses are in shards", total, len(prefixes))
		}
		changed := 0
		for _, s := range split(append(prefixes, netip.MustParsePrefix("10.9.9.9/32"))) {
			if ids[s.id] != fmt.Sprint(s.prefixes) {
				changed++
			}
		}
		if changed > 2 {
			t.Fatalf("one more address changed %d shards, want 1, or 2 where one splits", changed)
		}
	})
}

// Bad input gives errors, never a panic and never half a result.
func FuzzCompileNeverPanics(f *testing.F) {
	f.Add("VLAN", "api", "10.0.0.0/8", "app == 'a'", int64(80), "TCP", "team", "a")
	f.Add("Calico", "a.b", "::ffff:1.2.3.4/120", `") || all() || ("`, int64(-1), "tcp", "a b", `"`)
	f.Add("", "", "", "", int64(0), "", "", "")
	f.Fuzz(func(t *testing.T, model, name, cidr, selector string, port int64, protocol, key, value string) {
		for i := range 3 {
			in := Input{Settings: testSettings(), Fleet: fuzzFleet, Networks: []*mcnv1alpha1.MultiCloudNetwork{hostile(i, model, name, cidr, selector, int32(port), protocol, key, value)}}
			c := New(in)
			r := c.Network(name)
			if len(r.Errors) > 0 && r.Clusters != nil {
				t.Fatal("there are errors, and objects all the same")
			}
			for _, m := range in.Fleet.Members {
				c.Shared(m.Name)
			}
			checkParses(t, r)
		}
	})
}

var fuzzFleet = snapshot.Fleet{Members: []snapshot.Member{{
	Name: "aws", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), {}},
	Namespaces: []snapshot.Namespace{{Name: "one"}}, Pods: []snapshot.Pod{{Namespace: "one", Name: "p", Addresses: []netip.Addr{{}}}, {Namespace: "unknown"}},
	NodeAddresses: []netip.Addr{{}},
	DNS:           []snapshot.Service{{ClusterIPs: []netip.Addr{{}}, Selector: map[string]string{`"`: `'"`}, Ports: []snapshot.ServicePort{{}}}},
	Pools:         []snapshot.Pool{{}}, SourceNAT: mcnv1alpha1.SourceNATPreserve,
}}}

// hostile puts the same words into every field of one of the three models.
func hostile(i int, model, name, cidr, selector string, port int32, protocol, key, value string) *mcnv1alpha1.MultiCloudNetwork {
	n := &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}}
	labels := &metav1.LabelSelector{MatchLabels: map[string]string{key: value}, MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOperator(protocol)}}}
	pods := mcnv1alpha1.PodSelection{NamespaceSelector: labels, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{value: key}}}
	peer := mcnv1alpha1.Peer{Segment: name, CIDRs: []mcnv1alpha1.CIDR{mcnv1alpha1.CIDR(cidr)}}
	n.Spec = mcnv1alpha1.MultiCloudNetworkSpec{
		Model: mcnv1alpha1.Model(model), Boundary: mcnv1alpha1.Boundary(value), StagedClusters: labels,
		Routes: []mcnv1alpha1.Route{{Name: name, From: []mcnv1alpha1.Peer{{}, peer}, To: []mcnv1alpha1.Peer{{Pods: &mcnv1alpha1.PodSelection{}}, {CIDRs: peer.CIDRs, Except: peer.CIDRs}},
			Ports: []mcnv1alpha1.RoutePort{{Protocol: mcnv1alpha1.RouteProtocol(protocol), Port: &port, EndPort: &port}}}},
	}
	switch i {
	case 0:
		n.Spec.Flat = &mcnv1alpha1.FlatSpec{Pods: pods}
	case 1:
		n.Spec.VLAN = &mcnv1alpha1.VLANSpec{Segments: []mcnv1alpha1.Segment{{Name: name, ID: port, Pods: &pods, CIDRs: peer.CIDRs}, {}}}
	case 2:
		n.Spec.Routes = nil
		end := &mcnv1alpha1.EntityRule{Selector: selector, NamespaceSelector: selector, Nets: peer.CIDRs, NotNets: peer.CIDRs}
		n.Spec.Calico = &mcnv1alpha1.CalicoSpec{Policies: []mcnv1alpha1.CalicoPolicy{{Name: name, Order: port, Pods: mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{}},
			Types:   []mcnv1alpha1.PolicyType{mcnv1alpha1.PolicyTypeIngress, mcnv1alpha1.PolicyType(value)},
			Ingress: []mcnv1alpha1.Rule{{Action: mcnv1alpha1.RuleAction(protocol), Source: end, ICMP: &mcnv1alpha1.ICMPMatch{Type: &port}}, {Action: "Allow", Source: end}}}}}
	}
	return n
}

// checkParses parses every selector of what was compiled with Calico's parser.
func checkParses(t *testing.T, r Result) {
	for _, cluster := range r.Clusters {
		for _, o := range cluster.Objects {
			p, ok := o.Resource.(*calicov3.GlobalNetworkPolicy)
			if !ok {
				continue
			}
			for _, peer := range append(rulePeers([]Object{o}), snapshot.Peer{NamespaceSelector: p.Spec.NamespaceSelector, Selector: p.Spec.Selector}) {
				parsesTo(peer.NamespaceSelector, nil)
				parsesTo(peer.Selector, nil)
			}
		}
	}
}
