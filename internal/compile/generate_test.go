package compile

import (
	"fmt"
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// The generators draw from few words, so that selections meet.
var (
	teams    = []string{"pay", "web"}
	tiers    = []string{"api", "db"}
	clusters = []string{"aws", "azure", "gcp"}
)

// drawFleet draws up to three members with unique addresses.
func drawFleet(t *rapid.T) snapshot.Fleet {
	var fleet snapshot.Fleet
	for i, name := range clusters[:rapid.IntRange(1, 3).Draw(t, "members")] {
		m := snapshot.Member{
			Name: name, Labels: map[string]string{"env": rapid.SampledFrom([]string{"prod", "dev"}).Draw(t, "env"), "cloud": name},
			Role:          rapid.SampledFrom([]mcnv1alpha1.MemberRole{mcnv1alpha1.RoleManaged, mcnv1alpha1.RoleManaged, mcnv1alpha1.RoleSource}).Draw(t, "role"),
			PodCIDRs:      []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i+1))},
			NodeAddresses: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.168.%d.10", i+1))},
		}
		for _, ns := range []string{"one", "two", "kube-system", "tools"} {
			labels := map[string]string{"kubernetes.io/metadata.name": ns, "team": rapid.SampledFrom(teams).Draw(t, "team")}
			if ns == "tools" {
				labels[mcnv1alpha1.ExcludeLabel] = ""
			}
			m.Namespaces = append(m.Namespaces, snapshot.Namespace{Name: ns, Labels: labels})
		}
		for j := range rapid.IntRange(0, 6).Draw(t, "pods") {
			pod := snapshot.Pod{
				Namespace: rapid.SampledFrom(m.Namespaces).Draw(t, "namespace").Name, Name: fmt.Sprintf("pod-%d", j),
				Addresses: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.%d.0.%d", i+1, j+1))},
			}
			if rapid.Bool().Draw(t, "labelled") {
				pod.Labels = map[string]string{"tier": rapid.SampledFrom(tiers).Draw(t, "tier")}
			}
			m.Pods = append(m.Pods, pod)
		}
		fleet.Members = append(fleet.Members, m)
	}
	return fleet
}

func drawSelector(t *rapid.T, key string, values []string) *metav1.LabelSelector {
	value := rapid.SampledFrom(values).Draw(t, "value")
	switch rapid.IntRange(0, 4).Draw(t, "form") {
	case 0:
		return &metav1.LabelSelector{}
	case 1:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: []string{value}}}}
	case 2:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpExists}}}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func drawPods(t *rapid.T) mcnv1alpha1.PodSelection {
	s := mcnv1alpha1.PodSelection{NamespaceSelector: drawSelector(t, "team", teams)}
	if rapid.Bool().Draw(t, "podSelector") {
		s.PodSelector = drawSelector(t, "tier", tiers)
	}
	return s
}

func drawCIDRs(t *rapid.T) []mcnv1alpha1.CIDR {
	return rapid.SliceOfNDistinct(rapid.SampledFrom([]mcnv1alpha1.CIDR{
		"203.0.113.0/24", "203.0.113.128/25", "10.1.0.0/30", "10.2.0.0/16", "0.0.0.0/0", "2001:db8::/32",
	}), 1, 2, rapid.ID).Draw(t, "cidrs")
}

