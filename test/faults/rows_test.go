package faults

import (
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

var updateDocs = flag.Bool("update-docs", false, "write docs/faults.md with what this run measured")

// row is one fault, what is done to inject it, and what holds. Its test shows the result; the words are those of docs/faults.md.
type row struct {
	// id is that of the fault matrix.
	id, fault string
	// injected says by what means, expected what the design demands, result what the test shows.
	injected, expected, result string
	// run shows it, and returns how long the recovery took; 0 where there is nothing to recover from.
	run func(*testing.T, *world) time.Duration
}

// lane is rows that follow each other. Lanes run at once: each has a member of its own to break.
type lane struct {
	name string
	rows []row
}

// lanes are all rows but those of the hub.
func lanes() []lane {
	return []lane{
		{east, pathRows()},
		{west, answerRows()},
		{south, objectRows()},
		{north, calicoRows()},
	}
}

func allRows() []row {
	var out []row
	for _, l := range lanes() {
		out = append(out, l.rows...)
	}
	return append(append(out, hubRows()...), stillRows()...)
}

// measured are the times to recover of this run.
var measured sync.Map // of row id to time.Duration

func TestMain(m *testing.M) {
	// As main does: calico-apiserver has no bookmarks at the end of a streamed list.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		panic(err)
	}
	// The rows of different members wait, and hardly compute.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// TestFaults breaks a fleet in every way that docs/faults.md lists. Rows of different members run at once, which shows that none reaches another.
func TestFaults(t *testing.T) {
	w := start(t)
	untouched := w.remember(t, east, west, south)
	t.Run("members", func(t *testing.T) {
		for _, l := range lanes() {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				runRows(t, w, l.rows)
			})
		}
	})
	// Whatever happened to one member, what the others hold was not written to: no address was taken out, none put in.
	untouched(t)
	t.Run("hub", func(t *testing.T) { runRows(t, w, hubRows()) })
	t.Run("still", func(t *testing.T) { runRows(t, w, stillRows()) })
	if *updateDocs && !t.Failed() {
		writeDocs(t)
	}
}

func runRows(t *testing.T, w *world, rows []row) {
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			began := time.Now()
			took := r.run(t, w)
			measured.Store(r.id, took)
			t.Logf("%s %s: recovered in %s, the row took %s", r.id, r.fault, took.Round(100*time.Millisecond), time.Since(began).Round(time.Second))
		})
	}
}
