package member

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// following is an index with two groups, a and b, of pods that are labelled so in one member, and the sets that follow them.
func following(t *testing.T) (*identity.Index, *podSets) {
	t.Helper()
	ix := identity.NewIndex()
	ix.SetMember("aws", "", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	ix.UpsertNamespace("aws", snapshot.Namespace{Name: "ns"})
	p := &podSets{index: ix, settings: compile.Settings{OwnerID: "me"}, log: logr.Discard(), made: map[source]map[string]*wanted{}}
	groups := map[string]compile.PodGroup{}
	for _, id := range []string{"a", "b"} {
		s, err := identity.Parse("", fmt.Sprintf("app == %q", id))
		if err != nil {
			t.Fatal(err)
		}
		groups[id] = compile.PodGroup{Network: "net", Group: identity.Group{ID: id, Selection: s, Purpose: identity.Permit, Sources: []string{"aws"}}}
	}
	p.use(groups)
	return ix, p
}

func upsert(ix *identity.Index, name, uid, app, address string) {
	ix.UpsertPod("aws", snapshot.Pod{
		Namespace: "ns", Name: name, UID: uid, Labels: map[string]string{"app": app}, Addresses: []netip.Addr{netip.MustParseAddr(address)},
	})
}

// inOrder says what is to be done, in order.
func inOrder(changes []setChange) (out []string) {
	content := func(w *wanted) string {
		nets, _, _ := unstructured.NestedStringSlice(w.object.Object, "spec", "nets")
		return strings.Join(nets, " ")
	}
	for _, c := range changes {
		text := fmt.Sprint(c.rank, " ", c.group, ":")
		if c.early != nil {
			text += " first " + content(c.early) + ", then"
		}
		if c.now == nil {
			text += " gone"
		} else {
			text += " " + content(c.now)
		}
		out = append(out, text)
	}
	return out
}

func TestSetsAreWrittenInTheOrderThatKeepsAddressesApart(t *testing.T) {
	ix, p := following(t)
	upsert(ix, "one", "1", "a", "10.0.0.1")
	upsert(ix, "two", "2", "a", "10.0.0.9")
	expect := func(what string, want ...string) {
		t.Helper()
		if got := inOrder(p.take()); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	expect("new pods", "1 a: 10.0.0.1/32 10.0.0.9/32")
	upsert(ix, "one", "1", "b", "10.0.0.1")
	expect("a relabelled pod joins first", "1 b: 10.0.0.1/32", "2 a: 10.0.0.9/32")
	ix.DeletePod("aws", "ns", "one")
	upsert(ix, "three", "3", "a", "10.0.0.5")
	expect("a removal before an addition", "0 b: gone", "1 a: 10.0.0.5/32 10.0.0.9/32")
	ix.DeletePod("aws", "ns", "two")
	upsert(ix, "four", "4", "b", "10.0.0.9")
	expect("an address that passes to another pod leaves first", "0 a: 10.0.0.5/32", "1 b: 10.0.0.9/32")
	ix.DeletePod("aws", "ns", "four")
	ix.DeletePod("aws", "ns", "three")
	upsert(ix, "five", "5", "b", "10.0.0.5")
	upsert(ix, "six", "6", "a", "10.0.0.9")
	expect("two addresses that change places", "0 a: first , then 10.0.0.9/32", "0 b: first , then 10.0.0.5/32")
	upsert(ix, "five", "5", "b", "10.0.0.5")
	expect("nothing")
	p.use(nil)
	upsert(ix, "seven", "7", "b", "10.0.0.6")
	expect("groups that nobody uses")
}

// A set has one name, whoever makes it: what follows pods and what a compilation makes of a snapshot.
func TestSetsThatFollowPodsAreThoseOfACompilation(t *testing.T) {
	ix, p := following(t)
	upsert(ix, "one", "1", "a", "10.0.0.1")
	change := p.take()[0]
	o := p.settings.PodSet("net", "a", "aws", ix.Shards("a", "aws")[0])
	made, err := apply.Intended(o.Resource)
	if err != nil {
		t.Fatal(err)
	}
	if change.key != o.Key() || !apply.Equal(change.now.object, made) {
		t.Errorf("got %v, want %v", change.now.object, made)
	}
	ix.DeletePod("aws", "ns", "one")
	if gone := p.take(); len(gone) != 1 || gone[0].key != o.Key() || gone[0].now != nil {
		t.Errorf("got %+v, want the removal of %v", gone, o.Key())
	}
}

// A whole pass, too, takes addresses out before it puts others in.
func TestAPassTakesAddressesOutFirst(t *testing.T) {
	set := func(name string, nets ...any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nets": nets}}}
		u.SetGroupVersionKind(apply.GroupVersionKind(apply.KindSet))
		u.SetName(name)
		u.SetLabels(map[string]string{mcnv1alpha1.NetworkLabel: "net"})
		return u
	}
	n, live := &networkPlan{wants: map[compile.Key]*wanted{}}, content{}
	want := func(u *unstructured.Unstructured) {
		n.wants[apply.KeyOf(u)] = &wanted{key: apply.KeyOf(u), phase: phaseBase, object: u}
	}
	for _, u := range []*unstructured.Unstructured{set("gains", "10.0.0.2/32"), set("loses", "10.0.0.1/32", "10.0.0.3/32")} {
		live[apply.KeyOf(u)] = u
	}
	want(set("a-new-one", "10.0.0.3/32"))
	want(set("gains", "10.0.0.2/32", "10.0.0.1/32"))
	want(set("loses", "10.0.0.4/32"))
	for range 20 { // the plan is made from maps
		_, actions := planNetwork("net", n, &prepared{}, live).next()
		if len(actions) != 3 || actions[0].key().Name != "loses" {
			t.Fatalf("the plan begins with %v, want the set that loses addresses", actions)
		}
	}
}
