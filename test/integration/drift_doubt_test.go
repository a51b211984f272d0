package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// withoutList takes the right to list one resource from the operator's account, and returns what gives it back.
func withoutList(t *testing.T, c client.Client, resource string) (restore func()) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: access.MemberAccount}}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		t.Fatal(err)
	}
	whole := slices.Clone(role.Rules)
	var more []rbacv1.PolicyRule
	for i, r := range role.Rules {
		if j := slices.Index(r.Resources, resource); j >= 0 {
			role.Rules[i].Resources = slices.Delete(slices.Clone(r.Resources), j, j+1)
			verbs := slices.DeleteFunc(slices.Clone(r.Verbs), func(verb string) bool { return verb == "list" || verb == "*" })
			more = append(more, rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: []string{resource}, Verbs: verbs})
		}
	}
	role.Rules = append(role.Rules, more...)
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	return func() {
		role.Rules = whole
		if err := c.Update(t.Context(), role); err != nil {
			t.Fatal(err)
		}
	}
}

// testKindThatMayNotBeListed shows that only the networks that need such a kind wait, and that nothing of it is written or removed meanwhile.
func testKindThatMayNotBeListed(t *testing.T, on *cluster.Cluster) {
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on})
	admin := b.other("one")
	restore := withoutList(t, admin, "globalnetworksets")
	eventually(t, "the right to be gone", func() string {
		if err := b.clients["one"].List(t.Context(), &calicov3.GlobalNetworkSetList{}); err == nil {
			return "it is there"
		}
		return ""
	})
	foreign := b.addresses("", "sets-x", "192.0.2.1/32").Resource.(*calicov3.GlobalNetworkSet)
	foreign.Labels = nil
	if err := admin.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	needs := map[string]member.NetworkIntent{
		"policies": {Generation: 1, Objects: b.version("policies", "x")[1:]},
		"sets":     {Generation: 1, Objects: append(b.version("sets", "x"), b.addresses("sets", "sets-x", "10.0.0.9/32"))},
		"gone":     {Generation: 1, Remove: true, Deleted: true},
	}
	b.intend("one", needs, nil)
	b.wait("one", "policies", programmed(1))
	want := func(network string) {
		t.Helper()
		got := b.wait("one", network, func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonWriteFailed })
		if !strings.Contains(got.Message, `cannot list resource "globalnetworksets"`) || !strings.Contains(got.Message, "config/member-rbac") || got.Gone {
			t.Errorf("%s: %+v, want it to name the verb and the resource, and nothing called gone", network, got)
		}
	}
	want("sets")
	want("gone")
	if done, err := b.manager.Statuses()["one"].Results["policies"], b.left("one"); strings.Contains(err, "GlobalNetworkSet") || !done.Programmed {
		t.Errorf("on the member are %s", err)
	}
	for _, w := range b.taken() {
		if strings.Contains(w, "GlobalNetworkSet") {
			t.Errorf("%s: nothing is known of sets, and one was written", w)
		}
	}
	restore()
	b.wait("one", "gone", func(r member.Result) bool { return r.Gone })
	got := b.wait("one", "sets", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonOwnershipConflict })
	if err := admin.Delete(t.Context(), foreign); err != nil {
		t.Fatalf("%v, after %+v", err, got)
	}
	b.wait("one", "sets", programmed(1))
}

// idOf asks a cluster who it is.
func idOf(ctx context.Context, c client.Client) (string, error) {
	var system corev1.Namespace
	err := c.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system)
	return string(system.UID), err
}

// rerouted is a client whose every request goes to the one that answers then.
func rerouted(answering func() client.WithWatch) client.WithWatch {
	return interceptor.NewClient(answering(), interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return answering().Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return answering().List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, _ client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return answering().Create(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, _ client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return answering().Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, _ client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return answering().Patch(ctx, o, patch, opts...)
		},
		Apply: func(ctx context.Context, _ client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return answering().Apply(ctx, o, opts...)
		},
	})
}

