package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster/tools"
)

// binary builds the operator once.
var binary = sync.OnceValues(func() (string, error) {
	root, err := tools.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "faults")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "manager")
	build := exec.Command("go", "build", "-o", out, ".")
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the operator: %w\n%s", err, text)
	}
	return out, nil
})

// program is the operator's process, which is started again when it ends by itself, as a kubelet would.
type program struct {
	path, kubeconfig, log string
	args                  []string

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{} // closed when nothing runs any more
	wanted  bool
	crashes int
}

// startProgram starts the operator as config/manager does, but for ports, with the rights of its service account.
func startProgram(t *testing.T, w *world, args ...string) *program {
	t.Helper()
	path, err := binary()
	must(t, err)
	p := &program{path: path, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), log: filepath.Join(filepath.Dir(path), "operator.log")}
	must(t, os.RemoveAll(p.log))
	p.args = append([]string{
		"--leader-elect", "--namespace=" + access.Namespace, "--metrics-bind-address=0", "--health-probe-bind-address=0", "--zap-log-level=debug",
	}, args...)
	p.credential(t, w)
	p.start(t)
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("the operator's log is %s", p.log)
		}
	})
	return p
}

// credential gives the operator the token of its service account on the hub as it is now.
func (p *program) credential(t *testing.T, w *world) {
	t.Helper()
	must(t, os.WriteFile(p.kubeconfig, access.Kubeconfig(t, access.Operator(t, w.hub)), 0o600))
}

// start starts the operator and keeps it running.
func (p *program) start(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted, p.ended = true, make(chan struct{})
	cmd, err := p.launch()
	must(t, err)
	p.cmd = cmd
	go p.keep(cmd, p.ended)
}

// launch starts the process; the lock is held.
func (p *program) launch() (*exec.Cmd, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.path, append([]string{"--kubeconfig=" + p.kubeconfig}, p.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, cmd.Start()
}

// keep waits for the process, and starts it again as long as it is wanted.
func (p *program) keep(cmd *exec.Cmd, ended chan struct{}) {
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		_ = cmd.Wait()
		p.mu.Lock()
		if !p.wanted {
			p.mu.Unlock()
			close(ended)
			return
		}
		p.crashes++
		p.mu.Unlock()
		<-time.After(pause)
		p.mu.Lock()
		if p.wanted {
			if next, err := p.launch(); err == nil {
				cmd, p.cmd = next, next
			}
		}
		p.mu.Unlock()
	}
}

// signal ends the operator and waits for it.
func (p *program) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	p.mu.Lock()
	p.wanted = false
	err := p.cmd.Process.Signal(signal)
	ended := p.ended
	p.mu.Unlock()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the operator does not end")
		_ = p.cmd.Process.Kill()
	}
}

// stop ends the operator as Kubernetes does.
func (p *program) stop(t *testing.T) { p.signal(t, syscall.SIGTERM) }

// exits is how often the operator ended by itself.
func (p *program) exits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashes
}
