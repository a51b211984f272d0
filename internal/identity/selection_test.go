package identity

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"multicloud.network/operator/internal/snapshot"
)

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ namespaceSelector, podSelector, want string }{
		"a broken pod selector":              {"", "app ==", "pod selector"},
		"a broken namespace selector":        {"has(", "", "namespace selector"},
		"global()":                           {"global()", "", "leave the selector out"},
		"a service account label":            {"", "pcsa.team == 'a'", "service account"},
		"an attempt to leave parentheses":    {"", "app == 'a') || (all()", "pod selector"},
		"a selector that is too long":        {"", longSelector(), "characters"},
		"an attempt to leave a string":       {"", `app == "a" || all() || b == "c"" `, "pod selector"},
		"global() deep inside an expression": {"", "has(a) || !global()", "leave the selector out"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.namespaceSelector, tc.podSelector)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Parse(%q, %q) = %v, want an error with %q", tc.namespaceSelector, tc.podSelector, err, tc.want)
			}
		})
	}
}

func longSelector() string {
	var b strings.Builder
	for i := range 120 {
		if i > 0 {
			b.WriteString(" || ")
		}
		b.WriteString("label" + strings.Repeat("x", i%10) + " == 'value" + strings.Repeat("y", i) + "'")
	}
	return b.String()
}

// The zero selection picks nobody: a forgotten selection must never mean everybody.
func TestZeroSelectionPicksNobody(t *testing.T) {
	var s Selection
	ns := snapshot.Namespace{Name: "a"}
	if s.MatchesNamespace(ns) || s.MatchesPod(ns, snapshot.Pod{Namespace: "a"}) {
		t.Error("the zero Selection picks a pod")
	}
	if _, err := Parse(s.NamespaceSelector(), s.Selector()); err != nil {
		t.Errorf("its texts do not parse: %v", err)
	}
}

// A pod whose labels look like a set's, an operator's or an endpoint's cannot pretend to be something else.
func TestPodLabelsCannotOverrideCalicos(t *testing.T) {
	ns := snapshot.Namespace{Name: "real", Labels: map[string]string{"team": "a", LabelNamespaceName: "forged"}}
	pod := snapshot.Pod{Namespace: "real", Labels: map[string]string{
		LabelNamespace: "forged", LabelOrchestrator: "forged", LabelServiceAccount: "forged",
	}, ServiceAccount: "builder"}
	tests := map[string]bool{
		LabelNamespace + " == 'real'":               true,
		LabelNamespace + " == 'forged'":             false,
		LabelServiceAccount + " == 'builder'":       true,
		"pcns.team == 'a'":                          true,
		"pcns." + LabelNamespaceName + " == 'real'": true,
	}
	for text, want := range tests {
		s, err := Parse("", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.MatchesPod(ns, pod); got != want {
			t.Errorf("%s matches = %t, want %t", text, got, want)
		}
	}
	s, err := Parse(LabelNamespaceName+" == 'forged'", "")
	if err != nil {
		t.Fatal(err)
	}
	if s.MatchesNamespace(ns) {
		t.Error("a namespace's label overrides its name")
	}
}

// A translated label selector means in Calico what it means in Kubernetes, words of Calico's language as keys included.
func TestLabelSelectorKeepsItsMeaning(t *testing.T) {
	keys := []string{"app", "tier", "has", "all", "in", "not", "contains", "starts", "global", "example.com/in", "a.b_c-d"}
	values := []string{"", "web", "in", "a-b", "has", "all"}
	key, value := rapid.SampledFrom(keys), rapid.SampledFrom(values)
	rapid.Check(t, func(t *rapid.T) {
		selector := &metav1.LabelSelector{MatchLabels: rapid.MapOfN(key, value, 0, 3).Draw(t, "matchLabels")}
		for range rapid.IntRange(0, 3).Draw(t, "expressions") {
			e := metav1.LabelSelectorRequirement{Key: key.Draw(t, "key"), Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{
				metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist,
			}).Draw(t, "operator")}
			if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
				e.Values = rapid.SliceOfN(value, 1, 3).Draw(t, "values")
			}
			selector.MatchExpressions = append(selector.MatchExpressions, e)
		}
		want, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse("", FromLabelSelector(selector))
		if err != nil {
			t.Fatalf("%s does not parse: %v", FromLabelSelector(selector), err)
		}
		pod := snapshot.Pod{Namespace: "ns", Labels: rapid.MapOfN(key, value, 0, 6).Draw(t, "labels")}
		if w, g := want.Matches(labels.Set(pod.Labels)), got.MatchesPod(snapshot.Namespace{Name: "ns"}, pod); w != g {
			t.Fatalf("Kubernetes says %t, Calico %t: %s against %v", w, g, got.Selector(), pod.Labels)
		}
	})
}

// Whatever a valid label selector holds, its translation means that and no more; whatever an invalid one holds, it never panics.
func FuzzLabelSelectorCannotBreakOut(f *testing.F) {
	f.Add("app", "web")
	f.Add("app", `" || all() || a == "`)
	f.Add("app", `' || all() || a == '`)
	f.Add("has(x) || app", "web")
	f.Add("!0", "0")
	f.Add("app", `"'`)
	f.Fuzz(func(t *testing.T, key, value string) {
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
		s, err := Parse("", FromLabelSelector(selector))
		if errs := metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, nil); len(errs) > 0 {
			return // compile refuses it before it is translated
		}
		if err != nil && len(s.Selector()) < MaxSelectorLength {
			t.Fatalf("%q == %q is a valid selector, and is refused: %v", key, value, err)
		}
		for _, pod := range []map[string]string{nil, {"stranger": "yes"}, {key: value + "x"}, {key: value}} {
			if got, want := s.MatchesPod(snapshot.Namespace{Name: "ns"}, snapshot.Pod{Namespace: "ns", Labels: pod}), err == nil && hasLabel(pod, key, value); got != want {
				t.Fatalf("%q == %q became %s, which matches %v: %t, want %t", key, value, s.Selector(), pod, got, want)
			}
		}
	})
}

func hasLabel(labels map[string]string, key, value string) bool {
	got, ok := labels[key]
	return ok && got == value
}
