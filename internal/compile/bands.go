package compile

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// Orders of policies in our tier. Lower comes first; a permit must come before every denial that it is to escape.
const (
	orderGuard     = 0
	orderExclusive = 1000 // + 2 for each slot: permits; + 1: denials
	orderOverride  = 2000
	orderHonor     = 2100
	orderRules     = 2200 // + the policy's order and a fraction for its position
	orderDeny      = 4000
)

// MaxExclusive is how many Exclusive networks there can be at a time: their orders must stay below those of the Shared ones.
const MaxExclusive = (orderOverride - orderExclusive) / 2

// maxPlaces divides the step between two orders of the Calico model: room for 8,192 networks of 128 policies. A power of two, so that every
// fraction is exact.
const maxPlaces = 1 << 20

// policiesPerNetwork is the most policies that a network can have.
const policiesPerNetwork = 128

// exclusiveBase is where an Exclusive network's slot begins.
func (n *network) exclusiveBase() float64 { return orderExclusive + 2*float64(*n.slot) }

// permitOrder is the order of the permits for the network's own pods.
func (n *network) permitOrder() float64 {
	if n.exclusive {
		return n.exclusiveBase()
	}
	return n.sharedPermitOrder()
}

// sharedPermitOrder is the order of permits for pods that the network does not own: they are always in the Shared band.
func (n *network) sharedPermitOrder() float64 {
	if n.override() {
		return orderOverride
	}
	return orderHonor
}

// rulesOrder is the order of a policy of the Calico model: by order, then the network's age, then the policy's name.
func (n *network) rulesOrder(p calicoPolicy) float64 {
	position := float64(p.order) + float64(n.rank*policiesPerNetwork+p.place)/maxPlaces
	if n.exclusive {
		return n.exclusiveBase() + position/1000
	}
	return orderRules + position
}

// denyOrder is the order of the network's denials.
func (n *network) denyOrder() float64 {
	if n.exclusive {
		return n.exclusiveBase() + 1
	}
	return orderDeny
}

// assignPlaces gives each Exclusive network its slot and each Shared network of the Calico model its rank. Networks are sorted by age.
func (c *Compiler) assignPlaces() {
	var exclusive []*network
	rank := 0
	for _, n := range c.networks {
		switch {
		case n.exclusive:
			exclusive = append(exclusive, n)
		case n.source.Spec.Model == mcnv1alpha1.ModelCalico:
			n.rank = rank
			rank++
			if rank > maxPlaces/policiesPerNetwork {
				n.errors = append(n.errors, field.Forbidden(field.NewPath("spec", "model"), fmt.Sprintf(
					"there are %d older Calico networks, and Calico's order has no room for another: delete one", maxPlaces/policiesPerNetwork)))
			}
		}
	}
	if len(exclusive) > MaxExclusive {
		for _, n := range exclusive[MaxExclusive:] {
			n.errors = append(n.errors, field.Forbidden(field.NewPath("spec", "membership"), fmt.Sprintf(
				"there are %d older Exclusive networks, and Calico's order has no room for another: make a network Shared, or delete one", MaxExclusive)))
		}
		exclusive = exclusive[:MaxExclusive]
	}
	for i, slot := range slots(exclusive) {
		exclusive[i].slot = &slot
	}
}

// slots keeps the slots that networks have while they rise with age, and numbers all of them anew when a slot is missing in the middle, doubled, out
// of order or out of range. Keeping them matters: a new slot is a new order, and with that a new policy.
func slots(exclusive []*network) []int32 {
	out := make([]int32, 0, len(exclusive))
	next := int32(0)
	for _, n := range exclusive {
		slot := n.source.Status.ExclusiveSlot
		switch {
		case slot == nil:
			out = append(out, next)
		case *slot >= next && *slot < MaxExclusive:
			out = append(out, *slot)
		default:
			return renumbered(len(exclusive))
		}
		next = out[len(out)-1] + 1
	}
	if next > MaxExclusive {
		return renumbered(len(exclusive))
	}
	return out
}

func renumbered(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}
