package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"multicloud.network/operator/test/cluster/tools"
)

// Files of a cluster's folder.
const (
	// lockFile is locked as long as the starter or any of the cluster's processes lives: they inherit the open file.
	lockFile = "lock"
	// stateFile names the processes, for StopDir.
	stateFile = "state.json"
	// keepFile marks a folder whose logs wait for a reader.
	keepFile = "keep"
)

// keepFor is how long logs of failed clusters stay.
const keepFor = 24 * time.Hour

// runDir is the folder of one cluster.
type runDir struct {
	path string
	lock *os.File
	keep atomic.Bool
}

// runParent returns the folder that holds the clusters' folders.
func runParent(parent string) (string, error) {
	if parent == "" {
		cache, err := tools.CacheDir()
		if err != nil {
			return "", err
		}
		parent = filepath.Join(cache, "run")
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for clusters: %w", err)
	}
	return filepath.Abs(parent)
}

// newRunDir makes a locked folder for a cluster and removes those of clusters of which nothing lives any more.
func newRunDir(parent, name string) (*runDir, error) {
	parent, err := runParent(parent)
	if err != nil {
		return nil, err
	}
	// The parent's lock keeps another starter from taking a folder for dead between its making and its locking.
	guard, err := openLocked(filepath.Join(parent, lockFile), unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer guard.Close()
	sweep(parent)
	path, err := os.MkdirTemp(parent, name+"-")
	if err != nil {
		return nil, fmt.Errorf("making the cluster's folder: %w", err)
	}
	file, err := openLocked(filepath.Join(path, lockFile), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return &runDir{path: path, lock: file}, nil
}

// openLocked opens a file and locks it; the lock lasts until this open file is closed in every process that has it.
func openLocked(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening a lock: %w", err)
	}
	for {
		err = unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return file, nil
}

// sweep removes the folders of clusters whose processes are all gone. What it cannot remove it leaves to the next sweep.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		path := filepath.Join(parent, entry.Name())
		if !entry.IsDir() || keptLogs(path) {
			continue
		}
		if _, err := os.Stat(filepath.Join(path, lockFile)); err != nil {
			continue // not a cluster's folder
		}
		if lock, err := openLocked(filepath.Join(path, lockFile), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			_ = os.RemoveAll(path)
			_ = lock.Close()
		}
	}
}

// keptLogs reports whether a folder holds logs that are still to be kept.
func keptLogs(path string) bool {
	info, err := os.Stat(filepath.Join(path, keepFile))
	return err == nil && time.Since(info.ModTime()) < keepFor
}

// remove deletes the folder, or all but its logs if they are to be kept, and gives back the lock.
func (d *runDir) remove() error {
	defer d.lock.Close()
	if !d.keep.Load() {
		return os.RemoveAll(d.path)
	}
	entries, err := os.ReadDir(d.path)
	failures := []error{err}
	for _, entry := range entries {
		if name := entry.Name(); name != lockFile && !strings.HasSuffix(name, ".log") {
			failures = append(failures, os.RemoveAll(filepath.Join(d.path, name)))
		}
	}
	return errors.Join(append(failures, os.WriteFile(filepath.Join(d.path, keepFile), nil, 0o644))...)
}

// writeState replaces the list of the cluster's processes.
func (d *runDir) writeState(list []processID) error {
	content, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	temp := filepath.Join(d.path, stateFile+".new")
	if err := os.WriteFile(temp, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(d.path, stateFile))
}

// StopDir ends the processes of a cluster that another process started (Options.Detach) and removes its folder. A folder that does
// not exist counts as stopped; one that holds no cluster is refused and left alone.
func StopDir(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%s has no %s, so it is no cluster's folder: give the folder that the start reported", dir, stateFile)
	}
	if err != nil {
		return fmt.Errorf("reading the state of a cluster: %w", err)
	}
	var list []processID
	if err := json.Unmarshal(content, &list); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Join(dir, stateFile), err)
	}
	var failures []error
	for _, id := range list {
		failures = append(failures, id.kill())
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("stopping the cluster in %s: %w", dir, err)
	}
	return os.RemoveAll(dir)
}

// dial connects to a socket in the folder. The folder's path may be longer than a socket's address can hold (107 characters), so the
// connection goes through the open folder.
func (d *runDir) dial(ctx context.Context, name string) (net.Conn, error) {
	folder, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name))
}
