package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"github.com/projectcalico/api/pkg/lib/numorstring"
	"k8s.io/apimachinery/pkg/util/intstr"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// Addresses that no policy may cut: node-local DNS (Kubernetes' NodeLocal DNSCache), the cloud metadata service (AWS, Azure, GCP), EKS Pod Identity,
// and Azure's wire server.
var (
	nodeLocalDNS      = netip.MustParseAddr("169.254.20.10")
	guardedAddresses  = []netip.Addr{netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.23")}
	protocolTCP       = numorstring.ProtocolFromString(numorstring.ProtocolTCP)
	protocolUDP       = numorstring.ProtocolFromString(numorstring.ProtocolUDP)
	dnsProtocols      = []*numorstring.Protocol{&protocolTCP, &protocolUDP}
	dnsPort           = []numorstring.Port{numorstring.SinglePort(53)}
	kubernetesService = &calicov3.ServiceMatch{Name: "kubernetes", Namespace: "default"}
)

// Shared compiles what all networks of a member share: the tier, the guard and the IP pools. It is nothing where no network selects the member, or
// the member is only a source.
func (c *Compiler) Shared(name string) ([]Object, []Warning) {
	m, ok := c.fleet.byName[name]
	if !ok || m.Role == mcnv1alpha1.RoleSource {
		return nil, nil
	}
	if !slices.ContainsFunc(c.networks, func(n *network) bool { return len(n.errors) == 0 && n.selects(m) }) {
		return nil, nil
	}
	objects := []Object{c.tier(), c.guard(m)}
	pools, warnings := c.pools(m)
	objects = append(objects, pools...)
	sortObjects(objects)
	return objects, warnings
}

// tier holds all policies of ours. What they do not decide is left to the tiers behind it.
func (c *Compiler) tier() Object {
	order, pass := c.settings.TierOrder, calicov3.Pass
	spec := calicov3.TierSpec{Order: &order, DefaultAction: &pass}
	return Object{Role: RoleTier, Resource: &calicov3.Tier{
		TypeMeta:   typeMeta(calicov3.KindTier),
		ObjectMeta: c.settings.meta(c.settings.Tier, canonical(spec)),
		Spec:       spec,
	}}
}

// guard is the policy that nothing comes before: flows that no network may cut (invariant I11). It is always enforced, and it passes: the cluster's
// own policies still decide.
func (c *Compiler) guard(m *member) Object {
	subject, err := identity.Parse(c.settings.notExcluded(), "")
	if err != nil {
		// The flags are checked before anything is compiled; a selection that does not parse guards everybody.
		subject, _ = identity.Parse("", "")
	}
	order := float64(orderGuard)
	spec := calicov3.GlobalNetworkPolicySpec{
		Tier: c.settings.Tier, Order: &order,
		NamespaceSelector: subject.NamespaceSelector(), Selector: subject.Selector(),
		Types: bothTypes, Ingress: guardIngress(m), Egress: guardEgress(m),
	}
	name := fmt.Sprintf("%s.guard-%s", spec.Tier, hash(c.settings.OwnerID, canonical(spec)))
	return Object{Role: RoleGuard, Resource: policyResource(c.settings.meta(name, canonical(spec)), spec, false)}
}

// guardEgress passes DNS, the API server, metadata and pod identity. Rules by Service follow its endpoints without us, also while the hub is down.
func guardEgress(m *member) []calicov3.Rule {
	rules := []calicov3.Rule{{Action: calicov3.Pass, Destination: calicov3.EntityRule{Services: kubernetesService}}}
	resolvers := []netip.Addr{nodeLocalDNS}
	for _, s := range sortedServices(m.DNS) {
		rules = append(rules, calicov3.Rule{
			Action:      calicov3.Pass,
			Destination: calicov3.EntityRule{Services: &calicov3.ServiceMatch{Name: s.Name, Namespace: s.Namespace}},
		})
		resolvers = append(resolvers, s.ClusterIPs...)
	}
	for _, nets := range byFamily(resolvers) {
		for _, protocol := range dnsProtocols {
			rules = append(rules, calicov3.Rule{
				Action: calicov3.Pass, Protocol: protocol,
				Destination: calicov3.EntityRule{Nets: nets, Ports: dnsPort},
			})
		}
	}
	for _, nets := range byFamily(guardedAddresses) {
		rules = append(rules, calicov3.Rule{Action: calicov3.Pass, Destination: calicov3.EntityRule{Nets: nets}})
	}
	return rules
}

// guardIngress passes the API server's calls to webhooks and aggregated APIs, and everybody's to the pods that resolve names.
func guardIngress(m *member) []calicov3.Rule {
	var rules []calicov3.Rule
	for _, s := range sortedServices(m.APIBackends) {
		for _, protocol := range []string{numorstring.ProtocolTCP, numorstring.ProtocolUDP, numorstring.ProtocolSCTP} {
			if e, ok := backend(s, protocol); ok {
				parsed := numorstring.ProtocolFromString(protocol)
				rules = append(rules, calicov3.Rule{
					Action: calicov3.Pass, Protocol: &parsed,
					Source: calicov3.EntityRule{Services: kubernetesService}, Destination: e,
				})
			}
		}
	}
	for _, s := range sortedServices(m.DNS) {
		for _, protocol := range dnsProtocols {
			if e, ok := backend(s, protocol.StrVal); ok {
				rules = append(rules, calicov3.Rule{Action: calicov3.Pass, Protocol: protocol, Destination: e})
			}
		}
	}
	return rules
}

// backend is the end that means a Service's pods at the ports on which they serve it over one protocol. It is false where there are none: a Service
// without a selector has no pods that the API names.
func backend(s snapshot.Service, protocol string) (calicov3.EntityRule, bool) {
	var ports []numorstring.Port
	for _, p := range s.Ports {
		if !sameProtocol(p.Protocol, protocol) {
			continue
		}
		port, err := servicePort(p.TargetPort)
		if err != nil {
			continue
		}
		ports = append(ports, port)
	}
	if len(ports) == 0 || len(s.Selector) == 0 {
		return calicov3.EntityRule{}, false
	}
	e, err := localEnd(s.Namespace, s.Selector)
	if err != nil {
		return calicov3.EntityRule{}, false
	}
	slices.SortFunc(ports, comparePort)
	e.Ports = slices.Compact(ports)
	return e, true
}

func sameProtocol(have, want string) bool { return cmp.Or(have, numorstring.ProtocolTCP) == want }

func servicePort(target intstr.IntOrString) (numorstring.Port, error) {
	return numorstring.PortFromString(target.String())
}

func comparePort(a, b numorstring.Port) int {
	return cmp.Or(cmp.Compare(a.MinPort, b.MinPort), cmp.Compare(a.MaxPort, b.MaxPort), cmp.Compare(a.PortName, b.PortName))
}

func sortedServices(in []snapshot.Service) []snapshot.Service {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b snapshot.Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return slices.CompactFunc(out, func(a, b snapshot.Service) bool { return a.Namespace == b.Namespace && a.Name == b.Name })
}

// byFamily writes addresses as host prefixes, IPv4 and IPv6 apart: a Calico rule takes one family.
func byFamily(addresses []netip.Addr) [][]string {
	var v4, v6 []netip.Prefix
	for _, a := range addresses {
		switch {
		case !a.IsValid():
		case a.Unmap().Is4():
			v4 = append(v4, netip.PrefixFrom(a.Unmap(), 32))
		default:
			v6 = append(v6, netip.PrefixFrom(a.WithZone(""), 128))
		}
	}
	var out [][]string
	for _, list := range [][]netip.Prefix{sortPrefixes(v4), sortPrefixes(v6)} {
		if len(list) > 0 {
			out = append(out, texts(list, anyFamily))
		}
	}
	return out
}
