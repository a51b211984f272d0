package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// segment is a named group of a network's pods, or subnets outside Kubernetes, or both.
type segment struct {
	name  string
	pods  *identity.Selection // nil: no pods, so no subject
	cidrs []netip.Prefix
}

// peer is the segment as an end of a flow.
func (s segment) peer() peer { return peer{pods: s.pods, prefixes: s.cidrs} }

// segments parses a VLAN network's segments.
func (p *parser) segments(at *field.Path, in []mcnv1alpha1.Segment) []segment {
	if len(in) == 0 {
		p.fail(field.Required(at, "a VLAN network has at least one segment"))
	}
	var out []segment
	names, ids := map[string]bool{}, map[int32]string{}
	for i, s := range in {
		at := at.Index(i)
		p.name(at.Child("name"), s.Name, names)
		if s.ID != 0 {
			if s.ID < 1 || s.ID > 4094 {
				p.fail(field.Invalid(at.Child("id"), s.ID, "a VLAN ID is a number from 1 to 4094"))
			}
			if other, taken := ids[s.ID]; taken {
				p.fail(field.Invalid(at.Child("id"), s.ID, fmt.Sprintf("segment %s has this VLAN ID already", other)))
			}
			ids[s.ID] = s.Name
		}
		if s.Pods == nil && len(s.CIDRs) == 0 {
			p.fail(field.Required(at, "a segment needs pods, cidrs or both"))
		}
		parsed := segment{name: s.Name, cidrs: p.cidrs(at, s.CIDRs, nil)}
		if s.Pods != nil {
			pods := p.subject(at.Child("pods"), *s.Pods)
			parsed.pods = &pods
		}
		out = append(out, parsed)
	}
	slices.SortStableFunc(out, func(a, b segment) int { return cmp.Compare(a.name, b.name) })
	return out
}

// cidrs parses the fields cidrs and except of what stands at a path.
func (p *parser) cidrs(at *field.Path, in, except []mcnv1alpha1.CIDR) []netip.Prefix {
	if len(in) == 0 {
		return nil
	}
	before := len(p.errors)
	var b netipx.IPSetBuilder
	for i, text := range in {
		if prefix, ok := p.cidr(at.Child("cidrs").Index(i), text); ok {
			b.AddPrefix(prefix)
		}
	}
	for i, text := range except {
		if prefix, ok := p.cidr(at.Child("except").Index(i), text); ok {
			b.RemovePrefix(prefix)
		}
	}
	prefixes := build(&b).Prefixes()
	if len(prefixes) == 0 && len(p.errors) == before {
		p.fail(field.Invalid(at.Child("except"), "", "except leaves none of these addresses: the peer would match nobody; remove it or narrow except"))
	}
	return prefixes
}

// cidr parses one subnet in canonical form.
func (p *parser) cidr(at *field.Path, text mcnv1alpha1.CIDR) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(string(text))
	switch {
	case err != nil:
		p.fail(field.Invalid(at, text, "write an IPv4 or IPv6 subnet, for example 10.1.0.0/16 or 2001:db8::/32"))
		return netip.Prefix{}, false
	case prefix.Addr().Is4In6():
		p.fail(field.Invalid(at, text, "an IPv4-mapped IPv6 address never stands in a packet: write the IPv4 subnet"))
		return netip.Prefix{}, false
	case prefix != prefix.Masked():
		p.fail(field.Invalid(at, text, fmt.Sprintf("it has bits set behind the prefix length: write %s", prefix.Masked())))
		return netip.Prefix{}, false
	}
	return prefix, true
}
