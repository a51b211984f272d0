package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
)

// crds is an administrator's client for CustomResourceDefinitions.
func crds(t *testing.T, on *cluster.Cluster) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	out, err := client.New(on.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAMemberThatLacksSomething runs on a cluster of its own, whose definitions and roles it changes.
func TestAMemberThatLacksSomething(t *testing.T) {
	t.Parallel()
	on := cluster.ForTest(t, cluster.Options{Name: "lacking", Calico: cluster.Native, APIServerArgs: audit.Args(t)})
	t.Run("a kind", func(t *testing.T) { testMissingKind(t, on) })
	t.Run("a field", func(t *testing.T) { testMissingField(t, on) })
	t.Run("a right", func(t *testing.T) { testMissingRight(t, on) })
	t.Run("the right to list a kind", func(t *testing.T) { testKindThatMayNotBeListed(t, on) })
	t.Run("the will to keep a field", func(t *testing.T) { testMeddledField(t, on) })
}

func testMissingKind(t *testing.T, on *cluster.Cluster) {
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil))
	enforced := []compile.Object{b.policy("net", "p", "x", 2100), b.policy("net", "d", "x", 4000)}
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: enforced}}, nil)
	b.wait("one", "net", programmed(1))

	admin := crds(t, on)
	definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "stagedglobalnetworkpolicies.projectcalico.org"}}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(definition), definition); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), definition.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the definition to be gone", func() string {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(definition), definition.DeepCopy()); !apierrors.IsNotFound(err) {
			return "it is there"
		}
		if err := b.other("one").List(t.Context(), listOf(apply.KindStaged)); err == nil {
			return "it is served"
		}
		return ""
	})
	b.engage("one")
	b.manager.Kick("one")
	b.settled("one", on)
	before := b.left("one")
	b.taken()
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 2, Staged: true, Objects: []compile.Object{b.staged(enforced[0]), b.staged(enforced[1])}}}, nil)
	got := b.wait("one", "net", func(r member.Result) bool { return r.Generation == 2 && r.Reason == mcnv1alpha1.ReasonKindNotServed })
	if !strings.Contains(got.Message, apply.KindStaged) || got.Staged {
		t.Errorf("%+v: want the kind named, and that the policies there are enforced", got)
	}
	if after := b.left("one"); after != before {
		t.Errorf("there is %s, want what was there: %s", after, before)
	}
	sent := len(b.settled("one", on))
	b.manager.Wake()
	if more := b.settled("one", on)[sent:]; len(more) > 0 || len(b.taken()) > 0 {
		t.Errorf("a kind that is not there is asked for again and again: %v", more)
	}

	definition.ResourceVersion, definition.UID, definition.Status = "", "", apiextensionsv1.CustomResourceDefinitionStatus{}
	if err := admin.Create(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	b.wait("one", "net", programmed(2))
}

func testMissingField(t *testing.T, on *cluster.Cluster) {
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil))
	admin := crds(t, on)
	definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "globalnetworkpolicies.projectcalico.org"}}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(definition), definition); err != nil {
		t.Fatal(err)
	}
	whole := definition.DeepCopy()
	delete(definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties, "namespaceSelector")
	if err := admin.Update(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	probe := b.policy("probe", "p", "x", 2100).Resource
	eventually(t, "the field to be dropped", func() string {
		made := intended(t, probe)
		if err := b.other("one").Create(context.Background(), made, client.DryRunAll); err != nil {
			return err.Error()
		}
		if strings.Contains(fmt.Sprint(made.Object), "namespaceSelector") {
			return "it is kept"
		}
		return ""
	})
	b.engage("one")
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, nil)
	got := b.wait("one", "net", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonWriteFailed })
	for _, want := range []string{b.tier + ".guard-abc", "spec.namespaceSelector", "CustomResourceDefinition"} {
		if !strings.Contains(got.Message, want) {
			t.Errorf("%s: want %q in it", got.Message, want)
		}
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(definition), definition); err != nil {
		t.Fatal(err)
	}
	definition.Spec = whole.Spec
	if err := admin.Update(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the field to be kept", func() string {
		made := intended(t, probe)
		if err := b.other("one").Create(context.Background(), made, client.DryRunAll); err != nil {
			return err.Error()
		}
		if !strings.Contains(fmt.Sprint(made.Object), "namespaceSelector") {
			return "it is dropped"
		}
		return ""
	})
	b.manager.Kick("one")
	b.wait("one", "net", programmed(1))
}

// meddler changes every denial's order when it is written.
func meddler(t *testing.T, c client.Client) {
	t.Helper()
	object := func(kind string, spec map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind})
		u.SetName("meddler.example.com")
		if err := c.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	object("MutatingAdmissionPolicy", map[string]any{
		"failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
		"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{
			"apiGroups": []any{"projectcalico.org"}, "apiVersions": []any{"v3"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{"globalnetworkpolicies"},
		}}},
		"matchConditions": []any{map[string]any{"name": "denial", "expression": `object.metadata.name.contains("-d-")`}},
		"mutations": []any{map[string]any{"patchType": "JSONPatch", "jsonPatch": map[string]any{
			"expression": `[JSONPatch{op: "replace", path: "/spec/order", value: 1234}]`,
		}}},
	})
	binding := object("MutatingAdmissionPolicyBinding", map[string]any{"policyName": "meddler.example.com"})
	t.Cleanup(func() { _ = c.Delete(context.Background(), binding) })
}

func testMeddledField(t *testing.T, on *cluster.Cluster) {
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil))
	admin := b.other("one")
	meddler(t, admin)
	denial := b.policy("net", "d", "x", 4000)
	probe := b.policy("probe", "d", "x", 4000).Resource
	order := func() string {
		made := intended(t, probe)
		if err := admin.Create(context.Background(), made, client.DryRunAll); err != nil {
			return err.Error()
		}
		got, _, _ := unstructured.NestedFieldNoCopy(made.Object, "spec", "order")
		return fmt.Sprint(got)
	}
	eventually(t, "the meddler to be in force", func() string {
		if got := order(); got != "1234" {
			return got
		}
		return ""
	})
	b.engage("one")
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, nil)
	got := b.wait("one", "net", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonWriteFailed })
	for _, want := range []string{denial.Resource.GetName(), "spec.order", "admission webhook"} {
		if !strings.Contains(got.Message, want) {
			t.Errorf("%s: want %q in it", got.Message, want)
		}
	}
	writes := func() int {
		n := 0
		for _, r := range b.settled("one", on) {
			if r.name == denial.Resource.GetName() {
				n += count([]request{r}, writeVerbs...)
			}
		}
		return n
	}
	if n := writes(); n > 2 {
		t.Errorf("what the server does not keep was written %d times, want once, and the reset of its spec", n)
	}
	// Whoever touches it otherwise causes one more try, not a war.
	change(t, admin, compile.Key{Kind: apply.KindPolicy, Name: denial.Resource.GetName()}, setField("y", "metadata", "annotations", "example.com/note"))
	if n := writes(); n > 4 {
		t.Errorf("after it was touched there are %d writes, want one more try", n)
	}
}
