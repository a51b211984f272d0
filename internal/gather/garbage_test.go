package gather

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestGarbageIsNoPanic reads objects whose fields are of other types than the API has: each tells nothing, and none ends the process.
func TestGarbageIsNoPanic(t *testing.T) {
	for _, value := range []any{nil, "\xff\xfe", int64(-1), true, []any{nil, "x", int64(1), map[string]any{"a": nil}}, map[string]any{"name": int64(1), "versions": nil, "webhooks": "x"}} {
		object := func(name string) unstructured.Unstructured {
			fields := map[string]any{"metadata": map[string]any{"name": name}}
			for _, key := range []string{"spec", "status", "webhooks", "endpoints", "ports"} {
				fields[key] = value
			}
			return unstructured.Unstructured{Object: fields}
		}
		g := New(nil, Facts{})
		for _, k := range append(append(BaseKinds(), CalicoKinds("Native")...), append(OptionalKinds(), CalicoKinds("StorageOnly")...)...) {
			for _, name := range []string{"default", "v3.projectcalico.org", "globalnetworkpolicies.projectcalico.org", migrations.GroupResource(), "kubernetes"} {
				u := object(name)
				u.SetGroupVersionKind(k.GroupVersionKind)
				u.SetLabels(map[string]string{"kubernetes.io/service-name": "kubernetes"})
				if _, err := Strip(u.DeepCopy()); err != nil {
					t.Error(err)
				}
				g.others[k] = append(g.others[k], u)
			}
		}
		g.Optional()
		if got := g.Facts(); got.Health.Ready {
			t.Errorf("%v: got %+v", value, got.Health)
		}
	}
}
