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
	dataplane  = flag.String("dataplane", os.Getenv("DATAPLANE"), "what Felix programs: iptables or nftables (default: the variable DATAPLANE, or iptables)")
	seed       = flag.Uint64("seed", 1, "where the random networks begin")
	mutate     = flag.Bool("mutants", false, "run the operator with deliberate faults, and expect that packets catch each")
	updateDocs = flag.Bool("update-docs", false, "write docs/verification.md with what this run has seen")
	networks   = flag.Int("networks", 200, "how many random networks are tried, at least")
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	if err := lab.Require(os.Stderr); errors.Is(err, lab.ErrNotRoot) {
		fmt.Fprintf(os.Stderr, "SKIPPED: %v\n", err)
	}
	os.Exit(m.Run())
}

// TestPackets is one story on one range: the range alone, each case of the table, random networks, and the moments of changes.
func TestPackets(t *testing.T) {
	requireRoot(t)
	w := start(t)
	t.Run("range", w.testRange)
	t.Run("case", w.testCases)
	t.Run("random", w.testRandom)
	t.Run("moments", w.testMoments)
	t.Run("effects", w.testEffects)
	text := w.tally.String()
	t.Log("\n" + text)
	if *updateDocs && !t.Failed() {
		writeBlock(t, string(w.tally.dataplane), text)
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if err := lab.Require(os.Stderr); errors.Is(err, lab.ErrNotRoot) {
		t.Skip(err)
	}
}
