package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/projectcalico/api/pkg/lib/numorstring"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// route opens flows from some peers to others.
type route struct {
	name  string
	scope mcnv1alpha1.RouteScope
	from  []peer
	to    []peer
	// ports are the traffic that it opens; empty means any.
	ports []portRange
}

// peer is one end of a flow. What is present adds up; a peer with nothing present is nobody.
type peer struct {
	// segment is the segment's name where the peer is one.
	segment string
	// pods are pods of the network's clusters.
	pods *identity.Selection
	// own says that the pods become subjects of a policy of the route's own: a pods peer.
	own bool
	// prefixes are plain addresses.
	prefixes []netip.Prefix
	// nodes are the node and tunnel addresses of the network's clusters.
	nodes bool
}

// canonical orders peers and tells equal ones.
func (p peer) canonical() string {
	pods := ""
	if p.pods != nil {
		pods = p.pods.Canonical()
	}
	return fmt.Sprintf("%t|%s|%s|%t|%v", p.nodes, p.segment, pods, p.own, p.prefixes)
}

// portRange is a protocol and a range of its ports; first 0 means all of them.
type portRange struct {
	protocol    mcnv1alpha1.RouteProtocol
	first, last uint16
}

// routes parses a network's routes.
func (p *parser) routes(at *field.Path, in []mcnv1alpha1.Route, segments []segment) []route {
	byName := make(map[string]segment, len(segments))
	for _, s := range segments {
		byName[s.name] = s
	}
	var out []route
	names := map[string]bool{}
	for i, r := range in {
		at := at.Index(i)
		p.name(at.Child("name"), r.Name, names)
		parsed := route{
			name:  r.Name,
			scope: cmp.Or(r.Scope, mcnv1alpha1.RouteScopeNetwork),
			from:  p.peers(at.Child("from"), r.From, byName),
			to:    p.peers(at.Child("to"), r.To, byName),
			ports: p.ports(at.Child("ports"), r.Ports),
		}
		if !onlySegments(r.From) && !onlySegments(r.To) {
			p.fail(field.Invalid(at, r.Name, "every peer of from, or every peer of to, must be a segment of this network: a network opens only its own pods"))
		}
		out = append(out, parsed)
	}
	slices.SortStableFunc(out, func(a, b route) int { return cmp.Compare(a.name, b.name) })
	return out
}

func onlySegments(peers []mcnv1alpha1.Peer) bool {
	return !slices.ContainsFunc(peers, func(p mcnv1alpha1.Peer) bool { return p.Segment == "" })
}

// peers parses one side of a route, sorted and without repetitions.
func (p *parser) peers(at *field.Path, in []mcnv1alpha1.Peer, segments map[string]segment) []peer {
	if len(in) == 0 {
		p.fail(field.Required(at, "a route needs at least one peer on each side"))
	}
	var out []peer
	for i, from := range in {
		out = append(out, p.peer(at.Index(i), from, segments))
	}
	slices.SortFunc(out, func(a, b peer) int { return cmp.Compare(a.canonical(), b.canonical()) })
	return slices.CompactFunc(out, func(a, b peer) bool { return a.canonical() == b.canonical() })
}

func (p *parser) peer(at *field.Path, in mcnv1alpha1.Peer, segments map[string]segment) peer {
	kinds := 0
	for _, present := range []bool{in.Segment != "", in.Pods != nil, len(in.CIDRs) > 0, in.Nodes != nil} {
		if present {
			kinds++
		}
	}
	if kinds != 1 {
		p.fail(field.Invalid(at, "", "a peer is exactly one of segment, pods, cidrs and nodes"))
		return peer{}
	}
	if len(in.Except) > 0 && len(in.CIDRs) == 0 {
		p.fail(field.Forbidden(at.Child("except"), "except is taken out of cidrs, and this peer has none"))
		return peer{}
	}
	switch {
	case in.Segment != "":
		s, ok := segments[in.Segment]
		if !ok {
			p.fail(field.NotFound(at.Child("segment"), in.Segment))
		}
		out := s.peer()
		out.segment = in.Segment
		return out
	case in.Pods != nil:
		pods := p.pods(at.Child("pods"), *in.Pods)
		return peer{pods: &pods, own: true}
	case in.Nodes != nil:
		return peer{nodes: true}
	default:
		return peer{prefixes: p.cidrs(at, in.CIDRs, in.Except)}
	}
}

