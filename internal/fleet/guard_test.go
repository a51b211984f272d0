package fleet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func TestAllowedAddress(t *testing.T) {
	for _, tc := range []struct {
		addr     string
		loopback bool
		want     bool
	}{
		{"10.0.0.1", false, true},
		{"192.168.1.1", false, true},
		{"172.16.0.1", false, true},
		{"203.0.113.7", false, true},
		{"fd00::1", false, true},
		{"2001:db8::1", false, true},
		{"64:ff9b::a00:1", false, true}, // 10.0.0.1

		{"127.0.0.1", false, false},
		{"127.0.0.1", true, true},
		{"127.8.9.10", true, true},
		{"::1", false, false},
		{"::1", true, true},
		{"::ffff:127.0.0.1", false, false},
		{"64:ff9b::7f00:1", false, false},

		{"169.254.169.254", false, false},
		{"169.254.169.254", true, false},
		{"169.254.170.2", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"fe80::1", false, false},
		{"fe80::1%eth0", true, false},
		{"fd00:ec2::254", false, false},
		{"168.63.129.16", false, false},
		{"100.100.100.200", false, false},
		{"0.0.0.0", true, false},
		{"0.1.2.3", false, false},
		{"::", true, false},
		{"::ffff:0.0.0.0", true, false},
		{"224.0.0.1", false, false},
		{"239.1.2.3", false, false},
		{"ff02::1", false, false},
		{"255.255.255.255", false, false},
	} {
		if got := allowedAddress(netip.MustParseAddr(tc.addr), tc.loopback); got != tc.want {
			t.Errorf("%s, loopback %v: got %v", tc.addr, tc.loopback, got)
		}
	}
	if allowedAddress(netip.Addr{}, true) {
		t.Error("no address is allowed")
	}
}

// TestGuardedDial connects to a listener on loopback by a name that says so, and by one that merely leads there.
func TestGuardedDial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "LocalHost": true, "127.1.2.3": true, "api.example.com": false, "10.0.0.1": false,
	} {
		// The address is what the resolver would have made of the host.
		conn, err := guardedDial(host)(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", port))
		if (err == nil) != want {
			t.Errorf("%s: got %v", host, err)
		}
		if err == nil {
			_ = conn.Close()
			continue
		}
		var vetErr *VetError
		if !errors.As(err, &vetErr) || vetErr.Reason != mcnv1alpha1.ReasonKubeconfigRefused || vetErr.Code != VetLinkLocal {
			t.Errorf("%s: got %v", host, err)
		}
		if why := asFault(err); why.reason != mcnv1alpha1.ReasonKubeconfigRefused {
			t.Errorf("%s: got %v", host, why)
		}
	}
}
