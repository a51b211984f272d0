package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestWhatSomebodyAddedToARuleIsADifference: a denial that somebody narrows, or a permit to which somebody adds a rule, does not do any more what was compiled.
func TestWhatSomebodyAddedToARuleIsADifference(t *testing.T) {
	object := func(kind string, spec map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		u.SetGroupVersionKind(gvk(kind))
		return u
	}
	deny := func(change func(spec, rule map[string]any)) *unstructured.Unstructured {
		rule := map[string]any{"action": "Deny"}
		spec := map[string]any{"tier": "multicloud", "selector": "all()", "types": []any{"Ingress"}, "ingress": []any{rule}}
		if change != nil {
			change(spec, rule)
		}
		return object(KindPolicy, spec)
	}
	for name, tc := range map[string]struct {
		live *unstructured.Unstructured
		want string
	}{
		"as it is": {live: deny(nil)},
		"what a server fills in": {live: deny(func(spec, rule map[string]any) {
			rule["source"] = map[string]any{}
			spec["preDNAT"] = false
			spec["selector"] = "all()"
		})},
		"a field nobody knows":    {live: deny(func(spec, _ map[string]any) { spec["mode"] = "Fast" })},
		"a narrower rule":         {live: deny(func(_, rule map[string]any) { rule["source"] = map[string]any{"nets": []any{"192.0.2.1/32"}} }), want: "spec.ingress[0].source"},
		"a rule for one protocol": {live: deny(func(_, rule map[string]any) { rule["protocol"] = "SCTP" }), want: "spec.ingress[0].protocol"},
		"fewer pods":              {live: deny(func(spec, _ map[string]any) { spec["serviceAccountSelector"] = "!all()" }), want: "spec.serviceAccountSelector"},
		"more rules":              {live: deny(func(spec, _ map[string]any) { spec["egress"] = []any{map[string]any{"action": "Allow"}} }), want: "spec.egress"},
		"another stage":           {live: deny(func(spec, _ map[string]any) { spec["doNotTrack"] = true }), want: "spec.doNotTrack"},
	} {
		want := deny(nil)
		if got := Difference(tc.live, want); got != tc.want || Equal(tc.live, want) != (tc.want == "") {
			t.Errorf("%s: equal %t, difference %q, want %q", name, Equal(tc.live, want), got, tc.want)
		}
	}
	if Equal(object(KindSet, map[string]any{"nets": []any{"192.0.2.1/32"}}), object(KindSet, map[string]any{})) {
		t.Error("a set that should be empty and holds an address counts as equal")
	}
}