// drawNetwork draws a valid network.
func drawNetwork(t *rapid.T, i int) *mcnv1alpha1.MultiCloudNetwork {
	n := &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{
		Name:              fmt.Sprintf("net-%d", i),
		CreationTimestamp: metav1.NewTime(time.Unix(int64(rapid.IntRange(0, 2).Draw(t, "created")), 0)),
	}}
	n.Spec = mcnv1alpha1.MultiCloudNetworkSpec{
		Model:      rapid.SampledFrom([]mcnv1alpha1.Model{mcnv1alpha1.ModelFlat, mcnv1alpha1.ModelVLAN, mcnv1alpha1.ModelCalico}).Draw(t, "model"),
		Clusters:   mcnv1alpha1.ClusterSelection{Selector: *drawSelector(t, "env", []string{"prod", "dev"})},
		Boundary:   rapid.SampledFrom([]mcnv1alpha1.Boundary{"", mcnv1alpha1.BoundaryClosed, mcnv1alpha1.BoundaryOpen}).Draw(t, "boundary"),
		Membership: rapid.SampledFrom([]mcnv1alpha1.Membership{"", mcnv1alpha1.MembershipShared, mcnv1alpha1.MembershipExclusive}).Draw(t, "membership"),
	}
	if n.Spec.Model != mcnv1alpha1.ModelCalico {
		n.Spec.LocalPolicies = rapid.SampledFrom([]mcnv1alpha1.LocalPolicies{"", mcnv1alpha1.LocalPoliciesHonor, mcnv1alpha1.LocalPoliciesOverride}).Draw(t, "localPolicies")
	}
	if rapid.IntRange(0, 3).Draw(t, "staged") == 0 {
		n.Spec.StagedClusters = &metav1.LabelSelector{MatchLabels: map[string]string{"cloud": rapid.SampledFrom(clusters).Draw(t, "stagedCluster")}}
	}
	switch n.Spec.Model {
	case mcnv1alpha1.ModelFlat:
		n.Spec.Flat = &mcnv1alpha1.FlatSpec{Pods: drawPods(t)}
		n.Spec.Routes = drawRoutes(t, []string{mcnv1alpha1.FlatSegment})
	case mcnv1alpha1.ModelVLAN:
		n.Spec.VLAN = &mcnv1alpha1.VLANSpec{}
		var names []string
		for j := range rapid.IntRange(1, 3).Draw(t, "segments") {
			s := mcnv1alpha1.Segment{Name: fmt.Sprintf("seg-%d", j)}
			form := rapid.IntRange(0, 3).Draw(t, "segment")
			if form != 0 {
				pods := drawPods(t)
				s.Pods = &pods
			}
			if form <= 1 {
				s.CIDRs = drawCIDRs(t)
			}
			n.Spec.VLAN.Segments = append(n.Spec.VLAN.Segments, s)
			names = append(names, s.Name)
		}
		n.Spec.Routes = drawRoutes(t, names)
	case mcnv1alpha1.ModelCalico:
		n.Spec.Calico = &mcnv1alpha1.CalicoSpec{}
		for j := range rapid.IntRange(1, 3).Draw(t, "policies") {
			n.Spec.Calico.Policies = append(n.Spec.Calico.Policies, drawPolicy(t, j))
		}
	}
	return n
}

func drawRoutes(t *rapid.T, segments []string) []mcnv1alpha1.Route {
	var out []mcnv1alpha1.Route
	for j := range rapid.IntRange(0, 3).Draw(t, "routes") {
		r := mcnv1alpha1.Route{
			Name:  fmt.Sprintf("route-%d", j),
			Scope: rapid.SampledFrom([]mcnv1alpha1.RouteScope{"", mcnv1alpha1.RouteScopeNetwork, mcnv1alpha1.RouteScopeSameCluster}).Draw(t, "scope"),
			From:  []mcnv1alpha1.Peer{{Segment: rapid.SampledFrom(segments).Draw(t, "from")}},
		}
		for range rapid.IntRange(1, 2).Draw(t, "peers") {
			r.To = append(r.To, drawPeer(t, segments))
		}
		if rapid.Bool().Draw(t, "inbound") {
			r.From, r.To = r.To, r.From
		}
		for range rapid.IntRange(0, 2).Draw(t, "ports") {
			r.Ports = append(r.Ports, drawPort(t))
		}
		out = append(out, r)
	}
	return out
}

func drawPeer(t *rapid.T, segments []string) mcnv1alpha1.Peer {
	switch rapid.IntRange(0, 3).Draw(t, "peer") {
	case 0:
		return mcnv1alpha1.Peer{Segment: rapid.SampledFrom(segments).Draw(t, "segment")}
	case 1:
		pods := drawPods(t)
		return mcnv1alpha1.Peer{Pods: &pods}
	case 2:
		return mcnv1alpha1.Peer{Nodes: &mcnv1alpha1.NodesPeer{}}
	}
	p := mcnv1alpha1.Peer{CIDRs: drawCIDRs(t)}
	if rapid.Bool().Draw(t, "except") {
		p.Except = []mcnv1alpha1.CIDR{"203.0.113.64/26"}
	}
	return p
}

