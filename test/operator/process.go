package operator

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

// graceful is how long Kubernetes gives the operator to stop: terminationGracePeriodSeconds of the Deployment.
const graceful = 30 * time.Second

// Process is the operator's program, running.
type Process struct {
	// Args are what it was started with.
	Args []string
	// Log is the file with what it says.
	Log string

	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; to be read after done
}

// Build builds the operator's program and returns where it is.
func Build(t testing.TB) string {
	t.Helper()
	root, err := tools.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "manager")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the operator: %v\n%s", err, out)
	}
	return program
}

// FreePort returns a TCP port that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// Start runs the program as its service account on a hub on which access.InstallHub was called. The test's end ends it; if the test failed, what it said
// goes to the test's output.
func Start(t testing.TB, program string, hub *cluster.Cluster, args ...string) *Process {
	t.Helper()
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, access.Kubeconfig(t, access.Operator(t, hub)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &Process{Args: args, Log: filepath.Join(dir, "operator.log"), done: make(chan struct{})}
	log, err := os.Create(p.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = []string{"KUBECONFIG=" + kubeconfig, "HOME=" + dir, "POD_NAMESPACE=" + access.Namespace}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel's parent-death signal comes when the thread that started the child ends, so that thread waits for the child.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting the operator: %v", err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			text, err := os.ReadFile(p.Log)
			t.Logf("what %v said (%v):\n%s", p.Args, err, text)
		}
	})
	return p
}

// Running returns nil as long as the program runs, else how it ended.
func (p *Process) Running() error {
	select {
	case <-p.done:
		return fmt.Errorf("the operator has ended (%w)", errors.Join(p.err, errEnded))
	default:
		return nil
	}
}

var errEnded = errors.New("it should be running")

// Stop ends the program as Kubernetes does, with SIGTERM, and returns how it ended; nil is exit code 0.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the operator: %w", err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(graceful):
		p.Kill()
		return fmt.Errorf("the operator did not stop within %s of SIGTERM and was killed", graceful)
	}
}

// Kill ends the program at once, as a node that loses power does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}
