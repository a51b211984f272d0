package controllers

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// drained are the names in a queue, sorted.
func drained(queue workqueue.TypedRateLimitingInterface[reconcile.Request]) string {
	var out []string
	for queue.Len() > 0 {
		item, _ := queue.Get()
		queue.Done(item)
		out = append(out, item.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestMembersAreToldOfNetworksThatAreHeld(t *testing.T) {
	held := networkObject("held", 1)
	held.Spec.Updates = mcnv1alpha1.UpdatesHeld
	held.Spec.Clusters.Selector.MatchLabels["name"] = "aws"
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), memberObject("gcp"), held, networkObject("net", 1))
	b.connect("aws", "gcp")
	b.notes = &memberNotes{}
	b.mustPass()
	for name, want := range map[string][]string{"aws": {"held"}, "gcp": nil} {
		if note, _ := b.notes.of(name); !slices.Equal(note.heldNetworks(), want) {
			t.Errorf("on %s it says that %q are held, want %q", name, note.heldNetworks(), want)
		}
	}
}

func TestCompilingTellsMembersOfOverlaps(t *testing.T) {
	b := newBenchOfNetworks(t, interceptor.Funcs{}, memberObject("aws"), memberObject("gcp"), memberObject("prem"), networkObject("net", 1))
	b.connect("aws", "gcp", "prem")
	b.notes = &memberNotes{}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	if err := b.notes.source().Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if _, known := b.notes.of("aws"); known {
		t.Error("notes are known before anything was compiled")
	}
	for i, cidr := range []string{"10.1.0.0/16", "10.1.128.0/17", "10.3.0.0/16"} {
		b.fleet.members[i].PodCIDRs = []netip.Prefix{netip.MustParsePrefix(cidr)}
	}
	aws := &b.fleet.members[0]
	aws.SourceNAT, aws.Calico.CNI = mcnv1alpha1.SourceNATPreserve, mcnv1alpha1.CNICalico
	aws.Pools = []snapshot.Pool{{Name: "own", CIDR: netip.MustParsePrefix("10.3.7.0/24")}}
	b.mustPass()
	if got := drained(queue); got != "aws gcp prem" {
		t.Errorf("the first pass had %q reconciled, want all members", got)
	}
	note, known := b.notes.of("aws")
	if !known || !strings.Contains(note.podCIDROverlap, "those of gcp in 10.1.128.0/17") || !strings.Contains(note.poolOverlap, "pool own overlaps") {
		t.Errorf("of aws it says %+v, want its overlap with gcp and the pool that is in the way", note)
	}
	if note, _ := b.notes.of("prem"); note != (memberNote{}) {
		t.Errorf("of prem it says %+v, want nothing", note)
	}

	b.mustPass()
	if got := drained(queue); got != "" {
		t.Errorf("a pass without news had %q reconciled", got)
	}
	b.fleet.members[1].PodCIDRs = nil
	b.mustPass()
	if got := drained(queue); got != "aws gcp" {
		t.Errorf("the end of the overlap had %q reconciled, want the two that it was between", got)
	}
}
