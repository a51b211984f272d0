package compile

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// injections try to leave the quotes in which a label's value stands in a selector.
var injections = []string{
	"x' || all() || y == 'z", `x" || all() || y == "z`, "x'", `x"`, `x\`, "x')", "has(x)", "all()", "!all()", "global()", "x\ny", "x\x00y", "x || y", "{'x'}",
	"\u2019 || all()", strings.Repeat("x", 64), " x", "x ",
}

// emptyNetwork is a valid Closed VLAN of one segment, to be broken.
func emptyNetwork() *mcnv1alpha1.MultiCloudNetwork {
	pods := mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}}}
	return &mcnv1alpha1.MultiCloudNetwork{
		ObjectMeta: metav1.ObjectMeta{Name: "net"},
		Spec: mcnv1alpha1.MultiCloudNetworkSpec{
			Model: mcnv1alpha1.ModelVLAN, VLAN: &mcnv1alpha1.VLANSpec{Segments: []mcnv1alpha1.Segment{{Name: "api", Pods: &pods}}},
		},
	}
}

// compileOne compiles a network for the fleet of the scenarios.
func compileOne(t *testing.T, n *mcnv1alpha1.MultiCloudNetwork) Result {
	t.Helper()
	in := loadScenario(t, filepath.Join("testdata", "scenarios", "vlan-segments"))
	in.Networks = []*mcnv1alpha1.MultiCloudNetwork{n}
	return New(in).Network(n.Name)
}

// TestInjectionIsAnError puts what would end a quoted string wherever a label selector has a key or a value. The API server does not look into label
// selectors of other kinds than its own.
func TestInjectionIsAnError(t *testing.T) {
	places := map[string]func(*metav1.LabelSelector, string){
		"value": func(s *metav1.LabelSelector, x string) { s.MatchLabels = map[string]string{"app": x} },
		"key":   func(s *metav1.LabelSelector, x string) { s.MatchLabels = map[string]string{x: "web"} },
		"expression": func(s *metav1.LabelSelector, x string) {
			s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: "In", Values: []string{"a", x}}}
		},
		"key of expression": func(s *metav1.LabelSelector, x string) {
			s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: x, Operator: "Exists"}}
		},
		"operator": func(s *metav1.LabelSelector, x string) {
			s.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOperator(x)}}
		},
	}
	for place, put := range places {
		for _, x := range injections {
			for _, where := range []string{"podSelector", "namespaceSelector"} {
				n := emptyNetwork()
				selector := &metav1.LabelSelector{}
				put(selector, x)
				if where == "podSelector" {
					n.Spec.VLAN.Segments[0].Pods.PodSelector = selector
				} else {
					n.Spec.VLAN.Segments[0].Pods.NamespaceSelector = selector
				}
				result := compileOne(t, n)
				if len(result.Errors) == 0 || len(result.Clusters) > 0 {
					t.Errorf("%q as %s of a %s gives %d errors and policies for %d clusters, want errors alone", x, place, where, len(result.Errors), len(result.Clusters))
					continue
				}
				if got := result.Errors[0].Field; !strings.HasPrefix(got, "spec.vlan.segments[0].pods."+where) {
					t.Errorf("%q as %s of a %s is an error at %s", x, place, where, got)
				}
			}
		}
	}
}

// TestSelectorTextsThatAreErrors writes them where the Calico model takes Calico's own language.
func TestSelectorTextsThatAreErrors(t *testing.T) {
	for _, text := range []string{
		"app = 'web'", "app == web", "app == 'web", "app == 'web' &&", "app == 'web')", "(app == 'web'", "app in 'web'", "app in {'a',", "has()", "has(app",
		"!", "&&", "'", `"`, "app == 'a' app == 'b'", "app == 'a'; all()", "\x00", "global()", "app == 'web' || global()", strings.Repeat("(", 1000),
		strings.Repeat("!", 1000),
	} {
		n := emptyNetwork()
		n.Spec.Model, n.Spec.VLAN = mcnv1alpha1.ModelCalico, nil
		n.Spec.Calico = &mcnv1alpha1.CalicoSpec{Policies: []mcnv1alpha1.CalicoPolicy{{
			Name: "web", Order: 1, Types: []mcnv1alpha1.PolicyType{mcnv1alpha1.PolicyTypeIngress},
			Pods:    mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}}},
			Ingress: []mcnv1alpha1.Rule{{Action: mcnv1alpha1.RuleActionAllow, Source: &mcnv1alpha1.EntityRule{Selector: text}}},
		}}}
		result := compileOne(t, n)
		if len(result.Errors) == 0 || len(result.Clusters) > 0 {
			t.Errorf("selector %.40q gives %d errors and policies for %d clusters, want errors alone", text, len(result.Errors), len(result.Clusters))
		}
	}
}

