package lab

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashing makes this program a lab that waits to be killed.
const crashing = "LAB_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashing) != "" {
		if err := waitToBeKilled(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// waitToBeKilled makes a backbone with a node on it, on which a program runs where Felix would, and says where they are.
func waitToBeKilled() error {
	b, err := newBackbone()
	if err != nil {
		return err
	}
	s, err := newSpace("node")
	if err != nil {
		return err
	}
	if err := b.attach(s, []netip.Addr{netip.MustParseAddr("172.31.9.1")}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lab-crash-")
	if err != nil {
		return err
	}
	program := filepath.Join(dir, "agent")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		return err
	}
	agent, err := startFelix(&Node{Place: Place{Name: "node", space: s}}, program, "none", dir, Iptables)
	if err != nil {
		return err
	}
	fmt.Printf("ready %s %s %d %s\n", inode(b.handle()), inode(s.handle()), agent.cmd.Process.Pid, dir)
	select {}
}

// inode tells network namespaces apart.
func inode(path string) string {
	link, err := os.Readlink(path)
	if err != nil {
		return err.Error()
	}
	return link
}

// A lab whose process is killed leaves no namespace, no interface and no agent.
func TestNothingIsLeftOfALabThatIsKilled(t *testing.T) {
	if err := Require(os.Stderr); errors.Is(err, ErrNotRoot) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashing+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 5 || words[0] != "ready" {
		t.Fatalf("it said %q, %v", line, err)
	}
	defer os.RemoveAll(words[4])
	spaces := words[1:3]
	agent, err := strconv.Atoi(words[3])
	if err != nil || len(inUse(spaces)) != 2 || syscall.Kill(agent, 0) != nil {
		t.Fatalf("before the kill: %v, in use are %v of %v", err, inUse(spaces), spaces)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); len(inUse(spaces)) > 0 || syscall.Kill(agent, 0) == nil; <-ticker.C {
		if time.Since(began) > time.Minute {
			t.Fatalf("a minute after the kill: in use are %v, the agent: %v", inUse(spaces), syscall.Kill(agent, 0))
		}
	}
}

// inUse returns those of some namespaces in which a thread of this machine is, or that are mounted under a name.
func inUse(spaces []string) []string {
	threads, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	var found []string
	for _, thread := range threads {
		if space := inode(thread); slices.Contains(spaces, space) && !slices.Contains(found, space) {
			found = append(found, space)
		}
	}
	mounts, _ := os.ReadFile("/proc/mounts")
	for _, space := range spaces {
		if strings.Contains(string(mounts), space) {
			found = append(found, space)
		}
	}
	return found
}
