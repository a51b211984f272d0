package tools

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes an exclusive lock on a file, which other processes respect, and returns the function that gives it back. The kernel gives
// it back too when the process dies. If another process holds it, lock calls waiting once and waits until ctx ends.
func lock(ctx context.Context, path string, waiting func()) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock file: %w", err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return func() { _ = file.Close() }, nil
	}
	waiting()
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(int(file.Fd()), unix.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		return func() { _ = file.Close() }, nil
	case <-ctx.Done():
		go func() { _ = errors.Join(<-locked, file.Close()) }()
		return nil, fmt.Errorf("waiting for another process that holds %s: %w", path, context.Cause(ctx))
	}
}
