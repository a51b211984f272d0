package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MultiCloudNetwork declares how pods in many clusters may talk. Its clusters are the MemberClusters that spec.clusters selects; its
// pods are those that its segments, or its Calico policies, pick there.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mcn,categories=multicloud
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`,description="The rules that the network follows."
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.status.mode`,description="Whether its policies have effect: Enforced, Staged or Mixed."
// +kubebuilder:printcolumn:name="Clusters",type=string,JSONPath=`.status.summary.clusters`,description="Programmed clusters of those selected."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether the network is in force."
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Why; each reason has a heading in docs/troubleshooting.md."
// +kubebuilder:printcolumn:name="Boundary",type=string,priority=1,JSONPath=`.status.boundary`,description="What happens to traffic that nothing permits."
// +kubebuilder:printcolumn:name="Pods",type=integer,priority=1,JSONPath=`.status.summary.pods`,description="Pods of the network, in all its clusters."
// +kubebuilder:printcolumn:name="Shared",type=integer,priority=1,JSONPath=`.status.summary.sharedPods`,description="Those of its pods that another network picks too."
// +kubebuilder:printcolumn:name="Stale",type=integer,priority=1,JSONPath=`.status.summary.unreachable`,description="Clusters that the operator cannot reach."
// +kubebuilder:printcolumn:name="Held",type=integer,priority=1,JSONPath=`.status.summary.held`,description="Clusters that take no changes because of updates Held."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name becomes part of policy names, so it must be a DNS label: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit; write '-' instead of '.'"
type MultiCloudNetwork struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the wanted network.
	// +required
	Spec MultiCloudNetworkSpec `json:"spec"`

	// status is what is true on the members. A new object carries observedGeneration -1 and Ready Unknown, so that tools see it in progress.
	// +optional
	// +kubebuilder:default={observedGeneration:-1, conditions:{{type:"Ready",status:"Unknown",reason:"Pending",message:"The operator has not looked at this object yet.",lastTransitionTime:"1970-01-01T00:00:00Z"}}}
	Status MultiCloudNetworkStatus `json:"status,omitempty"`
}

// MultiCloudNetworkList is a list of networks.
//
// +kubebuilder:object:root=true
type MultiCloudNetworkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MultiCloudNetwork `json:"items"`
}

// Model says which rules a network follows.
// +kubebuilder:validation:Enum=Flat;VLAN;Calico
type Model string

const (
	// ModelFlat lets all pods of the network reach each other directly.
	ModelFlat Model = "Flat"
	// ModelVLAN has segments; a declared route is needed between them.
	ModelVLAN Model = "VLAN"
	// ModelCalico has Calico rules whose selectors mean pods of all the network's clusters.
	ModelCalico Model = "Calico"
)

// Boundary says what happens to traffic of the network's pods that nothing permits.
// +kubebuilder:validation:Enum=Closed;Open
type Boundary string

const (
	// BoundaryClosed denies it.
	BoundaryClosed Boundary = "Closed"
	// BoundaryOpen leaves it alone, but for traffic between segments of a VLAN network.
	BoundaryOpen Boundary = "Open"
)

// Membership says whether other networks may open the pods of this one.
// +kubebuilder:validation:Enum=Shared;Exclusive
type Membership string

const (
	// MembershipShared adds the permits of all networks that pick a pod.
	MembershipShared Membership = "Shared"
	// MembershipExclusive means that only this network opens its pods.
	MembershipExclusive Membership = "Exclusive"
)

// LocalPolicies says how our permits meet the policies that a cluster's own users wrote.
// +kubebuilder:validation:Enum=Honor;Override
type LocalPolicies string

const (
	// LocalPoliciesHonor lets our permits step aside (Calico's Pass), so that the cluster's own policies still decide.
	LocalPoliciesHonor LocalPolicies = "Honor"
	// LocalPoliciesOverride makes our permits final (Calico's Allow).
	LocalPoliciesOverride LocalPolicies = "Override"
)

// UpdateMode says whether changes are written.
// +kubebuilder:validation:Enum=Automatic;Held
type UpdateMode string

const (
	// UpdatesAutomatic writes changes as they come.
	UpdatesAutomatic UpdateMode = "Automatic"
	// UpdatesHeld freezes policies; the addresses in sets keep flowing.
	UpdatesHeld UpdateMode = "Held"
)

