package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// maxRules is the most rules that a policy may have in one direction (Calico v3.33).
const maxRules = 1024

// builder collects what one network needs on one member.
type builder struct {
	c       *Compiler
	n       *network
	m       *member
	staged  bool
	objects []Object
	groups  map[string]group
	// podGroups are those of groups that are pods.
	podGroups []PodGroup
	// shared holds sets that are made already: a group's addresses in one source are the same set on every member.
	shared map[setKey][]Object
}

// setKey is a group and the source of its addresses.
type setKey struct{ group, source string }

// group is the far side of a peer: addresses that a rule selects through labelled sets.
type group struct {
	hash string
	// use is never both: on doubt, permits and denials move in opposite directions (invariant I3).
	use identity.Purpose
	// pods are pods of the network's other members.
	pods *identity.Selection
	// nodes are the nodes of the network's members, or of this one alone.
	nodes, local bool
	// prefixes are plain addresses.
	prefixes []netip.Prefix
}

// compileMember compiles a network for one member; sets are shared with the members that were compiled before it.
func (c *Compiler) compileMember(n *network, m *member, sets map[setKey][]Object) ([]Object, []PodGroup) {
	b := &builder{c: c, n: n, m: m, staged: n.stagedOn(m), groups: map[string]group{}, shared: sets}
	for _, s := range n.segments {
		b.segment(s)
	}
	for _, r := range n.routes {
		b.routePeers(r)
	}
	for _, p := range n.policies {
		b.calicoPolicy(p)
	}
	b.sets()
	sortObjects(b.objects)
	return b.objects, b.podGroups
}

// sortObjects puts objects in the order in which they are written.
func sortObjects(objects []Object) {
	slices.SortStableFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(order(a), order(b)), cmp.Compare(a.Resource.GetName(), b.Resource.GetName()))
	})
}

// order returns the order of a policy of the Calico model: those must stand in ascending order at every moment.
func order(o Object) float64 {
	if o.Role != RoleRules {
		return 0
	}
	switch p := o.Resource.(type) {
	case *calicov3.GlobalNetworkPolicy:
		return *p.Spec.Order
	case *calicov3.StagedGlobalNetworkPolicy:
		return *p.Spec.Order
	}
	return 0
}

// entities returns the ends by which a rule means a peer: the member's own pods by their labels, everything else by sets. A peer with nothing in it has
// no ends, and so no rules: never an empty end, which would match everybody.
func (b *builder) entities(p peer, scope mcnv1alpha1.RouteScope, use identity.Purpose) []calicov3.EntityRule {
	var out []calicov3.EntityRule
	if p.pods != nil {
		out = append(out, localPods(*p.pods))
		if scope != mcnv1alpha1.RouteScopeSameCluster {
			out = append(out, b.members(group{use: use, pods: p.pods}))
		}
	}
	if len(p.prefixes) > 0 {
		out = append(out, b.members(group{use: use, prefixes: p.prefixes}))
	}
	if p.nodes {
		out = append(out, b.members(group{use: use, nodes: true, local: scope == mcnv1alpha1.RouteScopeSameCluster}))
	}
	return out
}

// localPods is the end that means the member's own pods.
func localPods(s identity.Selection) calicov3.EntityRule {
	return calicov3.EntityRule{NamespaceSelector: s.NamespaceSelector(), Selector: s.Selector()}
}

// members is the end that means a group's sets, and remembers that the group is used here. global() keeps pods out that label themselves like the
// group; the label keeps other people's global sets out.
func (b *builder) members(g group) calicov3.EntityRule {
	g.hash = hash(b.c.settings.OwnerID, b.n.name(), g.canonical(), string(g.use))
	b.groups[g.hash] = g
	return calicov3.EntityRule{
		NamespaceSelector: "global()",
		Selector:          fmt.Sprintf("%s == %q", mcnv1alpha1.GroupLabel, g.hash),
	}
}

