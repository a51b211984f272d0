package lab

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Pod is a pod: an object in a cluster's API, and a namespace that listens on Ports.
type Pod struct {
	Place
	Site      *Site
	Node      *Node
	Namespace string
	// Pod is its name in the namespace.
	Pod string

	mu     sync.Mutex
	labels map[string]string
}

// PodSpec says what pod to make.
type PodSpec struct {
	// Node is the node's number in its cluster, from 0.
	Node            int
	Namespace, Name string
	Labels          map[string]string
	// Address is one of the node's; default: one that no pod had before.
	Address netip.Addr
}

// gatewayOfPods is the address by which a pod reaches its node, and hostMAC what answers for it: those of Calico's network plugin.
const (
	gatewayOfPods = "169.254.1.1"
	hostMAC       = "ee:ee:ee:ee:ee:ee"
)

// hostInterface is the name by which Felix knows the node's end of a pod's link.
func hostInterface(namespace, name string) string {
	sum := sha1.Sum([]byte(namespace + "." + name))
	return "cali" + hex.EncodeToString(sum[:])[:11]
}

// AddPods makes pods, all at once, in namespaces that exist. They are there when it returns; Felix may not know them yet: see Settle.
func (s *Site) AddPods(ctx context.Context, specs ...PodSpec) ([]*Pod, error) {
	pods := make([]*Pod, len(specs))
	for i, spec := range specs {
		node := s.Nodes[spec.Node]
		address := spec.Address
		if !address.IsValid() {
			address = node.nextAddress()
		}
		name := fmt.Sprintf("%s/%s/%s", s.Name, spec.Namespace, spec.Name)
		pods[i] = &Pod{
			Place: Place{Name: name, Address: address}, Site: s, Node: node, Namespace: spec.Namespace, Pod: spec.Name, labels: maps.Clone(spec.Labels),
		}
	}
	err := inParallel(pods, func(p *Pod) error {
		if err := p.wire(); err != nil {
			return err
		}
		return p.create(ctx)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pods {
		s.pods[p.Namespace+"/"+p.Pod] = p
	}
	return pods, err
}

func (n *Node) nextAddress() netip.Addr {
	n.Site.mu.Lock()
	defer n.Site.mu.Unlock()
	n.used++
	first := n.subnet.Addr().As4()
	first[3] = byte(n.used)
	return netip.AddrFrom4(first)
}

// wire makes the pod's namespace and links it to its node as Calico's network plugin does.
func (p *Pod) wire() error {
	var err error
	if p.space, err = newSpace(p.Name); err != nil {
		return err
	}
	outside := hostInterface(p.Namespace, p.Pod)
	err = p.Node.space.IP(
		fmt.Sprintf("link add %s address %s type veth peer name eth0 netns %s", outside, hostMAC, p.space.handle()),
		"link set "+outside+" up",
	)
	if err != nil {
		return err
	}
	err = p.space.IP("link set eth0 up", fmt.Sprintf("addr add %s/32 dev eth0", p.Address), "route add "+gatewayOfPods+" dev eth0 scope link",
		"route add default via "+gatewayOfPods, "neigh add "+gatewayOfPods+" lladdr "+hostMAC+" dev eth0 nud permanent")
	if err != nil {
		return err
	}
	if err := p.space.sysctl(map[string]string{"net/ipv4/ping_group_range": "0 0", "net/ipv4/icmp_ratelimit": "0"}); err != nil {
		return err
	}
	return p.serve(Ports)
}

// create writes the pod as kubelet would once it runs.
func (p *Pod) create(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: p.Pod, Labels: p.labels,
			Annotations: map[string]string{"cni.projectcalico.org/podIP": p.Address.String() + "/32", "cni.projectcalico.org/podIPs": p.Address.String() + "/32"},
		},
		Spec: corev1.PodSpec{NodeName: p.Node.Name, Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
	}
	if err := p.Site.Admin.Create(ctx, pod); err != nil {
		return err
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: p.Address.String(), PodIPs: []corev1.PodIP{{IP: p.Address.String()}},
		HostIP: p.Node.Address.String(), HostIPs: []corev1.HostIP{{IP: p.Node.Address.String()}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	return p.Site.Admin.Status().Update(ctx, pod)
}

// Labels are the pod's labels.
func (p *Pod) Labels() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.labels)
}

// Relabel gives a pod other labels.
func (p *Pod) Relabel(ctx context.Context, labels map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(p.labels, labels) {
		return nil
	}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Pod, Labels: maps.Clone(labels)}}
	if err := replaceLabels(ctx, p.Site.Admin, object); err != nil {
		return err
	}
	p.labels = maps.Clone(labels)
	return nil
}

// Remove deletes the pod: its object, as kubelet does at the end, and then its namespace.
func (p *Pod) Remove(ctx context.Context) error {
	return errors.Join(p.Delete(ctx), p.Discard())
}

// Delete deletes the pod's object; its namespace still listens and sends.
func (p *Pod) Delete(ctx context.Context) error {
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Pod}}
	return p.Site.Admin.Delete(ctx, object, client.GracePeriodSeconds(0))
}

// Discard gives up the namespace of a pod whose object is deleted.
func (p *Pod) Discard() error {
	p.Site.mu.Lock()
	delete(p.Site.pods, p.Namespace+"/"+p.Pod)
	p.Site.mu.Unlock()
	return errors.Join(p.shut(), p.space.Close())
}

// SetNamespace makes a namespace have these labels, beside those of Kubernetes; it creates it if it is not there.
func (s *Site) SetNamespace(ctx context.Context, name string, labels map[string]string) error {
	all := map[string]string{corev1.LabelMetadataName: name}
	maps.Copy(all, labels)
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: all}}
	if err := s.Admin.Create(ctx, object); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return replaceLabels(ctx, s.Admin, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: all}})
}

// replaceLabels makes an object that exists have exactly the labels of the one given.
func replaceLabels(ctx context.Context, c client.Client, want client.Object) error {
	labels := want.GetLabels()
	if err := c.Get(ctx, client.ObjectKeyFromObject(want), want); err != nil {
		return err
	}
	if maps.Equal(want.GetLabels(), labels) {
		return nil
	}
	base, ok := want.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", want)
	}
	want.SetLabels(labels)
	return c.Patch(ctx, want, client.MergeFrom(base))
}

// addDNS makes the pod behind the Service kube-system/kube-dns.
func (s *Site) addDNS(ctx context.Context) error {
	pods, err := s.AddPods(ctx, PodSpec{Namespace: metav1.NamespaceSystem, Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"}})
	if err != nil {
		return err
	}
	s.DNS = pods[0]
	port := func(name string, protocol corev1.Protocol) discoveryv1.EndpointPort {
		number := int32(53)
		return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number}
	}
	return s.Admin.Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "kube-dns-1", Labels: map[string]string{discoveryv1.LabelServiceName: "kube-dns"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{port("dns", corev1.ProtocolUDP), port("dns-tcp", corev1.ProtocolTCP)},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{s.DNS.Address.String()}}},
	})
}

// inParallel calls f for each item, all at once, and joins the errors.
func inParallel[T any](items []T, f func(T) error) error {
	failures := make([]error, len(items))
	var group sync.WaitGroup
	for i := range items {
		group.Go(func() { failures[i] = f(items[i]) })
	}
	group.Wait()
	return errors.Join(failures...)
}
