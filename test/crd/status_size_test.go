package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/status"
)

// fleetStatus is the status of a network on many clusters, of which the first few failed to be written, each with a message.
func fleetStatus(clusters, failed int, message string) mcnv1alpha1.MultiCloudNetworkStatus {
	facts := status.NetworkFacts{
		Generation: 1, InForce: 1, Boundary: mcnv1alpha1.BoundaryClosed, Pods: 100_000, SharedPods: 12,
		Now: metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
	for i := range clusters {
		c := status.ClusterFacts{
			Name: fmt.Sprintf("production-europe-west1-%04d", i), Role: mcnv1alpha1.RoleManaged, Reachable: true, CalicoReady: true,
			Report: &status.Report{Generation: 1, Programmed: true},
		}
		if i < failed {
			c.Report = &status.Report{Generation: 1, Reason: mcnv1alpha1.ReasonWriteFailed, Message: message}
		}
		facts.Clusters = append(facts.Clusters, c)
	}
	return status.Network(facts)
}

// The bounds of DESIGN: what a network of 500 clusters that are all in order takes, and what etcd takes at all.
const (
	maxReadyBytes = 110 << 10
	maxEtcdBytes  = 1536 << 10
)

// TestStatusOfALargeFleetFits writes the status of large networks to a real API server and reads back what it stores.
func TestStatusOfALargeFleetFits(t *testing.T) {
	long := strings.Repeat("a message of a cluster that says what is wrong, where, and what to do. ", 15)[:1024]
	for name, tc := range map[string]struct {
		clusters, failed int
		message          string
		wantBytes        int
		wantListed       int
	}{
		"500 in order":                         {clusters: 500, wantBytes: maxReadyBytes, wantListed: 500},
		"500, of which 50 failed":              {clusters: 500, failed: 50, message: long[:200], wantBytes: maxReadyBytes + 50*300, wantListed: 500},
		"500 failed, with long messages":       {clusters: 500, failed: 500, message: long, wantBytes: maxEtcdBytes, wantListed: 500},
		"1200 failed, in what JSON escapes":    {clusters: 1200, failed: 1200, message: strings.Repeat("<", 1024), wantBytes: maxEtcdBytes, wantListed: 1000},
		"1200 failed, in letters of two bytes": {clusters: 1200, failed: 1200, message: strings.Repeat("é", 512), wantBytes: maxEtcdBytes, wantListed: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := build(t, flatBase, edit{"metadata.name", strings.NewReplacer(" ", "-", ",", "").Replace("large-" + strings.ToLower(name))})
			written := fleetStatus(tc.clusters, tc.failed, tc.message)
			writeStatus(t, object, &written)
			stored := get(t, "/apis/multicloud.network/v1alpha1/multicloudnetworks/"+object.GetName(), "application/json")
			if len(stored) > tc.wantBytes {
				t.Errorf("the object has %d bytes, want at most %d", len(stored), tc.wantBytes)
			}
			var read mcnv1alpha1.MultiCloudNetwork
			if err := json.Unmarshal(stored, &read); err != nil {
				t.Fatal(err)
			}
			if len(read.Status.Clusters) != tc.wantListed || int(read.Status.Summary.Total) != tc.clusters {
				t.Errorf("%d clusters are listed and %d counted, want %d and %d", len(read.Status.Clusters), read.Status.Summary.Total, tc.wantListed, tc.clusters)
			}
			t.Logf("%d bytes", len(stored))
		})
	}
}

// BenchmarkStatusWrite writes the status of a network on 500 clusters, in which one cluster changes each time, and compares it with a network on three
// clusters and with a kind whose list of clusters is a map list, as server-side apply would have it:
//
//	go test ./test/crd -run '^$' -bench StatusWrite
func BenchmarkStatusWrite(b *testing.B) {
	long := strings.Repeat("x", 1024)
	mapList := mapListKind(b)
	ours := mcnv1alpha1.GroupVersion.String()
	took := map[string]float64{}
	for _, tc := range []struct {
		name, version    string
		clusters, failed int
		message          string
	}{
		{"3 clusters", ours, 3, 0, ""}, {"500 in order", ours, 500, 0, ""}, {"500, 50 failed", ours, 500, 50, long[:200]},
		{"500 failed, long messages", ours, 500, 500, long}, {"500 in order, map list", mapList, 500, 0, ""},
	} {
		b.Run(tc.name, func(b *testing.B) {
			object := newLargeNetwork(b, tc.version)
			for i := 0; b.Loop(); i++ {
				written := fleetStatus(tc.clusters, tc.failed, tc.message)
				written.Clusters[i%tc.clusters].Mode = mcnv1alpha1.ModeStaged
				base := client.MergeFrom(object.DeepCopy())
				fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&written)
				if err != nil {
					b.Fatal(err)
				}
				object.Object["status"] = fields
				if err := hub.Status().Patch(context.Background(), object, base, client.FieldOwner(mcnv1alpha1.FieldManager)); err != nil {
					b.Fatal(err)
				}
			}
			text, err := object.MarshalJSON()
			if err != nil {
				b.Fatal(err)
			}
			took[tc.name] = b.Elapsed().Seconds() * 1000 / float64(b.N)
			b.ReportMetric(float64(len(text))/1024, "KiB/object")
			b.ReportMetric(took[tc.name], "ms/write")
			b.ReportMetric(took[tc.name]/took["3 clusters"], "x3clusters")
		})
	}
	if atomic := took["500 in order"]; atomic > 0 {
		b.Logf("500 in order: the map list takes %.1f times as long as the atomic one", took["500 in order, map list"]/atomic)
	}
}

// newLargeNetwork creates a network of the group and version.
func newLargeNetwork(b *testing.B, version string) *unstructured.Unstructured {
	b.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"clusters": map[string]any{"selector": map[string]any{}}, "model": "Flat", "flat": map[string]any{"pods": map[string]any{"namespaceSelector": map[string]any{}}},
	}}}
	object.SetAPIVersion(version)
	object.SetKind("MultiCloudNetwork")
	object.SetGenerateName("bench-")
	if err := hub.Create(context.Background(), object); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = hub.Delete(context.Background(), object) })
	return object
}

// mapListKind installs a copy of the kind in another group, with status.clusters as a map list, and returns its group and version.
func mapListKind(b *testing.B) string {
	b.Helper()
	const group = "maplist.multicloud.network"
	files := envtest.CRDInstallOptions{Paths: []string{crdDirectory + "/multicloud.network_multicloudnetworks.yaml"}}
	if err := envtest.ReadCRDFiles(&files); err != nil {
		b.Fatal(err)
	}
	crd := files.CRDs[0]
	crd.Spec.Group, crd.Name = group, crd.Spec.Names.Plural+"."+group
	crd.Spec.Names.Categories, crd.Spec.Names.ShortNames = nil, nil
	kind := "map"
	version := &crd.Spec.Versions[0]
	state := version.Schema.OpenAPIV3Schema.Properties["status"]
	clusters := state.Properties["clusters"]
	clusters.XListType, clusters.XListMapKeys = &kind, []string{"name"}
	state.Properties["clusters"] = clusters
	version.Schema.OpenAPIV3Schema.Properties["status"] = state
	if _, err := envtest.InstallCRDs(hubConfig, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{crd}}); err != nil {
		b.Fatal(err)
	}
	return group + "/" + version.Name
}
