package dataplane

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"multicloud.network/operator/test/dataplane/lab"
)

var (
	dataplane = flag.String("dataplane", os.Getenv("DATAPLANE"), "what Felix programs: iptables or nftables (default: the variable DATAPLANE, or iptables)")
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	if err := lab.Require(os.Stderr); errors.Is(err, lab.ErrNotRoot) {
		fmt.Fprintf(os.Stderr, "SKIPPED: %v\n", err)
	}
	os.Exit(m.Run())
}

// TestPackets is one story on one range: the range alone, and each case of the table.
func TestPackets(t *testing.T) {
	if err := lab.Require(os.Stderr); errors.Is(err, lab.ErrNotRoot) {
		t.Skip(err)
	}
	w := start(t)
	t.Run("range", w.testRange)
	t.Run("case", w.testCases)
	w.tally.print(t)
}
