package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Space is a network namespace. It has no name in the machine: it is held by one thread of this process, so that it, and every interface, route and
// rule in it, is gone when the process is, however that ends.
type Space struct {
	name  string
	tid   int
	work  chan func()
	quit  chan struct{} // closed by Close
	done  chan struct{} // closed when the thread has ended
	close sync.Once
}

// newSpace makes a namespace whose only interface is lo, up.
func newSpace(name string) (*Space, error) {
	s := &Space{name: name, work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go s.hold(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("making network namespace %s: %w", name, err)
	}
	if err := s.IP("link set lo up"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// hold makes the namespace and does what is asked for in it. Its thread is never given back: the runtime ends it, and with it the namespace.
func (s *Space) hold(started chan<- error) {
	defer close(s.done)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		started <- err
		return
	}
	s.tid = unix.Gettid()
	started <- nil
	for {
		select {
		case f := <-s.work:
			f()
		case <-s.quit:
			return
		}
	}
}

// Do calls f in the namespace: sockets that it opens and programs that it starts are there. Calls follow one another, so f must not wait for long.
func (s *Space) Do(f func() error) error {
	result := make(chan error, 1)
	select {
	case s.work <- func() { result <- f() }:
		return <-result
	case <-s.done:
		return fmt.Errorf("network namespace %s: %w", s.name, os.ErrClosed)
	}
}

// Close gives the namespace up. It vanishes when nothing runs or listens in it any more.
func (s *Space) Close() error {
	s.close.Do(func() { close(s.quit) })
	<-s.done
	return nil
}

// handle is what ip calls the namespace.
func (s *Space) handle() string { return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), s.tid) }

// IP runs commands of ip(8) in the namespace, all in one process; the first that fails ends it.
func (s *Space) IP(commands ...string) error {
	_, err := s.Run(strings.Join(commands, "\n")+"\n", "ip", "-batch", "-")
	return err
}

// Run runs a program in the namespace to its end and returns what it prints.
func (s *Space) Run(input, program string, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &complaint
	if err := s.Do(cmd.Start); err != nil {
		return "", fmt.Errorf("in network namespace %s: starting %s: %w", s.name, program, err)
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("in network namespace %s: %s %q: %w: %s%s", s.name, program, args, err, strings.TrimSpace(complaint.String()), shown(input))
	}
	return out.String(), nil
}

func shown(input string) string {
	if input == "" {
		return ""
	}
	return "; it was told:\n" + input
}

// sysctl writes kernel parameters of the namespace, such as net/ipv4/ip_forward.
func (s *Space) sysctl(values map[string]string) error {
	return s.Do(func() error {
		for name, value := range values {
			if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
				return fmt.Errorf("in network namespace %s: %w", s.name, err)
			}
		}
		return nil
	})
}
