package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// processSpec says what to run.
type processSpec struct {
	name   string // of the program, and of its log
	path   string
	args   []string
	env    []string // added to the little that every process gets
	dir    *runDir
	detach bool
}

// process is one running program of a cluster.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	id   processID
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; to be read after done
}

// startProcess starts a program whose output is appended to <name>.log in the cluster's folder.
func startProcess(spec processSpec) (*process, error) {
	p := &process{name: spec.name, log: filepath.Join(spec.dir.path, spec.name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", spec.name, err)
	}
	defer log.Close()
	p.cmd = exec.Command(spec.path, spec.args...)
	p.cmd.Dir = spec.dir.path
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// The caller's environment stays out: a proxy, a KUBECONFIG or a FELIX_ variable of the developer is no part of the cluster.
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + spec.dir.path, "TMPDIR=" + spec.dir.path}, spec.env...)
	p.cmd.ExtraFiles = []*os.File{spec.dir.lock}
	if spec.detach {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	} else {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	if err := startOnLastingThread(p.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.path, err)
	}
	p.id = newProcessID(spec.name, p.cmd.Process.Pid)
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// startRequests goes to the one goroutine that starts processes.
var startRequests = sync.OnceValue(func() chan<- func() {
	requests := make(chan func())
	go func() {
		// The kernel sends the parent-death signal when the *thread* that forked ends. This one never does, unless the process does.
		runtime.LockOSThread()
		for request := range requests {
			request()
		}
	}()
	return requests
})

// startOnLastingThread starts a command from a thread that lives as long as this process.
func startOnLastingThread(cmd *exec.Cmd) error {
	result := make(chan error)
	startRequests() <- func() { result <- cmd.Start() }
	return <-result
}

// exited returns nil while the program runs, else an error with how it ended and the end of its log.
func (p *process) exited() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%w); the end of %s:\n%s", p.name, errors.Join(p.err, errEnded), p.log, tail(p.log, 12))
	default:
		return nil
	}
}

var errEnded = errors.New("it should be running")

// kill ends the program at once and waits for it.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// terminate asks the program to end and kills it when it has not after the grace time.
func (p *process) terminate(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending %s: %w", p.name, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.kill()
	}
}

// tail returns the last lines of a file, or says why it cannot.
func tail(path string, lines int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const window = 64 << 10
	if info, err := file.Stat(); err == nil && info.Size() > window {
		if _, err := file.Seek(-window, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimRight(content, "\n")), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