// TestNothingIsWrittenToAnotherClusterThatAnswers exchanges the cluster behind a member for one that has the same networks of the same owner, the most like it that
// there is, while there is something to write.
func TestNothingIsWrittenToAnotherClusterThatAnswers(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	var doubts atomic.Int32
	var b *bench
	answering := func() client.WithWatch {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.clients["one"]
	}
	b = newBench(t, time.Millisecond, 100*time.Millisecond, map[string]*cluster.Cluster{"one": forms["native"], "two": forms["aggregated"]}, func(o *member.Options) {
		o.Proof = time.Nanosecond // the exchange comes right after the last proof
		connect := o.Connect
		o.Connect = func(name string) (member.Connection, bool) {
			conn, ok := connect(name)
			if name == "one" {
				// One connection, as the worker knows it, whoever answers: what is asked and what is written goes the same way.
				conn.Client = rerouted(answering)
				conn.Prove = func(ctx context.Context) error {
					if id, err := idOf(ctx, conn.Client); err != nil || id != ids["one"] {
						doubts.Add(1)
						return errors.Join(errors.New("another cluster answers"), err)
					}
					return nil
				}
			}
			return conn, ok
		}
	})
	var err error
	if ids["one"], err = idOf(t.Context(), b.clients["one"]); err != nil {
		t.Fatal(err)
	}
	b.manager.SetIntents(b.intents("x", 1, "one", "two"))
	b.wait("one", "net", programmed(1))
	b.wait("two", "net", programmed(1))
	was := b.left("two")

	right, wrong := b.clients["one"], b.clients["two"]
	t.Cleanup(func() { b.set(func() { b.clients["one"] = right }) })
	b.set(func() { b.clients["one"] = wrong })
	b.taken()
	next := b.intents("y", 2, "one")["one"]
	b.manager.SetIntent("one", next)
	eventually(t, "the cluster to be doubted a few times", func() string {
		b.manager.Kick("one")
		if n := doubts.Load(); n < 5 {
			return fmt.Sprint(n)
		}
		return ""
	})
	b.set(func() { b.clients["one"] = right })
	b.manager.Kick("one")
	b.wait("one", "net", programmed(2))
	for _, w := range b.taken() {
		if strings.HasPrefix(w, "two ") {
			t.Errorf("%s: it was meant for another cluster", w)
		}
	}
	if now := b.left("two"); now != was {
		t.Errorf("on the other cluster are %s, before %s", now, was)
	}
}

func TestAnObjectThatWasReplacedIsNotWrittenOver(t *testing.T) {
	eachForm(t, func(t *testing.T, c client.Client) {
		a := apply.New(c, owner)
		set := everyKind("replaced")[2].(*calicov3.GlobalNetworkSet)
		_, first, err := a.Apply(t.Context(), intended(t, set))
		if err != nil {
			t.Fatal(err)
		}
		removeAll(t, a)
		set.Spec.Nets = []string{"10.1.0.9/32"}
		if _, _, err := a.ApplyOver(t.Context(), intended(t, set), first.GetUID()); !errors.Is(err, apply.ErrReplaced) {
			t.Errorf("over an object that is gone: %v, want ErrReplaced", err)
		}
		_, second, err := a.Apply(t.Context(), intended(t, set))
		if err != nil {
			t.Fatal(err)
		}
		set.Spec.Nets = []string{"10.1.0.10/32"}
		if _, _, err := a.ApplyOver(t.Context(), intended(t, set), first.GetUID()); !errors.Is(err, apply.ErrReplaced) {
			t.Errorf("over another object: %v, want ErrReplaced", err)
		}
		if outcome, _, err := a.ApplyOver(t.Context(), intended(t, set), second.GetUID()); err != nil || outcome != apply.Updated {
			t.Errorf("over the object itself: %q, %v", outcome, err)
		}
		removeAll(t, a)
	})
}
