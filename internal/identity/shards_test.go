package identity

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"go4.org/netipx"
)

// FuzzShards lets addresses in and out as the input says: shards are always those of the rule, take tells exactly which of them changed, and they never
// hold an address too many or too few.
func FuzzShards(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 2}, uint8(3), uint8(0))
	f.Add(many(900, 3), uint8(4), uint8(2))
	f.Add(many(1500, 5), uint8(7), uint8(7))
	f.Fuzz(func(t *testing.T, operations []byte, checks, spread uint8) {
		operations = operations[:min(len(operations), 4500)]
		every := len(operations)/3/(int(checks)%8+1) + 1
		var s shards
		held, written := map[netip.Addr]bool{}, map[spot]Shard{}
		check := func() {
			changed, gone := s.take()
			for _, at := range gone {
				delete(written, at)
			}
			for _, at := range changed {
				shard := s.find(at).shard(at)
				if slices.Equal(shard.Prefixes, written[at].Prefixes) {
					t.Fatalf("shard %s is told as changed and is not", at)
				}
				written[at] = shard
			}
			want := referenceShards(slices.Collect(maps.Keys(held)))
			if len(written) != len(want) {
				t.Fatalf("%d shards are written, want %d", len(written), len(want))
			}
			for at, shard := range written {
				if parsed, ok := parseSpot(at.String()); !ok || parsed != at {
					t.Fatalf("%s reads as %v", at, parsed)
				}
				if !slices.Equal(shard.Prefixes, want[shard.ID]) {
					t.Fatalf("shard %s is %v, want %v", at, shard.Prefixes, want[shard.ID])
				}
			}
		}
		for i := 0; i+3 <= len(operations); i += 3 {
			n := binary.BigEndian.Uint16(operations[i+1:])
			a := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n) << (spread % 8)})
			if operations[i]&2 != 0 {
				a = netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(n >> 8), 15: byte(n)})
			}
			in := operations[i]&1 == 0
			if s.set(addrOf(a), in) == (held[a] == in) {
				t.Fatalf("set(%s, %t) does not tell whether that changed anything", a, in)
			}
			if held[a] = in; !in {
				delete(held, a)
			}
			if s.has(addrOf(a)) != in {
				t.Fatalf("%s is not as it was set", a)
			}
			if i/3%every == 0 {
				check()
			}
		}
		check()
	})
}

// many makes operations that let more in than out.
func many(n int, seed uint64) []byte {
	r, out := rand.New(rand.NewPCG(seed, 0)), make([]byte, 0, 3*n)
	for range n {
		out = append(out, byte(r.IntN(4)&r.IntN(4)), byte(r.IntN(32)), byte(r.IntN(256)))
	}
	return out
}

// What fills a block is one prefix, and every set of addresses of a block has the fewest prefixes that hold exactly those.
func TestBlocksAreAggregatedWithoutLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, base := range []string{"10.1.2.192", "fd00::1:40"} {
		for i := range 2000 {
			b := block{base: addrOf(netip.MustParseAddr(base)), held: r.Uint64()}
			switch i % 4 {
			case 0:
				b.held |= r.Uint64() | r.Uint64() | r.Uint64()
			case 1:
				b.held = ^uint64(0) << r.IntN(64)
			case 2:
				b.held = ^uint64(0)
			}
			var want netipx.IPSetBuilder
			for n := range 64 {
				if b.held>>n&1 == 1 {
					at := b.base
					at[15] |= byte(n)
					want.Add(at.netip())
				}
			}
			set, err := want.IPSet()
			if err != nil {
				t.Fatal(err)
			}
			got := b.appendPrefixes(nil)
			if !slices.Equal(got, set.Prefixes()) || len(got) != b.count() {
				t.Fatalf("%064b is %v (counted as %d), want %v", b.held, got, b.count(), set.Prefixes())
			}
		}
	}
}

// One address that comes or goes changes one shard, or those that it splits or joins, however large the group is.
func TestOneChangeTouchesOneShard(t *testing.T) {
	var s shards
	r := rand.New(rand.NewPCG(7, 7))
	address := func(i int) addr {
		return addrOf(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	for i := range 60_000 {
		s.set(address(2*i), true)
	}
	s.take()
	changes, writes := 0, 0
	for range 20_000 {
		if !s.set(address(r.IntN(140_000)), r.IntN(2) == 0) {
			continue
		}
		written, gone := s.take()
		changes++
		writes += len(written) + len(gone)
		if len(written)+len(gone) > 3 {
			t.Fatalf("one address changed the shards %v and removed %v", written, gone)
		}
	}
	t.Logf("%d changes wrote or removed %d shards, %.3f for each", changes, writes, float64(writes)/float64(changes))
	if float64(writes) > 1.05*float64(changes) {
		t.Errorf("%d changes wrote or removed %d shards: splitting and joining costs more than 5 %%", changes, writes)
	}
}

func BenchmarkShardDifference(b *testing.B) {
	for _, size := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("addresses=%d", size), func(b *testing.B) {
			var s shards
			address := func(i int) addr {
				return addrOf(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
			}
			for i := range size {
				s.set(address(3*i), true)
			}
			s.take()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				a := address(3*(i*7919%size) + 1)
				for _, in := range []bool{true, false} {
					s.set(a, in)
					if written, _ := s.take(); len(written) == 0 {
						b.Fatal("nothing changed")
					}
				}
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/change")
		})
	}
}

func BenchmarkAggregation(b *testing.B) {
	for _, fill := range []int{100, 95, 90, 50, 10} {
		b.Run(fmt.Sprintf("fill=%d%%", fill), func(b *testing.B) {
			var s shards
			r, addresses := rand.New(rand.NewPCG(1, 1)), 0
			for i := range 16_384 {
				if r.IntN(100) < fill {
					s.set(addrOf(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})), true)
					addresses++
				}
			}
			prefixes := 0
			b.ReportAllocs()
			for b.Loop() {
				prefixes = 0
				for _, shard := range s.all() {
					prefixes += len(shard.Prefixes)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*addresses), "ns/address")
			b.ReportMetric(float64(addresses)/float64(prefixes), "addresses/prefix")
		})
	}
}
