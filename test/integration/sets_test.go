package integration

import (
	"net/netip"
	"slices"
)

// netsHold tells whether one of a set's prefixes holds an address: addresses that fill a block are written as one prefix.
func netsHold(nets []string, ip string) bool {
	address := netip.MustParseAddr(ip)
	return slices.ContainsFunc(nets, func(net string) bool {
		prefix, err := netip.ParsePrefix(net)
		return err == nil && prefix.Contains(address)
	})
}
