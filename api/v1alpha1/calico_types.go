package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/intstr"
)

// CalicoSpec is the Calico model: an ordered list of rules in Calico's own words.
type CalicoSpec struct {
	// policies are the network's policies. Those of all networks that pick a pod form one list, by order, then network age, then
	// policy name; the first rule that matches decides.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Policies []CalicoPolicy `json:"policies"`
}

// PolicyType is a direction of traffic as the policy's pods see it.
// +kubebuilder:validation:Enum=Ingress;Egress
type PolicyType string

const (
	// PolicyTypeIngress is traffic toward the policy's pods.
	PolicyTypeIngress PolicyType = "Ingress"
	// PolicyTypeEgress is traffic from the policy's pods.
	PolicyTypeEgress PolicyType = "Egress"
)

// CalicoPolicy is one policy of the Calico model.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || 'Ingress' in self.types",fieldPath=".types",message="ingress has rules, so types must hold Ingress: add it, or remove ingress"
// +kubebuilder:validation:XValidation:rule="!has(self.egress) || 'Egress' in self.types",fieldPath=".types",message="egress has rules, so types must hold Egress: add it, or remove egress"
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || self.ingress.all(r, !has(r.source) || !has(r.source.ports) || r.source.ports.all(p, type(p) == int || p < 'a'))",fieldPath=".ingress",message="a named port in an ingress rule's source.ports: a name is known only for the policy's own pods, so write the number, or name it in destination.ports"
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || self.ingress.all(r, !has(r.source) || !has(r.source.notPorts) || r.source.notPorts.all(p, type(p) == int || p < 'a'))",fieldPath=".ingress",message="a named port in an ingress rule's source.notPorts: a name is known only for the policy's own pods, so write the number, or name it in destination.notPorts"
// +kubebuilder:validation:XValidation:rule="!has(self.egress) || self.egress.all(r, !has(r.destination) || !has(r.destination.ports) || r.destination.ports.all(p, type(p) == int || p < 'a'))",fieldPath=".egress",message="a named port in an egress rule's destination.ports: a name is known only for the policy's own pods, so write the number that the destination listens on"
// +kubebuilder:validation:XValidation:rule="!has(self.egress) || self.egress.all(r, !has(r.destination) || !has(r.destination.notPorts) || r.destination.notPorts.all(p, type(p) == int || p < 'a'))",fieldPath=".egress",message="a named port in an egress rule's destination.notPorts: a name is known only for the policy's own pods, so write the number that the destination listens on"
type CalicoPolicy struct {
	// name identifies the policy: a DNS label.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// order places the policy, from 0 to 999; the lowest comes first.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=999
	Order int32 `json:"order"`

	// pods picks the pods that the policy applies to.
	// +required
	Pods PodSelection `json:"pods"`

	// types are the directions that the policy judges. In a Closed network, traffic in these directions that no rule permits is denied.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Types []PolicyType `json:"types"`

	// ingress are the rules for traffic toward the policy's pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Ingress []Rule `json:"ingress,omitempty"`

	// egress are the rules for traffic from the policy's pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Egress []Rule `json:"egress,omitempty"`
}

// RuleAction is what a rule does with the traffic that it matches.
// +kubebuilder:validation:Enum=Allow;Deny;Pass;Log
type RuleAction string

const (
	// RuleActionAllow lets it pass, whatever the cluster's own policies say.
	RuleActionAllow RuleAction = "Allow"
	// RuleActionDeny drops it.
	RuleActionDeny RuleAction = "Deny"
	// RuleActionPass leaves it to the cluster's own policies.
	RuleActionPass RuleAction = "Pass"
	// RuleActionLog logs it and goes on to the next rule.
	RuleActionLog RuleAction = "Log"
)

