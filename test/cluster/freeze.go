package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// FreezeAPIServer halts kube-apiserver in the middle of what it does and returns when it stands still: connections stay open, new ones are
// taken by the kernel, and nothing answers. That is how a hung member looks. ThawAPIServer lets it go on; Stop ends a frozen one too.
func (c *Cluster) FreezeAPIServer() error {
	p, err := c.signal(apiServer, syscall.SIGSTOP)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !frozen(p.id.PID) {
		select {
		case <-ticker.C:
		case <-p.done:
			return fmt.Errorf("freezing kube-apiserver of cluster %s: %w", c.Name, p.exited())
		case <-deadline.C:
			return errors.Join(fmt.Errorf("kube-apiserver of cluster %s does not stand still 30 seconds after SIGSTOP", c.Name), c.ThawAPIServer())
		}
	}
	return nil
}

// ThawAPIServer lets a frozen kube-apiserver go on.
func (c *Cluster) ThawAPIServer() error {
	_, err := c.signal(apiServer, syscall.SIGCONT)
	return err
}

// signal sends a signal to one of the cluster's programs.
func (c *Cluster) signal(name string, signal syscall.Signal) (*process, error) {
	p := c.process(name)
	if p == nil {
		return nil, fmt.Errorf("cluster %s has no %s", c.Name, name)
	}
	if err := p.cmd.Process.Signal(signal); err != nil {
		return nil, fmt.Errorf("cluster %s: sending %s to %s: %w", c.Name, signal, name, err)
	}
	return p, nil
}

// frozen reports whether all threads of a process are stopped; each stops by itself when it next runs.
func frozen(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			return false
		}
		if state := string(text[strings.LastIndexByte(string(text), ')')+1:]); !strings.HasPrefix(state, " T") {
			return false
		}
	}
	return true
}
