package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// programs are what the lab and Felix run, with the Debian package that has each.
var programs = []struct{ name, pkg string }{
	{"ip", "iproute2"}, {"iptables-nft-restore", "iptables"}, {"ipset", "ipset"}, {"nft", "nftables"}, {"conntrack", "conntrack"},
}

// ErrNotRoot says that network namespaces cannot be made.
var ErrNotRoot = errors.New("the dataplane tests make network namespaces and program the kernel, which takes root: run sudo make test-dataplane")

// Require makes sure that this machine can hold a lab, and installs missing programs where apt-get is there. The error says what is missing.
func Require(progress io.Writer) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	if missing := missingPackages(); len(missing) > 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return fmt.Errorf("the dataplane tests need %s: install them", strings.Join(missing, ", "))
		}
		fmt.Fprintf(progress, "==> the dataplane tests need %s: apt-get install\n", strings.Join(missing, ", "))
		for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)} {
			cmd := exec.Command("apt-get", args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	if missing := missingPackages(); len(missing) > 0 {
		return fmt.Errorf("the dataplane tests need %s, and apt-get did not bring them", strings.Join(missing, ", "))
	}
	trial, err := newSpace("trial")
	if err != nil {
		return fmt.Errorf("this machine makes no network namespaces: %w", err)
	}
	return trial.Close()
}

// missingPackages lists the packages of programs that are not in PATH.
func missingPackages() []string {
	var out []string
	for _, p := range programs {
		if _, err := exec.LookPath(p.name); err != nil {
			out = append(out, p.pkg)
		}
	}
	return out
}
