package identity

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"multicloud.network/operator/internal/snapshot"
)

// stage is an Index with the permit groups a, b and c, of pods labelled so, in the members m and n of one domain.
func stage(t *testing.T, purpose Purpose) *Index {
	t.Helper()
	ix := NewIndex()
	for _, name := range []string{"m", "n"} {
		ix.SetMember(name, "vpc", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		ix.UpsertNamespace(name, snapshot.Namespace{Name: "ns"})
	}
	for _, id := range []string{"a", "b", "c"} {
		s, err := Parse("", fmt.Sprintf("app == %q", id))
		if err != nil {
			t.Fatal(err)
		}
		ix.Register(Group{ID: id, Selection: s, Purpose: purpose, Sources: []string{"m", "n"}})
	}
	return ix
}

func podOf(name, uid, app string, terminating bool, addresses ...string) snapshot.Pod {
	pod := snapshot.Pod{Namespace: "ns", Name: name, UID: uid, Labels: map[string]string{"app": app}, Terminating: terminating}
	for _, a := range addresses {
		pod.Addresses = append(pod.Addresses, netip.MustParseAddr(a))
	}
	return pod
}

func wantChanges(t *testing.T, ix *Index, want ...Change) {
	t.Helper()
	got := ix.Take()
	for i := range got {
		got[i].Shards, got[i].Gone = nil, nil
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("changes are %+v\nwant %+v", got, want)
	}
}

var one = []netip.Addr{netip.MustParseAddr("10.0.0.1")}

func TestAnAddressLeavesBeforeAnotherPodJoinsWithIt(t *testing.T) {
	ix := stage(t, Permit)
	ix.UpsertPod("m", podOf("first", "1", "a", false, "10.0.0.1"))
	wantChanges(t, ix, Change{Group: "a", Source: "m"})
	ix.DeletePod("m", "ns", "first")
	ix.UpsertPod("m", podOf("second", "2", "b", false, "10.0.0.1"))
	wantChanges(t, ix, Change{Group: "a", Source: "m", Removed: one}, Change{Group: "b", Source: "m", Late: one})
	// The same name and address, and another pod: as a StatefulSet's.
	ix.UpsertPod("m", podOf("second", "3", "c", false, "10.0.0.1"))
	wantChanges(t, ix, Change{Group: "b", Source: "m", Removed: one}, Change{Group: "c", Source: "m", Late: one})
	// In another member of the domain.
	ix.DeletePod("m", "ns", "second")
	ix.UpsertPod("n", podOf("third", "4", "a", false, "10.0.0.1"))
	wantChanges(t, ix, Change{Group: "a", Source: "n", Late: one}, Change{Group: "c", Source: "m", Removed: one})
}

func TestARelabelledPodJoinsFirst(t *testing.T) {
	ix := stage(t, Permit)
	ix.UpsertPod("m", podOf("first", "1", "a", false, "10.0.0.1"))
	ix.Take()
	ix.UpsertPod("m", podOf("first", "1", "b", false, "10.0.0.1"))
	wantChanges(t, ix, Change{Group: "a", Source: "m", Moved: one}, Change{Group: "b", Source: "m"})
	// Twice, and gone: it leaves at once.
	ix.UpsertPod("m", podOf("first", "1", "c", false, "10.0.0.1"))
	ix.DeletePod("m", "ns", "first")
	wantChanges(t, ix, Change{Group: "b", Source: "m", Removed: one})
	if got := ix.Addresses("c", "m"); len(got) > 0 {
		t.Errorf("a pod that is gone is known by %v", got)
	}
}

func TestAnAddressOfTwoPodsIsPermittedToNeither(t *testing.T) {
	for _, purpose := range []Purpose{Permit, Deny} {
		ix := stage(t, purpose)
		ix.UpsertPod("m", podOf("first", "1", "a", false, "10.0.0.1"))
		ix.UpsertPod("m", podOf("second", "2", "b", false, "10.0.0.1"))
		has := func(group string, want bool) {
			t.Helper()
			if got := slices.Equal(ix.Addresses(group, "m"), one); got != want {
				t.Errorf("%s group %s has the address: %t, want %t", purpose, group, got, want)
			}
		}
		has("a", purpose == Deny)
		has("b", purpose == Deny)
		// The first is being deleted: it gives way, and denials forget it when it is gone.
		ix.UpsertPod("m", podOf("first", "1", "a", true, "10.0.0.1"))
		has("a", purpose == Deny)
		has("b", true)
		ix.DeletePod("m", "ns", "first")
		has("a", false)
		has("b", true)
	}
}

func TestDuplicatesNameTheirMembers(t *testing.T) {
	ix := stage(t, Permit)
	ix.UpsertPod("n", podOf("first", "1", "a", false, "10.0.0.1"))
	ix.UpsertPod("m", podOf("first", "2", "a", false, "10.0.0.1"))
	want := []Duplicate{{Address: one[0], Members: [2]string{"m", "n"}}}
	if got := ix.Duplicates(); !slices.Equal(got, want) {
		t.Errorf("duplicates are %v, want %v", got, want)
	}
	ix.RemoveMember("m")
	if got := ix.Duplicates(); len(got) > 0 {
		t.Errorf("duplicates are %v after one member went, want none", got)
	}
	if got := ix.Addresses("a", "n"); !slices.Equal(got, one) {
		t.Errorf("the other member's pod is known by %v, want %v", got, one)
	}
}
