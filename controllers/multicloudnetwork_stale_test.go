package controllers

import (
	"context"
	"strconv"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/member"
)

// A cache may be behind by any number of our own writes. What a pass then writes, or does not, must leave the hub with what that pass found.
func TestStatusIsRightWhenTheCacheIsBehind(t *testing.T) {
	var behind []mcnv1alpha1.MultiCloudNetwork // what the cache shows of net, one after the other; the hub's when it is empty
	hooks := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if err := c.List(ctx, list, opts...); err != nil {
			return err
		}
		if networks, ok := list.(*mcnv1alpha1.MultiCloudNetworkList); ok && len(behind) > 0 {
			networks.Items, behind = []mcnv1alpha1.MultiCloudNetwork{*behind[0].DeepCopy()}, behind[1:]
		}
		return nil
	}}
	b := newBenchOfNetworks(t, hooks, memberObject("aws"), networkObject("net", 1))
	b.connect("aws")
	onHub := func() (n mcnv1alpha1.MultiCloudNetwork) {
		t.Helper()
		if err := b.Client.Get(t.Context(), client.ObjectKey{Name: "net"}, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	find := func(programmed bool) {
		b.fleet.statuses["aws"] = member.Status{Connected: true, Results: map[string]member.Result{"net": {
			Generation: 1, Programmed: programmed, Reason: mcnv1alpha1.ReasonWriteFailed, Message: "the test refuses it",
		}}}
	}
	find(true)
	b.mustPass()
	b.mustPass()
	first := onHub()
	find(false)
	b.mustPass()
	second := onHub()
	if first.Status.Summary.Clusters != "1/1" || second.Status.Summary.Clusters != "0/1" || second.Status.Clusters[0].Reason == "" {
		t.Fatalf("the status was %+v, then %+v", first.Status, second.Status)
	}
	find(true)
	behind = append(behind, second)
	b.mustPass() // the hub says 1/1 again
	find(false)
	behind = append(behind, second)
	b.mustPass() // over what the cache shows still
	third := onHub()
	find(true)
	b.clock = b.clock.Add(time.Minute)
	// What was written first, over the same object, has come to the cache; what was written after it has not.
	stale := first
	stale.ResourceVersion = between(t, second.ResourceVersion, third.ResourceVersion)
	behind = append(behind, stale)
	b.mustPass()
	if got := onHub().Status; got.Summary.Clusters != "1/1" || got.Clusters[0].Reason != "" {
		t.Errorf("the hub says %+v, and what was found is 1/1", got)
	}
}

func TestEachDeletionHasABarrierOfItsOwn(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), deleted("net", 2))
	b.connect("aws")
	b.fleet.statuses["aws"] = member.Status{Connected: true, Results: map[string]member.Result{"net": {Generation: 2, Gone: true}}}
	b.mustPass() // writes the status
	if b.mustPass(); b.exists("net") {
		t.Fatal("the network is still there")
	}
	// It is there again before anybody has looked.
	if err := b.Client.Create(t.Context(), networkObject("net", 1)); err != nil {
		t.Fatal(err)
	}
	b.mustPass()
	b.clock = b.clock.Add(time.Hour)
	if err := b.Client.Delete(t.Context(), networkObject("net", 1)); err != nil {
		t.Fatal(err)
	}
	b.fleet.statuses["aws"] = member.Status{LostSince: b.clock}
	if b.mustPass(); !b.exists("net") {
		t.Error("a member that was lost just now was not waited for")
	}
	b.clock = b.clock.Add(b.Barrier + time.Second)
	if b.mustPass(); b.exists("net") {
		t.Error("a member that is lost is waited for longer than the barrier")
	}
}

// between is a resourceVersion after one and before another.
func between(t *testing.T, one, other string) string {
	t.Helper()
	first, err := strconv.Atoi(one)
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.Atoi(other)
	if err != nil || last-first < 2 {
		t.Fatalf("nothing is between %s and %s (%v)", one, other, err)
	}
	return strconv.Itoa(first + 1)
}
