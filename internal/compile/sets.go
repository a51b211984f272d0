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
	"multicloud.network/operator/internal/identity"
)

// shardSize is the most prefixes in one set. Calico sends a set whole to every node when one address changes; all shards of a group carry one label,
// so that Felix still keeps them in one IP set.
const shardSize = identity.ShardSize

// PodGroup is pods of a network's other members to which a rule refers.
type PodGroup struct {
	identity.Group
	// Network is the network's name.
	Network string
}

// sets adds the sets of every group that a rule here uses: one family of shards per source.
func (b *builder) sets() {
	for _, key := range slices.Sorted(maps.Keys(b.groups)) {
		g := b.groups[key]
		if g.pods != nil {
			b.podSets(g)
			continue
		}
		if !g.nodes {
			b.addSets(g, "", func() []shard { return split(g.prefixes) })
			continue
		}
		for _, source := range b.n.members {
			if source == b.m || !g.local {
				b.addSets(g, source.Name, func() []shard { return split(b.c.fleet.nodeAddresses(source)) })
			}
		}
	}
}

// podSets notes a group of pods, and adds its sets where the pods are those of the input: elsewhere they follow the pods by themselves.
func (b *builder) podSets(g group) {
	others := identity.Group{ID: g.hash, Selection: *g.pods, Purpose: g.use}
	all := others
	for _, source := range b.n.members {
		all.Sources = append(all.Sources, source.Name)
		if source != b.m {
			others.Sources = append(others.Sources, source.Name)
		}
	}
	b.podGroups = append(b.podGroups, PodGroup{Group: others, Network: b.n.name()})
	if b.c.live {
		return
	}
	for _, source := range others.Sources {
		b.addSets(g, source, func() (out []shard) {
			b.c.pods.Register(all)
			for _, s := range b.c.pods.Shards(g.hash, source) {
				out = append(out, shard{id: s.ID, prefixes: s.Prefixes})
			}
			return out
		})
	}
}

// addSets adds the sets of one group and source, which are made once for all members.
func (b *builder) addSets(g group, source string, shards func() []shard) {
	key := setKey{g.hash, source}
	objects, made := b.shared[key]
	if !made {
		for _, s := range shards() {
			objects = append(objects, b.c.settings.set(b.n.name(), g.hash, source, s))
		}
		b.shared[key] = objects
	}
	b.objects = append(b.objects, objects...)
}

// PodSet makes the set that holds one shard of a group of pods in one source.
func (s Settings) PodSet(network, group, source string, in identity.Shard) Object {
	return s.set(network, group, source, shard{id: in.ID, prefixes: in.Prefixes})
}

// PodSetName is the name of the set that PodSet makes for a shard with this ID.
func (s Settings) PodSetName(network, group, source, id string) string {
	return fmt.Sprintf("mcn-%s-%s-%s", cut(network), hash(s.OwnerID, network, group, source), id)
}

// set makes the set that holds one shard of a group.
func (s Settings) set(network, group, source string, in shard) Object {
	nets := make([]string, len(in.prefixes))
	for i, p := range in.prefixes {
		nets[i] = p.String()
	}
	spec := calicov3.GlobalNetworkSetSpec{Nets: nets}
	meta := s.meta(s.PodSetName(network, group, source, in.id), canonical(spec))
	meta.Labels[mcnv1alpha1.NetworkLabel] = network
	meta.Labels[mcnv1alpha1.GroupLabel] = group
	if source != "" {
		meta.Labels[mcnv1alpha1.SourceClusterLabel] = source
	}
	return Object{Role: RoleSet, Network: network, Resource: &calicov3.GlobalNetworkSet{
		TypeMeta:   typeMeta(calicov3.KindGlobalNetworkSet),
		ObjectMeta: meta,
		Spec:       spec,
	}}
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
