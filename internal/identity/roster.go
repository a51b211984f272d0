package identity

import (
	"net/netip"
	"slices"

	"multicloud.network/operator/internal/snapshot"
)

// Roster answers selections over one member's pods. It is safe for concurrent use.
type Roster struct {
	namespaces []namespacePods
}

type namespacePods struct {
	namespace snapshot.Namespace
	pods      []snapshot.Pod
}

// NewRoster sorts a member's pods by namespace. A pod whose namespace is not known is left out: without the namespace's labels nobody can say which
// selections mean it.
func NewRoster(m snapshot.Member) *Roster {
	r := &Roster{namespaces: make([]namespacePods, 0, len(m.Namespaces))}
	index := make(map[string]int, len(m.Namespaces))
	for _, ns := range m.Namespaces {
		if _, seen := index[ns.Name]; seen {
			continue
		}
		index[ns.Name] = len(r.namespaces)
		r.namespaces = append(r.namespaces, namespacePods{namespace: ns})
	}
	for _, pod := range m.Pods {
		if i, ok := index[pod.Namespace]; ok {
			r.namespaces[i].pods = append(r.namespaces[i].pods, pod)
		}
	}
	return r
}

// Each calls f for every pod that the selection picks.
func (r *Roster) Each(s Selection, f func(snapshot.Pod)) {
	for _, n := range r.namespaces {
		if len(n.pods) == 0 || !s.MatchesNamespace(n.namespace) {
			continue
		}
		for _, pod := range n.pods {
			if s.MatchesPod(n.namespace, pod) {
				f(pod)
			}
		}
	}
}

// Addresses returns the addresses of the pods that the selection picks, sorted and without repetitions.
func (r *Roster) Addresses(s Selection) []netip.Addr {
	var addresses []netip.Addr
	r.Each(s, func(pod snapshot.Pod) { addresses = append(addresses, pod.Addresses...) })
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
