package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"multicloud.network/operator/test/cluster"
)

// state is what, beside the clusters' folders, is needed to stop a demo that was left running.
type state struct {
	// Operator is the operator's process; 0 if it does not run.
	Operator int `json:"operator,omitempty"`
	// OperatorProgram is what that process runs, so that a reused number is not mistaken for it.
	OperatorProgram string `json:"operatorProgram,omitempty"`
}

func statePath(dir string) string { return filepath.Join(dir, "state.json") }

// runDir holds the clusters' folders.
func runDir(dir string) string { return filepath.Join(dir, "run") }

// save writes the state; it is called before anything that would have to be stopped is left alone.
func (s state) save(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the demo's state: %w", err)
	}
	return os.WriteFile(statePath(dir), content, 0o600)
}

// loadState reads the state that a kept demo left.
func loadState(dir string) (state, error) {
	var s state
	content, err := os.ReadFile(statePath(dir))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", statePath(dir), err)
	}
	return s, nil
}

// stopKept stops a demo that was started with -keep, and removes its folder. It may be called twice.
func stopKept(dir string) error {
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := loadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("no demo is running")
		return nil
	}
	if err != nil {
		return err
	}
	// Each cluster's folder has a file that names its processes; other folders hold nothing that runs.
	files, err := filepath.Glob(filepath.Join(runDir(dir), "*", "state.json"))
	failures := []error{err, stopProcess(s.Operator, s.OperatorProgram)}
	for _, file := range files {
		failures = append(failures, cluster.StopDir(filepath.Dir(file)))
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("stopping the demo: %w", err)
	}
	fmt.Println("the demo is stopped; nothing of it is left")
	return os.RemoveAll(dir)
}

// lockDir makes the demo's folder and makes sure that one demo uses it. The lock ends with the process.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("making the demo's folder: %w", err)
	}
	file, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the demo's lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, errors.New("another demo is starting or running in this clone: wait for it, or stop it with Ctrl-C there")
	}
	return func() { _ = file.Close() }, nil
}
