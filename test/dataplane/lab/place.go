package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Place is where flows begin and end: a pod, a process on a node, or a host outside the clusters.
type Place struct {
	// Name tells it from all others, for people.
	Name string
	// Address is where it is reached, and what it sends from.
	Address netip.Addr

	space *Space
	ports atomic.Uint32 // how many source ports were used

	mu      sync.Mutex
	servers []interface{ Close() error }
}

// Ports are where every place listens: TCP and UDP on each.
var Ports = []uint16{53, 80, 443, 8080}

// Source ports of flows go round. A port that the kernel picks at random may be that of a flow of which the nodes remember that it was let through.
const (
	firstPort = 20000
	ports     = 40000
)

// nextPort is the source port of the place's next flow.
func (p *Place) nextPort() int { return firstPort + int(p.ports.Add(1)%ports) }

// serve makes the place listen on all Ports. A server answers each connection or datagram with the address from which it sees it come.
func (p *Place) serve(ports []uint16) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.space.Do(func() error {
		for _, port := range ports {
			at := net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Address, port))
			listener, err := net.ListenTCP("tcp4", at)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			socket, err := net.ListenUDP("udp4", (*net.UDPAddr)(at))
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", p.Name, err), listener.Close())
			}
			p.servers = append(p.servers, listener, socket)
			go serveTCP(listener)
			go serveUDP(socket)
		}
		return nil
	})
}

// shut ends the place's servers.
func (p *Place) shut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var failures []error
	for _, s := range p.servers {
		failures = append(failures, s.Close())
	}
	p.servers = nil
	return errors.Join(failures...)
}

// An answer is the IPv4 address and the port that the server saw.
const answerSize = 6

func answer(seen netip.AddrPort) []byte {
	address := seen.Addr().Unmap().As4()
	return binary.BigEndian.AppendUint16(address[:], seen.Port())
}

func parseAnswer(b []byte) (netip.Addr, bool) {
	if len(b) != answerSize {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(b[:4])
}

func serveTCP(listener *net.TCPListener) {
	for {
		conn, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if seen, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			go serveConn(conn, answer(seen.AddrPort()))
		}
	}
}

// serveConn answers a new connection, and then echoes for those that keep theirs.
func serveConn(conn *net.TCPConn, first []byte) {
	defer conn.Close()
	if _, err := conn.Write(first); err != nil {
		return
	}
	buffer := make([]byte, 64)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serveUDP(socket *net.UDPConn) {
	buffer := make([]byte, 64)
	for {
		_, seen, err := socket.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = socket.WriteToUDPAddrPort(answer(seen), seen)
		}
	}
}