// Rule is a rule with Calico's field names and meaning, except that its selectors mean pods of all the network's clusters.
//
// +kubebuilder:validation:XValidation:rule="!has(self.protocol) || (type(self.protocol) == int ? self.protocol >= 1 && self.protocol <= 255 : self.protocol in ['TCP', 'UDP', 'SCTP', 'UDPLite', 'ICMP', 'ICMPv6'])",fieldPath=".protocol",message="unknown protocol: write TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255"
// +kubebuilder:validation:XValidation:rule="!has(self.notProtocol) || (type(self.notProtocol) == int ? self.notProtocol >= 1 && self.notProtocol <= 255 : self.notProtocol in ['TCP', 'UDP', 'SCTP', 'UDPLite', 'ICMP', 'ICMPv6'])",fieldPath=".notProtocol",message="unknown protocol: write TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255"
// +kubebuilder:validation:XValidation:rule="!has(self.source) || !(has(self.source.ports) || has(self.source.notPorts)) || (has(self.protocol) && !has(self.notProtocol) && (type(self.protocol) == int ? self.protocol in [6, 17, 132] : self.protocol in ['TCP', 'UDP', 'SCTP']))",fieldPath=".source",message="ports and notPorts need a protocol that has ports: write protocol: TCP, UDP or SCTP in the rule, and no notProtocol"
// +kubebuilder:validation:XValidation:rule="!has(self.destination) || !(has(self.destination.ports) || has(self.destination.notPorts)) || (has(self.protocol) && !has(self.notProtocol) && (type(self.protocol) == int ? self.protocol in [6, 17, 132] : self.protocol in ['TCP', 'UDP', 'SCTP']))",fieldPath=".destination",message="ports and notPorts need a protocol that has ports: write protocol: TCP, UDP or SCTP in the rule, and no notProtocol"
// +kubebuilder:validation:XValidation:rule="!has(self.icmp) || (has(self.protocol) && type(self.protocol) == string && self.protocol in ['ICMP', 'ICMPv6'])",fieldPath=".icmp",message="icmp narrows protocol ICMP or ICMPv6: write one of them in protocol, by name"
// +kubebuilder:validation:XValidation:rule="!has(self.icmp) || has(self.icmp.type)",fieldPath=".icmp",message="icmp needs a type, and code is a code of that type: write icmp: {type: 8}, or leave icmp out to match every type"
// +kubebuilder:validation:XValidation:rule="!has(self.notICMP)",fieldPath=".notICMP",message="notICMP is not supported, because it would let the other family's ICMP through: write a Deny rule with icmp before an Allow rule without it"
// +kubebuilder:validation:XValidation:rule="!has(self.ipVersion)",fieldPath=".ipVersion",message="ipVersion is not supported, because rules are compiled for each family that a cluster has: remove it, and write nets: [0.0.0.0/0] or nets: ['::/0'] where a rule must match one family"
// +kubebuilder:validation:XValidation:rule="!has(self.http)",fieldPath=".http",message="http is not supported, because it needs Calico's application layer policy on every cluster: write protocol: TCP and destination.ports here, and match paths and methods in your ingress or service mesh"
type Rule struct {
	// action is what the rule does with the traffic that it matches: Allow, Deny, Pass (leave it to the cluster's own policies) or Log (and
	// go on to the next rule).
	// +required
	Action RuleAction `json:"action"`

	// protocol is the protocol that the rule matches: TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255; absent means any.
	// +optional
	Protocol *intstr.IntOrString `json:"protocol,omitempty"`

	// notProtocol is the protocol that the rule does not match, written as in protocol. It goes without ports.
	// +optional
	NotProtocol *intstr.IntOrString `json:"notProtocol,omitempty"`

	// icmp narrows protocol ICMP or ICMPv6 to a type and a code.
	// +optional
	ICMP *ICMPMatch `json:"icmp,omitempty"`

	// source is the end that opens connections; absent means any. In an egress rule the policy's pods are it anyway.
	// +optional
	Source *EntityRule `json:"source,omitempty"`

	// destination is the end that accepts connections; absent means any. In an ingress rule the policy's pods are it anyway.
	// +optional
	Destination *EntityRule `json:"destination,omitempty"`

	// notICMP is refused. Write a Deny rule with icmp before an Allow rule without it.
	// +optional
	NotICMP *ICMPMatch `json:"notICMP,omitempty"`

	// ipVersion is refused. Rules are compiled for each family that a cluster has; nets narrows a rule to one.
	// +optional
	IPVersion *int32 `json:"ipVersion,omitempty"`

	// http is refused. It needs Calico's application layer policy on every cluster; write protocol TCP and destination.ports.
	// +optional
	HTTP *HTTPMatch `json:"http,omitempty"`
}

// ICMPMatch is an ICMP type, and a code of it.
type ICMPMatch struct {
	// type is the ICMP type, from 0 to 254: 8 is an echo request, 128 one in ICMPv6.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=254
	Type *int32 `json:"type,omitempty"`

	// code is the code of that type; absent means all of them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	Code *int32 `json:"code,omitempty"`
}

