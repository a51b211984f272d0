package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// orphaned is a network that is being deleted and leaves everything in place.
func orphaned(name string) *mcnv1alpha1.MultiCloudNetwork {
	n := deleted(name, 2)
	n.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan
	return n
}

// deregistered records that a cluster is to be cleaned when it returns.
func (b *benchOfNetworks) deregistered(id string) {
	b.t.Helper()
	all := b.Leftovers.note(b.clock, 0)
	if err := b.Leftovers.change(b.t.Context(), map[string]func(*clusterLeftovers){id: func(c *clusterLeftovers) { c.All = &all }}); err != nil {
		b.t.Fatal(err)
	}
}

func TestWhatWasOrphanedIsSparedWhenItsClusterReturns(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), orphaned("net"), networkObject("other", 1))
	b.connect("aws")
	b.deregistered("id-aws")
	check := func(when string, wantSpared ...string) {
		t.Helper()
		got := b.fleet.intents["aws"]
		if _, named := got.Networks["net"]; got.Reclaim != "id-aws" || !slices.Equal(got.Spared, wantSpared) || (named && len(wantSpared) > 0) {
			t.Errorf("%s: reclaim %q, spared %v, named %v; want %v spared and not named", when, got.Reclaim, got.Spared, named, wantSpared)
		}
	}
	b.mustPass()
	check("before the network is gone", "net")
	b.mustPass()
	if b.exists("net") {
		t.Fatal("the network is still there")
	}
	b.start(b.Client)
	b.mustPass()
	check("after a restart", "net")
	if err := b.Client.Create(t.Context(), networkObject("net", 1)); err != nil {
		t.Fatal(err)
	}
	b.mustPass()
	b.mustPass()
	check("once a network of that name is there again")
	if spared, err := b.Leftovers.spared(); err != nil || len(spared) > 0 {
		t.Errorf("recorded as spared is %v (%v), want nothing", spared, err)
	}
}

func TestTheLastDeletionUnderANameDecidesWhatIsSpared(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), orphaned("net"))
	b.connect("aws")
	b.mustPass()
	b.mustPass()
	if err := b.Client.Create(t.Context(), networkObject("net", 1)); err != nil {
		t.Fatal(err)
	}
	if err := b.Client.Delete(t.Context(), networkObject("net", 1)); err != nil {
		t.Fatal(err)
	}
	if spared, err := b.Leftovers.spared(); err != nil || !slices.Equal(spared, []string{"net"}) {
		t.Fatalf("recorded as spared is %v (%v)", spared, err)
	}
	again := deleted("net", 3)
	if err := b.recordDeletion(t.Context(), again, nil); err != nil {
		t.Fatal(err)
	}
	if spared, err := b.Leftovers.spared(); err != nil || len(spared) > 0 {
		t.Errorf("after a deletion with Delete %v (%v) is spared", spared, err)
	}
}

func TestNothingIsReclaimedWhileItIsNotKnownWhatIsSpared(t *testing.T) {
	garbled := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: mcnv1alpha1.DefaultNamespace, Name: leftoversName}, Data: map[string]string{orphanedKey: "net"},
	}
	b := newBenchOfNetworks(t, interceptor.Funcs{}, garbled, memberObject("aws"))
	b.connect("aws")
	b.deregistered("id-aws")
	if _, err := b.pass(); err == nil || !strings.Contains(err.Error(), orphanedKey) {
		t.Errorf("the pass gave %v, want it to name the key", err)
	}
	if got := b.fleet.intents["aws"]; got.Reclaim != "" {
		t.Errorf("%q is reclaimed", got.Reclaim)
	}
}

// A person who corrects the record, as the message says, must not have to restart the operator.
func TestAnOrphanedNetworkSaysWhatHoldsItUpAndGoesWhenThatIsCured(t *testing.T) {
	garbled := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: mcnv1alpha1.DefaultNamespace, Name: leftoversName}, Data: map[string]string{orphanedKey: "net"},
	}
	b := newBenchOfNetworks(t, interceptor.Funcs{}, garbled, memberObject("aws"), orphaned("net"))
	b.connect("aws")
	for range 2 {
		_, _ = b.pass() // the error says that nothing is reclaimed meanwhile
	}
	var n mcnv1alpha1.MultiCloudNetwork
	if err := b.Client.Get(t.Context(), client.ObjectKey{Name: "net"}, &n); err != nil {
		t.Fatalf("the network went without a record: %v", err)
	}
	if ready := meta.FindStatusCondition(n.Status.Conditions, mcnv1alpha1.ConditionReady); ready == nil || !strings.Contains(ready.Message, orphanedKey) {
		t.Errorf("status says %+v, want it to say what holds the network up", n.Status.Conditions)
	}
	garbled.Data = nil
	if err := b.Client.Update(t.Context(), garbled); err != nil {
		t.Fatal(err)
	}
	b.mustPass() // reads the record
	if b.mustPass(); b.exists("net") {
		t.Error("the network stays although the key is out")
	}
	if spared, err := b.Leftovers.spared(); err != nil || !slices.Equal(spared, []string{"net"}) {
		t.Errorf("recorded as spared is %v (%v), want net", spared, err)
	}
}

func TestRoomForOrphansIsTheirOwn(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"))
	full := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: leftoversName}, Data: map[string]string{"old": strings.Repeat("x", maxLeftovers)},
	}
	if err := b.Client.Create(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	now := metav1.NewTime(b.clock)
	if err := b.Leftovers.change(t.Context(), nil, func(all orphans) { all["net"] = now }); err != nil {
		t.Errorf("an orphaned network finds no room: %v", err)
	}
	err := b.Leftovers.change(t.Context(), nil, func(all orphans) {
		for i := range 3000 {
			all[fmt.Sprintf("network-with-a-long-name-%d", i)] = now
		}
	})
	var object corev1.ConfigMap
	if getErr := b.Client.Get(t.Context(), client.ObjectKeyFromObject(full), &object); getErr != nil || err == nil || size(object.Data) > maxRecord {
		t.Errorf("the record has %d bytes (%v, %v), want a refusal", size(object.Data), err, getErr)
	}
}

func TestCleaningSparesWhatWasOrphaned(t *testing.T) {
	b := newBenchOfMembers(t, inReach, leavingMember(nil), orphaned("leaving"), deleted("deleted", 2))
	requireNoError(t, b.Leftovers.change(t.Context(), nil, func(all orphans) { all["gone"] = metav1.NewTime(b.clock) }))
	b.fleet.done = true
	b.reconcileOne()
	if !slices.Equal(b.fleet.spared, []string{"gone", "leaving"}) {
		t.Errorf("spared is %v, want the two orphaned ones", b.fleet.spared)
	}
	if recordable(orphanedKey) {
		t.Error("a cluster could call itself " + orphanedKey)
	}
}
