package cluster

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// ForTest starts a cluster for one test and stops it at the test's end. If the test failed, the ends of the logs go to its output and the
// logs stay.
func ForTest(t testing.TB, opts Options) *Cluster {
	t.Helper()
	return AllForTest(t, opts)[0]
}

// AllForTest is ForTest for several clusters, started at once.
func AllForTest(t testing.TB, opts ...Options) []*Cluster {
	t.Helper()
	clusters, err := StartAll(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range clusters {
			if t.Failed() {
				c.KeepLogs()
				if text, err := c.LogTail(20); err == nil {
					t.Log(text)
				}
			}
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return clusters
}

// Main shares clusters among the tests of a package: it starts them, hands them to use, runs the tests, stops the clusters and returns the
// exit code for os.Exit. If tests failed, the logs stay and their folders are printed.
//
//	func TestMain(m *testing.M) {
//		os.Exit(cluster.Main(m, func(all []*cluster.Cluster) { hub = all[0] }, cluster.Options{Name: "hub"}))
//	}
func Main(m *testing.M, use func([]*Cluster), opts ...Options) int {
	clusters, err := StartAll(context.Background(), opts...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	use(clusters)
	code := m.Run()
	for _, c := range clusters {
		if code != 0 {
			c.KeepLogs()
			fmt.Fprintf(os.Stderr, "the logs of cluster %s are in %s\n", c.Name, c.Dir)
		}
		if err := c.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}
