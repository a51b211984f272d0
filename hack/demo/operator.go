package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// graceful is how long the operator may take to stop.
const graceful = 15 * time.Second

// operator is the running operator.
type operator struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // how it ended; to be read after done
}

// startOperator runs the program in the background. With detach it outlives the demo; without, the kernel ends it with the demo.
func startOperator(dir, program string, args []string, detach bool) (*operator, error) {
	o := &operator{log: filepath.Join(dir, "operator.log"), done: make(chan struct{})}
	log, err := os.Create(o.log)
	if err != nil {
		return nil, fmt.Errorf("making the operator's log: %w", err)
	}
	defer log.Close()
	o.cmd = exec.Command(program, args...)
	o.cmd.Stdout, o.cmd.Stderr = log, log
	if detach {
		o.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		o.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	started := make(chan error)
	go func() {
		// The kernel's parent-death signal comes when the thread that started the child ends, so that thread waits for the child.
		runtime.LockOSThread()
		err := o.cmd.Start()
		started <- err
		if err == nil {
			o.err = o.cmd.Wait()
		}
		close(o.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	return o, nil
}

// stop ends the operator as Kubernetes would: SIGTERM, then SIGKILL.
func (o *operator) stop() error {
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the operator: %w", err)
	}
	select {
	case <-o.done:
		return nil
	case <-time.After(graceful):
		_ = o.cmd.Process.Kill()
		<-o.done
		return fmt.Errorf("the operator did not stop within %s of SIGTERM and was killed", graceful)
	}
}

// stopProcess ends a process of an earlier demo, if it still runs the program.
func stopProcess(pid int, program string) error {
	if pid == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// A program that was rebuilt in the meantime is shown with this suffix.
	running, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil || (running != program && running != program+" (deleted)") {
		return nil
	}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil {
			return nil // it has ended
		}
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(graceful.Milliseconds())); err == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d (%s) does not end", pid, program)
}
