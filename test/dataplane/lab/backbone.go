package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// gateway is the router's address on every link.
const gateway = "172.31.0.1"

// backbone is the router between nodes, and between them and the world outside. It has no way to this machine's own network.
type backbone struct {
	*Space
	mu    sync.Mutex
	links int
}

func newBackbone() (*backbone, error) {
	s, err := newSpace("backbone")
	if err != nil {
		return nil, err
	}
	return &backbone{Space: s}, s.sysctl(map[string]string{"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0"})
}

// attach links a namespace to the backbone under some addresses, and routes prefixes to it.
func (b *backbone) attach(s *Space, addresses []netip.Addr, prefixes ...netip.Prefix) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.links++
	link := fmt.Sprintf("link%d", b.links)
	if err := b.IP(fmt.Sprintf("link add %s type veth peer name eth0 netns %s", link, s.handle()), "addr add "+gateway+"/32 dev "+link, "link set "+link+" up"); err != nil {
		return err
	}
	inside := []string{"link set eth0 up"}
	for _, a := range addresses {
		inside = append(inside, fmt.Sprintf("addr add %s/32 dev eth0", a))
	}
	inside = append(inside, "route add "+gateway+" dev eth0", fmt.Sprintf("route add default via %s src %s", gateway, addresses[0]))
	if err := s.IP(inside...); err != nil {
		return err
	}
	var routes []string
	for _, a := range addresses {
		routes = append(routes, fmt.Sprintf("route add %s dev %s", a, link))
	}
	for _, p := range prefixes {
		routes = append(routes, fmt.Sprintf("route add %s via %s dev %s", p, addresses[0], link))
	}
	return b.IP(routes...)
}

// forward listens in a namespace and carries each connection to an address of this machine: the only way out of the lab, for nodes and pods that talk to
// an API server. The context's end closes it.
func forward(ctx context.Context, s *Space, at netip.AddrPort, target string) error {
	var listener net.Listener
	err := s.Do(func() error {
		var err error
		listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", at.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("forwarding %s of network namespace %s: %w", at, s.name, err)
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go carry(ctx, in, target)
			}
		}
	}()
	return nil
}

func carry(ctx context.Context, in net.Conn, target string) {
	defer in.Close()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp4", target)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { _ = in.Close() })()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[1], way[0])
			ended <- struct{}{}
		}()
	}
	<-ended
}
