package gather

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"multicloud.network/operator/internal/snapshot"
)

// dnsNames are the cluster DNS Services that go without the label k8s-app=kube-dns.
var dnsNames = map[string]bool{
	"kube-system/kube-dns": true, "kube-system/coredns": true, "kube-system/rke2-coredns-rke2-coredns": true, "kube-system/kube-dns-upstream": true,
	"openshift-dns/dns-default": true,
}

// DNS returns the Services that resolve names for pods, sorted. Outside kube-system a label is no proof: whoever writes a Service could claim it.
func DNS(services []corev1.Service) []snapshot.Service {
	var out []snapshot.Service
	for i := range services {
		s := &services[i]
		if (s.Namespace == "kube-system" && s.Labels["k8s-app"] == "kube-dns") || dnsNames[s.Namespace+"/"+s.Name] {
			out = append(out, service(s, s.Spec.Ports))
		}
	}
	return sortServices(out)
}

// APIServer returns the Service by which pods reach their API server; the zero value if there is none.
func APIServer(services []corev1.Service) snapshot.Service {
	for i := range services {
		if services[i].Namespace == "default" && services[i].Name == "kubernetes" {
			return service(&services[i], services[i].Spec.Ports)
		}
	}
	return snapshot.Service{}
}

// APIServerEndpoints returns where that Service leads, sorted: policy sees these addresses and ports, not the Service's.
func APIServerEndpoints(endpointSlices []unstructured.Unstructured) []netip.AddrPort {
	var out []netip.AddrPort
	for i := range endpointSlices {
		if endpointSlices[i].GetLabels()[discoveryv1.LabelServiceName] != "kubernetes" {
			continue
		}
		var slice discoveryv1.EndpointSlice
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(endpointSlices[i].Object, &slice); err != nil {
			continue // of another shape than the API has: nothing to learn from it
		}
		for _, port := range slice.Ports {
			if port.Port == nil || *port.Port < 1 || *port.Port > 65535 {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				for _, address := range endpoint.Addresses {
					for _, addr := range appendAddress(nil, address) {
						out = append(out, netip.AddrPortFrom(addr, uint16(*port.Port)))
					}
				}
			}
		}
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}

// backendRef is a Service's port that the API server calls.
type backendRef struct {
	namespace, name string
	port            int64
}

// APIBackends returns the Services that the API server itself calls, with the ports that it calls, sorted. Services without a selector have no pods of
// their own to protect and are left out.
func APIBackends(services []corev1.Service, validating, mutating, crds, apiServices []unstructured.Unstructured) []snapshot.Service {
	ports := map[string]map[int64]bool{}
	for _, ref := range slices.Concat(webhookRefs(validating), webhookRefs(mutating), conversionRefs(crds), apiServiceRefs(apiServices)) {
		key := ref.namespace + "/" + ref.name
		if ports[key] == nil {
			ports[key] = map[int64]bool{}
		}
		ports[key][ref.port] = true
	}
	var out []snapshot.Service
	for i := range services {
		s := &services[i]
		wanted := ports[s.Namespace+"/"+s.Name]
		if len(wanted) == 0 || len(s.Spec.Selector) == 0 {
			continue
		}
		called := slices.DeleteFunc(slices.Clone(s.Spec.Ports), func(p corev1.ServicePort) bool { return !wanted[int64(p.Port)] })
		if len(called) > 0 {
			out = append(out, service(s, called))
		}
	}
	return sortServices(out)
}

func webhookRefs(configurations []unstructured.Unstructured) []backendRef {
	var out []backendRef
	for i := range configurations {
		webhooks, _, _ := unstructured.NestedSlice(configurations[i].Object, "webhooks")
		for _, webhook := range webhooks {
			if fields, ok := webhook.(map[string]any); ok {
				out = appendRef(out, fields, "clientConfig", "service")
			}
		}
	}
	return out
}

func conversionRefs(crds []unstructured.Unstructured) []backendRef {
	var out []backendRef
	for i := range crds {
		out = appendRef(out, crds[i].Object, "spec", "conversion", "webhook", "clientConfig", "service")
	}
	return out
}

func apiServiceRefs(apiServices []unstructured.Unstructured) []backendRef {
	var out []backendRef
	for i := range apiServices {
		out = appendRef(out, apiServices[i].Object, "spec", "service")
	}
	return out
}

func appendRef(to []backendRef, object map[string]any, path ...string) []backendRef {
	ref, ok, _ := unstructured.NestedMap(object, path...)
	if !ok {
		return to
	}
	namespace, _, _ := unstructured.NestedString(ref, "namespace")
	name, _, _ := unstructured.NestedString(ref, "name")
	port, found, _ := unstructured.NestedInt64(ref, "port")
	if !found {
		port = 443
	}
	return append(to, backendRef{namespace: namespace, name: name, port: port})
}

// service converts a Service with some of its ports.
func service(s *corev1.Service, ports []corev1.ServicePort) snapshot.Service {
	out := snapshot.Service{Namespace: s.Namespace, Name: s.Name, Selector: s.Spec.Selector}
	ips := s.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{s.Spec.ClusterIP}
	}
	var addresses []netip.Addr
	for _, ip := range ips {
		// A headless Service says None, which is no address.
		addresses = appendAddress(addresses, ip)
	}
	out.ClusterIPs = sortAddresses(addresses)
	for _, p := range ports {
		target := p.TargetPort
		if p.Port < 0 || p.Port > 65535 || (target.Type == intstr.Int && (target.IntVal < 0 || target.IntVal > 65535)) {
			continue // no API server takes such a port, and none may become a rule's
		}
		if target == (intstr.IntOrString{}) {
			target = intstr.FromInt32(p.Port)
		}
		out.Ports = append(out.Ports, snapshot.ServicePort{Protocol: string(cmp.Or(p.Protocol, corev1.ProtocolTCP)), TargetPort: target})
	}
	slices.SortFunc(out.Ports, func(a, b snapshot.ServicePort) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.TargetPort.String(), b.TargetPort.String()))
	})
	out.Ports = slices.Compact(out.Ports)
	return out
}

func sortServices(in []snapshot.Service) []snapshot.Service {
	slices.SortFunc(in, func(a, b snapshot.Service) int { return compareNames(a.Namespace, a.Name, b.Namespace, b.Name) })
	return in
}
