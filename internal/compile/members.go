package compile

import "multicloud.network/operator/internal/identity"

// podKey identifies a pod in the fleet.
type podKey struct{ cluster, namespace, name string }

// meeting is what two networks pick both: how many pods, and the first of them.
type meeting struct {
	count   int
	example podKey
}

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

// survey finds out which pods the networks pick, and where they meet: one look at each pod.
func (c *Compiler) survey() {
	for _, n := range c.networks {
		n.met, n.picking = map[*network]meeting{}, map[string]bool{}
	}
	for _, m := range c.fleet.members {
		var selections []identity.Selection
		var of []*network
		for _, n := range c.networks {
			if len(n.errors) > 0 || !n.selects(m) {
				continue
			}
			for _, s := range n.subjects() {
				selections, of = append(selections, s), append(of, n)
			}
		}
		if len(selections) == 0 {
			continue
		}
		c.pods.Pods(m.Name, selections, func(namespace, name string, picked []int) {
			var networks []*network
			for _, i := range picked {
				of[i].picking[selections[i].Canonical()] = true
				if n := of[i]; len(networks) == 0 || networks[len(networks)-1] != n {
					networks = append(networks, n)
				}
			}
			count(networks, podKey{m.Name, namespace, name})
		})
	}
}

// count counts a pod for all networks that pick it.
func count(networks []*network, pod podKey) {
	for _, n := range networks {
		if n.pods++; len(networks) > 1 {
			n.shared++
		}
		for _, other := range networks {
			if other == n {
				continue
			}
			met := n.met[other]
			if met.count == 0 || pod.less(met.example) {
				met.example = pod
			}
			met.count++
			n.met[other] = met
		}
	}
}

// meets tells how many pods two networks both pick, and names the first of them.
func (n *network) meets(other *network) (count int, example podKey) {
	met := n.met[other]
	return met.count, met.example
}

func (k podKey) less(other podKey) bool { return k.String() < other.String() }

// String names the pod as users write it.
func (k podKey) String() string { return k.cluster + "/" + k.namespace + "/" + k.name }

// anyPod tells whether one of the network's subjects picks a pod in any of its members.
func (n *network) anyPod(s identity.Selection) bool { return n.picking[s.Canonical()] }
