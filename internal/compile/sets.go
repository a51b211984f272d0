package compile

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// shardSize is the most addresses in one set. Calico sends a set whole to every node when one address changes; all shards of a group carry one label,
// so that Felix still keeps them in one IP set.
const shardSize = 256

// sets adds the sets of every group that a rule here uses: one family of shards per source.
func (b *builder) sets() {
	for _, key := range slices.Sorted(maps.Keys(b.groups)) {
		g := b.groups[key]
		if g.pods == nil && !g.nodes {
			b.addSets(g, "", func() []netip.Prefix { return g.prefixes })
			continue
		}
		for _, source := range b.n.members {
			switch {
			case g.pods != nil && source != b.m:
				b.addSets(g, source.Name, func() []netip.Prefix { return b.c.fleet.podAddresses(source, *g.pods, g.use) })
			case g.nodes && (source == b.m || !g.local):
				b.addSets(g, source.Name, func() []netip.Prefix { return b.c.fleet.nodeAddresses(source) })
			}
		}
	}
}

// addSets adds the sets of one group and source, which are made once for all members.
func (b *builder) addSets(g group, source string, prefixes func() []netip.Prefix) {
	key := setKey{g.hash, source}
	objects, made := b.shared[key]
	if !made {
		objects = b.shards(g, source, prefixes())
		b.shared[key] = objects
	}
	b.objects = append(b.objects, objects...)
}

// shards makes the sets of one group and source. Nobody needs no set: a selector that matches none matches nothing.
func (b *builder) shards(g group, source string, prefixes []netip.Prefix) []Object {
	var out []Object
	for _, s := range split(prefixes) {
		nets := make([]string, len(s.prefixes))
		for i, p := range s.prefixes {
			nets[i] = p.String()
		}
		spec := calicov3.GlobalNetworkSetSpec{Nets: nets}
		name := fmt.Sprintf("mcn-%s-%s-%s", cut(b.n.name()), hash(b.c.settings.OwnerID, b.n.name(), g.hash, source), s.id)
		meta := b.c.settings.meta(name, canonical(spec))
		meta.Labels[mcnv1alpha1.NetworkLabel] = b.n.name()
		meta.Labels[mcnv1alpha1.GroupLabel] = g.hash
		if source != "" {
			meta.Labels[mcnv1alpha1.SourceClusterLabel] = source
		}
		out = append(out, Object{Role: RoleSet, Network: b.n.name(), Resource: &calicov3.GlobalNetworkSet{
			TypeMeta:   typeMeta(calicov3.KindGlobalNetworkSet),
			ObjectMeta: meta,
			Spec:       spec,
		}})
	}
	return out
}

// shard is some of a group's addresses.
type shard struct {
	// id is the shard's place: "0", or how often and where it was split off.
	id       string
	prefixes []netip.Prefix
}

// split divides prefixes into shards. A shard that grows too large is split in two by the next bit of its members' hash, and nothing else moves: which
// shard a prefix is in depends on the prefixes alone, and one change touches one shard, or two when it splits.
func split(prefixes []netip.Prefix) []shard {
	hashed := make([]hashedPrefix, len(prefixes))
	for i, p := range prefixes {
		hashed[i] = hashedPrefix{prefix: p, hash: hashPrefix(p)}
	}
	var out []shard
	splitAt(hashed, 0, 0, &out)
	return out
}

type hashedPrefix struct {
	prefix netip.Prefix
	hash   uint64
}

func hashPrefix(p netip.Prefix) uint64 {
	sum := sha256.Sum256([]byte(p.String()))
	return binary.BigEndian.Uint64(sum[:8])
}

// splitAt divides what shares its first depth bits, given by path.
func splitAt(in []hashedPrefix, depth int, path uint64, out *[]shard) {
	if len(in) == 0 {
		return
	}
	if len(in) <= shardSize || depth == 64 {
		s := shard{id: "0"}
		if depth > 0 {
			s.id = fmt.Sprintf("%d-%0*b", depth, depth, path)
		}
		for _, h := range in {
			s.prefixes = append(s.prefixes, h.prefix)
		}
		s.prefixes = sortPrefixes(s.prefixes)
		*out = append(*out, s)
		return
	}
	var halves [2][]hashedPrefix
	for _, h := range in {
		bit := h.hash >> (63 - depth) & 1
		halves[bit] = append(halves[bit], h)
	}
	splitAt(halves[0], depth+1, path<<1, out)
	splitAt(halves[1], depth+1, path<<1|1, out)
}
