package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

// Site is one member cluster.
type Site struct {
	*cluster.Cluster
	// Admin is the administrator's client.
	Admin client.Client
	// PodCIDR holds the addresses of all its pods.
	PodCIDR netip.Prefix
	// API is where pods reach the API server, on APIPort; default/kubernetes names it.
	API     *Place
	APIPort uint16
	// DNS is the pod behind the Service kube-system/kube-dns.
	DNS *Pod
	// Nodes are the cluster's nodes.
	Nodes []*Node

	lab   *Lab
	index int // from 1

	mu   sync.Mutex
	pods map[string]*Pod // by namespace/name
}

// Node is a machine of a cluster. As a Place it is a process on the node, or a pod on the host's network.
type Node struct {
	Place
	Site *Site

	subnet netip.Prefix // its part of the site's PodCIDR
	used   int          // addresses of it that were given out
	felix  *felix
	// program is the agent's.
	program string
}

// addNode makes a node: its namespace, its object, its agent.
func (s *Site) addNode(ctx context.Context, felix string) error {
	number := len(s.Nodes) + 1
	n := &Node{
		Place: Place{Name: fmt.Sprintf("%s%d", s.Name, number), Address: netip.AddrFrom4([4]byte{172, 31, byte(s.index), byte(number)})},
		Site:  s, subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(s.index), byte(number), 0}), 24),
	}
	var err error
	if n.space, err = newSpace(n.Name); err != nil {
		return err
	}
	s.Nodes = append(s.Nodes, n)
	if err := s.lab.backbone.attach(n.space, []netip.Addr{n.Address}, n.subnet); err != nil {
		return err
	}
	if err := n.space.sysctl(map[string]string{"net/ipv4/ip_forward": "1", "net/ipv4/ping_group_range": "0 0", "net/ipv4/icmp_ratelimit": "0"}); err != nil {
		return err
	}
	if err := n.serve(Ports); err != nil {
		return err
	}
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Annotations: map[string]string{"projectcalico.org/IPv4Address": n.Address.String() + "/32"}},
		Spec:       corev1.NodeSpec{PodCIDR: n.subnet.String(), PodCIDRs: []string{n.subnet.String()}},
	}
	if err := s.Admin.Create(ctx, object); err != nil {
		return err
	}
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Address.String()}, {Type: corev1.NodeHostName, Address: n.Name}}
	if err := s.Admin.Status().Update(ctx, object); err != nil {
		return err
	}
	// On the node, the API server is where the kubeconfig says: on 127.0.0.1.
	server := strings.TrimPrefix(s.URL(), "https://")
	if err := forward(s.lab.ctx, n.space, netip.MustParseAddrPort(server), server); err != nil {
		return err
	}
	n.program = felix
	return n.StartFelix()
}

// StartFelix starts the node's agent.
func (n *Node) StartFelix() error {
	var err error
	n.felix, err = startFelix(n, n.program, n.Site.KubeconfigPath(), n.Site.Dir, n.Site.lab.dataplane)
	return err
}

// StopFelix ends the node's agent and leaves what it programmed in force.
func (n *Node) StopFelix() error { return n.felix.stop() }

// newSite fills a control plane with what Calico's installer writes, and starts its nodes.
func (l *Lab) newSite(ctx context.Context, c *cluster.Cluster, index, nodes int, paths tools.Paths) (*Site, error) {
	s := &Site{Cluster: c, lab: l, index: index, PodCIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(index), 0, 0}), 16), pods: map[string]*Pod{}}
	var err error
	if s.Admin, err = newClient(c); err != nil {
		return nil, err
	}
	pool := &calicov3.IPPool{ObjectMeta: metav1.ObjectMeta{Name: "pods"}, Spec: calicov3.IPPoolSpec{CIDR: s.PodCIDR.String(), NATOutgoing: true}}
	if err := s.Admin.Create(ctx, pool); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	for range nodes {
		if err := s.addNode(ctx, paths[tools.CalicoFelix]); err != nil {
			return nil, fmt.Errorf("cluster %s: %w", c.Name, err)
		}
	}
	if err := s.addDNS(ctx); err != nil {
		return nil, fmt.Errorf("cluster %s: DNS: %w", c.Name, err)
	}
	// Where default/kubernetes leads: to the backbone's router.
	server := netip.MustParseAddrPort(strings.TrimPrefix(c.URL(), "https://"))
	s.API = &Place{Name: "API server of " + c.Name, Address: apiAddress, space: l.backbone.Space}
	s.APIPort = server.Port()
	return s, forward(l.ctx, l.backbone.Space, netip.AddrPortFrom(apiAddress, server.Port()), server.String())
}

// stop ends the site's agents and gives its namespaces up.
func (s *Site) stop() {
	for _, p := range s.pods {
		_ = p.shut()
		_ = p.space.Close()
	}
	for _, n := range s.Nodes {
		if n.felix != nil {
			_ = n.felix.stop()
		}
		_ = n.shut()
		_ = n.space.Close()
	}
}