func drawPort(t *rapid.T) mcnv1alpha1.RoutePort {
	p := mcnv1alpha1.RoutePort{Protocol: rapid.SampledFrom([]mcnv1alpha1.RouteProtocol{"TCP", "UDP", "ICMP"}).Draw(t, "protocol")}
	if p.Protocol == mcnv1alpha1.RouteProtocolICMP || rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
		return p
	}
	first := rapid.SampledFrom([]int32{80, 443}).Draw(t, "port")
	p.Port = &first
	if rapid.Bool().Draw(t, "range") {
		last := first + int32(rapid.IntRange(0, 400).Draw(t, "length"))
		p.EndPort = &last
	}
	return p
}

func drawPolicy(t *rapid.T, j int) mcnv1alpha1.CalicoPolicy {
	p := mcnv1alpha1.CalicoPolicy{
		Name: fmt.Sprintf("policy-%d", j), Order: int32(rapid.IntRange(0, 2).Draw(t, "order")), Pods: drawPods(t),
	}
	direction := rapid.IntRange(1, 3).Draw(t, "types")
	if direction&1 != 0 {
		p.Types = append(p.Types, mcnv1alpha1.PolicyTypeIngress)
		p.Ingress = drawRules(t)
	}
	if direction&2 != 0 {
		p.Types = append(p.Types, mcnv1alpha1.PolicyTypeEgress)
		p.Egress = drawRules(t)
	}
	return p
}

func drawRules(t *rapid.T) []mcnv1alpha1.Rule {
	var out []mcnv1alpha1.Rule
	for range rapid.IntRange(0, 2).Draw(t, "rules") {
		r := mcnv1alpha1.Rule{Action: rapid.SampledFrom([]mcnv1alpha1.RuleAction{"Allow", "Deny", "Pass", "Log"}).Draw(t, "action")}
		if rapid.Bool().Draw(t, "protocol") {
			protocol := intstr.FromString(rapid.SampledFrom([]string{"TCP", "UDP"}).Draw(t, "protocolName"))
			r.Protocol = &protocol
		}
		r.Source, r.Destination = drawEnd(t), drawEnd(t)
		if r.Protocol != nil && r.Destination != nil && rapid.Bool().Draw(t, "rulePorts") {
			r.Destination.Ports = []intstr.IntOrString{intstr.FromInt32(80), intstr.FromString("443:500")}
		}
		out = append(out, r)
	}
	return out
}

func drawEnd(t *rapid.T) *mcnv1alpha1.EntityRule {
	e := &mcnv1alpha1.EntityRule{}
	switch rapid.IntRange(0, 4).Draw(t, "end") {
	case 0:
		return nil
	case 1:
		e.Selector = rapid.SampledFrom([]string{"tier == 'api'", "!has(tier)", "tier != 'db' || has(x)", "all()"}).Draw(t, "selector")
	case 2:
		e.NamespaceSelector = rapid.SampledFrom([]string{"team == 'pay'", "team not in {'pay'}", "all()"}).Draw(t, "namespaceSelector")
	case 3:
		e.Selector, e.NamespaceSelector = "tier in {'api', 'db'}", "team == 'web'"
	case 4:
		e.Nets = drawCIDRs(t)
		if rapid.Bool().Draw(t, "notNets") {
			e.NotNets = []mcnv1alpha1.CIDR{"203.0.113.7/32"}
		}
	}
	return e
}

// drawInput draws a fleet and networks over it.
func drawInput(t *rapid.T) Input {
	in := Input{Settings: testSettings(), Fleet: drawFleet(t)}
	for i := range rapid.IntRange(1, 4).Draw(t, "networks") {
		in.Networks = append(in.Networks, drawNetwork(t, i))
	}
	return in
}
