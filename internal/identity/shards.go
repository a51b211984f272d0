package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ShardSize is the most prefixes in one shard. Calico sends a set whole to every node when one address in it changes.
const ShardSize = 256

// Shard is some of a group's addresses: one GlobalNetworkSet.
type Shard struct {
	// ID is the shard's place among those of its group and source: "0", or how often and where it was split off.
	ID string
	// Prefixes are exactly the addresses, sorted: those that fill a block are one prefix.
	Prefixes []netip.Prefix
}

// addr is an address in 16 bytes, an IPv4 one in its IPv6 form.
type addr [16]byte

func addrOf(a netip.Addr) addr { return a.As16() }

func (a addr) netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// mapped is how IPv4 addresses begin.
var mapped = [12]byte{10: 0xff, 11: 0xff}

func (a addr) is4() bool { return [12]byte(a[:12]) == mapped }

// compare orders as netip does: IPv4 first.
func (a addr) compare(b addr) int {
	if a4, b4 := a.is4(), b.is4(); a4 != b4 {
		if a4 {
			return -1
		}
		return 1
	}
	return bytes.Compare(a[:], b[:])
}

// block is 64 neighbours, a /26 of IPv4 or a /122 of IPv6 as Calico hands them out, and which of them are held. Blocks are whole inside a shard, so that
// those that are full can be written as one prefix, and one change still touches one shard.
type block struct {
	base addr
	held uint64
}

// digest tells the content of one shard from another: the sum of its blocks' hashes, so that it follows a change of one block. It lasts for as long as the process.
type digest [2]uint64

var digestSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func (d *digest) toggle(b block) {
	for i, seed := range digestSeeds {
		d[i] ^= maphash.Comparable(seed, b)
	}
}

const blockBits = 6

// block returns the block that an address is in, and its bit there.
func (a addr) block() (base addr, bit uint64) {
	base = a
	base[15] &^= 1<<blockBits - 1
	return base, 1 << (a[15] & (1<<blockBits - 1))
}

// place says, bit by bit, in which half of a shard that is split a block goes. It is a strong hash of the block alone: who can choose addresses must not be able
// to choose shards.
func (b block) place() uint64 {
	sum := sha256.Sum256(b.base[:])
	return binary.BigEndian.Uint64(sum[:8])
}

// count is the least number of prefixes that hold exactly the block's addresses: a prefix for each address, less one for each aligned pair, four, eight, and
// so on that is full.
func (b block) count() int {
	n, full := bits.OnesCount64(b.held), b.held
	for level, aligned := range aligned {
		full &= full >> (1 << level) & aligned
		n -= bits.OnesCount64(full)
	}
	return n
}

// aligned has, for each level, the bits at which twice as large a piece of a block can begin.
var aligned = [blockBits]uint64{0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1}

// appendPrefixes appends the fewest prefixes that hold exactly the block's addresses.
func (b block) appendPrefixes(to []netip.Prefix) []netip.Prefix {
	all := 128
	if b.base.is4() {
		all = 32
	}
	for i := 0; i < 1<<blockBits; {
		if b.held>>i&1 == 0 {
			i++
			continue
		}
		level := 0
		for level < blockBits && i&(1<<(level+1)-1) == 0 && b.full(i, 2<<level) {
			level++
		}
		at := b.base
		at[15] |= byte(i)
		to = append(to, netip.PrefixFrom(at.netip(), all-level))
		i += 1 << level
	}
	return to
}

// full tells whether all of so many addresses from i on are held.
func (b block) full(i, width int) bool {
	mask := ^uint64(0) >> (64 - width) << i
	return b.held&mask == mask
}

// spot is where a shard is: how often it was split off, and on which side each time.
type spot struct {
	path  uint64
	depth uint8
}

// String is the shard's ID.
func (s spot) String() string {
	if s.depth == 0 {
		return "0"
	}
	return fmt.Sprintf("%d-%0*b", s.depth, int(s.depth), s.path)
}

