package compile

import (
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// podKey identifies a pod in the fleet.
type podKey struct{ cluster, namespace, name string }

// subjects are the selections whose pods the network picks.
func (n *network) subjects() []identity.Selection {
	var out []identity.Selection
	for _, s := range n.segments {
		if s.pods != nil {
			out = append(out, *s.pods)
		}
	}
	for _, p := range n.policies {
		out = append(out, p.pods)
	}
	return out
}

// pickPods finds the pods that the network picks in its members.
func pickPods(n *network) map[podKey]bool {
	picked := map[podKey]bool{}
	for _, m := range n.members {
		for _, s := range n.subjects() {
			m.roster.Each(s, func(pod snapshot.Pod) {
				picked[podKey{m.Name, pod.Namespace, pod.Name}] = true
			})
		}
	}
	return picked
}

// countPods counts the pods that the network picks, and those among them that another network picks too.
func (c *Compiler) countPods(n *network) (pods, shared int) {
	for key := range n.picked {
		for _, other := range c.networks {
			if other != n && other.picked[key] {
				shared++
				break
			}
		}
	}
	return len(n.picked), shared
}

// meets tells how many pods two networks both pick, and names the first of them.
func (n *network) meets(other *network) (count int, example podKey) {
	for key := range n.picked {
		if !other.picked[key] {
			continue
		}
		if count == 0 || key.less(example) {
			example = key
		}
		count++
	}
	return count, example
}

func (k podKey) less(other podKey) bool { return k.String() < other.String() }

// String names the pod as users write it.
func (k podKey) String() string { return k.cluster + "/" + k.namespace + "/" + k.name }

// anyPod tells whether a selection picks a pod in any of the network's members.
func (n *network) anyPod(s identity.Selection) bool {
	found := false
	for _, m := range n.members {
		m.roster.Each(s, func(snapshot.Pod) { found = true })
	}
	return found
}
