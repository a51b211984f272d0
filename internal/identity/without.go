package identity

import (
	"net/netip"

	"go4.org/netipx"
)

// Without returns the shard without some addresses, and whether it has any of them.
func (s Shard) Without(addresses []netip.Addr) (Shard, bool) {
	var b netipx.IPSetBuilder
	for _, p := range s.Prefixes {
		b.AddPrefix(p)
	}
	before := build(&b)
	found := false
	for _, a := range addresses {
		found = found || before.Contains(a)
		b.Remove(a)
	}
	if !found {
		return s, false
	}
	return Shard{ID: s.ID, Prefixes: build(&b).Prefixes()}, true
}
