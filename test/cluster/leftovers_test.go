package cluster_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"multicloud.network/operator/test/cluster"
)

func TestKilledStarterLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	starter, dir := startByAnother(t, "attached", parent)
	pids := processes(t, dir)
	if len(pids) != 2 {
		t.Fatalf("the cluster has processes %v, want etcd and kube-apiserver", pids)
	}
	if err := starter.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait() // it was killed, and says so
	for _, pid := range pids {
		eventually(t, func() error { return gone(pid) })
	}
	cluster.ForTest(t, cluster.Options{Name: "next", Parent: parent})
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the next start has left the dead cluster's folder: %v", err)
	}
}

func TestDetachedClusterLivesUntilStopDir(t *testing.T) {
	parent := t.TempDir()
	starter, dir := startByAnother(t, "detached", parent)
	t.Cleanup(func() { _ = cluster.StopDir(dir) })
	if err := starter.Wait(); err != nil {
		t.Fatal(err)
	}
	// Another start must not take the folder for a dead cluster's.
	cluster.ForTest(t, cluster.Options{Name: "next", Parent: parent})
	pids := processes(t, dir)
	for _, pid := range pids {
		if err := gone(pid); err == nil {
			t.Errorf("process %d has died with its starter", pid)
		}
	}
	if err := cluster.StopDir(dir); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if err := gone(pid); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := cluster.StopDir(dir); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

func TestStopDirRefusesAFolderThatIsNoCluster(t *testing.T) {
	dir := t.TempDir()
	if err := cluster.StopDir(dir); err == nil || !strings.Contains(err.Error(), "no cluster's folder") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestStopRemovesProcessesAndFolder(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deeper-than-a-socket/", 10))
	c, err := cluster.Start(t.Context(), cluster.Options{Name: "stop", Parent: deep})
	if err != nil {
		t.Fatal(err)
	}
	pids := processes(t, c.Dir)
	for range 2 { // the second does nothing
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range pids {
		if err := gone(pid); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := c.StartAPIServer(t.Context()); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("starting a stopped cluster: got %v", err)
	}
}

// startByAnother starts a cluster from another process and returns that process and the cluster's folder.
func startByAnother(t *testing.T, mode, parent string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), starterMode+"="+mode, "MCN_TEST_PARENT="+parent)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error:") {
		t.Fatalf("the other process said %q, error %v", line, err)
	}
	return cmd, strings.TrimSpace(line)
}

// processes reads the process numbers of a cluster.
func processes(t testing.TB, dir string) []int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ PID int }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, each := range list {
		pids = append(pids, each.PID)
	}
	return pids
}

// gone returns nil if no process has this number, or only one that has ended and was not collected yet.
func gone(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// Threads that still end hold the process's files, the lock among them, when its first thread counts as ended already.
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	state := string(text[strings.LastIndexByte(string(text), ')')+1:])
	if err == nil && len(threads) <= 1 && strings.HasPrefix(state, " Z") {
		return nil
	}
	return fmt.Errorf("process %d still runs: %s", pid, text)
}
