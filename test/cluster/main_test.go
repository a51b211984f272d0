package cluster_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"multicloud.network/operator/test/cluster"
)

// aggregated and native are shared by the tests that do not stop them.
var aggregated, native *cluster.Cluster

// starterMode makes this test binary a process that starts a cluster, says where, and waits to be killed.
const starterMode = "MCN_TEST_STARTER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(starterMode); mode != "" {
		starter(mode)
		return
	}
	os.Exit(cluster.Main(m, func(all []*cluster.Cluster) { aggregated, native = all[0], all[1] },
		cluster.Options{Name: "aggregated", Calico: cluster.Aggregated},
		cluster.Options{Name: "native", Calico: cluster.Native}))
}

// starter is the other process. It never returns by itself when the cluster is attached.
func starter(mode string) {
	c, err := cluster.Start(context.Background(), cluster.Options{
		Name: "started-by-another", Parent: os.Getenv("MCN_TEST_PARENT"), Detach: mode == "detached",
	})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println(c.Dir)
	if mode != "detached" {
		select {}
	}
}
