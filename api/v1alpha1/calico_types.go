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
type CalicoPolicy struct {
	// name identifies the policy: a DNS label.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// order places the policy: lower comes first.
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
type Rule struct {
	// action is what the rule does with the traffic that it matches.
	// +required
	Action RuleAction `json:"action"`

	// protocol is the protocol that the rule matches: TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255.
	// +optional
	Protocol *intstr.IntOrString `json:"protocol,omitempty"`

	// notProtocol is the protocol that the rule does not match.
	// +optional
	NotProtocol *intstr.IntOrString `json:"notProtocol,omitempty"`

	// icmp narrows protocol ICMP or ICMPv6 to a type and a code.
	// +optional
	ICMP *ICMPMatch `json:"icmp,omitempty"`

	// source is the end that opens connections.
	// +optional
	Source *EntityRule `json:"source,omitempty"`

	// destination is the end that accepts them.
	// +optional
	Destination *EntityRule `json:"destination,omitempty"`

	// notICMP is refused: see its message.
	// +optional
	NotICMP *ICMPMatch `json:"notICMP,omitempty"`

	// ipVersion is refused: see its message.
	// +optional
	IPVersion *int32 `json:"ipVersion,omitempty"`

	// http is refused: see its message.
	// +optional
	HTTP *HTTPMatch `json:"http,omitempty"`
}

// ICMPMatch is an ICMP type, and a code of it.
type ICMPMatch struct {
	// type is the ICMP type.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=254
	Type *int32 `json:"type,omitempty"`

	// code is the code of that type.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	Code *int32 `json:"code,omitempty"`
}

// EntityRule is one end of a rule. Everything that is present must match; an end without any field matches all traffic.
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

	// ports are numbers (80), ranges ("8000:8100") or, for the policy's own pods only, names of container ports. They need a protocol.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Ports []intstr.IntOrString `json:"ports,omitempty"`

	// notPorts are ports that the rule does not match.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	NotPorts []intstr.IntOrString `json:"notPorts,omitempty"`

	// notSelector is refused: see its message.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NotSelector string `json:"notSelector,omitempty"`

	// services is refused: see its message.
	// +optional
	Services *ServiceMatch `json:"services,omitempty"`

	// serviceAccounts is refused: see its message.
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