// ports parses the traffic that a route opens, sorted and without repetitions. A protocol without a port covers its ranges.
func (p *parser) ports(at *field.Path, in []mcnv1alpha1.RoutePort) []portRange {
	var out []portRange
	whole := map[mcnv1alpha1.RouteProtocol]bool{}
	for i, port := range in {
		parsed := p.port(at.Index(i), port)
		whole[parsed.protocol] = whole[parsed.protocol] || parsed.first == 0
		out = append(out, parsed)
	}
	out = slices.DeleteFunc(out, func(r portRange) bool { return r.first != 0 && whole[r.protocol] })
	slices.SortFunc(out, func(a, b portRange) int {
		return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last))
	})
	return slices.Compact(out)
}

func (p *parser) port(at *field.Path, in mcnv1alpha1.RoutePort) portRange {
	out := portRange{protocol: in.Protocol}
	switch in.Protocol {
	case mcnv1alpha1.RouteProtocolTCP, mcnv1alpha1.RouteProtocolUDP, mcnv1alpha1.RouteProtocolSCTP:
	case mcnv1alpha1.RouteProtocolICMP:
		if in.Port != nil || in.EndPort != nil {
			p.fail(field.Forbidden(at.Child("port"), "ICMP has no ports: remove it"))
		}
		return out
	default:
		p.fail(field.NotSupported(at.Child("protocol"), in.Protocol, []mcnv1alpha1.RouteProtocol{
			mcnv1alpha1.RouteProtocolTCP, mcnv1alpha1.RouteProtocolUDP, mcnv1alpha1.RouteProtocolSCTP, mcnv1alpha1.RouteProtocolICMP,
		}))
		return out
	}
	if in.Port == nil {
		if in.EndPort != nil {
			p.fail(field.Required(at.Child("port"), "endPort is the end of a range that begins with port"))
		}
		return out
	}
	out.first = p.portNumber(at.Child("port"), *in.Port)
	out.last = out.first
	if in.EndPort != nil {
		out.last = p.portNumber(at.Child("endPort"), *in.EndPort)
		if out.last < out.first {
			p.fail(field.Invalid(at.Child("endPort"), *in.EndPort, fmt.Sprintf("a range ends at or above its begin: write %d or more", out.first)))
		}
	}
	return out
}

func (p *parser) portNumber(at *field.Path, number int32) uint16 {
	if number < 1 || number > 65535 {
		p.fail(field.Invalid(at, number, "a port is a number from 1 to 65535"))
		return 0
	}
	return uint16(number)
}

// match is a protocol with ports, as a Calico rule holds it.
type match struct {
	protocol *numorstring.Protocol
	ports    []numorstring.Port
}

// matches returns the traffic of a route as Calico rules hold it: one match per protocol, ICMPv6 beside ICMP where there is IPv6.
func matches(ports []portRange, ipv6 bool) []match {
	if len(ports) == 0 {
		return []match{{}}
	}
	var out []match
	for _, r := range ports {
		if len(out) == 0 || out[len(out)-1].protocol.StrVal != string(r.protocol) {
			protocol := numorstring.ProtocolFromString(string(r.protocol))
			out = append(out, match{protocol: &protocol})
		}
		if r.first != 0 {
			last := &out[len(out)-1]
			last.ports = append(last.ports, numorstring.Port{MinPort: r.first, MaxPort: r.last})
		}
	}
	if ipv6 && slices.ContainsFunc(ports, func(r portRange) bool { return r.protocol == mcnv1alpha1.RouteProtocolICMP }) {
		protocol := numorstring.ProtocolFromString(numorstring.ProtocolICMPv6)
		out = append(out, match{protocol: &protocol})
	}
	return out
}
