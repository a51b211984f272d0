package gather

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fileReader reads a cluster from a file of its objects, as an API server with those kinds would list them. It serves the kinds that every cluster serves, and
// those of which there is a CRD, or an APIService that is aggregated.
type fileReader struct {
	objects []unstructured.Unstructured
	served  map[schema.GroupKind]bool
}

func newFileReader(objects []unstructured.Unstructured) *fileReader {
	r := &fileReader{objects: objects, served: map[schema.GroupKind]bool{}}
	for _, k := range BaseKinds() {
		r.served[k.GroupVersionKind.GroupKind()] = true
	}
	for i := range objects {
		switch objects[i].GetKind() {
		case CRDs.Kind:
			group, _, _ := unstructured.NestedString(objects[i].Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(objects[i].Object, "spec", "names", "kind")
			r.served[schema.GroupKind{Group: group, Kind: kind}] = true
		case APIServices.Kind:
			if objects[i].GetName() == "v3."+calicoGroup {
				for _, k := range CalicoKinds(mcnv1alpha1.CalicoAPIAggregated) {
					r.served[k.GroupVersionKind.GroupKind()] = true
				}
			}
		}
	}
	return r
}

func (r *fileReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return ErrNotRead
}

// List implements client.Reader. Objects pass Strip, as they do on their way into a cache.
func (r *fileReader) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, scheme.Scheme)
	if err != nil {
		return err
	}
	gvk.Kind = gvk.Kind[:len(gvk.Kind)-len("List")]
	if !r.served[gvk.GroupKind()] {
		return &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	options := (&client.ListOptions{}).ApplyOptions(opts)
	found := []unstructured.Unstructured{}
	for _, object := range r.objects {
		if object.GroupVersionKind() == gvk && (options.Namespace == "" || options.Namespace == object.GetNamespace()) {
			found = append(found, *object.DeepCopy())
		}
	}
	if others, ok := list.(*unstructured.UnstructuredList); ok {
		for i := range found {
			stripped, err := Strip(&found[i])
			if err != nil {
				return err
			}
			others.Items = append(others.Items, *stripped.(*unstructured.Unstructured))
		}
		return nil
	}
	text, err := json.Marshal(map[string]any{"items": found})
	if err != nil {
		return err
	}
	return json.Unmarshal(text, list)
}

// seen is what is known of a cluster whose objects are in a fixture.
type seen struct {
	Member snapshot.Member `json:"member"`
	Calico CalicoHealth    `json:"calico"`
	// Problems are those of reading, PodCIDRs what is wrong with the pod CIDRs without and with what the MemberCluster says.
	Problems []string `json:"problems,omitempty"`
	PodCIDRs struct {
		Discovered string `json:"discovered,omitempty"`
		Declared   string `json:"declared,omitempty"`
	} `json:"podCIDRs,omitzero"`
}

// TestFixtures reads clusters as clouds and their add-ons make them. What a fixture holds is written from the documentation of its maker.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.objects.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		name := file[:len(file)-len(".objects.yaml")]
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all := objects(t, string(text))
			facts, err := Cluster(t.Context(), newFileReader(all))
			if err != nil {
				t.Fatal(err)
			}
			got := seen{Member: facts.Member, Calico: facts.Health, Problems: facts.Problems}
			got.PodCIDRs.Discovered = podCIDRProblem(&facts.Member)
			got.PodCIDRs.Declared = podCIDRProblem(declare(t, facts.Member, all))
			written, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			golden := name + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, written, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(written)); diff != "" {
				t.Errorf("differs from %s (-want +got); if the change is meant, run\n  go test ./internal/gather -run TestFixtures -update\n%s", golden, diff)
			}
			if ready := got.Calico.Ready; ready != (got.Calico.Reason == mcnv1alpha1.ReasonCalicoReady) || got.Calico.Message == "" {
				t.Errorf("got %+v", got.Calico)
			}
		})
	}
}

func podCIDRProblem(m *snapshot.Member) string {
	pods, accepted := identity.FromFleet(snapshot.Fleet{Members: []snapshot.Member{*m}}).Count(m.Name)
	return PodCIDRProblem(m, pods, accepted)
}

// declare is the member with the pod CIDRs of its MemberCluster, where the fixture has one that names them.
func declare(t *testing.T, m snapshot.Member, all []unstructured.Unstructured) *snapshot.Member {
	t.Helper()
	for i := range all {
		if all[i].GetKind() == "MemberCluster" {
			cidrs, _, err := unstructured.NestedStringSlice(all[i].Object, "spec", "podNetwork", "cidrs")
			if err != nil {
				t.Fatal(err)
			}
			m.PodCIDRs = nil
			for _, cidr := range cidrs {
				m.PodCIDRs = appendPrefix(m.PodCIDRs, cidr)
			}
		}
	}
	return &m
}