// DeletionPolicy says what the removal of an object does to what we wrote for it.
// +kubebuilder:validation:Enum=Delete;Orphan
type DeletionPolicy string

const (
	// DeletionDelete removes it from every member.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionOrphan leaves it in place and in force, with our labels.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// RouteScope says between which clusters a route opens flows.
// +kubebuilder:validation:Enum=Network;SameCluster
type RouteScope string

const (
	// RouteScopeNetwork opens flows between all the network's clusters.
	RouteScopeNetwork RouteScope = "Network"
	// RouteScopeSameCluster opens only flows with both ends in one cluster.
	RouteScopeSameCluster RouteScope = "SameCluster"
)

// MultiCloudNetworkSpec is the wanted network.
//
// +kubebuilder:validation:XValidation:rule="self.model != 'Flat' || has(self.flat)",fieldPath=".model",message="model Flat needs its block: write flat: {pods: {namespaceSelector: {...}}}"
// +kubebuilder:validation:XValidation:rule="self.model != 'VLAN' || has(self.vlan)",fieldPath=".model",message="model VLAN needs its block: write vlan: {segments: [...]}"
// +kubebuilder:validation:XValidation:rule="self.model != 'Calico' || has(self.calico)",fieldPath=".model",message="model Calico needs its block: write calico: {policies: [...]}"
// +kubebuilder:validation:XValidation:rule="self.model == 'Flat' || !has(self.flat)",fieldPath=".flat",message="flat is the block of model Flat: remove it, or write model: Flat"
// +kubebuilder:validation:XValidation:rule="self.model == 'VLAN' || !has(self.vlan)",fieldPath=".vlan",message="vlan is the block of model VLAN: remove it, or write model: VLAN"
// +kubebuilder:validation:XValidation:rule="self.model == 'Calico' || !has(self.calico)",fieldPath=".calico",message="calico is the block of model Calico: remove it, or write model: Calico"
// +kubebuilder:validation:XValidation:rule="self.model != 'Calico' || !has(self.routes)",fieldPath=".routes",message="routes belong to the models Flat and VLAN: with model Calico write the flows as rules in calico.policies"
// +kubebuilder:validation:XValidation:rule="self.model != 'Calico' || !has(self.localPolicies) || self.localPolicies != 'Override'",fieldPath=".localPolicies",message="localPolicies Override is not for model Calico, whose actions are literal: remove it, and write action: Allow where a rule must be final, action: Pass where the cluster's own policies decide"
// +kubebuilder:validation:XValidation:rule="self.model != 'Flat' || !has(self.routes) || self.routes.all(r, r.from.all(p, !has(p.segment) || p.segment == 'flat') && r.to.all(p, !has(p.segment) || p.segment == 'flat'))",fieldPath=".routes",message="one of the routes names an unknown segment: look at each routes[].from[].segment and to[].segment; a Flat network has one segment, so write segment: flat"
// +kubebuilder:validation:XValidation:rule="!has(self.vlan) || !has(self.routes) || [self.vlan.segments.map(s, s.name)].all(names, self.routes.all(r, r.from.all(p, !has(p.segment) || p.segment in names)))",fieldPath=".routes",message="from of one of the routes names an unknown segment: look at each routes[].from[].segment, and write the name of one of vlan.segments, or add the segment there"
// +kubebuilder:validation:XValidation:rule="!has(self.vlan) || !has(self.routes) || [self.vlan.segments.map(s, s.name)].all(names, self.routes.all(r, r.to.all(p, !has(p.segment) || p.segment in names)))",fieldPath=".routes",message="to of one of the routes names an unknown segment: look at each routes[].to[].segment, and write the name of one of vlan.segments, or add the segment there"
type MultiCloudNetworkSpec struct {
	// clusters picks the members that the network spans.
	// +required
	Clusters ClusterSelection `json:"clusters"`

	// model says which rules the network follows: Flat, VLAN or Calico. The block of the same name holds them, and the other two are
	// absent. It can be changed.
	// +required
	Model Model `json:"model"`

	// flat is the Flat model's block: all pods of the network reach each other directly.
	// +optional
	Flat *FlatSpec `json:"flat,omitempty"`

	// vlan is the VLAN model's block: pods of one segment reach each other, and routes lead from segment to segment.
	// +optional
	VLAN *VLANSpec `json:"vlan,omitempty"`

	// calico is the Calico model's block: rules in Calico's words, whose selectors mean pods of all the network's clusters.
	// +optional
	Calico *CalicoSpec `json:"calico,omitempty"`

	// routes open flows between segments, and between segments and the rest of the world (Flat and VLAN). A route is one-way for
	// new connections, replies pass, and routes are never transitive. At least one end of a route consists of segments of this network.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Routes []Route `json:"routes,omitempty"`

	// boundary says what happens to traffic of the network's pods that nothing permits.
	// Default: Open for Flat, Closed for VLAN and Calico; status.boundary shows the one in force.
	// +optional
	Boundary Boundary `json:"boundary,omitempty"`

	// membership Exclusive means that only this network opens its pods; Shared adds the permits of all networks that pick them.
	// Default: Shared.
	// +optional
	// +kubebuilder:default=Shared
	Membership Membership `json:"membership,omitempty"`

	// localPolicies Honor lets the cluster's own policies still decide over what this network permits; Override makes our permits
	// final. Our denials are final in both. Override is refused with the Calico model, whose actions are literal.
	// Default: Honor.
	// +optional
	// +kubebuilder:default=Honor
	LocalPolicies LocalPolicies `json:"localPolicies,omitempty"`

	// stagedClusters picks members on which the network's policies are written as Calico's Staged kinds: visible in flow logs,
	// without effect on traffic. An empty selector ({}) stages everywhere; absent or null stages nowhere.
	// +optional
	// +nullable
	StagedClusters *metav1.LabelSelector `json:"stagedClusters,omitempty"`

	// updates Held freezes the network's policies on every member; the addresses in its sets keep flowing.
	// Default: Automatic.
	// +optional
	// +kubebuilder:default=Automatic
	Updates UpdateMode `json:"updates,omitempty"`

	// deletionPolicy says whether deleting the network removes what was written for it (Delete), or leaves it in force (Orphan).
	// Default: Delete.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// ClusterSelection picks members.
type ClusterSelection struct {
	// selector picks MemberClusters by label; {} picks all of them.
	// +required
	Selector metav1.LabelSelector `json:"selector"`

	// maxUnavailable is how many of the selected clusters may be without the network while it still counts as Ready.
	// Default: 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxUnavailable int32 `json:"maxUnavailable,omitempty"`
}

// PodSelection picks pods in the network's clusters. Both selectors mean what they mean in a Kubernetes NetworkPolicy peer.
type PodSelection struct {
	// namespaceSelector picks namespaces by label; {} picks all of them.
	// +required
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`

	// podSelector picks pods in those namespaces by label; absent or {} picks all of them.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
}

// FlatSpec is the Flat model: one segment, named "flat".
type FlatSpec struct {
	// pods picks the network's pods.
	// +required
	Pods PodSelection `json:"pods"`
}

// VLANSpec is the VLAN model: segments, and nothing between them but what routes open.
//
// +kubebuilder:validation:XValidation:rule="self.segments.filter(s, has(s.id)).map(s, s.id).all(i, self.segments.exists_one(s, has(s.id) && s.id == i))",fieldPath=".segments",message="two segments have the same id: give each VLAN ID to one segment, or leave id out"
type VLANSpec struct {
	// segments are the VLANs. Pods of one segment reach each other in all the network's clusters.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Segments []Segment `json:"segments"`
}

// Segment is a named group of a network's pods, or a subnet outside Kubernetes, or both.
//
// +kubebuilder:validation:XValidation:rule="has(self.pods) || has(self.cidrs)",message="a segment needs pods, cidrs or both: write pods: {namespaceSelector: {...}} for pods, cidrs: [...] for a subnet outside Kubernetes"
type Segment struct {
	// name identifies the segment in routes: a DNS label.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// id is the VLAN ID that the segment corresponds to (IEEE 802.1Q: 1 to 4094). It is documentation: Calico tags no frames.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	ID int32 `json:"id,omitempty"`

	// pods picks the segment's pods.
	// +optional
	Pods *PodSelection `json:"pods,omitempty"`

	// cidrs are subnets outside Kubernetes that belong to the segment, a real VLAN for example.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	CIDRs []CIDR `json:"cidrs,omitempty"`
}

// The rule of CIDR compares strings, because kube-apiserver v1.31 reckons that comparing two CIDRs may cost any amount, and refuses the schema. It
// does not ask isCIDR first, which would exceed the budget of the whole schema: a parse error comes with the message, too.

// CIDR is an IPv4 or IPv6 prefix in canonical form, without host bits: 10.1.0.0/16, 2001:db8::/32, 192.0.2.7/32. IPv4-mapped addresses
// and zones are refused.
//
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="string(cidr(self).masked()) == self",message="not a CIDR in canonical form: write the network address without host bits, its IPv6 digits in lower case and as short as possible, and the prefix length, as in 10.1.0.0/16, 2001:db8::/32, or 192.0.2.7/32 for one address; not an IPv4-mapped address, a zone or leading zeros"
type CIDR string

// Route opens flows from some peers to others.
//
// +kubebuilder:validation:XValidation:rule="self.from.all(p, has(p.segment)) || self.to.all(p, has(p.segment))",message="one end of a route must be this network's: make every peer of from, or every peer of to, a segment, and split a route that mixes them into two"
type Route struct {
	// name identifies the route: a DNS label.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// scope SameCluster opens only flows with both ends in one cluster; Network opens them between all the network's clusters.
	// Default: Network.
	// +optional
	// +kubebuilder:default=Network
	Scope RouteScope `json:"scope,omitempty"`

	// from are the peers that open connections.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	From []Peer `json:"from"`

	// to are the peers that accept them.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	To []Peer `json:"to"`

	// ports are the destination ports that the route opens; absent means any traffic.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Ports []RoutePort `json:"ports,omitempty"`
}

// Peer is one end of a route: exactly one of segment, pods, cidrs, nodes.
//
// +kubebuilder:validation:XValidation:rule="(has(self.segment) ? 1 : 0) + (has(self.pods) ? 1 : 0) + (has(self.cidrs) ? 1 : 0) + (has(self.nodes) ? 1 : 0) == 1",message="a peer is exactly one of segment, pods, cidrs and nodes: write several peers for several of them"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || has(self.cidrs)",message="except takes subnets out of cidrs: write the cidrs beside it, or remove it"
type Peer struct {
	// segment names a segment of this network. A Flat network has one, named "flat".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Segment string `json:"segment,omitempty"`

	// pods picks pods of the network's clusters, whether or not they are in a segment.
	// +optional
	Pods *PodSelection `json:"pods,omitempty"`

	// cidrs are plain addresses. They also match pods that have such an address, and never make a pod a member of the network.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	CIDRs []CIDR `json:"cidrs,omitempty"`

	// except are subnets taken out of cidrs.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Except []CIDR `json:"except,omitempty"`

	// nodes means the node and tunnel addresses of the network's clusters: NodePorts, load balancers, host-networked pods.
	// +optional
	Nodes *NodesPeer `json:"nodes,omitempty"`
}

// NodesPeer is the peer that means all nodes. It has no fields yet.
type NodesPeer struct{}

// RouteProtocol is a protocol that a route opens.
// +kubebuilder:validation:Enum=TCP;UDP;SCTP;ICMP
type RouteProtocol string

const (
	// RouteProtocolTCP is TCP.
	RouteProtocolTCP RouteProtocol = "TCP"
	// RouteProtocolUDP is UDP.
	RouteProtocolUDP RouteProtocol = "UDP"
	// RouteProtocolSCTP is SCTP.
	RouteProtocolSCTP RouteProtocol = "SCTP"
	// RouteProtocolICMP is ICMP, and ICMPv6 where a cluster has IPv6.
	RouteProtocolICMP RouteProtocol = "ICMP"
)

// RoutePort is a destination port or a range of them.
//
// +kubebuilder:validation:XValidation:rule="self.protocol != 'ICMP' || !(has(self.port) || has(self.endPort))",message="ICMP has no ports: remove port and endPort, or write protocol TCP, UDP or SCTP"
// +kubebuilder:validation:XValidation:rule="!has(self.endPort) || has(self.port)",message="endPort is the end of a range: write port, its first port, too"
// +kubebuilder:validation:XValidation:rule="!has(self.endPort) || !has(self.port) || self.endPort >= self.port",message="endPort is below port: write the lower port in port and the higher one in endPort"
type RoutePort struct {
	// protocol is TCP, UDP, SCTP or ICMP. ICMP means ICMPv6 too, where a cluster has IPv6, and has no ports.
	// +required
	Protocol RouteProtocol `json:"protocol"`

	// port is the port, or the first of a range; absent means all ports of the protocol.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// endPort is the last port of the range that begins with port; absent means that port alone.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	EndPort *int32 `json:"endPort,omitempty"`
}
