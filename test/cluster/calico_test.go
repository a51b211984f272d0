package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"multicloud.network/operator/test/cluster"
)

// objects are the plural names of Calico's kinds, with one object each.
var objects = map[string]string{
	"tiers": `{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"multicloud"},"spec":{"order":500,"defaultAction":"Pass"}}`,
	"globalnetworksets": `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkSet","metadata":{"name":"mcn-set",` +
		`"labels":{"multicloud.network/group":"x"}},"spec":{"nets":["10.1.0.1/32","10.1.0.2/32"]}}`,
	"globalnetworkpolicies": `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"multicloud.web"},` +
		`"spec":{"tier":"multicloud","order":2000,"selector":"app == 'web'","ingress":[{"action":"Allow","protocol":"TCP",` +
		`"source":{"namespaceSelector":"global()","selector":"multicloud.network/group == 'x'"},"destination":{"ports":[80,"81:90"]}}]}}`,
}

// forms runs a test on a cluster of each form of Calico's API.
func forms(t *testing.T, test func(t *testing.T, c *cluster.Cluster)) {
	for _, c := range []*cluster.Cluster{aggregated, native} {
		t.Run(c.Name, func(t *testing.T) { test(t, c) })
	}
}

func TestServerSideApplyWorksInBothForms(t *testing.T) {
	forms(t, func(t *testing.T, c *cluster.Cluster) {
		for _, plural := range []string{"tiers", "globalnetworksets", "globalnetworkpolicies"} {
			sent := parse(t, objects[plural])
			applied, err := resource(t, c, plural).Apply(t.Context(), sent.GetName(), sent, metav1.ApplyOptions{FieldManager: "test"})
			if err != nil {
				t.Fatal(err)
			}
			remove(t, c, plural, sent.GetName())
			if applied.GetUID() == "" {
				t.Errorf("%s came back without a UID", plural)
			}
			read, err := resource(t, c, plural).Get(t.Context(), sent.GetName(), metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want, got := sent.Object["spec"].(map[string]any), read.Object["spec"].(map[string]any)
			for key := range want {
				if diff := cmp.Diff(want[key], got[key]); diff != "" {
					t.Errorf("%s, field %s (-sent +read):\n%s", plural, key, diff)
				}
			}
		}
	})
}

func TestPoliciesGetTypesTierAndLabelInBothForms(t *testing.T) {
	for _, test := range []struct {
		name, spec, tier string
		types            []string
	}{
		{"default.none", `{}`, "default", []string{"Ingress"}},
		{"default.ingress", `{"ingress":[{"action":"Deny"}]}`, "default", []string{"Ingress"}},
		{"default.egress", `{"egress":[{"action":"Deny"}]}`, "default", []string{"Egress"}},
		{"default.both", `{"ingress":[{"action":"Deny"}],"egress":[{"action":"Deny"}]}`, "default", []string{"Ingress", "Egress"}},
		{"default.chosen", `{"types":["Egress"],"ingress":[{"action":"Deny"}]}`, "default", []string{"Egress"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			forms(t, func(t *testing.T, c *cluster.Cluster) {
				policy := parse(t, `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"`+test.name+`"},"spec":`+test.spec+`}`)
				made, err := resource(t, c, "globalnetworkpolicies").Create(t.Context(), policy, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				remove(t, c, "globalnetworkpolicies", policy.GetName())
				types, _, _ := unstructured.NestedStringSlice(made.Object, "spec", "types")
				tier, _, _ := unstructured.NestedString(made.Object, "spec", "tier")
				if !cmp.Equal(types, test.types) || tier != test.tier || made.GetLabels()["projectcalico.org/tier"] != test.tier {
					t.Errorf("got types %v, tier %q, labels %v; want %v, %q", types, tier, made.GetLabels(), test.types, test.tier)
				}
				list, err := resource(t, c, "globalnetworkpolicies").List(t.Context(), metav1.ListOptions{LabelSelector: "projectcalico.org/tier=" + test.tier})
				if err != nil || len(list.Items) == 0 {
					t.Errorf("listing by the tier's label returned %d policies, error %v", len(list.Items), err)
				}
			})
		})
	}
}

func TestOnlyTheNativeAPIFillsInTheStagedAction(t *testing.T) {
	forms(t, func(t *testing.T, c *cluster.Cluster) {
		policy := parse(t, `{"apiVersion":"projectcalico.org/v3","kind":"StagedGlobalNetworkPolicy","metadata":{"name":"default.staged"},"spec":{"tier":"default"}}`)
		if _, err := resource(t, c, "stagedglobalnetworkpolicies").Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		remove(t, c, "stagedglobalnetworkpolicies", policy.GetName())
		read, err := resource(t, c, "stagedglobalnetworkpolicies").Get(t.Context(), policy.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		action, _, _ := unstructured.NestedString(read.Object, "spec", "stagedAction")
		if want := map[*cluster.Cluster]string{native: "Set"}[c]; action != want {
			t.Errorf("stagedAction is %q, want %q", action, want)
		}
	})
}

// What a caller may rely on when it sends a selector that does not parse: the aggregated API refuses it, but not in a dry run, and after
// an apply not in the way of Kubernetes; the native API takes it.
func TestOnlyTheAggregatedAPIRefusesABrokenSelectorAndNotInADryRun(t *testing.T) {
	forms(t, func(t *testing.T, c *cluster.Cluster) {
		broken := parse(t, `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"default.broken"},"spec":{"selector":"app = web"}}`)
		policies := resource(t, c, "globalnetworkpolicies")
		dry := []string{metav1.DryRunAll}
		if _, err := policies.Create(t.Context(), broken, metav1.CreateOptions{DryRun: dry}); err != nil {
			t.Errorf("dry create: %v", err)
		}
		if _, err := policies.Apply(t.Context(), broken.GetName(), broken, metav1.ApplyOptions{DryRun: dry, FieldManager: "test"}); err != nil {
			t.Errorf("dry apply: %v", err)
		}
		_, err := policies.Apply(t.Context(), broken.GetName(), broken, metav1.ApplyOptions{FieldManager: "test"})
		if c == native {
			if err != nil {
				t.Fatalf("apply: %v", err)
			}
			remove(t, c, "globalnetworkpolicies", broken.GetName())
			return
		}
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Code != 500 || !strings.Contains(err.Error(), "Selector") {
			t.Errorf("apply: got %v (%+v), want code 500 and the field", err, status)
		}
		if _, err := policies.Create(t.Context(), broken, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("create: got %v, want reason Invalid", err)
		}
	})
}

func TestADryRunFillsInOnlyWhatAdmissionDoes(t *testing.T) {
	forms(t, func(t *testing.T, c *cluster.Cluster) {
		policy := parse(t, `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"default.dry"},"spec":{"selector":"all()"}}`)
		made, err := resource(t, c, "globalnetworkpolicies").Create(t.Context(), policy, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			t.Fatal(err)
		}
		types, _, _ := unstructured.NestedStringSlice(made.Object, "spec", "types")
		if filled := len(types) > 0 && made.GetLabels()["projectcalico.org/tier"] != ""; filled != (c == native) {
			t.Errorf("a dry run returned types %v and labels %v", types, made.GetLabels())
		}
		if _, err := resource(t, c, "globalnetworkpolicies").Get(t.Context(), policy.GetName(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("after a dry run: got %v, want not found", err)
		}
	})
}

func TestTheValidatorAgreesWithTheAggregatedAPI(t *testing.T) {
	validator, err := cluster.Validator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good := strings.Replace(objects["globalnetworkpolicies"], `"order"`, `"types":["Ingress"],"order"`, 1)
	for object, accepted := range map[string]bool{
		objects["tiers"]: true, objects["globalnetworksets"]: true, good: true,
		strings.Replace(good, "app == 'web'", "app = web", 1):         false,
		strings.Replace(good, `"action"`, `"comment":"","action"`, 1): false,
	} {
		problems, err := validator.Validate([]byte(object))
		if err != nil {
			t.Fatal(err)
		}
		if (len(problems) == 0) != accepted {
			t.Errorf("%s: got problems %q", object, problems)
		}
	}
	if err := validator.Close(); err != nil {
		t.Error(err)
	}
}

// resource returns a client for one of Calico's cluster-scoped kinds.
func resource(t *testing.T, c *cluster.Cluster, plural string) dynamic.ResourceInterface {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(schema.GroupVersionResource{Group: "projectcalico.org", Version: "v3", Resource: plural})
}

// remove deletes an object at the test's end; what was made last goes first, so that a tier is empty by then.
func remove(t *testing.T, c *cluster.Cluster, plural, name string) {
	t.Helper()
	objects := resource(t, c, plural)
	t.Cleanup(func() {
		if err := objects.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// parse reads an object; its numbers become int64 or float64, as a client reads them.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), object); err != nil {
		t.Fatal(err)
	}
	return object
}
