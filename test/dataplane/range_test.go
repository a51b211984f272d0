package dataplane

import (
	"testing"
	"time"

	"multicloud.network/operator/test/dataplane/lab"
)

// testRange proves the range itself: without networks everything passes, a pod keeps its address in its cluster and is translated to that of its node
// elsewhere, and a matrix of a thousand cells takes seconds.
func (w *world) testRange(t *testing.T) {
	w.compare(t, everything)
	began := time.Now()
	flows := w.flows(everything)[:1000]
	results, err := lab.Probe(flows)
	must(t, err)
	t.Logf("%d cells in %s", len(results), time.Since(began).Round(time.Millisecond))
}
