package gather

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// Strip reduces an object to what gathering looks at, so that caches stay small. It is an informer's transform: it takes any object and returns
// those that it does not know as they are.
func Strip(in any) (any, error) {
	switch o := in.(type) {
	case *corev1.Pod:
		return stripPod(o), nil
	case *corev1.Namespace:
		return &corev1.Namespace{ObjectMeta: stripMeta(&o.ObjectMeta)}, nil
	case *corev1.Node:
		return stripNode(o), nil
	case *corev1.Service:
		return &corev1.Service{ObjectMeta: stripMeta(&o.ObjectMeta), Spec: corev1.ServiceSpec{
			Type: o.Spec.Type, ClusterIP: o.Spec.ClusterIP, ClusterIPs: o.Spec.ClusterIPs, Selector: o.Spec.Selector, Ports: o.Spec.Ports,
		}}, nil
	case *unstructured.Unstructured:
		return stripUnstructured(o), nil
	default:
		return in, nil
	}
}

// stripMeta keeps identity and labels, and the annotations that are named.
func stripMeta(in *metav1.ObjectMeta, annotations ...string) metav1.ObjectMeta {
	out := metav1.ObjectMeta{
		Name: in.Name, Namespace: in.Namespace, UID: in.UID, ResourceVersion: in.ResourceVersion,
		Labels: in.Labels, DeletionTimestamp: in.DeletionTimestamp, CreationTimestamp: in.CreationTimestamp,
	}
	for _, key := range annotations {
		if value, ok := in.Annotations[key]; ok {
			if out.Annotations == nil {
				out.Annotations = map[string]string{}
			}
			out.Annotations[key] = value
		}
	}
	return out
}

func stripPod(in *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: stripMeta(&in.ObjectMeta, identity.PodIPsAnnotation, identity.PodIPAnnotation),
		Spec: corev1.PodSpec{
			NodeName: in.Spec.NodeName, HostNetwork: in.Spec.HostNetwork, ServiceAccountName: in.Spec.ServiceAccountName,
		},
		Status: corev1.PodStatus{Phase: in.Status.Phase, PodIP: in.Status.PodIP, PodIPs: in.Status.PodIPs},
	}
}

func stripNode(in *corev1.Node) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: stripMeta(&in.ObjectMeta, nodeAddressAnnotations...),
		Spec:       corev1.NodeSpec{ProviderID: in.Spec.ProviderID, PodCIDR: in.Spec.PodCIDR, PodCIDRs: in.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: in.Status.Addresses},
	}
}

// stripUnstructured drops what is large: CRD schemas, DaemonSet templates, CA bundles' owners, managed fields, and the content of sets.
func stripUnstructured(in *unstructured.Unstructured) *unstructured.Unstructured {
	in.SetManagedFields(nil)
	in.SetAnnotations(nil)
	switch in.GetKind() {
	case CRDs.Kind:
		spec := map[string]any{}
		for _, key := range []string{"group", "conversion"} {
			if value, ok, _ := unstructured.NestedFieldNoCopy(in.Object, "spec", key); ok {
				spec[key] = value
			}
		}
		if in.GetName() == migrations.GroupResource() {
			spec["versions"] = strippedVersions(in)
		}
		in.Object["spec"] = spec
		delete(in.Object, "status")
	case DaemonSets.Kind, GlobalNetworkSets.Kind, NetworkSets.Kind:
		delete(in.Object, "spec")
		delete(in.Object, "status")
	case GlobalNetworkPolicies.Kind, NetworkPolicies.Kind:
		if isOurs(in.GetLabels()) {
			delete(in.Object, "spec")
		}
	}
	return in
}

// strippedVersions keeps of a CRD's versions the names, and which are served.
func strippedVersions(crd *unstructured.Unstructured) []any {
	versions, _, _ := unstructured.NestedFieldNoCopy(crd.Object, "spec", "versions")
	list, _ := versions.([]any)
	out := make([]any, 0, len(list))
	for _, version := range list {
		if fields, ok := version.(map[string]any); ok {
			out = append(out, map[string]any{"name": fields["name"], "served": fields["served"]})
		}
	}
	return out
}

// isOurs says whether an object carries an owner label; whose operator's does not matter here: none of them is the cluster's own.
func isOurs(labels map[string]string) bool {
	_, ok := labels[mcnv1alpha1.OwnerLabel]
	return ok
}