// TestNobodyIsNotEverybody compiles peers that hold nothing, which only the schema keeps out: none may become a rule for everybody.
func TestNobodyIsNotEverybody(t *testing.T) {
	api := []mcnv1alpha1.Peer{{Segment: "api"}}
	for name, from := range map[string][]mcnv1alpha1.Peer{
		"nil": nil, "empty": {}, "a peer of nothing": {{}}, "pods without selectors": {{Pods: &mcnv1alpha1.PodSelection{}}},
		"empty cidrs": {{CIDRs: []mcnv1alpha1.CIDR{}}}, "an empty cidr": {{CIDRs: []mcnv1alpha1.CIDR{""}}},
		"cidrs all excepted": {{CIDRs: []mcnv1alpha1.CIDR{"10.0.0.0/8"}, Except: []mcnv1alpha1.CIDR{"10.0.0.0/8"}}},
		"a missing segment":  {{Segment: "ghost"}},
	} {
		for _, side := range []string{"from", "to"} {
			n := emptyNetwork()
			route := mcnv1alpha1.Route{Name: "r", From: from, To: api}
			if side == "to" {
				route.From, route.To = api, from
			}
			n.Spec.Routes = []mcnv1alpha1.Route{route}
			if result := compileOne(t, n); len(result.Errors) == 0 || len(result.Clusters) > 0 {
				t.Errorf("%s in %s gives %d errors and policies for %d clusters, want errors alone", name, side, len(result.Errors), len(result.Clusters))
			}
		}
	}
}

// TestSelectorsThatCalicoWouldRefuse are longer than Calico takes, in width and in depth; the schema cannot count what is compiled.
func TestSelectorsThatCalicoWouldRefuse(t *testing.T) {
	var values metav1.LabelSelectorRequirement
	values.Key, values.Operator = "app", "In"
	for i := range 5_000 {
		values.Values = append(values.Values, fmt.Sprintf("value-%d", i))
	}
	var expressions []metav1.LabelSelectorRequirement
	for i := range 1_000 {
		expressions = append(expressions, metav1.LabelSelectorRequirement{Key: fmt.Sprintf("key-%d", i), Operator: "Exists"})
	}
	for name, selector := range map[string]*metav1.LabelSelector{
		"5,000 values":      {MatchExpressions: []metav1.LabelSelectorRequirement{values}},
		"1,000 expressions": {MatchExpressions: expressions},
	} {
		n := emptyNetwork()
		n.Spec.VLAN.Segments[0].Pods.PodSelector = selector
		result := compileOne(t, n)
		if len(result.Errors) != 1 || len(result.Clusters) > 0 || !strings.Contains(result.Errors[0].Detail, "Calico accepts 1024") {
			t.Errorf("%s give %v and policies for %d clusters, want one error alone", name, result.Errors, len(result.Clusters))
		}
	}
}

// TestOddButMeant compiles what looks like a mistake and has a meaning.
func TestOddButMeant(t *testing.T) {
	api := []mcnv1alpha1.Peer{{Segment: "api"}}
	itself, everything, broadcast := emptyNetwork(), emptyNetwork(), emptyNetwork()
	itself.Spec.Routes = []mcnv1alpha1.Route{{Name: "r", From: api, To: api}}
	everything.Spec.Routes = []mcnv1alpha1.Route{{Name: "r", From: []mcnv1alpha1.Peer{{CIDRs: []mcnv1alpha1.CIDR{"0.0.0.0/0", "::/0"}}}, To: api}}
	broadcast.Spec.Routes = []mcnv1alpha1.Route{{Name: "r", From: []mcnv1alpha1.Peer{
		{CIDRs: []mcnv1alpha1.CIDR{"255.255.255.255/32", "127.0.0.0/8", "224.0.0.0/4", "ff00::/8", "169.254.169.254/32"}},
	}, To: api}}
	for name, n := range map[string]*mcnv1alpha1.MultiCloudNetwork{"a route to itself": itself, "every address": everything, "addresses of no pod": broadcast} {
		if result := compileOne(t, n); len(result.Errors) > 0 || len(result.Clusters) == 0 {
			t.Errorf("%s: %v", name, result.Errors)
		}
	}
}
