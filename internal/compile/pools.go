package compile

import (
	"fmt"
	"net/netip"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// Longest prefixes for which Calico's default block size is right: a pool holds at least one block.
const (
	defaultBlockIPv4 = 26
	defaultBlockIPv6 = 122
)

// pools makes a disabled IP pool for each pod CIDR of the members that a network in force spans together with this one. Calico does not translate the
// source of traffic toward any pool's addresses, disabled ones included (felix/dataplane/linux/masq_mgr.go). Only where the member asks for it: it
// changes the source of all its pods toward those addresses.
func (c *Compiler) pools(m *member) ([]Object, []Warning) {
	if m.SourceNAT != mcnv1alpha1.SourceNATPreserve || m.Calico.CNI != mcnv1alpha1.CNICalico {
		return nil, nil
	}
	var objects []Object
	var warnings []Warning
	for _, cidr := range c.remoteCIDRs(m) {
		foreign, covered := overlappingPool(m, cidr)
		switch {
		case covered:
		case foreign != "":
			warnings = append(warnings, Warning{
				Code: mcnv1alpha1.WarningPoolOverlap, Cluster: m.Name,
				Message: fmt.Sprintf("its IP pool %s overlaps the other members' pod CIDR %s, and Calico refuses overlapping pools: pods may lose their address toward it; "+
					"give the clusters disjoint pod CIDRs", foreign, cidr),
			})
		default:
			objects = append(objects, c.pool(cidr))
		}
	}
	return objects, warnings
}

// remoteCIDRs returns the pod CIDRs that need a pool, without those inside another.
func (c *Compiler) remoteCIDRs(m *member) []netip.Prefix {
	var cidrs []netip.Prefix
	for _, n := range c.networks {
		if len(n.errors) > 0 || !n.selects(m) || n.stagedOn(m) {
			continue
		}
		for _, other := range n.members {
			if other != m {
				cidrs = append(cidrs, other.PodCIDRs...)
			}
		}
	}
	var out []netip.Prefix
	for _, cidr := range sortPrefixes(maskAll(cidrs)) {
		// Sorted, a prefix comes before all that it contains.
		if len(out) == 0 || !out[len(out)-1].Overlaps(cidr) {
			out = append(out, cidr)
		}
	}
	return out
}

// maskAll drops invalid prefixes and clears host bits.
func maskAll(in []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range in {
		if p.IsValid() {
			out = append(out, p.Masked())
		}
	}
	return out
}

// overlappingPool names a pool of the cluster's own that overlaps a CIDR, and tells whether one covers it whole: then it serves as well.
func overlappingPool(m *member, cidr netip.Prefix) (name string, covered bool) {
	for _, pool := range m.Pools {
		if !pool.CIDR.IsValid() || !pool.CIDR.Overlaps(cidr) {
			continue
		}
		if pool.CIDR.Bits() <= cidr.Bits() {
			return pool.Name, true
		}
		if name == "" || pool.Name < name {
			name = pool.Name
		}
	}
	return name, false
}

func (c *Compiler) pool(cidr netip.Prefix) Object {
	manual := calicov3.Manual
	spec := calicov3.IPPoolSpec{
		CIDR:           cidr.String(),
		Disabled:       true,
		IPIPMode:       calicov3.IPIPModeNever,
		VXLANMode:      calicov3.VXLANModeNever,
		NodeSelector:   "all()",
		BlockSize:      blockSize(cidr),
		AllowedUses:    []calicov3.IPPoolAllowedUse{calicov3.IPPoolAllowedUseWorkload},
		AssignmentMode: &manual,
	}
	name := "mcn-remote-" + hash(c.settings.OwnerID, spec.CIDR)
	return Object{Role: RolePool, Resource: &calicov3.IPPool{
		TypeMeta:   typeMeta(calicov3.KindIPPool),
		ObjectMeta: c.settings.meta(name, canonical(spec)),
		Spec:       spec,
	}}
}

// blockSize is Calico's default, or the prefix itself where that is smaller than a block.
func blockSize(cidr netip.Prefix) int {
	if cidr.Addr().Is4() {
		return max(defaultBlockIPv4, cidr.Bits())
	}
	return max(defaultBlockIPv6, cidr.Bits())
}
