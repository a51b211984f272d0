package identity

import (
	"slices"
	"strings"

	"multicloud.network/operator/internal/snapshot"
)

// List returns a member's pods as they are known, without UIDs, sorted by namespace and name.
func (ix *Index) List(member string) []snapshot.Pod {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	m := ix.members[member]
	if m == nil {
		return nil
	}
	out := make([]snapshot.Pod, 0, m.len())
	m.each(func(at uint32) {
		r := &m.all[at]
		pod := ix.pods.sets[ix.classes[r.state.class()].pod].pod(m.spaces[r.namespace].name)
		pod.Name, pod.Terminating = r.name, r.state&terminating != 0
		for _, a := range r.addresses() {
			pod.Addresses = append(pod.Addresses, a.netip())
		}
		out = append(out, pod)
	})
	slices.SortFunc(out, func(a, b snapshot.Pod) int {
		if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}
