package compile

import (
	"net/netip"
	"slices"
	"strings"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"github.com/projectcalico/calico/libcalico-go/lib/selector"

	"multicloud.network/operator/internal/identity"
)

// evaluator judges packets by compiled objects alone, as Felix would on one member: policies by order and name, rules in order, peers by the addresses of
// endpoints and sets that their selectors match.
type evaluator struct {
	policies []*calicov3.GlobalNetworkPolicy
	sets     []*calicov3.GlobalNetworkSet
	cluster  string
}

func newEvaluator(cluster string, objects []Object) *evaluator {
	e := &evaluator{cluster: cluster}
	for _, o := range objects {
		switch r := o.Resource.(type) {
		case *calicov3.GlobalNetworkPolicy:
			e.policies = append(e.policies, r)
		case *calicov3.GlobalNetworkSet:
			e.sets = append(e.sets, r)
		}
	}
	slices.SortFunc(e.policies, func(a, b *calicov3.GlobalNetworkPolicy) int {
		switch {
		case *a.Spec.Order < *b.Spec.Order:
			return -1
		case *a.Spec.Order > *b.Spec.Order:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return e
}

// judge says what our tier does with a packet at one of its ends, a pod of this member.
func (e *evaluator) judge(p packet, ingress bool) verdict {
	own, direction := p.from, calicov3.PolicyTypeEgress
	if ingress {
		own, direction = p.to, calicov3.PolicyTypeIngress
	}
	for _, policy := range e.policies {
		if !slices.Contains(policy.Spec.Types, direction) || !e.selectsPod(policy.Spec.NamespaceSelector, policy.Spec.Selector, own) {
			continue
		}
		rules := policy.Spec.Egress
		if ingress {
			rules = policy.Spec.Ingress
		}
		for _, r := range rules {
			if r.Action != calicov3.Log && e.matches(r, p) {
				return verdict(r.Action)
			}
		}
	}
	return pass // the tier's default action
}

func (e *evaluator) matches(r calicov3.Rule, p packet) bool {
	if r.Protocol != nil && r.Protocol.String() != p.protocol || r.NotProtocol != nil && r.NotProtocol.String() == p.protocol {
		return false
	}
	return e.matchesEnd(r.Source, p.from, 0) && e.matchesEnd(r.Destination, p.to, p.port)
}

func (e *evaluator) matchesEnd(r calicov3.EntityRule, at place, port uint16) bool {
	if r.Services != nil {
		return false // these fleets have no endpoints behind them
	}
	if len(r.Ports) > 0 {
		in := false
		for _, want := range r.Ports {
			in = in || port >= want.MinPort && port <= want.MaxPort
		}
		if !in {
			return false
		}
	}
	if len(r.Nets) > 0 && !contains(r.Nets, at.address) || len(r.NotNets) > 0 && contains(r.NotNets, at.address) {
		return false
	}
	// An address list of one family keeps the rule out of the other.
	for _, list := range [][]string{r.Nets, r.NotNets} {
		if len(list) > 0 && strings.Contains(list[0], ":") != at.address.Is6() {
			return false
		}
	}
	if r.Selector == "" && r.NamespaceSelector == "" {
		return true
	}
	return e.selectsPod(r.NamespaceSelector, r.Selector, at) || e.selectsSet(r.NamespaceSelector, r.Selector, at.address)
}

func contains(nets []string, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(n string) bool { return netip.MustParsePrefix(n).Contains(a) })
}

// selectsPod tells whether selectors match a pod of this member.
func (e *evaluator) selectsPod(namespaceSelector, podSelector string, at place) bool {
	if at.pod == nil || at.member.Name != e.cluster || namespaceSelector == "global()" {
		return false
	}
	ns := namespaceOf(at)
	inherited := map[string]string{identity.LabelNamespaceName: ns.Name}
	own := map[string]string{identity.LabelOrchestrator: "k8s", identity.LabelNamespace: ns.Name}
	for k, v := range ns.Labels {
		inherited[k] = v
	}
	for k, v := range at.pod.Labels {
		own[k] = v
	}
	return parsesTo(namespaceSelector, inherited) && parsesTo(podSelector, own)
}

// selectsSet tells whether selectors match a set of ours that holds an address. Felix looks at a set as at an endpoint without a namespace.
func (e *evaluator) selectsSet(namespaceSelector, labelSelector string, a netip.Addr) bool {
	for _, set := range e.sets {
		if !contains(set.Spec.Nets, a) {
			continue
		}
		inNamespace := namespaceSelector == "global()" || namespaceSelector != "all()" && parsesTo(namespaceSelector, nil)
		if inNamespace && parsesTo(labelSelector, set.Labels) {
			return true
		}
	}
	return false
}

func parsesTo(text string, set map[string]string) bool {
	parsed, err := selector.Parse(text)
	if err != nil {
		panic(text + ": " + err.Error()) // a compiled selector that does not parse fails the test
	}
	return parsed.Evaluate(set)
}
