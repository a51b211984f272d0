package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Dataplane is what Felix programs.
type Dataplane string

// The dataplanes that the lab knows.
const (
	Iptables Dataplane = "iptables"
	Nftables Dataplane = "nftables"
)

// ParseDataplane reads a dataplane's name; empty is iptables.
func ParseDataplane(name string) (Dataplane, error) {
	switch d := Dataplane(name); d {
	case "", Iptables:
		return Iptables, nil
	case Nftables:
		return d, nil
	default:
		return "", fmt.Errorf("no dataplane %q: write iptables or nftables", name)
	}
}

// felix is Calico's agent on one node.
type felix struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // how it ended; to be read after done
}

// startFelix starts the agent in a node's namespace. Its thread lasts as long as the namespace, so that the signal of a parent's death comes when this
// process dies, and not before.
func startFelix(n *Node, program, kubeconfig, dir string, dataplane Dataplane) (*felix, error) {
	f := &felix{log: filepath.Join(dir, n.Name+".felix.log"), done: make(chan struct{})}
	log, err := os.OpenFile(f.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	mode := "Disabled"
	if dataplane == Nftables {
		mode = "Enabled"
	}
	f.cmd = exec.Command(program)
	f.cmd.Dir, f.cmd.Stdout, f.cmd.Stderr = dir, log, log
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	f.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "KUBECONFIG=" + kubeconfig, "KUBE_FEATURE_WatchListClient=false",
		"FELIX_DATASTORETYPE=kubernetes", "FELIX_FELIXHOSTNAME=" + n.Name,
		"FELIX_NFTABLESMODE=" + mode, "FELIX_IPTABLESBACKEND=NFT",
		// What a node has beside policy and is not here: BPF, XDP, IPv6, metadata, reports to the maker.
		"FELIX_BPFENABLED=false", "FELIX_XDPENABLED=false", "FELIX_DebugSkipCTLBCleanup=true", "FELIX_IPV6SUPPORT=false",
		"FELIX_METADATAADDR=none", "FELIX_USAGEREPORTINGENABLED=false", "FELIX_ENDPOINTSTATUSPATHPREFIX=none",
		// Pods may talk to their node, as Calico's operator sets it.
		"FELIX_DEFAULTENDPOINTTOHOSTACTION=ACCEPT",
		"FELIX_LOGFILEPATH=none", "FELIX_LOGSEVERITYSYS=none", "FELIX_LOGSEVERITYSCREEN=Info",
	}
	if err := n.space.Do(f.cmd.Start); err != nil {
		return nil, fmt.Errorf("starting Felix of node %s: %w", n.Name, err)
	}
	go func() {
		f.err = f.cmd.Wait()
		close(f.done)
	}()
	return f, nil
}

// running returns nil while the agent runs, else how it ended.
func (f *felix) running() error {
	select {
	case <-f.done:
		return fmt.Errorf("it has ended (%w); its log is %s", errors.Join(f.err, errEnded), f.log)
	default:
		return nil
	}
}

var errEnded = errors.New("it should be running")

// stop ends the agent and leaves what it programmed in force.
func (f *felix) stop() error {
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-f.done:
	case <-time.After(5 * time.Second):
		_ = f.cmd.Process.Kill()
		<-f.done
	}
	return nil
}
