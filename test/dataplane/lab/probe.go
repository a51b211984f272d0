package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Protocols of flows.
const (
	TCP  = "TCP"
	UDP  = "UDP"
	ICMP = "ICMP"
)

// Flow is the beginning of a connection.
type Flow struct {
	From, To *Place
	Protocol string
	// Port is the destination's; ICMP has none.
	Port uint16
}

func (f Flow) String() string {
	if f.Protocol == ICMP {
		return fmt.Sprintf("%s -> %s ICMP", f.From.Name, f.To.Name)
	}
	return fmt.Sprintf("%s -> %s %s/%d", f.From.Name, f.To.Name, f.Protocol, f.Port)
}

// Result is what became of a flow.
type Result struct {
	// Passed says that the receiver's answer came back.
	Passed bool
	// Source is the address that the receiver saw; ICMP does not tell.
	Source netip.Addr
	// Took is the time to the answer.
	Took time.Duration
	// Again says that the first packet had to be sent again; only Once tells.
	Again bool
}

const (
	// silence is how long a flow may be without an answer before it counts as denied: policies drop, they do not refuse.
	silence = 250 * time.Millisecond
	// factor keeps silence well above what answers take on a machine that is busy, up to longSilence.
	factor      = 4
	longSilence = 2 * time.Second
	// atOnce is how many probes begin at once, and head how long one of them holds its place while it has no answer: what is dropped would hold up the
	// others, and a burst of all would make each answer slow.
	atOnce = 64
	head   = 8 * time.Millisecond
)

// Probe tries all flows at once and returns what became of each. When answers take so long that silence might be mere slowness, the silent flows are
// tried again, once, with more patience.
func Probe(flows []Flow) ([]Result, error) {
	results := make([]Result, len(flows))
	pending := make([]int, len(flows))
	for i := range flows {
		pending[i] = i
	}
	if err := probeEach(flows, pending, silence, results); err != nil {
		return nil, err
	}
	slowest := slices.MaxFunc(append(results, Result{}), func(a, b Result) int { return int(a.Took - b.Took) }).Took
	if slowest*factor <= silence {
		return results, nil
	}
	pending = slices.DeleteFunc(pending, func(i int) bool { return results[i].Passed })
	return results, probeEach(flows, pending, min(slowest*factor, longSilence), results)
}

func probeEach(flows []Flow, which []int, patience time.Duration, results []Result) error {
	var group sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	slots := make(chan struct{}, atOnce)
	for _, i := range which {
		slots <- struct{}{}
		group.Go(func() {
			leave := sync.OnceFunc(func() { <-slots })
			defer leave()
			defer time.AfterFunc(head, leave).Stop()
			r, err := flows[i].Try(patience)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", flows[i], err))
			}
			results[i] = r
		})
	}
	group.Wait()
	if len(failures) > 0 {
		return fmt.Errorf("%d of %d probes could not be made, the first: %w", len(failures), len(which), failures[0])
	}
	return nil
}

// Try begins one connection and waits for the receiver's answer. An error says that the probe itself failed; a flow that is dropped is no error.
func (f Flow) Try(patience time.Duration) (Result, error) { return f.try(patience, again) }

// Once is Try for who wants to know of every single packet that is lost: datagrams are sent once, and of a connection the kernel tells whether it had to
// send its first packet again, as it does after a second.
func (f Flow) Once(patience time.Duration) (Result, error) { return f.try(patience, patience) }

func (f Flow) try(patience, again time.Duration) (Result, error) {
	began := time.Now()
	socket, err := f.open()
	if err != nil {
		return Result{}, err
	}
	defer socket.Close()
	deadline := began.Add(patience)
	if err := socket.SetDeadline(deadline); err != nil {
		return Result{}, err
	}
	var reply []byte
	repeated := false
	switch f.Protocol {
	case TCP:
		reply, repeated, err = f.connect(socket)
	default:
		reply, err = f.exchange(socket, deadline, again)
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		// Nobody listens, and the receiver says so: the packet arrived.
		return Result{Passed: true, Took: time.Since(began)}, nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.ETIMEDOUT):
		return Result{}, nil
	case err != nil:
		return Result{}, err
	}
	source, _ := parseAnswer(reply)
	return Result{Passed: true, Source: source, Took: time.Since(began), Again: repeated}, nil
}

// open makes the flow's socket in the sender's namespace and begins to connect it.
func (f Flow) open() (*os.File, error) {
	kind, protocol := unix.SOCK_STREAM, 0
	switch f.Protocol {
	case UDP:
		kind = unix.SOCK_DGRAM
	case ICMP:
		kind, protocol = unix.SOCK_DGRAM, unix.IPPROTO_ICMP
	}
	var fd int
	err := f.From.space.Do(func() error {
		var err error
		if fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol); err != nil {
			return err
		}
		if err = f.begin(fd); err != nil {
			_ = unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Protocol), nil
}

func (f Flow) begin(fd int) error {
	if f.Protocol == TCP {
		// The port is free again at once: thousands of probes come from one address.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: f.From.Address.As4(), Port: f.From.nextPort()}); err != nil {
		return err
	}
	err := unix.Connect(fd, &unix.SockaddrInet4{Addr: f.To.Address.As4(), Port: int(f.Port)})
	if errors.Is(err, unix.EINPROGRESS) {
		return nil
	}
	return err
}

// connect waits until a TCP connection stands and reads what its server says, if it is one of the lab's. It tells whether a packet was sent again.
func (f Flow) connect(socket *os.File) (reply []byte, repeated bool, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, false, err
	}
	var state error
	err = raw.Write(func(fd uintptr) bool {
		_, peer := unix.Getpeername(int(fd))
		number, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			state = err
		case number != 0:
			state = unix.Errno(number)
		case peer != nil:
			return false
		}
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			repeated = info.Total_retrans > 0
		}
		return true
	})
	if err = errors.Join(err, state); err != nil || !slices.Contains(Ports, f.Port) {
		return nil, repeated, err
	}
	reply = make([]byte, answerSize)
	for got := 0; got < answerSize; {
		n, err := socket.Read(reply[got:])
		if err != nil {
			return nil, repeated, err
		}
		got += n
	}
	return reply, repeated, nil
}

// again is how often a datagram is sent until there is an answer: one may be lost without any policy.
const again = 60 * time.Millisecond

// exchange sends a datagram, or an echo request, again and again until there is an answer.
func (f Flow) exchange(socket *os.File, deadline time.Time, again time.Duration) ([]byte, error) {
	message := []byte("probe")
	if f.Protocol == ICMP {
		message = []byte{8, 0, 0, 0, 0, 0, 0, 1} // echo request; the kernel fills in checksum and identifier
	}
	buffer := make([]byte, 64)
	for {
		if _, err := socket.Write(message); err != nil && !errors.Is(err, unix.EPERM) {
			return nil, err
		}
		wait := time.Now().Add(again)
		if deadline.Before(wait) {
			wait = deadline
		}
		if err := socket.SetReadDeadline(wait); err != nil {
			return nil, err
		}
		n, err := socket.Read(buffer)
		switch {
		case err == nil:
			return buffer[:n], nil
		case !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline):
			return nil, err
		}
	}
}
