package member

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// phase is a step on the way from one content to another.
type phase int

// The phases, in order. settled stands behind the last one.
const (
	phaseNone        phase = iota
	phaseBase              // write tier, guard, pools, sets
	phasePermits           // write permits and Calico rules
	phaseDenies            // write denials
	phaseDropDenies        // delete denials that are not wanted any more
	phaseDropPermits       // delete permits and rules, and old guards
	phaseDropBase          // delete sets and pools, and at the very end guard and tier
	phaseSettled           // nothing to do
	firstPolicyPhase = phasePermits
	lastPolicyPhase  = phaseDropPermits
	sharedKey        = ""  // the shared objects, among networks
	sharedDropKey    = "/" // their removal, which fails and is retried on its own
	policyNameParts  = 4   // network, part, role, hash
)

// String names the phase for logs.
func (p phase) String() string {
	switch p {
	case phaseBase:
		return "sets"
	case phasePermits:
		return "permits"
	case phaseDenies:
		return "denials"
	case phaseDropDenies:
		return "removal of denials"
	case phaseDropPermits:
		return "removal of permits"
	case phaseDropBase:
		return "removal of sets"
	case phaseSettled:
		return "done"
	}
	return "start"
}

// gated tells whether the phase waits for Calico to take the earlier ones in, and for the other members. Felix reads each kind on its own
// watch, in no order.
func (p phase) gated() bool {
	return p == phasePermits || p == phaseDenies || p == phaseDropDenies || p == phaseDropBase
}

// settlesAfter are the phases whose writes must have been taken in before p. Sets are one kind on one watch, so that a change of sets alone
// needs no waiting between the new and the removal of the old.
func (p phase) settlesAfter() (first, last phase) {
	if p == phaseDropBase {
		return firstPolicyPhase, lastPolicyPhase
	}
	return phaseBase, p - 1
}

func writePhase(role compile.Role) phase {
	switch role {
	case compile.RolePermit, compile.RoleRules:
		return phasePermits
	case compile.RoleDeny:
		return phaseDenies
	}
	return phaseBase
}

// dropPhase says when an object of ours that is not wanted goes. A policy's name tells what it does: <tier>.<network>-<part>-<p|d|c>-<hash>. One
// whose name says nothing goes with the denials: taking it away then cuts nothing.
func dropPhase(u *unstructured.Unstructured) phase {
	switch u.GetKind() {
	case apply.KindPolicy, apply.KindStaged:
	default:
		return phaseDropBase
	}
	switch policyRole(u.GetName()) {
	case "p", "c":
		return phaseDropPermits
	}
	return phaseDropDenies
}

// policyRole returns p, d or c; the tier, the network and the part may have dashes of their own, the hash has none.
func policyRole(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	parts := strings.Split(rest, "-")
	if len(parts) < policyNameParts {
		return ""
	}
	return parts[len(parts)-2]
}

// isGuard tells the guard from networks' policies: it is a policy that belongs to no network.
func isGuard(u *unstructured.Unstructured) bool {
	return u.GetKind() == apply.KindPolicy && apply.Network(u) == sharedKey
}

// isFrame tells the two objects that stand as long as any network does.
func isFrame(u *unstructured.Unstructured) bool { return u.GetKind() == apply.KindTier || isGuard(u) }

func isPolicy(key compile.Key) bool {
	return key.Kind == apply.KindPolicy || key.Kind == apply.KindStaged
}

// isRules tells a policy of the Calico model, in which permits and denials stand in one list.
func isRules(key compile.Key) bool { return isPolicy(key) && policyRole(key.Name) == "c" }

// orderOf returns a policy's order; 0 for what has none.
func orderOf(u *unstructured.Unstructured) float64 {
	if !isPolicy(apply.KeyOf(u)) {
		return 0
	}
	order, _, err := unstructured.NestedFieldNoCopy(u.Object, "spec", "order")
	if err != nil {
		return 0
	}
	switch n := order.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	return 0
}
