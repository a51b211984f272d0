package apply

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
)

// The kinds that we write.
const (
	KindTier      = "Tier"
	KindPolicy    = "GlobalNetworkPolicy"
	KindStaged    = "StagedGlobalNetworkPolicy"
	KindSet       = "GlobalNetworkSet"
	KindPool      = "IPPool"
	calicoGroup   = "projectcalico.org"
	calicoVersion = "v3"
)

// GroupVersionKind returns the full name of one of the kinds that we write.
func GroupVersionKind(kind string) schema.GroupVersionKind { return gvk(kind) }

// Kinds returns the kinds that we write, in the order in which they are needed.
func Kinds() []string {
	return []string{KindTier, KindPool, KindSet, KindPolicy, KindStaged}
}

func gvk(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: calicoGroup, Version: calicoVersion, Kind: kind}
}

// KeyOf returns an object's kind and name.
func KeyOf(obj client.Object) compile.Key {
	return compile.Key{Kind: obj.GetObjectKind().GroupVersionKind().Kind, Name: obj.GetName()}
}

// Intended turns a typed resource into one that holds only what is meant: kind, name, labels, annotations and spec. Nulls, empty maps and
// empty lists are left out: in Calico's types they mean the same as nothing, and some servers keep them while others drop them.
func Intended(obj runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("converting %T: %w", obj, err)
	}
	full := &unstructured.Unstructured{Object: content}
	out := &unstructured.Unstructured{Object: map[string]any{}}
	out.SetGroupVersionKind(obj.GetObjectKind().GroupVersionKind())
	out.SetName(full.GetName())
	if labels := full.GetLabels(); len(labels) > 0 {
		out.SetLabels(labels)
	}
	if annotations := full.GetAnnotations(); len(annotations) > 0 {
		out.SetAnnotations(annotations)
	}
	spec, _ := withoutEmpties(content["spec"]).(map[string]any)
	if spec == nil {
		spec = map[string]any{}
	}
	out.Object["spec"] = spec
	return out, nil
}

// Equal tells whether a live object says all that is wanted, each field of the spec, each label and annotation, and nothing more that changes what it matches or
// does. What the server added by defaulting does not count.
func Equal(live, want *unstructured.Unstructured) bool {
	if !coversStrings(live.GetLabels(), want.GetLabels()) || !coversStrings(live.GetAnnotations(), want.GetAnnotations()) {
		return false
	}
	is, wanted := withoutEmpties(live.Object["spec"]), withoutEmpties(want.Object["spec"])
	return covers(is, wanted) && surplus(want.GetKind(), is, wanted) == ""
}

// Owner returns the owner ID that an object carries.
func Owner(obj client.Object) string { return obj.GetLabels()[mcnv1alpha1.OwnerLabel] }

// Network returns the network that an object belongs to; empty for a shared one.
func Network(obj client.Object) string { return obj.GetLabels()[mcnv1alpha1.NetworkLabel] }

// ContentHash returns the hash of the content that we last wrote to an object.
func ContentHash(obj client.Object) string {
	return obj.GetAnnotations()[mcnv1alpha1.ContentHashAnnotation]
}

// Managers returns the names of an object's field managers but our own, the one that acted last first.
func Managers(obj client.Object) []string {
	entries := slices.DeleteFunc(slices.Clone(obj.GetManagedFields()), func(e metav1.ManagedFieldsEntry) bool { return e.Manager == mcnv1alpha1.FieldManager })
	slices.SortStableFunc(entries, func(a, b metav1.ManagedFieldsEntry) int {
		return cmp.Or(timeOf(b).Compare(timeOf(a)), strings.Compare(a.Manager, b.Manager))
	})
	var out []string
	for _, e := range entries {
		if e.Manager != "" && !slices.Contains(out, e.Manager) {
			out = append(out, e.Manager)
		}
	}
	return out
}

func timeOf(e metav1.ManagedFieldsEntry) time.Time {
	if e.Time == nil {
		return time.Time{}
	}
	return e.Time.Time
}

// Difference names the first field, in the order of names, in which a live object does not say what is wanted, or says more; empty when they are Equal.
func Difference(live, want *unstructured.Unstructured) string {
	switch {
	case !coversStrings(live.GetLabels(), want.GetLabels()):
		return "metadata.labels"
	case !coversStrings(live.GetAnnotations(), want.GetAnnotations()):
		return "metadata.annotations"
	}
	is, wanted := withoutEmpties(live.Object["spec"]), withoutEmpties(want.Object["spec"])
	return cmp.Or(difference("spec", is, wanted), surplus(want.GetKind(), is, wanted))
}

func difference(path string, live, want any) string {
	if covers(live, want) {
		return ""
	}
	if w, ok := want.(map[string]any); ok {
		l, _ := live.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(w)) {
			if !covers(l[name], w[name]) {
				return difference(path+"."+name, l[name], w[name])
			}
		}
	}
	w, isList := want.([]any)
	l, wasList := live.([]any)
	if isList && wasList && len(l) == len(w) {
		for i := range w {
			if !covers(l[i], w[i]) {
				return difference(fmt.Sprintf("%s[%d]", path, i), l[i], w[i])
			}
		}
	}
	return path
}

func coversStrings(live, want map[string]string) bool {
	for k, v := range want {
		if got, ok := live[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// covers tells whether live holds everything that want holds. Maps may hold more, lists may not.
func covers(live, want any) bool {
	switch w := want.(type) {
	case nil:
		return true
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return len(w) == 0
		}
		for k, v := range w {
			if !covers(l[k], v) {
				return false
			}
		}
		return true
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(w) {
			return len(w) == 0 && live == nil
		}
		for i := range w {
			if !covers(l[i], w[i]) {
				return false
			}
		}
		return true
	}
	return scalarsEqual(live, want)
}

// scalarsEqual compares numbers by value: 500 arrives as an integer from one server and as a float from our own types.
func scalarsEqual(a, b any) bool {
	x, xok := number(a)
	y, yok := number(b)
	if xok && yok {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case int32:
		return float64(n), true
	case int:
		return float64(n), true
	case float64:
		return n, true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}

// withoutEmpties drops nulls, empty maps and empty lists from maps. Items of lists stay, even empty ones: their place counts.
func withoutEmpties(v any) any {
	switch t := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, item := range t {
			if kept := withoutEmpties(item); !empty(kept) {
				out[k] = kept
			}
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, item := range t {
			out[i] = withoutEmpties(item)
		}
		return out
	}
	return v
}

func empty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(t) == 0
	case []any:
		return len(t) == 0
	}
	return false
}
