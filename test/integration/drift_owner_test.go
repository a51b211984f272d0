package integration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/cluster"
)

func TestTheSecondOperatorTakesOverNothing(t *testing.T) {
	t.Parallel()
	eachFormOfWorker(t, func(t *testing.T, on *cluster.Cluster) {
		first := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil))
		first.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: first.version("net", "x")}}, nil)
		first.wait("one", "net", programmed(1))
		before, err := oursOn(t.Context(), first.other("one"))
		if err != nil {
			t.Fatal(err)
		}

		// The second wants the same tier, the same guard and the same network, and a pool and another network of its own.
		second := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on}, onlyEvents(nil), func(o *member.Options) { o.OwnerID += "-2" })
		second.owner, second.tier = second.owner+"-2", first.tier
		pool := compile.Object{Role: compile.RolePool, Resource: everyKind("second")[1]}
		pool.Resource.SetLabels(map[string]string{mcnv1alpha1.OwnerLabel: second.owner})
		second.intend("one", map[string]member.NetworkIntent{
			"net": {Generation: 1, Objects: second.version("net", "x")}, "own": {Generation: 1, Objects: second.version("own", "y")},
		}, func(in *member.Intent) { in.Shared = append(in.Shared, pool) })
		for _, network := range []string{"net", "own"} {
			got := second.wait("one", network, func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonOwnershipConflict })
			for _, want := range []string{"Tier", first.tier, first.owner} {
				if !strings.Contains(got.Message, want) {
					t.Errorf("%s: %s: want %q in it", network, got.Message, want)
				}
			}
		}
		second.manager.Kick("one")
		second.wait("one", "own", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonOwnershipConflict })
		if writes := second.taken(); len(writes) > 0 {
			t.Errorf("the second wrote %v", writes)
		}
		after, err := oursOn(t.Context(), first.other("one"))
		if err != nil {
			t.Fatal(err)
		}
		for key, version := range before {
			if strings.Contains(key, first.tier) && after[key] != version {
				t.Errorf("%s went from %s to %s", key, version, after[key])
			}
		}
		first.wait("one", "net", programmed(1))

		// When the first lets go, the second goes on by itself.
		first.clean("one")
		second.manager.Kick("one")
		second.wait("one", "own", programmed(1))
	})
}

// TestAnObjectThatAppearsBeforeItIsCreatedIsNotTakenOver lets somebody be faster, between our look and our write.
func TestAnObjectThatAppearsBeforeItIsCreatedIsNotTakenOver(t *testing.T) {
	t.Parallel()
	for name, on := range forms {
		t.Run(name, func(t *testing.T) {
			for _, r := range everyKind("late") {
				want := intended(t, r)
				tier := intended(t, everyKind("late")[0])
				somebody, err := client.New(on.RESTConfig(), client.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if want.GetKind() != apply.KindTier {
					tier.SetLabels(nil)
					if err := somebody.Create(t.Context(), tier); err != nil && !apierrors.IsAlreadyExists(err) {
						t.Fatal(err)
					}
				}
				foreign := want.DeepCopy()
				foreign.SetLabels(nil)
				foreign.SetAnnotations(nil)
				racing := interceptor.NewClient(memberClient(t, on, "late"), interceptor.Funcs{
					Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
						err := c.Get(ctx, key, obj, opts...)
						if apierrors.IsNotFound(err) {
							if err := somebody.Create(ctx, foreign, client.FieldOwner(intruder)); err != nil {
								t.Error(err)
							}
						}
						return err
					},
				})
				var conflict *apply.OwnershipConflictError
				if _, _, err := apply.New(racing, owner).Apply(t.Context(), want); !errors.As(err, &conflict) || !strings.Contains(err.Error(), intruder) {
					t.Errorf("%s: %v, want an OwnershipConflictError that names %s", want.GetKind(), err, intruder)
				}
				now := &unstructured.Unstructured{}
				now.SetGroupVersionKind(want.GroupVersionKind())
				if err := somebody.Get(t.Context(), client.ObjectKeyFromObject(want), now); err != nil {
					t.Fatal(err)
				}
				if now.GetResourceVersion() != foreign.GetResourceVersion() || apply.Owner(now) != "" {
					t.Errorf("%s was taken over: version %s became %s, labels %v", want.GetKind(), foreign.GetResourceVersion(), now.GetResourceVersion(), now.GetLabels())
				}
				if err := somebody.Delete(t.Context(), now); err != nil && want.GetKind() != apply.KindTier {
					t.Error(err)
				}
			}
			somebody, err := client.New(on.RESTConfig(), client.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_ = somebody.Delete(context.Background(), intended(t, everyKind("late")[0]))
		})
	}
}
