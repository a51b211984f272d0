package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"github.com/projectcalico/api/pkg/lib/numorstring"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// calicoPolicy is a policy of the Calico model.
type calicoPolicy struct {
	name  string
	order int32
	// place is the policy's index among those of its network, by name.
	place   int
	pods    identity.Selection
	types   []calicov3.PolicyType
	ingress []calicoRule
	egress  []calicoRule
}

// calicoRule is a rule of the Calico model.
type calicoRule struct {
	// template holds what is literal: action, protocol, ICMP.
	template calicov3.Rule
	// subject is the policy's own end; peer the other one.
	subject, peer end
}

// end is one end of a rule. Everything present must match; nothing present matches all traffic.
type end struct {
	pods            *identity.Selection
	nets, notNets   []netip.Prefix
	ports, notPorts []numorstring.Port
}

// calicoPolicies parses the policies, sorted by order and name.
func (p *parser) calicoPolicies(at *field.Path, in []mcnv1alpha1.CalicoPolicy) []calicoPolicy {
	if len(in) == 0 {
		p.fail(field.Required(at, "a Calico network has at least one policy"))
	}
	var out []calicoPolicy
	names := map[string]bool{}
	for i, policy := range in {
		at := at.Index(i)
		p.name(at.Child("name"), policy.Name, names)
		if policy.Order < 0 || policy.Order > 999 {
			p.fail(field.Invalid(at.Child("order"), policy.Order, "order is a number from 0 to 999"))
		}
		parsed := calicoPolicy{
			name: policy.Name, order: policy.Order,
			pods:  p.subject(at.Child("pods"), policy.Pods),
			types: p.policyTypes(at, policy),
		}
		for j, r := range policy.Ingress {
			parsed.ingress = append(parsed.ingress, p.rule(at.Child("ingress").Index(j), r, true))
		}
		for j, r := range policy.Egress {
			parsed.egress = append(parsed.egress, p.rule(at.Child("egress").Index(j), r, false))
		}
		out = append(out, parsed)
	}
	slices.SortStableFunc(out, func(a, b calicoPolicy) int { return cmp.Compare(a.name, b.name) })
	for i := range out {
		out[i].place = i
	}
	slices.SortStableFunc(out, func(a, b calicoPolicy) int { return cmp.Compare(a.order, b.order) })
	return out
}

func (p *parser) policyTypes(at *field.Path, policy mcnv1alpha1.CalicoPolicy) []calicov3.PolicyType {
	var ingress, egress bool
	for i, t := range policy.Types {
		switch t {
		case mcnv1alpha1.PolicyTypeIngress:
			ingress = true
		case mcnv1alpha1.PolicyTypeEgress:
			egress = true
		default:
			p.fail(field.NotSupported(at.Child("types").Index(i), t, []mcnv1alpha1.PolicyType{mcnv1alpha1.PolicyTypeIngress, mcnv1alpha1.PolicyTypeEgress}))
		}
	}
	if len(policy.Types) == 0 {
		p.fail(field.Required(at.Child("types"), "write the directions that the policy judges: Ingress, Egress or both"))
	}
	if len(policy.Ingress) > 0 && !ingress {
		p.fail(field.Invalid(at.Child("types"), policy.Types, "there are ingress rules: add Ingress, or remove them"))
	}
	if len(policy.Egress) > 0 && !egress {
		p.fail(field.Invalid(at.Child("types"), policy.Types, "there are egress rules: add Egress, or remove them"))
	}
	return policyTypes(ingress, egress)
}

// policyTypes lists the directions in Calico's order.
func policyTypes(ingress, egress bool) []calicov3.PolicyType {
	var types []calicov3.PolicyType
	if ingress {
		types = append(types, calicov3.PolicyTypeIngress)
	}
	if egress {
		types = append(types, calicov3.PolicyTypeEgress)
	}
	return types
}

