package controllers

import (
	"context"
	"maps"

	"k8s.io/apimachinery/pkg/types"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// recall reads once what a former process recorded: what is left over on clusters, which specs are in force, and what counts for members that are Held.
// Nothing is written to any member before that.
func (r *NetworkReconciler) recall(ctx context.Context, s *scope) error {
	if err := r.Leftovers.Load(ctx); err != nil {
		return err
	}
	if r.memory.recalled {
		return nil
	}
	records := r.memory.records
	if err := records.load(ctx); err != nil {
		return err
	}
	for _, n := range s.networks {
		if last := records.last(n); last != nil {
			r.memory.inForce[n.Name] = last
		}
	}
	// A member that was not Held when the last process ended had what was in force then.
	all := maps.Clone(r.memory.inForce)
	for name, m := range s.members {
		r.memory.there[name] = inForceThere{networks: all, labels: m.Labels}
		held, ok := records.held[name]
		if !ok || held.UID != m.UID {
			continue
		}
		networks := map[string]*mcnv1alpha1.MultiCloudNetwork{}
		for _, n := range s.networks {
			if then := records.recall(n, held.Networks[n.Name]); then != nil {
				networks[n.Name] = then
			}
		}
		r.memory.there[name] = inForceThere{networks: networks, labels: held.Labels}
	}
	records.kept = nil
	r.memory.recalled = true
	return nil
}

// record keeps on the hub which specs are in force from now on. First comes what counts for members that have just been held, which names specs that may go
// after that. A record that cannot be written keeps no network waiting: it is missed only if a restart comes before the next try.
func (r *NetworkReconciler) record(ctx context.Context, s *scope) error {
	records := r.memory.records
	note := func(err error) {
		if err != nil {
			s.failed = append(s.failed, err)
		}
	}
	held := map[string]types.UID{}
	for name, m := range s.members {
		if !s.held(name) || m.Spec.Role == mcnv1alpha1.RoleSource {
			continue
		}
		held[name] = m.UID
		if then, ok := r.memory.there[name]; ok {
			note(records.keepHeld(ctx, heldRecordOf(m, then)))
		}
	}
	for name := range s.inForce {
		if !s.loose[name] {
			note(records.keepSpec(ctx, r.memory.inForce[name]))
		}
	}
	alive := map[string]*mcnv1alpha1.MultiCloudNetwork{}
	for _, n := range s.networks {
		if in := r.memory.inForce[n.Name]; in != nil {
			alive[n.Name] = in
		}
	}
	note(records.prune(ctx, alive, held))
	return nil
}

func heldRecordOf(m *mcnv1alpha1.MemberCluster, then inForceThere) heldRecord {
	out := heldRecord{Member: m.Name, UID: m.UID, Labels: then.labels, Networks: map[string]specKey{}}
	for name, n := range then.networks {
		out.Networks[name] = keyOfSpec(n)
	}
	return out
}
