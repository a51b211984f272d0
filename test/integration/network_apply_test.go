package integration

import (
	"errors"
	"strings"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

const owner = "test-owner"

func eachForm(t *testing.T, test func(t *testing.T, c client.Client)) {
	t.Helper()
	for name, cl := range forms {
		t.Run(name, func(t *testing.T) {
			test(t, memberClient(t, cl, "equal"))
		})
	}
}

// memberClient is a client with the rights that the operator has on a member, for policies of one tier.
func memberClient(t *testing.T, c *cluster.Cluster, tier string) client.WithWatch {
	t.Helper()
	out, err := client.NewWithWatch(access.MemberWithTier(t, c, tier), client.Options{Scheme: fleetScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func meta(name string, labels map[string]string) metav1.ObjectMeta {
	all := map[string]string{mcnv1alpha1.OwnerLabel: owner}
	for k, v := range labels {
		all[k] = v
	}
	return metav1.ObjectMeta{Name: name, Labels: all, Annotations: map[string]string{mcnv1alpha1.ContentHashAnnotation: "h1"}}
}

func calicoType(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: "projectcalico.org/v3", Kind: kind}
}

func ptr[T any](v T) *T { return &v }

// everyKind is one object of each kind that we write, in write order.
func everyKind(prefix string) []compile.Resource {
	pass := calicov3.Pass
	policy := calicov3.GlobalNetworkPolicySpec{
		Tier: prefix, Order: ptr(2100.0), Types: []calicov3.PolicyType{calicov3.PolicyTypeIngress, calicov3.PolicyTypeEgress},
		NamespaceSelector: "all()", Selector: "app == 'web'",
		Ingress: []calicov3.Rule{{Action: calicov3.Pass, Source: calicov3.EntityRule{Selector: "app == 'x'", NamespaceSelector: "global()"}}},
	}
	return []compile.Resource{
		&calicov3.Tier{TypeMeta: calicoType("Tier"), ObjectMeta: meta(prefix, nil), Spec: calicov3.TierSpec{Order: ptr(500.0), DefaultAction: &pass}},
		&calicov3.IPPool{TypeMeta: calicoType("IPPool"), ObjectMeta: meta(prefix+"-pool", nil),
			Spec: calicov3.IPPoolSpec{CIDR: "10.77.0.0/16", Disabled: true}},
		&calicov3.GlobalNetworkSet{TypeMeta: calicoType("GlobalNetworkSet"), ObjectMeta: meta(prefix+"-set", nil),
			Spec: calicov3.GlobalNetworkSetSpec{Nets: []string{"10.1.0.1/32", "10.1.0.2/32"}}},
		&calicov3.GlobalNetworkPolicy{TypeMeta: calicoType("GlobalNetworkPolicy"), ObjectMeta: meta(prefix+".net-flat-p-abc", nil), Spec: policy},
		&calicov3.StagedGlobalNetworkPolicy{TypeMeta: calicoType("StagedGlobalNetworkPolicy"), ObjectMeta: meta(prefix+".net-flat-p-abc", nil),
			Spec: calicov3.StagedGlobalNetworkPolicySpec{
				StagedAction: calicov3.StagedActionSet, Tier: policy.Tier, Order: policy.Order, Types: policy.Types,
				NamespaceSelector: policy.NamespaceSelector, Selector: policy.Selector, Ingress: policy.Ingress,
			}},
	}
}

func intended(t *testing.T, r compile.Resource) *unstructured.Unstructured {
	t.Helper()
	u, err := apply.Intended(r)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func versions(t *testing.T, a *apply.Cluster) map[compile.Key]string {
	t.Helper()
	listing, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(listing.NotServed) > 0 {
		t.Fatalf("kinds not served: %v", listing.NotServed)
	}
	out := map[compile.Key]string{}
	for key, u := range listing.Objects {
		out[key] = string(u.GetUID()) + "/" + u.GetResourceVersion()
	}
	return out
}

func TestIntendedHoldsOnlyWhatIsMeant(t *testing.T) {
	for _, r := range everyKind("lean") {
		u := intended(t, r)
		text, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, unwanted := range []string{"null", "creationTimestamp", "status", "{}", "[]"} {
			if strings.Contains(string(text), unwanted) {
				t.Errorf("%s holds %q: %s", u.GetKind(), unwanted, text)
			}
		}
	}
}

func TestApplyCreatesThenSendsNothingWhenEqual(t *testing.T) {
	eachForm(t, func(t *testing.T, c client.Client) {
		a := apply.New(c, owner)
		for _, r := range everyKind("equal") {
			outcome, _, err := a.Apply(t.Context(), intended(t, r))
			if err != nil || outcome != apply.Created {
				t.Fatalf("first apply of %s: %q, %v; want Created", r.GetName(), outcome, err)
			}
		}
		before := versions(t, a)
		if len(before) < 5 {
			t.Fatalf("listed %v, want one of each kind", before)
		}
		for _, r := range everyKind("equal") {
			outcome, _, err := a.Apply(t.Context(), intended(t, r))
			if err != nil || outcome != apply.Unchanged {
				t.Errorf("second apply of %s: %q, %v; want Unchanged", r.GetName(), outcome, err)
			}
		}
		after := versions(t, a)
		for key, v := range before {
			if after[key] != v {
				t.Errorf("%v went from %s to %s, want no change", key, v, after[key])
			}
		}
		removeAll(t, a)
	})
}

func removeAll(t *testing.T, a *apply.Cluster) {
	t.Helper()
	kinds := apply.Kinds()
	for i := len(kinds) - 1; i >= 0; i-- {
		listing, err := a.List(t.Context(), kinds[i])
		if err != nil {
			t.Fatal(err)
		}
		for key, u := range listing.Objects {
			if err := a.Delete(t.Context(), u); err != nil {
				t.Errorf("deleting %v: %v", key, err)
			}
			if err := a.Delete(t.Context(), u); err != nil {
				t.Errorf("deleting %v once more: %v, want no error", key, err)
			}
		}
	}
	if left := versions(t, a); len(left) > 0 {
		t.Errorf("left after deleting: %v", left)
	}
}

func TestApplyReplacesAddressesAndPutsDriftBack(t *testing.T) {
	eachForm(t, func(t *testing.T, c client.Client) {
		a := apply.New(c, owner)
		set := everyKind("drift")[2].(*calicov3.GlobalNetworkSet)
		if _, _, err := a.Apply(t.Context(), intended(t, set)); err != nil {
			t.Fatal(err)
		}
		set.Spec.Nets = []string{"10.1.0.2/32", "10.1.0.3/32"}
		if outcome, _, err := a.Apply(t.Context(), intended(t, set)); err != nil || outcome != apply.Updated {
			t.Fatalf("apply of changed addresses: %q, %v; want Updated", outcome, err)
		}
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(intended(t, set).GroupVersionKind())
		read := func() []string {
			if err := c.Get(t.Context(), client.ObjectKey{Name: set.Name}, live); err != nil {
				t.Fatal(err)
			}
			nets, _, _ := unstructured.NestedStringSlice(live.Object, "spec", "nets")
			return nets
		}
		if got := strings.Join(read(), " "); got != "10.1.0.2/32 10.1.0.3/32" {
			t.Fatalf("addresses are %s, want the new ones alone", got)
		}
		theirs := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"nets":["192.0.2.1/32"]}}`))
		if err := c.Patch(t.Context(), live, theirs, client.FieldOwner("somebody")); err != nil {
			t.Fatal(err)
		}
		if outcome, _, err := a.Apply(t.Context(), intended(t, set)); err != nil || outcome != apply.Updated {
			t.Fatalf("apply over drift: %q, %v; want Updated", outcome, err)
		}
		if got := strings.Join(read(), " "); got != "10.1.0.2/32 10.1.0.3/32" {
			t.Errorf("addresses are %s after drift, want ours", got)
		}
		set.Spec.Nets = nil
		if outcome, _, err := a.Apply(t.Context(), intended(t, set)); err != nil {
			t.Fatalf("apply of an empty set: %q, %v", outcome, err)
		}
		removeAll(t, a)
	})
}

// TestApplyTakesAwayWhatSomebodyAdded: a policy that somebody narrows by a field which we do not send does not do what was compiled.
func TestApplyTakesAwayWhatSomebodyAdded(t *testing.T) {
	for name, cl := range forms {
		t.Run(name, func(t *testing.T) {
			c := memberClient(t, cl, "added")
			a := apply.New(c, owner)
			objects := everyKind("added")
			for _, r := range []compile.Resource{objects[0], objects[3]} {
				if _, _, err := a.Apply(t.Context(), intended(t, r)); err != nil {
					t.Fatal(err)
				}
			}
			want := intended(t, objects[3])
			for _, theirs := range []string{
				`{"spec":{"serviceAccountSelector":"!all()"}}`,
				`{"spec":{"egress":[{"action":"Allow"}]}}`,
				`{"spec":{"ingress":[{"action":"Pass","protocol":"SCTP","source":{"selector":"app == 'x'","namespaceSelector":"global()"}}]}}`,
			} {
				live := &unstructured.Unstructured{}
				live.SetGroupVersionKind(want.GroupVersionKind())
				live.SetName(want.GetName())
				if err := c.Patch(t.Context(), live, client.RawPatch(types.MergePatchType, []byte(theirs)), client.FieldOwner("somebody")); err != nil {
					t.Fatal(err)
				}
				if outcome, now, err := a.Apply(t.Context(), want); err != nil || outcome != apply.Updated || !apply.Equal(now, want) {
					t.Fatalf("apply over %s: %q, %v; want Updated, and nothing of it left in %v", theirs, outcome, err, now)
				}
				if outcome, _, err := a.Apply(t.Context(), want); err != nil || outcome != apply.Unchanged {
					t.Errorf("second apply over %s: %q, %v; want Unchanged", theirs, outcome, err)
				}
			}
			removeAll(t, a)
		})
	}
}

func TestForeignObjectIsNeverTouched(t *testing.T) {
	eachForm(t, func(t *testing.T, c client.Client) {
		a := apply.New(c, owner)
		want := intended(t, everyKind("foreign")[2])
		for name, label := range map[string]string{"another owner's": "somebody-else", "nobody's": ""} {
			foreign := want.DeepCopy()
			foreign.SetLabels(nil)
			if label != "" {
				foreign.SetLabels(map[string]string{mcnv1alpha1.OwnerLabel: label})
			}
			if err := c.Create(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			changed := want.DeepCopy()
			_ = unstructured.SetNestedStringSlice(changed.Object, []string{"10.9.9.9/32"}, "spec", "nets")
			var conflict *apply.OwnershipConflictError
			if _, _, err := a.Apply(t.Context(), changed); !errors.As(err, &conflict) || conflict.Key.Name != want.GetName() {
				t.Errorf("%s: apply gave %v, want an OwnershipConflictError that names the object", name, err)
			}
			if err := a.Delete(t.Context(), foreign); !errors.As(err, &conflict) {
				t.Errorf("%s: delete gave %v, want an OwnershipConflictError", name, err)
			}
			now := want.DeepCopy()
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(foreign), now); err != nil {
				t.Fatal(err)
			}
			if now.GetResourceVersion() != foreign.GetResourceVersion() {
				t.Errorf("%s: resourceVersion went from %s to %s", name, foreign.GetResourceVersion(), now.GetResourceVersion())
			}
			if err := c.Delete(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDryRunKeepsNothing(t *testing.T) {
	eachForm(t, func(t *testing.T, c client.Client) {
		a := apply.New(c, owner)
		if outcome, _, err := a.DryRun().Apply(t.Context(), intended(t, everyKind("dry")[2])); err != nil || outcome != apply.Created {
			t.Fatalf("dry run: %q, %v; want Created", outcome, err)
		}
		if left := versions(t, a); len(left) > 0 {
			t.Errorf("the dry run left %v", left)
		}
	})
}

func TestDeleteRefusesAnObjectThatChanged(t *testing.T) {
	eachForm(t, func(t *testing.T, c client.Client) {
		a := apply.New(c, owner)
		set := everyKind("race")[2].(*calicov3.GlobalNetworkSet)
		if _, _, err := a.Apply(t.Context(), intended(t, set)); err != nil {
			t.Fatal(err)
		}
		listing, err := a.List(t.Context(), apply.KindSet)
		if err != nil {
			t.Fatal(err)
		}
		set.Spec.Nets = []string{"10.1.0.9/32"}
		if _, _, err := a.Apply(t.Context(), intended(t, set)); err != nil {
			t.Fatal(err)
		}
		for _, stale := range listing.Objects {
			if err := a.Delete(t.Context(), stale); err == nil {
				t.Error("deleting by an old resourceVersion went through, want a conflict")
			}
		}
		removeAll(t, a)
	})
}

func TestRefusedTierDeletionIsTold(t *testing.T) {
	a := apply.New(memberClient(t, forms["aggregated"], "full"), owner)
	objects := everyKind("full")
	for _, r := range []compile.Resource{objects[0], objects[3]} {
		if _, _, err := a.Apply(t.Context(), intended(t, r)); err != nil {
			t.Fatal(err)
		}
	}
	listing, err := a.List(t.Context(), apply.KindTier)
	if err != nil {
		t.Fatal(err)
	}
	for _, tier := range listing.Objects {
		if err := a.Delete(t.Context(), tier); !apply.IsRefused(err) {
			t.Errorf("deleting a tier with a policy in it gave %v (%s), want a refusal", err, apierrors.ReasonForError(err))
		}
	}
	removeAll(t, a)
}
