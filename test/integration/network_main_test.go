package integration

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
)

// forms are one cluster of each form of Calico's API, by name, shared by the tests of apply and of the member worker.
var forms = map[string]*cluster.Cluster{}

func TestMain(m *testing.M) {
	// As main does: calico-apiserver has no bookmarks at the end of a streamed list.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "mcn-audit-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	recorded, err := audit.ArgsIn(dir)
	if err != nil {
		panic(err)
	}
	return cluster.Main(m, func(all []*cluster.Cluster) {
		for _, c := range all {
			forms[c.Name] = c
		}
	}, cluster.Options{Name: "aggregated", Calico: cluster.Aggregated, APIServerArgs: recorded},
		cluster.Options{Name: "native", Calico: cluster.Native, APIServerArgs: recorded})
}
