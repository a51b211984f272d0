package cluster

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ports are the TCP ports of a cluster on 127.0.0.1. etcd needs none: it listens on a socket file.
type ports struct {
	api, calico port
}

// port is a TCP port that is bound, but not listened on, by this process: nobody else is given it, neither before the server listens nor
// between a stop and a start. The servers share it (SO_REUSEPORT, their flag --permit-port-sharing).
type port struct {
	number int
	fd     int
}

func (p *ports) reserve() error {
	p.api.fd, p.calico.fd = -1, -1
	for _, each := range []*port{&p.api, &p.calico} {
		if err := each.reserve(); err != nil {
			p.release()
			return fmt.Errorf("reserving a port: %w", err)
		}
	}
	return nil
}

func (p *ports) release() {
	for _, each := range []*port{&p.api, &p.calico} {
		if each.fd >= 0 {
			_ = unix.Close(each.fd)
			each.fd = -1
		}
	}
}

func (p *port) reserve() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.fd = fd
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	inet, ok := address.(*unix.SockaddrInet4)
	if !ok {
		return errors.New("the kernel returned no IPv4 address for an IPv4 socket")
	}
	p.number = inet.Port
	return nil
}
