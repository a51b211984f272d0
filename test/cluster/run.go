package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// path returns the path of a file in the cluster's folder.
func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, name) }

// run starts one of the cluster's programs and notes it for StopDir.
func (c *Cluster) run(name, program string, env []string, args ...string) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, fmt.Errorf("starting %s: cluster %s has been stopped", name, c.Name)
	}
	if old := c.processes[name]; old != nil && old.exited() == nil {
		return nil, fmt.Errorf("%s of cluster %s runs already", name, c.Name)
	}
	p, err := startProcess(processSpec{name: name, path: program, args: args, env: env, dir: c.dir, detach: c.opts.Detach})
	if err != nil {
		return nil, err
	}
	c.processes[name] = p
	var list []processID
	for _, each := range c.processes {
		list = append(list, each.id)
	}
	if err := c.dir.writeState(list); err != nil {
		return nil, fmt.Errorf("noting the process of %s: %w", name, err)
	}
	return p, nil
}

// process returns a program that runs or has run, or nil.
func (c *Cluster) process(name string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[name]
}

// end ends one of the cluster's programs, which may be started again.
func (c *Cluster) end(name string) error {
	p := c.process(name)
	if p == nil {
		return fmt.Errorf("cluster %s has no %s", c.Name, name)
	}
	// A server that is asked nicely first waits for its watches to end, which they do not.
	const grace = 5 * time.Second
	if err := p.terminate(grace); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return nil
}

// killProgram ends one of the cluster's programs at once, which may be started again.
func (c *Cluster) killProgram(name string) error {
	p := c.process(name)
	if p == nil {
		return fmt.Errorf("cluster %s has no %s", c.Name, name)
	}
	if err := p.kill(); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return nil
}

// LogTail returns the last lines of each of the cluster's logs, for a test's output.
func (c *Cluster) LogTail(lines int) (string, error) {
	logs, err := filepath.Glob(c.path("*.log"))
	if err != nil || len(logs) == 0 {
		return "", errors.Join(fmt.Errorf("cluster %s has no logs in %s", c.Name, c.Dir), err)
	}
	var text string
	for _, log := range logs {
		text += fmt.Sprintf("--- cluster %s, the end of %s\n%s\n", c.Name, log, tail(log, lines))
	}
	return text, nil
}
