package cluster_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"multicloud.network/operator/test/cluster"
)

// BenchmarkStart measures how long it takes until n aggregated clusters, started at once, answer, and the memory of each cluster then. It
// needs other clusters to be absent for a true figure: go test -run '^$' -bench Start -benchtime 1x ./test/cluster (TestMain's two idle).
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("clusters=%d", n), func(b *testing.B) {
			for b.Loop() {
				var opts []cluster.Options
				for i := range n {
					opts = append(opts, cluster.Options{Name: fmt.Sprintf("bench-%d", i), Calico: cluster.Aggregated})
				}
				clusters, err := cluster.StartAll(b.Context(), opts...)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(residentMiB(b, clusters)/float64(n), "MiB/cluster")
				for _, c := range clusters {
					if err := c.Stop(); err != nil {
						b.Error(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}

// residentMiB adds up the resident memory of all processes.
func residentMiB(b *testing.B, clusters []*cluster.Cluster) float64 {
	var kib float64
	for _, c := range clusters {
		for _, pid := range processes(b, c.Dir) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				b.Fatal(err)
			}
			_, after, _ := strings.Cut(string(text), "VmRSS:")
			number, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			kib += number
		}
	}
	return kib / 1024
}

// BenchmarkValidator measures one object.
func BenchmarkValidator(b *testing.B) {
	validator, err := cluster.Validator(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	policy := []byte(strings.Replace(objects["globalnetworkpolicies"], `"order"`, `"types":["Ingress"],"order"`, 1))
	for b.Loop() {
		problems, err := validator.Validate(policy)
		if err != nil || len(problems) > 0 {
			b.Fatal(problems, err)
		}
	}
	if err := validator.Close(); err != nil {
		b.Error(err)
	}
}
