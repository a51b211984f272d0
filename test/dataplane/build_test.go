package dataplane

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// network names a spec; where the spec has no clusters it spans all.
func network(name string, spec mcnv1alpha1.MultiCloudNetworkSpec) *mcnv1alpha1.MultiCloudNetwork {
	return &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func flat(name string, pods mcnv1alpha1.PodSelection, boundary mcnv1alpha1.Boundary, change ...func(*mcnv1alpha1.MultiCloudNetworkSpec)) *mcnv1alpha1.MultiCloudNetwork {
	return changed(network(name, mcnv1alpha1.MultiCloudNetworkSpec{Model: mcnv1alpha1.ModelFlat, Boundary: boundary, Flat: &mcnv1alpha1.FlatSpec{Pods: pods}}), change)
}

func vlan(name string, segments []mcnv1alpha1.Segment, routes []mcnv1alpha1.Route, change ...func(*mcnv1alpha1.MultiCloudNetworkSpec)) *mcnv1alpha1.MultiCloudNetwork {
	return changed(network(name, mcnv1alpha1.MultiCloudNetworkSpec{Model: mcnv1alpha1.ModelVLAN, VLAN: &mcnv1alpha1.VLANSpec{Segments: segments}, Routes: routes}), change)
}

func calico(name string, policies []mcnv1alpha1.CalicoPolicy, change ...func(*mcnv1alpha1.MultiCloudNetworkSpec)) *mcnv1alpha1.MultiCloudNetwork {
	return changed(network(name, mcnv1alpha1.MultiCloudNetworkSpec{Model: mcnv1alpha1.ModelCalico, Calico: &mcnv1alpha1.CalicoSpec{Policies: policies}}), change)
}

func changed(n *mcnv1alpha1.MultiCloudNetwork, change []func(*mcnv1alpha1.MultiCloudNetworkSpec)) *mcnv1alpha1.MultiCloudNetwork {
	for _, c := range change {
		c(&n.Spec)
	}
	return n
}

// Changes of a spec.
func open(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Boundary = mcnv1alpha1.BoundaryOpen }
func override(s *mcnv1alpha1.MultiCloudNetworkSpec) {
	s.LocalPolicies = mcnv1alpha1.LocalPoliciesOverride
}
func exclusive(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Membership = mcnv1alpha1.MembershipExclusive }

func staged(labels map[string]string) func(*mcnv1alpha1.MultiCloudNetworkSpec) {
	return func(s *mcnv1alpha1.MultiCloudNetworkSpec) {
		s.StagedClusters = &metav1.LabelSelector{MatchLabels: labels}
	}
}

func on(labels map[string]string) func(*mcnv1alpha1.MultiCloudNetworkSpec) {
	return func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Clusters.Selector.MatchLabels = labels }
}

// of selects the pods of a team; of one tier, if it is not empty. No team is every namespace.
func of(team, tier string) mcnv1alpha1.PodSelection {
	out := mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{}}
	if team != "" {
		out.NamespaceSelector.MatchLabels = map[string]string{"team": team}
	}
	if tier != "" {
		out.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": tier}}
	}
	return out
}

func segment(name, team, tier string) mcnv1alpha1.Segment {
	pods := of(team, tier)
	return mcnv1alpha1.Segment{Name: name, Pods: &pods}
}

func subnet(name string, cidrs ...mcnv1alpha1.CIDR) mcnv1alpha1.Segment {
	return mcnv1alpha1.Segment{Name: name, CIDRs: cidrs}
}

// tiers are the segments of a team.
func tiers(team string) []mcnv1alpha1.Segment {
	return []mcnv1alpha1.Segment{segment("web", team, "web"), segment("api", team, "api"), segment("db", team, "db")}
}

func toSegment(name string) mcnv1alpha1.Peer { return mcnv1alpha1.Peer{Segment: name} }

func toPods(team, tier string) mcnv1alpha1.Peer {
	pods := of(team, tier)
	return mcnv1alpha1.Peer{Pods: &pods}
}

func route(name string, from, to mcnv1alpha1.Peer, ports ...mcnv1alpha1.RoutePort) mcnv1alpha1.Route {
	return mcnv1alpha1.Route{Name: name, From: []mcnv1alpha1.Peer{from}, To: []mcnv1alpha1.Peer{to}, Ports: ports}
}

func sameCluster(r mcnv1alpha1.Route) mcnv1alpha1.Route {
	r.Scope = mcnv1alpha1.RouteScopeSameCluster
	return r
}

// port is a port of a protocol, or, with two numbers, a range; with none it is the protocol.
func port(protocol mcnv1alpha1.RouteProtocol, numbers ...int32) mcnv1alpha1.RoutePort {
	out := mcnv1alpha1.RoutePort{Protocol: protocol}
	if len(numbers) > 0 {
		out.Port = &numbers[0]
	}
	if len(numbers) > 1 {
		out.EndPort = &numbers[1]
	}
	return out
}

func policy(name string, order int32, pods mcnv1alpha1.PodSelection, ingress, egress []mcnv1alpha1.Rule) mcnv1alpha1.CalicoPolicy {
	out := mcnv1alpha1.CalicoPolicy{Name: name, Order: order, Pods: pods, Ingress: ingress, Egress: egress}
	if ingress != nil {
		out.Types = append(out.Types, mcnv1alpha1.PolicyTypeIngress)
	}
	if egress != nil {
		out.Types = append(out.Types, mcnv1alpha1.PolicyTypeEgress)
	}
	return out
}

// rule is a rule for traffic of a protocol, or of any; and to some ports, or to all.
func rule(action mcnv1alpha1.RuleAction, source, destination *mcnv1alpha1.EntityRule, protocol string, ports ...string) mcnv1alpha1.Rule {
	out := mcnv1alpha1.Rule{Action: action, Source: source, Destination: destination}
	if protocol != "" {
		out.Protocol = &intstr.IntOrString{Type: intstr.String, StrVal: protocol}
	}
	if len(ports) > 0 {
		end := mcnv1alpha1.EntityRule{}
		if destination != nil {
			end = *destination
		}
		for _, p := range ports {
			end.Ports = append(end.Ports, intstr.Parse(p))
		}
		out.Destination = &end
	}
	return out
}

// matching is one end of a rule: pods by Calico's selectors.
func matching(namespaces, pods string) *mcnv1alpha1.EntityRule {
	return &mcnv1alpha1.EntityRule{NamespaceSelector: namespaces, Selector: pods}
}

func nets(cidrs ...mcnv1alpha1.CIDR) *mcnv1alpha1.EntityRule {
	return &mcnv1alpha1.EntityRule{Nets: cidrs}
}