// rule parses a rule; ingress says which of its ends is the policy's own.
func (p *parser) rule(at *field.Path, in mcnv1alpha1.Rule, ingress bool) calicoRule {
	p.unsupported(at, in)
	out := calicoRule{template: calicov3.Rule{Action: calicov3.Action(in.Action)}}
	switch in.Action {
	case mcnv1alpha1.RuleActionAllow, mcnv1alpha1.RuleActionDeny, mcnv1alpha1.RuleActionPass, mcnv1alpha1.RuleActionLog:
	default:
		p.fail(field.NotSupported(at.Child("action"), in.Action, []mcnv1alpha1.RuleAction{
			mcnv1alpha1.RuleActionAllow, mcnv1alpha1.RuleActionDeny, mcnv1alpha1.RuleActionPass, mcnv1alpha1.RuleActionLog,
		}))
	}
	out.template.Protocol = p.protocol(at.Child("protocol"), in.Protocol)
	out.template.NotProtocol = p.protocol(at.Child("notProtocol"), in.NotProtocol)
	out.template.ICMP = p.icmp(at.Child("icmp"), in.ICMP, out.template.Protocol)
	hasPorts := out.template.Protocol != nil && out.template.Protocol.SupportsPorts()
	source := p.end(at.Child("source"), in.Source, !ingress, hasPorts)
	destination := p.end(at.Child("destination"), in.Destination, ingress, hasPorts)
	out.subject, out.peer = source, destination
	if ingress {
		out.subject, out.peer = destination, source
	}
	return out
}

// unsupported refuses what the schema holds only to refuse it.
func (p *parser) unsupported(at *field.Path, in mcnv1alpha1.Rule) {
	if in.HTTP != nil {
		p.fail(field.Forbidden(at.Child("http"), "application-layer rules need a proxy that the operator does not manage: match ports instead"))
	}
	if in.NotICMP != nil {
		p.fail(field.Forbidden(at.Child("notICMP"), "write a rule with icmp and the opposite action before this one"))
	}
	if in.IPVersion != nil {
		p.fail(field.Forbidden(at.Child("ipVersion"), "nets decide the family: write 0.0.0.0/0 or ::/0"))
	}
	for _, end := range []struct {
		name string
		rule *mcnv1alpha1.EntityRule
	}{{"source", in.Source}, {"destination", in.Destination}} {
		e, at := end.rule, at.Child(end.name)
		if e == nil {
			continue
		}
		if e.NotSelector != "" {
			p.fail(field.Forbidden(at.Child("notSelector"), "it would match addresses outside all clusters too: write selector with !(...), or a rule with the opposite action before this one"))
		}
		if e.Services != nil {
			p.fail(field.Forbidden(at.Child("services"), "Calico resolves Services in its own cluster only: select the Service's pods by label"))
		}
		if e.ServiceAccounts != nil {
			p.fail(field.Forbidden(at.Child("serviceAccounts"), "service accounts are not known across clusters: select pods by label, or by projectcalico.org/serviceaccount"))
		}
	}
}

// protocol parses a protocol: one of Calico's names, or a number.
func (p *parser) protocol(at *field.Path, in *intstr.IntOrString) *numorstring.Protocol {
	if in == nil {
		return nil
	}
	number := int(in.IntVal)
	if in.Type == intstr.String {
		for _, name := range []string{
			numorstring.ProtocolTCP, numorstring.ProtocolUDP, numorstring.ProtocolICMP, numorstring.ProtocolICMPv6,
			numorstring.ProtocolSCTP, numorstring.ProtocolUDPLite,
		} {
			if in.StrVal == name {
				parsed := numorstring.ProtocolFromString(name)
				return &parsed
			}
		}
		var err error
		if number, err = strconv.Atoi(in.StrVal); err != nil {
			number = 0
		}
	}
	if number < 1 || number > 255 {
		p.fail(field.Invalid(at, in.String(), "write TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255"))
		return nil
	}
	parsed := numorstring.ProtocolFromInt(uint8(number))
	return &parsed
}

