package fleet

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Limits of a new connection to a member.
const (
	dialTimeout      = 10 * time.Second
	keepAlive        = 30 * time.Second
	handshakeTimeout = 10 * time.Second
)

// metadataAddresses serve credentials of the machine that asks, and are no link-local ones: Amazon over IPv6, Azure and Alibaba.
var metadataAddresses = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"): true, netip.MustParseAddr("168.63.129.16"): true, netip.MustParseAddr("100.100.100.200"): true,
}

// nat64 is the well-known prefix of addresses that lead to the IPv4 address in their last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// errAddress is why an address is not connected to, whoever named it.
var errAddress = refused(VetLinkLocal, "clusters[].cluster.server",
	"it leads to a link-local, multicast, broadcast, unspecified, metadata or loopback address; write the API server's own address (the operator's own host is "+
		"taken only where the server says localhost or a loopback address itself)")

// allowedAddress says whether a member's API server may be at an address: link-local addresses and the others of metadata services serve the hub's own
// credentials, multicast, broadcast and unspecified ones are nobody's, and loopback is the operator itself, unless the kubeconfig plainly says so.
func allowedAddress(addr netip.Addr, loopback bool) bool {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case addr.IsLoopback():
		return loopback
	case !addr.IsValid(), addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast(), metadataAddresses[addr]:
		return false
	default:
		// 0.0.0.0/8 is this host, 255.255.255.255 all of its neighbours.
		return !addr.Is4() || (addr.As4()[0] != 0 && addr != netip.AddrFrom4([4]byte{255, 255, 255, 255}))
	}
}

// saysLoopback reports whether a server's host is written as a loopback address, and does not merely resolve to one.
func saysLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && addr.Unmap().IsLoopback())
}

// guardedDial connects to the API server with this host name. The address is looked at after the name was resolved and just before it is connected to: what a
// name resolved to when the kubeconfig was vetted would prove nothing.
func guardedDial(host string) func(ctx context.Context, network, address string) (net.Conn, error) {
	loopback := saysLoopback(host)
	dialer := &net.Dialer{
		Timeout: dialTimeout, KeepAlive: keepAlive,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !allowedAddress(to.Addr(), loopback) {
				return errAddress
			}
			return nil
		},
	}
	return dialer.DialContext
}
