package fleet

import (
	"cmp"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
)

// claim pins a session's member to the cluster that answered, or says why not: it is another cluster than the pinned one, or an older registration has
// it already. An older registration takes a cluster away from a younger one.
func (f *Fleet) claim(s *session, clusterID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[s.name]
	if m == nil || m.session != s {
		return s.ctx.Err()
	}
	if m.pinned != "" && m.pinned != clusterID {
		return &fault{
			reason:  mcnv1alpha1.ReasonClusterIDMismatch,
			message: "the cluster that answers has the ID " + clusterID + ", registered is " + m.pinned + "; point the kubeconfig at the right cluster, or delete the MemberCluster and register the new one",
		}
	}
	for name, other := range f.members {
		if name == s.name || other.pinned != clusterID {
			continue
		}
		if older(other.object, m.object) {
			m.state.DuplicateOf = name
			f.locateLocked(m)
			return &fault{
				reason:  mcnv1alpha1.ReasonDuplicateCluster,
				message: "the cluster " + clusterID + " is registered as " + name + " already; delete one of the two MemberClusters",
			}
		}
		f.yieldLocked(other, s.name)
	}
	m.pinned, m.state.ClusterID, m.state.DuplicateOf = clusterID, clusterID, ""
	f.locateLocked(m)
	return nil
}

// preferLocked gives the cluster that a newly registered member is pinned to back to it, if a younger registration has taken it: the order in which a
// starting operator comes to know its members decides nothing.
func (f *Fleet) preferLocked(m *member) {
	for name, other := range f.members {
		if m.pinned != "" && name != m.object.Name && other.pinned == m.pinned && older(m.object, other.object) {
			f.yieldLocked(other, m.object.Name)
		}
	}
}

// yieldLocked makes a younger registration give up a cluster that an older one has: its view goes, since the older one has it too.
func (f *Fleet) yieldLocked(m *member, to string) {
	if m.object.Spec.ClusterID == "" {
		m.pinned, m.state.ClusterID = "", ""
	}
	m.facts = gather.Facts{}
	f.forgetPodsLocked(m.object.Name, m)
	m.state.Synced = false
	f.loseLocked(m, mcnv1alpha1.ReasonDuplicateCluster, "the cluster is registered as "+to+" already; delete one of the two MemberClusters")
	m.state.DuplicateOf = to
	if m.session != nil {
		m.session.reconnect()
	}
	f.changedLocked()
}

// wakeDuplicatesLocked lets those that waited for a registration to go try again.
func (f *Fleet) wakeDuplicatesLocked(removed string) {
	for _, m := range f.members {
		if m.state.DuplicateOf == removed && m.session != nil {
			m.session.reconnect()
		}
	}
}

// older orders registrations by age, then by name.
func older(a, b *mcnv1alpha1.MemberCluster) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}