func (p *parser) icmp(at *field.Path, in *mcnv1alpha1.ICMPMatch, protocol *numorstring.Protocol) *calicov3.ICMPFields {
	if in == nil {
		return nil
	}
	if protocol == nil || (protocol.StrVal != numorstring.ProtocolICMP && protocol.StrVal != numorstring.ProtocolICMPv6) {
		p.fail(field.Forbidden(at, "set protocol to ICMP or ICMPv6"))
	}
	if in.Type == nil {
		if in.Code != nil {
			p.fail(field.Required(at.Child("type"), "a code belongs to a type"))
		}
		return nil
	}
	out := &calicov3.ICMPFields{Type: p.octet(at.Child("type"), *in.Type, 254)}
	if in.Code != nil {
		out.Code = p.octet(at.Child("code"), *in.Code, 255)
	}
	return out
}

func (p *parser) octet(at *field.Path, number int32, highest int) *int {
	value := int(number)
	if value < 0 || value > highest {
		p.fail(field.Invalid(at, number, fmt.Sprintf("write a number from 0 to %d", highest)))
	}
	return &value
}

// end parses one end of a rule. Names of ports are known only where the pods are: at the policy's own end.
func (p *parser) end(at *field.Path, in *mcnv1alpha1.EntityRule, own, hasPorts bool) end {
	if in == nil {
		return end{}
	}
	out := end{
		nets:     p.nets(at.Child("nets"), in.Nets),
		notNets:  p.nets(at.Child("notNets"), in.NotNets),
		ports:    p.rulePorts(at.Child("ports"), in.Ports, own, hasPorts),
		notPorts: p.rulePorts(at.Child("notPorts"), in.NotPorts, own, hasPorts),
	}
	for i, prefix := range out.notNets {
		if prefix.Bits() == 0 {
			p.fail(field.Invalid(at.Child("notNets").Index(i), prefix.String(), "it excludes every address, so that the rule matches nothing: remove the rule"))
		}
	}
	if in.Selector != "" || in.NamespaceSelector != "" {
		pods := p.selectors(at, in.NamespaceSelector, in.Selector)
		out.pods = &pods
	}
	return out
}

// selectors parses two selectors in Calico's language; what is wrong is told at the one that it is wrong with.
func (p *parser) selectors(at *field.Path, namespaceSelector, podSelector string) identity.Selection {
	if _, err := identity.Parse(namespaceSelector, ""); err != nil {
		p.fail(field.Invalid(at.Child("namespaceSelector"), namespaceSelector, err.Error()))
		return identity.Selection{}
	}
	pods, err := identity.Parse(namespaceSelector, podSelector)
	if err != nil {
		p.fail(field.Invalid(at.Child("selector"), podSelector, err.Error()))
	}
	return pods
}

func (p *parser) nets(at *field.Path, in []mcnv1alpha1.CIDR) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range in {
		if prefix, ok := p.cidr(at.Index(i), text); ok {
			out = append(out, prefix)
		}
	}
	return sortPrefixes(out)
}

func (p *parser) rulePorts(at *field.Path, in []intstr.IntOrString, own, hasPorts bool) []numorstring.Port {
	if len(in) > 0 && !hasPorts {
		p.fail(field.Forbidden(at, "ports need protocol TCP, UDP or SCTP"))
	}
	var out []numorstring.Port
	for i, text := range in {
		port, err := numorstring.PortFromString(text.String())
		switch {
		case err != nil:
			p.fail(field.Invalid(at.Index(i), text.String(), `write a number (80), a range ("8000:8100") or, at the policy's own end, the name of a container port`))
		case port.PortName != "" && !own:
			p.fail(field.Invalid(at.Index(i), text.String(), "names of ports are known only for the policy's own pods: write the number"))
		}
		out = append(out, port)
	}
	slices.SortFunc(out, func(a, b numorstring.Port) int {
		return cmp.Or(cmp.Compare(a.MinPort, b.MinPort), cmp.Compare(a.MaxPort, b.MaxPort), cmp.Compare(a.PortName, b.PortName))
	})
	return slices.Compact(out)
}
