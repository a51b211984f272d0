package intent

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/projectcalico/calico/libcalico-go/lib/selector"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// list asks the Calico policies of networks, given oldest first, as one list: by order, then by the network's age, then by name. The first match decides.
func (w *World) list(networks []*mcnv1alpha1.MultiCloudNetwork, own Place, f flow, d direction) opinion {
	type entry struct {
		age     int
		network *mcnv1alpha1.MultiCloudNetwork
		mcnv1alpha1.CalicoPolicy
	}
	var all []entry
	for age, n := range networks {
		if n.Spec.Calico != nil {
			for _, p := range n.Spec.Calico.Policies {
				all = append(all, entry{age, n, p})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.age, b.age), cmp.Compare(a.Name, b.Name))
	})
	for _, e := range all {
		if !w.member(e.network, &e.Pods, own) {
			continue
		}
		rules := e.Egress
		if d == ingress {
			rules = e.Ingress
		}
		for _, r := range rules {
			if w.matches(e.network, r, f) {
				switch r.Action {
				case mcnv1alpha1.RuleActionAllow:
					return allow
				case mcnv1alpha1.RuleActionDeny:
					return deny
				case mcnv1alpha1.RuleActionPass:
					return pass
				}
			}
		}
	}
	return none
}

// matches says whether a rule means a flow.
func (w *World) matches(n *mcnv1alpha1.MultiCloudNetwork, r mcnv1alpha1.Rule, f flow) bool {
	switch {
	case r.Protocol != nil && r.Protocol.String() != f.Protocol, r.NotProtocol != nil && r.NotProtocol.String() == f.Protocol:
		return false
	case r.ICMP != nil && r.ICMP.Type != nil && *r.ICMP.Type != 8: // every ICMP packet here is an echo request
		return false
	}
	// No flow here comes from a port that a rule names.
	if r.Source != nil && len(r.Source.Ports) > 0 || !w.matchesEnd(n, r.Source, f.from) || !w.matchesEnd(n, r.Destination, f.to) {
		return false
	}
	e := r.Destination
	return e == nil || (len(e.Ports) == 0 || hasPort(e.Ports, f.Port)) && !hasPort(e.NotPorts, f.Port)
}

func (w *World) matchesEnd(n *mcnv1alpha1.MultiCloudNetwork, e *mcnv1alpha1.EntityRule, p Place) bool {
	switch {
	case e == nil:
		return true
	case len(e.Nets) > 0 && !holds(p.Address, e.Nets, nil), holds(p.Address, e.NotNets, nil):
		return false
	case e.Selector == "" && e.NamespaceSelector == "":
		return true
	}
	return p.isPod() && w.Spans(n, p.Cluster) && expression(e.NamespaceSelector, p.NamespaceLabels) && expression(e.Selector, p.Labels)
}

// expression evaluates a selector in Calico's language.
func expression(text string, labels map[string]string) bool {
	parsed, err := selector.Parse(text)
	return err == nil && parsed.Evaluate(labels)
}

// hasPort says whether a list of numbers and ranges holds a port.
func hasPort(list []intstr.IntOrString, port uint16) bool {
	return slices.ContainsFunc(list, func(p intstr.IntOrString) bool {
		low, high, isRange := strings.Cut(p.String(), ":")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		return err1 == nil && err2 == nil && from <= int(port) && int(port) <= to
	})
}

// localPasses says whether the cluster's own NetworkPolicies let a flow pass at a pod: yes, if none of them isolates it in this direction.
func (w *World) localPasses(own, other Place, f flow, d direction) bool {
	isolated := false
	for _, p := range w.Local[own.Cluster] {
		kind := networkingv1.PolicyTypeEgress
		if d == ingress {
			kind = networkingv1.PolicyTypeIngress
		}
		if p.Namespace != own.Namespace || !selects(&p.Spec.PodSelector, own.Labels) || !slices.Contains(p.Spec.PolicyTypes, kind) {
			continue
		}
		isolated = true
		if d == ingress && slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
			return localMatches(own, other, f, r.From, r.Ports)
		}) || d == egress && slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
			return localMatches(own, other, f, r.To, r.Ports)
		}) {
			return true
		}
	}
	return !isolated
}

func localMatches(own, other Place, f flow, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) bool {
	portMatches := len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		protocol := "TCP"
		if p.Protocol != nil {
			protocol = string(*p.Protocol)
		}
		return protocol == f.Protocol && (p.Port == nil || p.Port.IntVal == int32(f.Port))
	})
	return portMatches && (len(peers) == 0 || slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return netip.MustParsePrefix(p.IPBlock.CIDR).Contains(other.Address)
		}
		sameNamespace := other.Namespace == own.Namespace
		if p.NamespaceSelector != nil {
			sameNamespace = selects(p.NamespaceSelector, other.NamespaceLabels)
		}
		return other.isPod() && other.Cluster == own.Cluster && sameNamespace && (p.PodSelector == nil || selects(p.PodSelector, other.Labels))
	}))
}
