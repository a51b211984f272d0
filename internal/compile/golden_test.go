package compile

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scenario is the input of a golden test: testdata/scenarios/<name>/input.yaml.
type scenario struct {
	// About says which sentence of the design the scenario shows.
	About string `json:"about"`
	// Networks are the networks; a creationTimestamp orders them.
	Networks []*mcnv1alpha1.MultiCloudNetwork `json:"networks"`
	// Fleet replaces the fleet of testdata/fleet.yaml.
	Fleet *snapshot.Fleet `json:"fleet,omitempty"`
	// Members changes members of that fleet: what is given here replaces what stands there, field by field.
	Members map[string]snapshot.Member `json:"members,omitempty"`
}

func testSettings() Settings {
	return Settings{
		OwnerID: "hub", Tier: mcnv1alpha1.DefaultTier, TierOrder: mcnv1alpha1.DefaultTierOrder,
		ExcludedNamespaces: []string{"kube-system", "calico-system"},
	}
}

func loadFleet(t testing.TB) snapshot.Fleet {
	t.Helper()
	var fleet snapshot.Fleet
	load(t, filepath.Join("testdata", "fleet.yaml"), &fleet)
	return fleet
}

func load(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func loadScenario(t testing.TB, dir string) Input {
	t.Helper()
	var s scenario
	load(t, filepath.Join(dir, "input.yaml"), &s)
	if s.About == "" {
		t.Fatalf("%s: about is missing: say which sentence the scenario shows", dir)
	}
	fleet := loadFleet(t)
	if s.Fleet != nil {
		fleet = *s.Fleet
	}
	for i, m := range fleet.Members {
		if change, ok := s.Members[m.Name]; ok {
			text, err := yaml.Marshal(change)
			if err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(text, &fleet.Members[i]); err != nil {
				t.Fatal(err)
			}
			fleet.Members[i].Name = m.Name
		}
	}
	return Input{Settings: testSettings(), Networks: s.Networks, Fleet: fleet}
}

// TestGolden compiles every scenario and compares it, member by member, with its golden files.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			got := render(t, loadScenario(t, dir))
			if *update {
				writeGolden(t, dir, got)
			}
			want := readGolden(t, dir)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs from the golden files (-want +got); if the change is meant, run\n  go test ./internal/compile -run TestGolden -update\n%s", diff)
			}
		})
	}
}

// render gives one text per member, and one for what is said of the networks.
func render(t testing.TB, in Input) map[string]string {
	t.Helper()
	c := New(in)
	files := map[string]string{}
	var about strings.Builder
	objects := map[string][]Object{}
	for _, n := range sortedNetworks(in.Networks) {
		r := c.Network(n.Name)
		describe(&about, n.Name, r)
		for _, cluster := range r.Clusters {
			objects[cluster.Name] = append(objects[cluster.Name], cluster.Objects...)
		}
	}
	for _, m := range in.Fleet.Members {
		shared, warnings := c.Shared(m.Name)
		for _, w := range warnings {
			fmt.Fprintf(&about, "%s: warning %s: %s\n", m.Name, w.Code, w.Message)
		}
		all := append(shared, objects[m.Name]...)
		if len(all) == 0 {
			continue
		}
		slices.SortStableFunc(all, func(a, b Object) int { return int(a.Role) - int(b.Role) })
		files[m.Name+".yaml"] = renderObjects(t, all)
	}
	files["networks.txt"] = about.String()
	return files
}

func sortedNetworks(in []*mcnv1alpha1.MultiCloudNetwork) []*mcnv1alpha1.MultiCloudNetwork {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b *mcnv1alpha1.MultiCloudNetwork) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func describe(out *strings.Builder, name string, r Result) {
	fmt.Fprintf(out, "%s: boundary %s", name, r.Boundary)
	if r.ExclusiveSlot != nil {
		fmt.Fprintf(out, ", slot %d", *r.ExclusiveSlot)
	}
	fmt.Fprintf(out, ", %d pods, %d shared\n", r.Pods, r.SharedPods)
	for _, cluster := range r.Clusters {
		fmt.Fprintf(out, "%s: on %s: %d objects, staged %t\n", name, cluster.Name, len(cluster.Objects), cluster.Staged)
	}
	for _, source := range r.Sources {
		fmt.Fprintf(out, "%s: reads %s\n", name, source)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(out, "%s: warning %s %s: %s\n", name, w.Code, w.Cluster, w.Message)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(out, "%s: error %s\n", name, e.Error())
	}
}

func renderObjects(t testing.TB, objects []Object) string {
	t.Helper()
	var out bytes.Buffer
	for _, o := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Resource)
		if err != nil {
			t.Fatal(err)
		}
		delete(fields, "status")
		text, err := yaml.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n")
		out.Write(bytes.ReplaceAll(text, []byte("  creationTimestamp: null\n"), nil))
	}
	return out.String()
}

func writeGolden(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "golden")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "golden"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "golden", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readGolden(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(dir, "golden", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = string(text)
	}
	return files
}
