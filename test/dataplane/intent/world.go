// Package intent says which flows pass between the pods of a fleet, straight from the specification of the networks: which pods are in which set, and which
// sets may talk. It knows no compiled object and none of the operator's code but the API's types, so that it can judge what the packets say of them.
package intent

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// World is all that decides which flows should pass.
type World struct {
	Clusters map[string]Cluster
	// Networks are those in force, oldest first.
	Networks []*mcnv1alpha1.MultiCloudNetwork
	// Local are the policies that application teams wrote, by cluster.
	Local map[string][]networkingv1.NetworkPolicy
}

// Cluster is a member.
type Cluster struct {
	// Labels are those of its MemberCluster.
	Labels map[string]string
	// Preserve says that its pods keep their address toward the pods of other members that a network joins it with.
	Preserve bool
	// API and DNS are where the API server and the pods that resolve names are.
	API, DNS netip.AddrPort
}

// Place is one end of flows: a pod where Namespace is set, a node where Node is set alone, else somewhere outside.
type Place struct {
	// Cluster is empty outside.
	Cluster string
	// Node names the node that the place is, or that the pod runs on.
	Node            string
	Namespace       string
	NamespaceLabels map[string]string
	Labels          map[string]string
	Address         netip.Addr
	// NodeAddress is the address of Node.
	NodeAddress netip.Addr
}

func (p Place) isPod() bool  { return p.Namespace != "" }
func (p Place) isNode() bool { return p.Node != "" && p.Namespace == "" }

// Traffic is what a flow carries. Port is the destination's; ICMP, which is an echo request here, has none.
type Traffic struct {
	Protocol string
	Port     uint16
}

// Passes says whether a new connection is answered.
func (w *World) Passes(from, to Place, what Traffic) bool {
	if from.isPod() && !w.end(from, to, flow{from, to, what}, egress) {
		return false
	}
	if !to.isPod() || from.isNode() && from.Node == to.Node {
		return true // a node always reaches its own pods: kubelet probes them
	}
	seen := w.Seen(from, to)
	return w.end(to, seen, flow{seen, to, what}, ingress)
}

// Seen is the place from which the receiver sees a flow come: a pod's node, where the pod's address is not kept.
func (w *World) Seen(from, to Place) Place {
	node := Place{Cluster: from.Cluster, Node: from.Node, Address: from.NodeAddress, NodeAddress: from.NodeAddress}
	switch {
	case !from.isPod(), to.Address == from.NodeAddress:
		return from // the node itself translates nothing of what is for it
	case !to.isPod():
		return node
	case to.Cluster == from.Cluster, w.Clusters[from.Cluster].Preserve && w.joined(from.Cluster, to.Cluster):
		return from
	}
	return node
}

// joined says whether a network spans both clusters, and is enforced on the first.
func (w *World) joined(a, b string) bool {
	return slices.ContainsFunc(w.Networks, func(n *mcnv1alpha1.MultiCloudNetwork) bool {
		return w.enforced(n, a) && w.Spans(n, b)
	})
}

// Spans says whether a network selects a cluster.
func (w *World) Spans(n *mcnv1alpha1.MultiCloudNetwork, cluster string) bool {
	c, member := w.Clusters[cluster]
	return member && selects(&n.Spec.Clusters.Selector, c.Labels)
}

// NetworksOf counts the networks of which a place is a pod.
func (w *World) NetworksOf(p Place) int {
	count := 0
	for _, n := range w.Networks {
		if slices.ContainsFunc(subjects(n), func(s *mcnv1alpha1.PodSelection) bool { return w.member(n, s, p) }) {
			count++
		}
	}
	return count
}

// subjects are a network's selections of its pods.
func subjects(n *mcnv1alpha1.MultiCloudNetwork) []*mcnv1alpha1.PodSelection {
	var out []*mcnv1alpha1.PodSelection
	for _, s := range segments(n) {
		out = append(out, s.Pods)
	}
	if n.Spec.Calico != nil {
		for i := range n.Spec.Calico.Policies {
			out = append(out, &n.Spec.Calico.Policies[i].Pods)
		}
	}
	return out
}

// enforced says whether a network's policies have effect in a cluster.
func (w *World) enforced(n *mcnv1alpha1.MultiCloudNetwork, cluster string) bool {
	staged := n.Spec.StagedClusters != nil && selects(n.Spec.StagedClusters, w.Clusters[cluster].Labels)
	return w.Spans(n, cluster) && !staged
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

// picks says whether a selection of the network means a place.
func (w *World) picks(n *mcnv1alpha1.MultiCloudNetwork, s *mcnv1alpha1.PodSelection, p Place) bool {
	return s != nil && p.isPod() && w.Spans(n, p.Cluster) && selects(s.NamespaceSelector, p.NamespaceLabels) &&
		(s.PodSelector == nil || selects(s.PodSelector, p.Labels))
}

// member says whether a selection makes a place a pod of the network: nobody in an excluded namespace is.
func (w *World) member(n *mcnv1alpha1.MultiCloudNetwork, s *mcnv1alpha1.PodSelection, p Place) bool {
	return w.picks(n, s, p) && !excluded(p)
}

func excluded(p Place) bool {
	_, marked := p.NamespaceLabels[mcnv1alpha1.ExcludeLabel]
	return marked || p.Namespace == mcnv1alpha1.DefaultNamespace || slices.Contains(mcnv1alpha1.DefaultExcludedNamespaces(), p.Namespace)
}

// holds says whether an address is in some subnets, and not in others.
func holds(a netip.Addr, in, except []mcnv1alpha1.CIDR) bool {
	within := func(list []mcnv1alpha1.CIDR) bool {
		return slices.ContainsFunc(list, func(c mcnv1alpha1.CIDR) bool { return netip.MustParsePrefix(string(c)).Contains(a) })
	}
	return within(in) && !within(except)
}