// EntityRule is one end of a rule. Everything that is present must match; an end without any field matches all traffic.
//
// +kubebuilder:validation:XValidation:rule="!has(self.namespaceSelector) || !self.namespaceSelector.contains('global(')",fieldPath=".namespaceSelector",message="global() selects Calico's global sets and hosts, which differ between clusters: write nets for addresses, or all() for the pods of every namespace"
// +kubebuilder:validation:XValidation:rule="!has(self.selector) || !self.selector.contains('global(')",fieldPath=".selector",message="global() selects Calico's global sets and hosts, which differ between clusters: write nets for addresses, or all() for all pods"
// +kubebuilder:validation:XValidation:rule="!has(self.notNets) || !self.notNets.exists(n, n in ['0.0.0.0/0', '::/0'])",fieldPath=".notNets",message="notNets holds every address of a family, so that the rule would match none of it, and Calico refuses that: remove the rule, or write the subnets that are meant"
// +kubebuilder:validation:XValidation:rule="!has(self.notSelector)",fieldPath=".notSelector",message="notSelector is not supported, because it also matches everything outside the clusters, and their sets of addresses cannot say that: write the negation in selector (app != 'web'), or a rule with the opposite action before this one"
// +kubebuilder:validation:XValidation:rule="!has(self.services)",fieldPath=".services",message="services is not supported, because a Service is known in its own cluster only: write selector and namespaceSelector of the pods behind it, and ports"
// +kubebuilder:validation:XValidation:rule="!has(self.serviceAccounts)",fieldPath=".serviceAccounts",message="serviceAccounts is not supported, because identity is federated by pod and namespace labels: write selector and namespaceSelector; Calico's label projectcalico.org/serviceaccount is not federated"
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || self.ports.all(p, type(p) == string || (p >= 0 && p <= 65535))",fieldPath=".ports",message="a port is outside 0 to 65535: write a number in that range, a range as '8000:8100', or the name of a container port"
// +kubebuilder:validation:XValidation:rule="!has(self.notPorts) || self.notPorts.all(p, type(p) == string || (p >= 0 && p <= 65535))",fieldPath=".notPorts",message="a port is outside 0 to 65535: write a number in that range, a range as '8000:8100', or the name of a container port"
type EntityRule struct {
	// selector picks pods by label, in Calico's selector language: app == 'web' && has(tier).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Selector string `json:"selector,omitempty"`

	// namespaceSelector picks the pods' namespaces by label, in Calico's selector language; absent means any namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	NamespaceSelector string `json:"namespaceSelector,omitempty"`

	// nets are subnets that the address must be in.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Nets []CIDR `json:"nets,omitempty"`

	// notNets are subnets that the address must not be in.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	NotNets []CIDR `json:"notNets,omitempty"`

	// ports are numbers (80), ranges ("8000:8100", the lower one first) or, for the policy's own pods only, names of container ports that
	// begin with a letter ("http"). They need a protocol: TCP, UDP or SCTP.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:XIntOrString
	// +kubebuilder:validation:items:Pattern=`^([0-9]{1,5}:[0-9]{1,5}|[a-z]([-a-z0-9]{0,13}[a-z0-9])?)$`
	Ports []intstr.IntOrString `json:"ports,omitempty"`

	// notPorts are ports that the rule does not match, written as in ports.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:XIntOrString
	// +kubebuilder:validation:items:Pattern=`^([0-9]{1,5}:[0-9]{1,5}|[a-z]([-a-z0-9]{0,13}[a-z0-9])?)$`
	NotPorts []intstr.IntOrString `json:"notPorts,omitempty"`

	// notSelector is refused. Write the negation in selector, or a rule with the opposite action before this one.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NotSelector string `json:"notSelector,omitempty"`

	// services is refused. Write selector and namespaceSelector of the pods behind the Service.
	// +optional
	Services *ServiceMatch `json:"services,omitempty"`

	// serviceAccounts is refused. Write selector and namespaceSelector of the pods that run under them.
	// +optional
	ServiceAccounts *ServiceAccountMatch `json:"serviceAccounts,omitempty"`
}

// ServiceMatch has Calico's fields, so that they are refused and not silently dropped.
type ServiceMatch struct {
	// name is the Service's name.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// namespace is the Service's namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace,omitempty"`
}

// ServiceAccountMatch has Calico's fields, so that they are refused and not silently dropped.
type ServiceAccountMatch struct {
	// names are service account names.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
	// selector picks service accounts by label.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Selector string `json:"selector,omitempty"`
}

// HTTPMatch has Calico's fields, so that they are refused and not silently dropped.
type HTTPMatch struct {
	// methods are HTTP methods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=32
	Methods []string `json:"methods,omitempty"`
	// paths are HTTP paths.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Paths []HTTPPath `json:"paths,omitempty"`
}

// HTTPPath has Calico's fields, so that they are refused and not silently dropped.
type HTTPPath struct {
	// exact is a whole path.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Exact string `json:"exact,omitempty"`
	// prefix is the beginning of a path.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Prefix string `json:"prefix,omitempty"`
}
