package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestUnknownFieldsAreRefused sends objects as kubectl does by default, with strict validation: a field that were pruned instead could be the one that
// narrows what is opened.
func TestUnknownFieldsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ base, path string }{
		"of the spec":        {flatBase, "spec.boundry"},
		"of the clusters":    {flatBase, "spec.clusters.maxUnavailabel"},
		"of a pod selection": {flatBase, "spec.flat.pods.labelSelector"},
		"of a selector":      {flatBase, "spec.flat.pods.podSelector.matchLabel"},
		"of a segment":       {vlanBase, "spec.vlan.segments[0].podSelector"},
		"of a route":         {vlanBase, "spec.routes[0].form"},
		"of a peer":          {vlanBase, "spec.routes[0].from[0].namespaceSelector"},
		"of a port":          {vlanBase, "spec.routes[0].ports[0].endport"},
		"of a policy":        {calicoBase, policy + ".selector"},
		"of a rule":          {calicoBase, ingressRule + ".notSource"},
		"of a rule's end":    {calicoBase, ingressRule + ".source.notNamespaceSelector"},
		"of a member":        {memberBase, "spec.kubeconfig"},
		"of an access":       {memberBase, "spec.access.kubeconfig.inline"},
		"of a pod network":   {memberBase, "spec.podNetwork.cidr"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := hub.Create(context.Background(), build(t, tc.base, edit{tc.path, "x"}), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
			if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), fmt.Sprintf("unknown field %q", tc.path)) {
				t.Errorf("got %v, want a refusal that names the unknown field %s", err, tc.path)
			}
		})
	}
}

// TestWhatIsLeftOfAnUnknownPeer sends a misspelt peer without strict validation, as old clients do: what the server prunes must not leave a peer that means
// everybody.
func TestWhatIsLeftOfAnUnknownPeer(t *testing.T) {
	for name, peer := range map[string]string{
		"a misspelt segment": "{segmnt: api}", "misspelt pods": "{pod: {namespaceSelector: {}}}", "misspelt cidrs": "{cidr: [10.0.0.0/8]}",
		"a selection without its namespaceSelector": "{pods: {namespaceSelektor: {}}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := hub.Create(context.Background(), build(t, vlanBase, edit{"spec.routes[0].from[0]", peer}), client.DryRunAll,
				client.FieldValidation(metav1.FieldValidationIgnore))
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.routes[0].from[0]") {
				t.Errorf("got %v, want the peer refused", err)
			}
		})
	}
}

// TestWrongTypesAreRefused puts a value of another type at fields of each type.
func TestWrongTypesAreRefused(t *testing.T) {
	for _, tc := range []struct{ base, path, value string }{
		{flatBase, "spec", "text"}, {flatBase, "spec", "[]"}, {flatBase, "spec", "null"}, {flatBase, "spec", "{}"}, {flatBase, "spec", ""},
		{flatBase, "spec.clusters", "[]"}, {flatBase, "spec.clusters.selector", "all"}, {flatBase, "spec.clusters.selector", "[]"},
		{flatBase, "spec.clusters.selector.matchLabels", "[env]"}, {flatBase, "spec.clusters.selector.matchLabels.env", "1"},
		{flatBase, "spec.model", "1"}, {flatBase, "spec.model", "vlan"}, {flatBase, "spec.model", "'Flat '"}, {flatBase, "spec.boundary", "true"},
		{flatBase, "spec.flat", "{}"}, {flatBase, "spec.flat.pods", "[]"}, {flatBase, "spec.flat.pods.podSelector.matchExpressions", "{}"},
		{vlanBase, "spec.vlan.segments", "{api: {}}"}, {vlanBase, "spec.vlan.segments[0]", "api"}, {vlanBase, "spec.vlan.segments[0].name", "1"},
		{vlanBase, "spec.vlan.segments[0].id", "'110'"}, {vlanBase, "spec.vlan.segments[0].id", "1.5"}, {vlanBase, "spec.vlan.segments[1].cidrs", "10.0.0.0/8"},
		{vlanBase, "spec.routes", "null"}, {vlanBase, "spec.routes[0]", "null"}, {vlanBase, "spec.routes[0].from", "{segment: api}"},
		{vlanBase, "spec.routes[0].from[0]", "null"}, {vlanBase, "spec.routes[0].from", "null"}, {vlanBase, "spec.routes[0].ports[0]", "8443"},
		{calicoBase, policy + ".order", "'100'"}, {calicoBase, policy + ".order", "1.5"}, {calicoBase, policy + ".types", "Ingress"},
		{calicoBase, ingressRule, "Allow"}, {calicoBase, ingressRule + ".source", "[]"}, {calicoBase, ingressRule + ".protocol", "[TCP]"},
		{memberBase, "spec", "{}"}, {memberBase, "spec.access", "local"}, {memberBase, "spec.access.kubeconfig", "text"},
		{memberBase, "spec.podNetwork", "[]"}, {memberBase, "spec.podNetwork.cidrs", "10.0.0.0/8"}, {memberBase, "spec.clusterID", "1"},
	} {
		t.Run(tc.path+" "+tc.value, func(t *testing.T) {
			t.Parallel()
			err := dryRun(t, build(t, tc.base, edit{tc.path, tc.value}))
			// A null in an optional place is the same as nothing there, and "none" has one spelling.
			if tc.path == "spec.routes" && tc.value == "null" {
				if err != nil {
					t.Errorf("null for an optional list is refused: %v", err)
				}
				return
			}
			if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Errorf("got %v, want a refusal", err)
			}
			if err != nil && !strings.Contains(err.Error(), strings.SplitN(tc.path, "[", 2)[0]) {
				t.Errorf("the refusal does not say where: %v", err)
			}
		})
	}
}

