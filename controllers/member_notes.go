package controllers

import (
	"context"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// memberNote is what compiling the networks says of a member as such.
type memberNote struct {
	podCIDROverlap, poolOverlap string
	// held are the networks there whose own updates are Held, separated by commas, so that notes can be compared.
	held string
}

// heldNetworks are the names in held.
func (n memberNote) heldNetworks() []string {
	if n.held == "" {
		return nil
	}
	return strings.Split(n.held, ",")
}

// memberNotes hands such notes from the networks' controller to the members'. A nil one holds none.
type memberNotes struct {
	mu    sync.Mutex
	notes map[string]memberNote // nil before the first pass
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// set replaces all notes, and has the members reconciled about which something else is said now: all of them the first time.
func (n *memberNotes) set(notes map[string]memberNote) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.notes
	n.notes = notes
	if n.queue == nil {
		return
	}
	for name := range notes {
		if _, was := before[name]; !was || before[name] != notes[name] {
			n.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
	}
}

// of returns a member's note; known is false before the first pass.
func (n *memberNotes) of(name string) (note memberNote, known bool) {
	if n == nil {
		return memberNote{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notes[name], n.notes != nil
}

// source feeds the members' controller.
func (n *memberNotes) source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.queue = queue
		return nil
	})
}

// memberNotes are the notes about all members.
func (s *scope) memberNotes() map[string]memberNote {
	out := make(map[string]memberNote, len(s.members))
	for name := range s.members {
		out[name] = memberNote{}
	}
	for name, overlap := range s.compiler.Overlaps() {
		note := out[name]
		note.podCIDROverlap = overlap
		out[name] = note
	}
	for name, warnings := range s.warnings {
		var pools []string
		for _, w := range warnings {
			if w.Code == mcnv1alpha1.WarningPoolOverlap {
				pools = append(pools, w.Message)
			}
		}
		if len(pools) > 0 {
			note := out[name]
			note.poolOverlap = strings.Join(pools, "; ")
			out[name] = note
		}
	}
	for _, n := range s.networks {
		if n.Spec.Updates != mcnv1alpha1.UpdatesHeld {
			continue
		}
		for _, c := range s.results[n.Name].Clusters {
			note := out[c.Name]
			note.held = strings.TrimPrefix(note.held+","+n.Name, ",")
			out[c.Name] = note
		}
	}
	return out
}
