package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/faults/proxy"
)

// objectRows let others write to what the operator wrote.
func objectRows() []row {
	return []row{
		{
			id: "F15", fault: "Server-side apply conflicts",
			injected: "Another field manager takes a field of a policy by force; then a policy of others stands under the name that a network needs",
			expected: "Take back what we created; never touch what we did not create, and report it",
			result:   "The field is taken back; the other's policy stays byte-identical, `OwnershipConflict` names it, and the network is Ready once it is gone",
			run:      conflicts,
		},
		{
			id: "F16", fault: "A GitOps tool reverts us every 3 s",
			injected: "Another field manager applies its own content of one policy by force, every 3 s",
			expected: "No war of writes: back off after a few flips and report it",
			result:   "`Contended` names the policy and the other manager; at most one more write in the next 20 s; put back once the other stops",
			run:      contended,
		},
		{
			id: "F17", fault: "A user edits, then deletes, an object of ours",
			injected: "A policy's selector is patched; then the policy is deleted",
			expected: "Restored within 5 s",
			result:   "Both times the policy is back with the content of before",
			run:      edited,
		},
		{
			id: "F18", fault: "Two Exclusive networks pick the same pods",
			injected: "Two such networks are created one after the other",
			expected: "A winner that is always the same (older, then by name); the loser is told; nothing goes back and forth",
			result:   "The first decides, the second is Accepted with `MembershipConflict`; once both stand, no write for 10 s",
			run:      claimed,
		},
	}
}

// policy returns one policy of a network on a member.
func (s *site) policy(t *testing.T, network string) *unstructured.Unstructured {
	t.Helper()
	now := s.held(t, network)
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if strings.HasPrefix(key, "GlobalNetworkPolicy ") {
			return now[key]
		}
	}
	t.Fatalf("network %s has no policy on %s", network, s.name)
	return nil
}

// same checks that an object has the spec of before.
func (s *site) same(was *unstructured.Unstructured) func() error {
	return func() error {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(was.GroupVersionKind())
		if err := s.admin.Get(context.Background(), client.ObjectKeyFromObject(was), now); err != nil {
			return err
		}
		if got, want := fmt.Sprint(now.Object["spec"]), fmt.Sprint(was.Object["spec"]); got != want {
			return fmt.Errorf("the spec of %s is %s, was %s", was.GetName(), got, want)
		}
		return nil
	}
}

func conflicts(t *testing.T, w *world) time.Duration {
	s := w.sites[south]
	untouched := w.remember(t, south)
	w.network(t, "f15", south)
	policy := s.policy(t, "f15")
	foreign := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"order": int64(1)}}}
	foreign.SetGroupVersionKind(policy.GroupVersionKind())
	foreign.SetName(policy.GetName())
	must(t, s.admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(foreign), client.FieldOwner("somebody"), client.ForceOwnership))
	t.Logf("taken back after %s", eventually(t, "the field is taken back", s.same(policy)))

	w.remove(t, "f15")
	other := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"tier": mcnv1alpha1.DefaultTier, "order": int64(9000), "selector": "app == 'other'", "types": []any{"Ingress"},
	}}}
	other.SetGroupVersionKind(policy.GroupVersionKind())
	other.SetName(policy.GetName())
	must(t, s.admin.Create(t.Context(), other))
	must(t, w.admin.Create(t.Context(), flat("f15", south)))
	eventually(t, "f15 names what is in its way", func() error {
		c, err := w.clusterStatus("f15", south)
		if err == nil && (c.Reason != string(mcnv1alpha1.ReasonOwnershipConflict) || !strings.Contains(c.Message, policy.GetName())) {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
	version := other.GetResourceVersion()
	must(t, s.admin.Get(t.Context(), client.ObjectKeyFromObject(other), other))
	if other.GetResourceVersion() != version {
		t.Errorf("the other's policy was written to: %v", other.Object)
	}
	must(t, s.admin.Delete(t.Context(), other))
	took := w.waitReady(t, "f15")
	untouched(t)
	return took
}

func contended(t *testing.T, w *world) time.Duration {
	s := w.sites[south]
	untouched := w.remember(t, south)
	w.network(t, "f16", south)
	policy := s.policy(t, "f16")
	fought, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(3 * time.Second)
		defer ticker.Stop()
		for fought.Err() == nil {
			revert := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"order": int64(7)}}}
			revert.SetGroupVersionKind(policy.GroupVersionKind())
			revert.SetName(policy.GetName())
			// One that comes in between is as good as any: the next follows.
			_ = s.admin.Apply(fought, client.ApplyConfigurationFromUnstructured(revert), client.FieldOwner("argocd"), client.ForceOwnership)
			select {
			case <-ticker.C:
			case <-fought.Done():
			}
		}
	}()
	t.Logf("given up after %s", eventually(t, "f16 is contended", func() error {
		c, err := w.clusterStatus("f16", south)
		if err == nil && (c.Reason != string(mcnv1alpha1.ReasonContended) || !strings.Contains(c.Message, "argocd") || !strings.Contains(c.Message, policy.GetName())) {
			err = fmt.Errorf("%+v", c)
		}
		return err
	}))
	mark := s.proxy.Mark()
	rest(t, 20*time.Second)
	if all := s.proxy.Since(mark, proxy.Writes()); len(all) > 1 {
		t.Errorf("%d writes in 20 s of contention", len(all))
	}
	stop()
	<-ended
	// Ready it is only after a minute in which nobody changed it again.
	took := eventually(t, "the policy is put back", s.same(policy))
	untouched(t)
	return took
}

func edited(t *testing.T, w *world) time.Duration {
	s := w.sites[south]
	w.network(t, "f17", south)
	policy := s.policy(t, "f17")
	edit := policy.DeepCopy()
	must(t, unstructured.SetNestedField(edit.Object, "app == 'edited'", "spec", "selector"))
	must(t, s.admin.Update(t.Context(), edit))
	took := eventually(t, "the edit is undone", s.same(policy))
	must(t, s.admin.Delete(t.Context(), edit))
	return max(took, eventually(t, "the policy is back", s.same(policy)))
}

func claimed(t *testing.T, w *world) time.Duration {
	s := w.sites[south]
	s.addPod(t, "f18", "app", nil)
	for _, name := range []string{"f18-first", "f18-second"} {
		n := flat(name, south)
		n.Spec.Flat.Pods, n.Spec.Membership = selection("f18", ""), mcnv1alpha1.MembershipExclusive
		w.create(t, n)
		w.waitReady(t, name)
	}
	first, err := w.get("f18-first")
	must(t, err)
	eventually(t, "the loser is told", func() error {
		second, err := w.get("f18-second")
		if err != nil {
			return err
		}
		return condition(second.Status.Conditions, mcnv1alpha1.ConditionAccepted, metav1.ConditionTrue, "", string(mcnv1alpha1.WarningMembershipConflict))
	})
	if c := apimeta.FindStatusCondition(first.Status.Conditions, mcnv1alpha1.ConditionAccepted); strings.Contains(c.Message, string(mcnv1alpha1.WarningMembershipConflict)) {
		t.Errorf("the winner is told too: %s", c.Message)
	}
	w.waitReady(t, "f18-second")
	before, mark := s.held(t), s.proxy.Mark()
	rest(t, 10*time.Second)
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	if err := before.differs(s.held(t)); err != nil {
		t.Error(err)
	}
	return 0
}