func (s spot) kid(side uint64) spot { return spot{path: s.path<<1 | side, depth: s.depth + 1} }

func (s spot) compare(o spot) int {
	if c := int(s.depth) - int(o.depth); c != 0 {
		return c
	}
	switch {
	case s.path < o.path:
		return -1
	case s.path > o.path:
		return 1
	}
	return 0
}

// node is a shard, or the two halves into which one was split.
type node struct {
	// count is the number of prefixes here or below.
	count int
	// kids are the halves; nil for a shard.
	kids *[2]*node
	// blocks are a shard's, sorted, and digest is theirs.
	blocks []block
	digest digest
}

// shards are a set of addresses in shards. Which shard an address is in depends on the addresses alone: a node is a shard exactly if it has at most ShardSize
// prefixes. The zero value is empty.
type shards struct {
	root node
	// dirty are the spots that changed since the last take; told what that one told, sorted by spot.
	dirty map[spot]struct{}
	told  []told
}

type told struct {
	spot   spot
	digest digest
}

// set lets an address in or out, and tells whether that changed anything. It costs the same whatever the number of addresses: a walk of the depth of the tree
// and a change of one shard.
func (s *shards) set(a addr, held bool) bool {
	base, bit := a.block()
	place := block{base: base}.place()
	var trail [65]*node
	n, at := &s.root, spot{}
	for trail[0] = n; n.kids != nil; trail[at.depth] = n {
		side := place >> (63 - at.depth) & 1
		n, at = n.kids[side], at.kid(side)
	}
	delta, changed := n.set(base, bit, held)
	if !changed {
		return false
	}
	s.mark(at)
	for _, above := range trail[:at.depth+1] {
		above.count += delta
	}
	if n.count > ShardSize {
		s.split(n, at)
		return true
	}
	for depth := range at.depth {
		if trail[depth].count <= ShardSize {
			s.merge(trail[depth], spot{path: at.path >> (at.depth - depth), depth: depth})
			break
		}
	}
	return true
}

// set changes one address of a shard and returns by how many prefixes more it needs.
func (n *node) set(base addr, bit uint64, held bool) (delta int, changed bool) {
	i, found := slices.BinarySearchFunc(n.blocks, base, func(b block, base addr) int { return b.base.compare(base) })
	switch {
	case !found && !held:
		return 0, false
	case !found:
		n.blocks = slices.Insert(n.blocks, i, block{base: base, held: bit})
		n.digest.toggle(n.blocks[i])
		return 1, true
	case (n.blocks[i].held&bit != 0) == held:
		return 0, false
	}
	before := n.blocks[i]
	n.digest.toggle(before)
	if n.blocks[i].held ^= bit; n.blocks[i].held == 0 {
		n.blocks = slices.Delete(n.blocks, i, i+1)
		return -1, true
	}
	n.digest.toggle(n.blocks[i])
	return n.blocks[i].count() - before.count(), true
}

func (s *shards) mark(at spot) {
	if s.dirty == nil {
		s.dirty = map[spot]struct{}{}
	}
	s.dirty[at] = struct{}{}
}

// split divides a shard that became too large, by the next bit of its blocks' places; nothing else moves.
func (s *shards) split(n *node, at spot) {
	s.mark(at)
	if n.count <= ShardSize || at.depth == 64 {
		return
	}
	kids := [2]*node{{}, {}}
	for _, b := range n.blocks {
		kid := kids[b.place()>>(63-at.depth)&1]
		kid.blocks = append(kid.blocks, b)
		kid.count += b.count()
		kid.digest.toggle(b)
	}
	n.kids, n.blocks, n.digest = &kids, nil, digest{}
	for side, kid := range kids {
		s.split(kid, at.kid(uint64(side)))
	}
}