// canonical tells equal groups of one network and purpose.
func (g group) canonical() string {
	switch {
	case g.pods != nil:
		return "pods\n" + g.pods.Canonical()
	case g.nodes && g.local:
		return "nodes of the same cluster"
	case g.nodes:
		return "nodes"
	}
	return "cidrs\n" + joinPrefixes(g.prefixes, len(g.prefixes))
}

// policy is what distinguishes one compiled policy from another.
type policy struct {
	role Role
	// kind and part name the segment, route or policy that it comes from; side tells the ends of a route apart.
	kind, part, side string
	subject          identity.Selection
	order            float64
	types            []calicov3.PolicyType
	ingress, egress  []calicov3.Rule
}

// letters mark the role in a policy's name.
var letters = map[Role]string{RolePermit: "p", RoleRules: "c", RoleDeny: "d"}

// add makes a policy, or several where it has more rules than one may have. Only permits can grow that long, and permits add up.
func (b *builder) add(p policy) {
	for {
		ingress, egress := p.ingress[:min(maxRules, len(p.ingress))], p.egress[:min(maxRules, len(p.egress))]
		b.addOne(p, ingress, egress)
		p.ingress, p.egress = p.ingress[len(ingress):], p.egress[len(egress):]
		if len(p.ingress) == 0 && len(p.egress) == 0 {
			return
		}
	}
}

// addOne makes one policy. Its name holds the hash of its content: a policy is never changed in place, because Felix would for a moment apply neither
// the old nor the new rules.
func (b *builder) addOne(p policy, ingress, egress []calicov3.Rule) {
	spec := calicov3.GlobalNetworkPolicySpec{
		Tier:              b.c.settings.Tier,
		Order:             &p.order,
		NamespaceSelector: p.subject.NamespaceSelector(),
		Selector:          p.subject.Selector(),
		Types:             p.types,
		Ingress:           ingress,
		Egress:            egress,
	}
	letter := letters[p.role]
	sum := hash(b.c.settings.OwnerID, b.n.name(), p.kind, p.part, letter, p.side, canonical(spec))
	meta := b.c.settings.meta(fmt.Sprintf("%s.%s-%s-%s-%s", spec.Tier, cut(b.n.name()), cut(p.part), letter, sum), canonical(spec))
	meta.Labels[mcnv1alpha1.NetworkLabel] = b.n.name()
	b.objects = append(b.objects, Object{Role: p.role, Network: b.n.name(), Resource: policyResource(meta, spec, b.staged)})
}

// policyResource makes the enforced or the staged kind.
func policyResource(meta metav1.ObjectMeta, spec calicov3.GlobalNetworkPolicySpec, staged bool) Resource {
	if !staged {
		return &calicov3.GlobalNetworkPolicy{
			TypeMeta:   typeMeta(calicov3.KindGlobalNetworkPolicy),
			ObjectMeta: meta,
			Spec:       spec,
		}
	}
	return &calicov3.StagedGlobalNetworkPolicy{
		TypeMeta:   typeMeta(calicov3.KindStagedGlobalNetworkPolicy),
		ObjectMeta: meta,
		Spec: calicov3.StagedGlobalNetworkPolicySpec{
			StagedAction: calicov3.StagedActionSet,
			Tier:         spec.Tier, Order: spec.Order,
			NamespaceSelector: spec.NamespaceSelector, Selector: spec.Selector,
			Types: spec.Types, Ingress: spec.Ingress, Egress: spec.Egress,
		},
	}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: calicov3.GroupVersionCurrent, Kind: kind}
}

// meta is the metadata that all our objects carry.
func (s Settings) meta(name, content string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:        name,
		Labels:      map[string]string{mcnv1alpha1.OwnerLabel: s.OwnerID},
		Annotations: map[string]string{mcnv1alpha1.ContentHashAnnotation: hash(content)},
	}
}

// joinPrefixes lists prefixes, at most so many.
func joinPrefixes(prefixes []netip.Prefix, most int) string {
	var out []string
	for i, p := range prefixes {
		if i == most {
			out = append(out, fmt.Sprintf("and %d more", len(prefixes)-most))
			break
		}
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}
