// Package compile turns networks and what is known of the fleet into Calico resources for each member.
//
// It is pure: no client, context, log or clock; the same input gives the same bytes, whatever the order of its lists. It is total: bad input gives
// field errors, never a panic and never half a result.
package compile

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// Input is everything that a compilation looks at.
type Input struct {
	Settings Settings
	// Networks are all networks in force, each with the spec that is to be in force: of a network whose newest spec is invalid,
	// the last valid one. Networks meet: they share pods, slots and orders.
	Networks []*mcnv1alpha1.MultiCloudNetwork
	// Fleet is all members.
	Fleet snapshot.Fleet
	// Pods are the pods of all members, where they are kept apart from Fleet; those in Fleet do not count then, and sets of pods are not among the objects:
	// ClusterResult.Groups says which ones are wanted.
	Pods *identity.Index
}

// Role says what an object does, and with that when it is written and when it is removed.
type Role int

// Roles in the order in which objects are written; they are removed in the reverse order.
const (
	// RoleTier is the tier.
	RoleTier Role = iota
	// RoleGuard is the policy that keeps DNS, the API server and pod identity reachable.
	RoleGuard
	// RolePool is a disabled IP pool that keeps pod addresses intact.
	RolePool
	// RoleSet is a shard of a group's addresses.
	RoleSet
	// RolePermit is a policy that permits.
	RolePermit
	// RoleRules is a policy of the Calico model, which may permit and deny.
	RoleRules
	// RoleDeny is a policy that denies.
	RoleDeny
)

// Object is a Calico resource that a member should hold.
type Object struct {
	// Role says when the object is written and removed.
	Role Role
	// Network is the network that it belongs to; empty for shared objects.
	Network string
	// Resource is the resource itself: a pointer to a type of projectcalico.org/v3, with TypeMeta. It may stand on several members at once, and must
	// not be changed.
	Resource Resource
}

// Resource is a typed Calico resource.
type Resource interface {
	runtime.Object
	metav1.Object
}

// Key identifies an object on its member.
type Key struct {
	Kind string
	Name string
}

// Key returns the object's kind and name.
func (o Object) Key() Key {
	return Key{Kind: o.Resource.GetObjectKind().GroupVersionKind().Kind, Name: o.Resource.GetName()}
}

// Warning is something that works but that the network's author should know of.
type Warning struct {
	Code mcnv1alpha1.WarningCode
	// Cluster is the member that it concerns; empty for all.
	Cluster string
	// Message says what, where, and what to do.
	Message string
}

// ClusterResult is a network on one member.
type ClusterResult struct {
	// Name is the member's name.
	Name string
	// Staged says that the policies are written as Staged kinds.
	Staged bool
	// Objects are in the order in which they are to be written.
	Objects []Object
	// Groups are the pods of other members to which rules here refer, sorted by ID.
	Groups []PodGroup
}

// Result is a network, compiled for every member that it selects.
type Result struct {
	// Boundary is the one in force.
	Boundary mcnv1alpha1.Boundary
	// ExclusiveSlot is the network's place among the Exclusive ones; nil for a Shared one.
	ExclusiveSlot *int32
	// Clusters are the selected members with role Managed, sorted by name.
	Clusters []ClusterResult
	// Sources are the names of the selected members with role Source, sorted.
	Sources []string
	// Pods is the number of pods that the segments or policies pick in all clusters; SharedPods how many another network picks too.
	Pods, SharedPods int
	// Warnings are sorted by code, cluster and message.
	Warnings []Warning
	// Errors say why the network cannot be compiled. Where there are any, Clusters is nil.
	Errors field.ErrorList
}

// Compiler compiles the networks of one input. It is safe for concurrent use once made.
type Compiler struct {
	settings Settings
	networks []*network // oldest first
	byName   map[string]*network
	fleet    *fleet
	pods     *identity.Index
	// live says that pods are Input.Pods.
	live bool
}

// New prepares a compilation: it validates each network, orders them by age and finds out which addresses may be trusted.
func New(in Input) *Compiler {
	c := &Compiler{
		settings: in.Settings,
		byName:   make(map[string]*network, len(in.Networks)),
		pods:     in.Pods,
		live:     in.Pods != nil,
	}
	if !c.live {
		c.pods = identity.FromFleet(in.Fleet)
	}
	c.fleet = newFleet(in.Fleet, c.pods)
	c.settings.ExcludedNamespaces = slices.Compact(slices.Sorted(slices.Values(in.Settings.ExcludedNamespaces)))
	for _, spec := range in.Networks {
		n := c.newNetwork(spec)
		c.networks = append(c.networks, n)
		c.byName[spec.Name] = n
	}
	slices.SortFunc(c.networks, func(a, b *network) int { return compareAge(a.source, b.source) })
	c.assignPlaces()
	c.survey()
	return c
}

// compareAge orders networks by age: creation time, then name.
func compareAge(a, b *mcnv1alpha1.MultiCloudNetwork) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// Network compiles the named network for every member that it selects. A name that is not in the input gives an empty result.
func (c *Compiler) Network(name string) Result {
	n, ok := c.byName[name]
	if !ok {
		return Result{}
	}
	result := Result{Boundary: n.boundary, ExclusiveSlot: n.slot, Errors: n.errors}
	if len(result.Errors) > 0 {
		return result
	}
	sets := map[setKey][]Object{}
	for _, m := range n.members {
		if m.Role == mcnv1alpha1.RoleSource {
			result.Sources = append(result.Sources, m.Name)
			continue
		}
		objects, groups := c.compileMember(n, m, sets)
		result.Clusters = append(result.Clusters, ClusterResult{Name: m.Name, Staged: n.stagedOn(m), Objects: objects, Groups: groups})
	}
	result.Pods, result.SharedPods = n.pods, n.shared
	result.Warnings = c.warnings(n, result.Clusters)
	return result
}