// merge makes one shard of all below a node.
func (s *shards) merge(n *node, at spot) {
	var blocks []block
	s.each(n, at, func(leaf *node, at spot) {
		blocks = append(blocks, leaf.blocks...)
		for i := range leaf.digest {
			n.digest[i] ^= leaf.digest[i]
		}
		s.mark(at)
	})
	slices.SortFunc(blocks, func(a, b block) int { return a.base.compare(b.base) })
	n.blocks, n.kids = blocks, nil
	s.mark(at)
}

// each calls f for every shard at or below a node, empty ones included.
func (s *shards) each(n *node, at spot, f func(*node, spot)) {
	if n.kids == nil {
		f(n, at)
		return
	}
	for side, kid := range n.kids {
		s.each(kid, at.kid(uint64(side)), f)
	}
}

// find returns the shard at a spot; nil if there is none, or it is empty.
func (s *shards) find(at spot) *node {
	n := &s.root
	for depth := range at.depth {
		if n.kids == nil {
			return nil
		}
		n = n.kids[at.path>>(at.depth-1-depth)&1]
	}
	if n.kids != nil || n.count == 0 {
		return nil
	}
	return n
}

// has tells whether an address is in.
func (s *shards) has(a addr) bool {
	base, bit := a.block()
	n := &s.root
	if n.kids != nil {
		place := block{base: base}.place()
		for depth := 0; n.kids != nil; depth++ {
			n = n.kids[place>>(63-depth)&1]
		}
	}
	i, found := slices.BinarySearchFunc(n.blocks, base, func(b block, base addr) int { return b.base.compare(base) })
	return found && n.blocks[i].held&bit != 0
}

// take returns which shards are new or have another content than when take was called last, and which are no more; both sorted.
func (s *shards) take() (written, gone []spot) {
	for at := range s.dirty {
		i, before := slices.BinarySearchFunc(s.told, at, func(t told, at spot) int { return t.spot.compare(at) })
		n := s.find(at)
		if n == nil {
			if before {
				s.told = slices.Delete(s.told, i, i+1)
				gone = append(gone, at)
			}
			continue
		}
		switch digest := n.digest; {
		case !before:
			s.told = slices.Insert(s.told, i, told{spot: at, digest: digest})
		case s.told[i].digest == digest:
			continue
		default:
			s.told[i].digest = digest
		}
		written = append(written, at)
	}
	s.dirty = nil
	slices.SortFunc(written, spot.compare)
	slices.SortFunc(gone, spot.compare)
	return written, gone
}

// shard is the form in which a shard is given out.
func (n *node) shard(at spot) Shard {
	out := Shard{ID: at.String(), Prefixes: make([]netip.Prefix, 0, n.count)}
	for _, b := range n.blocks {
		out.Prefixes = b.appendPrefixes(out.Prefixes)
	}
	return out
}

// all returns all shards that hold something, sorted by spot.
func (s *shards) all() []Shard {
	type placed struct {
		node *node
		at   spot
	}
	var found []placed
	s.each(&s.root, spot{}, func(n *node, at spot) {
		if n.count > 0 {
			found = append(found, placed{n, at})
		}
	})
	slices.SortFunc(found, func(a, b placed) int { return a.at.compare(b.at) })
	out := make([]Shard, 0, len(found))
	for _, p := range found {
		out = append(out, p.node.shard(p.at))
	}
	return out
}

// eachAddress calls f for every address.
func (s *shards) eachAddress(f func(addr)) {
	s.each(&s.root, spot{}, func(n *node, _ spot) {
		for _, b := range n.blocks {
			for held := b.held; held != 0; held &= held - 1 {
				a := b.base
				a[15] |= byte(bits.TrailingZeros64(held))
				f(a)
			}
		}
	})
}

// parseSpot reads a shard's ID.
func parseSpot(id string) (spot, bool) {
	if id == "0" {
		return spot{}, true
	}
	depth, path, split := strings.Cut(id, "-")
	n, err := strconv.Atoi(depth)
	if !split || err != nil || n < 1 || n > 64 || len(path) != n {
		return spot{}, false
	}
	value, err := strconv.ParseUint(path, 2, 64)
	return spot{path: value, depth: uint8(n)}, err == nil
}
