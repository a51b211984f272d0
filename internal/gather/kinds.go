package gather

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// Kind is a kind that is read.
type Kind struct {
	schema.GroupVersionKind
	// Resource is its plural name, as RBAC has it.
	Resource string
	// Required kinds are needed before anything is known of a cluster: pods, namespaces, nodes and Services.
	Required bool
	// Foreign kinds are those of which only objects that are not ours matter.
	Foreign bool
	// Namespace limits the reading to one namespace.
	Namespace string
}

// GroupResource returns the name that RBAC rules use, with the group.
func (k Kind) GroupResource() string {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}.String()
}

func kind(group, version, name, resource string) Kind {
	return Kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: name}, Resource: resource}
}

func required(resource, name string) Kind {
	k := kind("", "v1", name, resource)
	k.Required = true
	return k
}

func foreign(name string) Kind {
	k := kind(calicoGroup, "v3", name, strings.ReplaceAll(strings.ToLower(name)+"s", "ys", "ies"))
	k.Foreign = true
	return k
}

const (
	calicoGroup        = "projectcalico.org"
	calicoStorageGroup = "crd.projectcalico.org"
	operatorGroup      = "operator.tigera.io"
	migrationGroup     = "migration.projectcalico.org"
)

// The kinds that are read.
var (
	Pods       = required("pods", "Pod")
	Namespaces = required("namespaces", "Namespace")
	Nodes      = required("nodes", "Node")
	Services   = required("services", "Service")

	ValidatingWebhooks = kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
	MutatingWebhooks   = kind("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
	CRDs               = kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
	APIServices        = kind("apiregistration.k8s.io", "v1", "APIService", "apiservices")
	DaemonSets         = inNamespace(kind("apps", "v1", "DaemonSet", "daemonsets"), "kube-system")
	EndpointSlices     = inNamespace(kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"), "default")
	Installations      = kind(operatorGroup, "v1", "Installation", "installations")

	ClusterInformations   = kind(calicoGroup, "v3", "ClusterInformation", "clusterinformations")
	FelixConfigurations   = kind(calicoGroup, "v3", "FelixConfiguration", "felixconfigurations")
	IPPools               = kind(calicoGroup, "v3", "IPPool", "ippools")
	GlobalNetworkSets     = foreign("GlobalNetworkSet")
	NetworkSets           = foreign("NetworkSet")
	GlobalNetworkPolicies = foreign("GlobalNetworkPolicy")
	NetworkPolicies       = foreign("NetworkPolicy")

	// Calico v3.32 serves the older version, v3.33 the newer one.
	migrations     = kind(migrationGroup, "v1", "DatastoreMigration", "datastoremigrations")
	migrationsBeta = kind(migrationGroup, "v1beta1", "DatastoreMigration", "datastoremigrations")

	storedClusterInformations = inStorage(ClusterInformations)
	storedFelixConfigurations = inStorage(FelixConfigurations)
	storedIPPools             = inStorage(IPPools)
)

func inNamespace(k Kind, namespace string) Kind {
	k.Namespace = namespace
	return k
}

func inStorage(k Kind) Kind {
	k.Group, k.Version = calicoStorageGroup, "v1"
	return k
}

// BaseKinds are the kinds that every cluster serves.
func BaseKinds() []Kind {
	return []Kind{Pods, Namespaces, Nodes, Services, ValidatingWebhooks, MutatingWebhooks, CRDs, APIServices, DaemonSets, EndpointSlices}
}

// OptionalKinds are the further kinds that a cluster serves where something is installed that has them.
func OptionalKinds() []Kind { return []Kind{Installations, migrations, migrationsBeta} }

// CalicoKinds are the further kinds that a cluster serves with this form of Calico's API.
func CalicoKinds(api mcnv1alpha1.CalicoAPI) []Kind {
	switch api {
	case mcnv1alpha1.CalicoAPIAggregated, mcnv1alpha1.CalicoAPINative:
		return []Kind{ClusterInformations, FelixConfigurations, IPPools, GlobalNetworkSets, NetworkSets, GlobalNetworkPolicies, NetworkPolicies}
	case mcnv1alpha1.CalicoAPIStorageOnly:
		return []Kind{storedClusterInformations, storedFelixConfigurations, storedIPPools}
	default:
		return nil
	}
}