// lookalikes are names that a person takes for "api".
var lookalikes = map[string]string{
	"another case": "API", "a trailing space": "api ", "a leading space": " api", "a line break": "api\n", "a Cyrillic letter": "\u0430pi",
	"a zero-width space": "a\u200bpi", "a full-width letter": "\uff41pi", "a combining accent": "a\u0301pi", "a dot": "api.v1", "a slash": "a/i", "an underscore": "a_i",
	"nothing": "",
}

// TestNamesHaveOneSpelling sends names that look like others to every field that is a name.
func TestNamesHaveOneSpelling(t *testing.T) {
	for name, value := range lookalikes {
		for field, tc := range map[string]struct{ base, path string }{
			"network": {flatBase, "metadata.name"}, "member": {memberBase, "metadata.name"},
			"segment": {vlanBase, "spec.vlan.segments[1].name"}, "route": {vlanBase, "spec.routes[1].name"}, "policy": {calicoBase, policy + ".name"},
			"segment of a peer": {vlanBase, "spec.routes[0].to[0].segment"},
		} {
			t.Run(field+" with "+name, func(t *testing.T) {
				t.Parallel()
				quoted, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				if err := dryRun(t, build(t, tc.base, edit{tc.path, string(quoted)})); !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
					t.Errorf("%q: got %v, want a refusal", value, err)
				}
			})
		}
	}
}

// TestNamesThatCalicoUses sends names that mean something in Calico: ours are prefixed and hashed, so that those without a dot do no harm.
func TestNamesThatCalicoUses(t *testing.T) {
	for name, fine := range map[string]bool{
		"default": true, "projectcalico": true, "kns": true, "guard": true, "multicloud": true, "adminnetworkpolicy": true,
		"kns.default": false, "pcns.team": false, "default.deny": false, "knp.default.x": false, strings.Repeat("a", 253): false,
	} {
		t.Run(name[:min(20, len(name))], func(t *testing.T) {
			t.Parallel()
			for _, base := range []string{flatBase, memberBase} {
				err := dryRun(t, build(t, base, edit{"metadata.name", name}))
				if fine && err != nil {
					t.Errorf("refused: %v", err)
				}
				if !fine && !apierrors.IsInvalid(err) {
					t.Errorf("got %v, want a refusal", err)
				}
			}
		})
	}
}

// TestAddressesOfAllKinds says which CIDRs may be written for a segment: any, in canonical form. What they cover is for whoever writes them; set
// members come from pods, whose addresses are judged elsewhere.
func TestAddressesOfAllKinds(t *testing.T) {
	for name, tc := range map[string]struct {
		cidrs string
		fine  bool
	}{
		"everything":          {"[0.0.0.0/0, '::/0']", true},
		"mixed families":      {"[10.0.0.0/8, '2001:db8::/32']", true},
		"overlapping":         {"[10.0.0.0/8, 10.1.0.0/16]", true},
		"broadcast":           {"[255.255.255.255/32]", true},
		"loopback":            {"[127.0.0.0/8, '::1/128']", true},
		"multicast":           {"[224.0.0.0/4, 'ff00::/8']", true},
		"metadata":            {"[169.254.169.254/32]", true},
		"/33":                 {"[10.0.0.0/33]", false},
		"/129":                {"['2001:db8::/129']", false},
		"a negative length":   {"['10.0.0.0/-1']", false},
		"a plus":              {"['10.0.0.0/+8']", false},
		"a netmask":           {"[10.0.0.0/255.0.0.0]", false},
		"a range":             {"['10.0.0.1-10.0.0.9']", false},
		"spaces":              {"[' 10.0.0.0/8']", false},
		"octal":               {"[010.0.0.0/8]", false},
		"hexadecimal":         {"['0xa000000/8']", false},
		"three octets":        {"[10.0.0/8]", false},
		"Arabic-Indic digits": {"['\u0661\u0660.0.0.0/8']", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := dryRun(t, build(t, vlanBase, edit{"spec.vlan.segments[1].cidrs", tc.cidrs}))
			if tc.fine && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !tc.fine && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.vlan.segments[1].cidrs[0]")) {
				t.Errorf("got %v, want a refusal at spec.vlan.segments[1].cidrs[0]", err)
			}
		})
	}
}

// TestTooMuchIsRefused sends far more than the bounds allow; the server says so instead of working on it.
func TestTooMuchIsRefused(t *testing.T) {
	many := func(n int, item func(int) any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = item(i)
		}
		return out
	}
	segment := func(i int) any { return object{"name": fmt.Sprintf("n%d", i), "cidrs": []any{"10.0.0.0/8"}} }
	for name, change := range map[string]func(*unstructured.Unstructured){
		"10,000 segments": func(u *unstructured.Unstructured) {
			u.Object["spec"].(object)["vlan"].(object)["segments"] = many(10_000, segment)
		},
		"10,000 routes": func(u *unstructured.Unstructured) {
			u.Object["spec"].(object)["routes"] = many(10_000, func(i int) any {
				return object{"name": fmt.Sprintf("n%d", i), "from": []any{object{"segment": "api"}}, "to": []any{object{"segment": "api"}}}
			})
		},
		"a name of 1 MB": func(u *unstructured.Unstructured) {
			u.Object["spec"].(object)["vlan"].(object)["segments"].([]any)[0].(object)["name"] = strings.Repeat("a", 1<<20)
		},
		"4 MB": func(u *unstructured.Unstructured) {
			u.SetAnnotations(map[string]string{"a": strings.Repeat("a", 4<<20)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			network := build(t, vlanBase)
			change(network)
			if err := dryRun(t, network); !apierrors.IsInvalid(err) && !apierrors.IsRequestEntityTooLargeError(err) {
				t.Errorf("got %.300v, want a refusal", err)
			}
		})
	}
}
