package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	selectors "github.com/projectcalico/calico/libcalico-go/lib/selector/parser"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

// foreign finds other people's sets that our rules would match, and other people's rules that would match our sets.
func (c *Compiler) foreign(compiled []ClusterResult) []Warning {
	var out []Warning
	for _, cluster := range compiled {
		m := c.fleet.byName[cluster.Name]
		out = append(out, foreignSets(m, cluster.Objects)...)
		out = append(out, foreignPolicies(m, cluster.Objects)...)
	}
	return out
}

// foreignSets reports sets that are not ours and match a peer of ours: whoever may write network sets is trusted with what they open.
func foreignSets(m *member, objects []Object) []Warning {
	if len(m.Sets) == 0 {
		return nil
	}
	peers := rulePeers(objects)
	var out []Warning
	for _, set := range m.Sets {
		if slices.ContainsFunc(peers, func(p snapshot.Peer) bool { return matchesSet(p, "", setLabels{set: set, member: m}) }) {
			out = append(out, Warning{
				Code: mcnv1alpha1.WarningForeignSetInGroup, Cluster: m.Name,
				Message: fmt.Sprintf("%s is not ours and its labels match a peer of this network, so that its addresses count as that peer; change its labels",
					describeSet(set)),
			})
		}
	}
	return out
}

func describeSet(set snapshot.NetworkSet) string {
	if set.Namespace == "" {
		return "GlobalNetworkSet " + set.Name
	}
	return "NetworkSet " + set.Namespace + "/" + set.Name
}

// foreignPolicies reports policies that are not ours and whose peers match our sets: they open or close more than their authors meant.
func foreignPolicies(m *member, objects []Object) []Warning {
	var out []Warning
	for _, p := range m.Policies {
		for _, o := range objects {
			set, ok := o.Resource.(*calicov3.GlobalNetworkSet)
			if !ok {
				continue
			}
			ours := setLabels{set: snapshot.NetworkSet{Name: set.Name, Labels: set.Labels}, member: m}
			if slices.ContainsFunc(p.Peers, func(peer snapshot.Peer) bool {
				// Addresses that a negated selector matches are left out: ours would be, unasked.
				negated := snapshot.Peer{Selector: peer.NotSelector, NamespaceSelector: peer.NamespaceSelector}
				return matchesSet(peer, p.Namespace, ours) || peer.NotSelector != "" && matchesSet(negated, p.Namespace, ours)
			}) {
				out = append(out, Warning{
					Code: mcnv1alpha1.WarningForeignPolicyWidened, Cluster: m.Name,
					Message: fmt.Sprintf("a peer selector of %s matches our network sets, so that it means pods of other clusters too; add a namespaceSelector to that rule, all() for any namespace",
						describePolicy(p)),
				})
				break
			}
		}
	}
	return out
}

func describePolicy(p snapshot.Policy) string {
	if p.Namespace == "" {
		return p.Kind + " " + p.Name
	}
	return p.Kind + " " + p.Namespace + "/" + p.Name
}

// rulePeers lists the selecting ends of all policies.
func rulePeers(objects []Object) []snapshot.Peer {
	var out []snapshot.Peer
	add := func(rules []calicov3.Rule) {
		for _, r := range rules {
			for _, e := range []calicov3.EntityRule{r.Source, r.Destination} {
				if e.Selector != "" || e.NamespaceSelector != "" {
					out = append(out, snapshot.Peer{Selector: e.Selector, NamespaceSelector: e.NamespaceSelector})
				}
			}
		}
	}
	for _, o := range objects {
		switch p := o.Resource.(type) {
		case *calicov3.GlobalNetworkPolicy:
			add(p.Spec.Ingress)
			add(p.Spec.Egress)
		case *calicov3.StagedGlobalNetworkPolicy:
			add(p.Spec.Ingress)
			add(p.Spec.Egress)
		}
	}
	slices.SortFunc(out, func(a, b snapshot.Peer) int {
		return cmp.Or(cmp.Compare(a.NamespaceSelector, b.NamespaceSelector), cmp.Compare(a.Selector, b.Selector))
	})
	return slices.Compact(out)
}

// matchesSet tells whether a rule peer of a policy in a namespace ("" for a global one) matches a set, in the way in which Felix looks at it: the
// namespace selector becomes a selector over labels with a prefix, all() means "in a namespace" and global() "in none"
// (libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go).
func matchesSet(peer snapshot.Peer, policyNamespace string, labels setLabels) bool {
	if peer.Selector == "" && peer.NamespaceSelector == "" {
		return false // no selector: the rule does not look at sets
	}
	switch strings.TrimSpace(peer.NamespaceSelector) {
	case "":
		if policyNamespace != "" && labels.set.Namespace != policyNamespace {
			return false
		}
	case "global()":
		if labels.set.Namespace != "" {
			return false
		}
	case "all()":
		if labels.set.Namespace == "" {
			return false
		}
	default:
		if !evaluate(peer.NamespaceSelector, prefixed{labels}) {
			return false
		}
	}
	return peer.Selector == "" || evaluate(peer.Selector, labels)
}

// evaluate is true on a selector that does not parse: on doubt, warn.
func evaluate(text string, labels selectors.Labels) bool {
	parsed, err := selectors.Parse(text)
	return err != nil || parsed.EvaluateLabels(labels)
}

// setLabels are a set's labels as Felix sees them: its own, and those of its namespace with a prefix.
type setLabels struct {
	set    snapshot.NetworkSet
	member *member
}

const namespacePrefix = "pcns."

// Get returns a label.
func (l setLabels) Get(name string) (string, bool) {
	if name == identity.LabelNamespace {
		return l.set.Namespace, l.set.Namespace != ""
	}
	if value, ok := l.set.Labels[name]; ok {
		return value, true
	}
	inherited, ok := strings.CutPrefix(name, namespacePrefix)
	if !ok || l.set.Namespace == "" {
		return "", false
	}
	if inherited == identity.LabelNamespaceName {
		return l.set.Namespace, true
	}
	value, ok := l.member.namespaces[l.set.Namespace].Labels[inherited]
	return value, ok
}

// prefixed looks up the labels that a namespace selector means.
type prefixed struct{ labels setLabels }

// Get returns a label.
func (p prefixed) Get(name string) (string, bool) { return p.labels.Get(namespacePrefix + name) }
