package compile

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"multicloud.network/operator/test/cluster"
)

// Everything that is compiled passes Calico's own validator, strictly decoded, and every selector parses with Calico's own parser: the scenarios'
// objects and those of random networks.
func TestCalicoAcceptsWhatIsCompiled(t *testing.T) {
	calico, err := cluster.Validator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := calico.Close(); err != nil {
			t.Error(err)
		}
	})
	count := 0
	check := func(t interface{ Fatalf(string, ...any) }, objects []Object) {
		for _, o := range objects {
			text, err := json.Marshal(o.Resource)
			if err != nil {
				t.Fatalf("%v: %v", o.Key(), err)
			}
			problems, err := calico.Validate(text)
			if err != nil {
				t.Fatalf("%v: %v", o.Key(), err)
			}
			if len(problems) > 0 {
				t.Fatalf("Calico refuses %v: %v\n%s", o.Key(), problems, text)
			}
			count++
		}
	}
	dirs, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		in := loadScenario(t, dir)
		c := New(in)
		for _, n := range in.Networks {
			for _, member := range c.Network(n.Name).Clusters {
				check(t, member.Objects)
			}
		}
		for _, m := range in.Fleet.Members {
			shared, _ := c.Shared(m.Name)
			check(t, shared)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, objects := range compileAll(t, drawInput(t)) {
			check(t, objects)
		}
	})
	t.Logf("%d objects", count)
}
