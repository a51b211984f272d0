package cluster

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// processID names a process for another process, over the reuse of process numbers.
type processID struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Started is the kernel's start time, in clock ticks since boot.
	Started string `json:"started"`
}

func newProcessID(name string, pid int) processID {
	return processID{Name: name, PID: pid, Started: startTime(pid)}
}

// startTime reads when a process started; empty if there is none.
func startTime(pid int) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field, the program's name in parentheses, may hold anything, so count from its end: field 22 is the twentieth after it.
	rest := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	if len(rest) < 20 {
		return ""
	}
	return rest[19]
}

// kill ends the process, which need not be a child of this one, and returns when it is gone. It never hits a process that was given the
// same number later.
func (id processID) kill() error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d (%s): %w", id.PID, id.Name, err)
	}
	defer unix.Close(fd)
	if startTime(id.PID) != id.Started {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d (%s): %w", id.PID, id.Name, err)
	}
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for process %d (%s): %w", id.PID, id.Name, err)
		case ready == 0:
			return fmt.Errorf("process %d (%s) has not ended 10 seconds after it was killed", id.PID, id.Name)
		default:
			return nil
		}
	}
}
