package crd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"multicloud.network/operator/test/cluster"
)

const examplesDirectory = "../../docs/examples/calico-policies"

// TestCalicoPoliciesPage proves what docs/calico-policies.md says of its manifests, against both forms of the real Calico API.
func TestCalicoPoliciesPage(t *testing.T) {
	clusters := cluster.AllForTest(t,
		cluster.Options{Name: "page-aggregated", Calico: cluster.Aggregated},
		cluster.Options{Name: "page-native", Calico: cluster.Native})
	for _, c := range clusters {
		t.Run(c.Name, func(t *testing.T) {
			calico, err := client.New(c.RESTConfig(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
			if err := calico.Create(t.Context(), namespace); err != nil {
				t.Fatal(err)
			}
			testInvalidManifest(t, calico)
			testHalfCorrectedManifest(t, calico)
			testValidManifests(t, calico)
		})
	}
}

// TestCalicoPoliciesNetwork: the network that the page ends with is accepted by the hub, also strictly.
func TestCalicoPoliciesNetwork(t *testing.T) {
	t.Parallel()
	network := build(t, example(t, "network.yaml"))
	if err := hub.Create(t.Context(), network, client.DryRunAll, client.FieldValidation("Strict")); err != nil {
		t.Error(err)
	}
}

// TestCalicoPoliciesPageShowsTheManifests: the page's text is the tested text.
func TestCalicoPoliciesPageShowsTheManifests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/calico-policies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"invalid.yaml", "http-in-https-out.yaml", "all-ingress.yaml", "network.yaml"} {
		_, manifest, _ := strings.Cut(example(t, file), "\n") // the first line is a comment
		if !strings.Contains(string(page), "```yaml\n"+manifest+"```\n") {
			t.Errorf("the page does not show %s as it is", file)
		}
	}
}

// testInvalidManifest: the manifest is refused whatever the client asks for, because selector is a string.
func testInvalidManifest(t *testing.T, calico client.Client) {
	t.Helper()
	for _, validation := range []client.FieldValidation{"Strict", "Warn", "Ignore"} {
		policy := build(t, example(t, "invalid.yaml"), edit{"metadata.namespace", "shop"})
		err := calico.Create(t.Context(), policy, validation)
		if err == nil {
			t.Errorf("invalid.yaml was accepted with fieldValidation %s", validation)
			continue
		}
		t.Logf("invalid.yaml, fieldValidation %s: %v", validation, err)
		if !strings.Contains(err.Error(), "selector") {
			t.Errorf("got %v, want an error about the selector", err)
		}
	}
}

// testHalfCorrectedManifest: strict validation finds the ports; without it they are dropped, and all of TCP is open.
func testHalfCorrectedManifest(t *testing.T, calico client.Client) {
	t.Helper()
	err := calico.Create(t.Context(), build(t, example(t, "half-corrected.yaml")), client.FieldValidation("Strict"))
	if err == nil || !strings.Contains(err.Error(), `unknown field "spec.ingress[0].ports"`) {
		t.Errorf("half-corrected.yaml: got %v, want an error about spec.ingress[0].ports", err)
	}
	policy := build(t, example(t, "half-corrected.yaml"))
	if err := calico.Create(t.Context(), policy, client.FieldValidation("Ignore")); err != nil {
		t.Fatalf("half-corrected.yaml without validation: %v", err)
	}
	if err := calico.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
		t.Fatal(err)
	}
	for _, direction := range []string{"ingress", "egress"} {
		rules, _, err := unstructured.NestedSlice(policy.Object, "spec", direction)
		if err != nil || len(rules) != 1 {
			t.Fatalf("got %v (%v), want one %s rule", rules, err, direction)
		}
		rule := rules[0].(map[string]any)
		if rule["ports"] != nil || rule["protocol"] != "TCP" {
			t.Errorf("%s: got %v, want the ports dropped and TCP kept", direction, rule)
		}
	}
	types, _, err := unstructured.NestedStringSlice(policy.Object, "spec", "types")
	if diff := cmp.Diff([]string{"Ingress", "Egress"}, types); diff != "" || err != nil {
		t.Errorf("types by default (-want +got):\n%s%v", diff, err)
	}
	if err := calico.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
}

// testValidManifests: the page's valid forms are stored as they are written.
func testValidManifests(t *testing.T, calico client.Client) {
	t.Helper()
	for _, file := range []string{"http-in-https-out.yaml", "all-ingress.yaml"} {
		policy := build(t, example(t, file))
		if err := calico.Create(t.Context(), policy, client.FieldValidation("Strict")); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := calico.Delete(t.Context(), policy); err != nil {
			t.Errorf("deleting %s: %v", file, err)
		}
	}
}

// example reads a manifest of the page.
func example(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examplesDirectory, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
