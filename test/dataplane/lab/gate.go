package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"github.com/projectcalico/api/pkg/lib/numorstring"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// The gate tells when Felix has taken in everything that was written before. On each node stands a pod whose ingress takes one object of each kind that
// decides over packets: its own labels, those of its namespace, a GlobalNetworkPolicy, a GlobalNetworkSet and a NetworkPolicy. To settle is to write
// another generation of all five and to try until a connection passes that only this generation lets pass: Felix takes the changes of one kind in their
// order, and programs the kernel in that of its calculations.
type gate struct {
	mu         sync.Mutex
	generation int
	host       *Place
	pods       []*Pod
}

const (
	// gateName is that of the gate's namespace, tier, label and objects.
	gateName = "gate"
	// gateSources is how many addresses the gate's host has; each generation opens another one.
	gateSources = 32
	// gatePort is the port of generation 0. Nothing listens there: the refusal of a connection shows that it passed.
	gatePort = 20000
	// gatePatience bounds the wait for Felix, on a busy machine.
	gatePatience = 2 * time.Minute
)

func (g *gate) place() []*Place {
	if g.host == nil {
		return nil
	}
	return []*Place{g.host}
}

func (g *gate) source() netip.Addr { return gateSource(g.generation % gateSources) }

func gateSource(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)}) }

func (g *gate) port() uint16 { return uint16(gatePort + g.generation%10000) }

func (g *gate) label() string { return fmt.Sprintf("g%d", g.generation) }

// startGate makes the gate's host, and on each node its pod.
func (l *Lab) startGate(ctx context.Context) error {
	s, err := newSpace(gateName)
	if err != nil {
		return err
	}
	l.gate.host = &Place{Name: gateName, Address: gateSource(0), space: s}
	var sources []netip.Addr
	for i := range gateSources {
		sources = append(sources, gateSource(i))
	}
	if err := l.backbone.attach(s, sources); err != nil {
		return err
	}
	var mu sync.Mutex
	return inParallel(l.Sites, func(s *Site) error {
		if err := s.SetNamespace(ctx, gateName, l.gate.namespaceLabels()); err != nil {
			return err
		}
		var specs []PodSpec
		for i := range s.Nodes {
			specs = append(specs, PodSpec{Node: i, Namespace: gateName, Name: fmt.Sprintf("gate-%d", i+1), Labels: map[string]string{gateName: l.gate.label()}})
		}
		pods, err := s.AddPods(ctx, specs...)
		if err != nil {
			return err
		}
		mu.Lock()
		l.gate.pods = append(l.gate.pods, pods...)
		mu.Unlock()
		order := 100.0
		tier := &calicov3.Tier{ObjectMeta: metav1.ObjectMeta{Name: gateName}, Spec: calicov3.TierSpec{Order: &order, DefaultAction: ptr(calicov3.Pass)}}
		closed := &calicov3.GlobalNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: gateName + ".closed"}, Spec: calicov3.GlobalNetworkPolicySpec{
			Tier: gateName, Order: ptr(2000.0), NamespaceSelector: "has(gate)", Selector: "has(gate)",
			Types: []calicov3.PolicyType{calicov3.PolicyTypeIngress}, Ingress: []calicov3.Rule{{Action: calicov3.Deny}},
		}}
		for _, o := range []client.Object{tier, closed} {
			if err := s.Admin.Create(ctx, o); err != nil {
				return fmt.Errorf("cluster %s: %w", s.Name, err)
			}
		}
		return nil
	})
}

func ptr[T any](v T) *T { return &v }

// namespaceLabels keep the networks of tests off the gate's pods.
func (g *gate) namespaceLabels() map[string]string {
	return map[string]string{gateName: g.label(), mcnv1alpha1.ExcludeLabel: ""}
}

// Settle waits until every node's Felix has taken in all that was written to its cluster before the call.
func (l *Lab) Settle(ctx context.Context) error {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, gatePatience)
	defer cancel()
	l.gate.generation++
	if err := inParallel(l.Sites, func(s *Site) error { return l.gate.write(ctx, s) }); err != nil {
		return err
	}
	from := &Place{Name: gateName, Address: l.gate.source(), space: l.gate.host.space}
	return inParallel(l.gate.pods, func(p *Pod) error { return l.gate.pass(ctx, from, p) })
}

// write writes the generation's objects to one cluster.
func (g *gate) write(ctx context.Context, s *Site) error {
	port := intstr.FromInt32(int32(g.port()))
	set := &calicov3.GlobalNetworkSet{ObjectMeta: metav1.ObjectMeta{Name: gateName}}
	policy := &calicov3.GlobalNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: gateName + ".open"}}
	local := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: gateName, Name: "open"}}
	for _, each := range []struct {
		object client.Object
		fill   func()
	}{
		{set, func() {
			set.Labels = map[string]string{gateName: "source"}
			set.Spec.Nets = []string{g.source().String() + "/32"}
		}},
		{policy, func() {
			policy.Spec = calicov3.GlobalNetworkPolicySpec{
				Tier: gateName, Order: ptr(1000.0), NamespaceSelector: "gate == '" + g.label() + "'", Selector: "gate == '" + g.label() + "'",
				Types: []calicov3.PolicyType{calicov3.PolicyTypeIngress},
				Ingress: []calicov3.Rule{{
					Action: calicov3.Pass, Protocol: ptr(numorstring.ProtocolFromString("TCP")),
					Source:      calicov3.EntityRule{NamespaceSelector: "global()", Selector: "gate == 'source'"},
					Destination: calicov3.EntityRule{Ports: []numorstring.Port{numorstring.SinglePort(g.port())}},
				}},
			}
		}},
		{local, func() {
			local.Spec = networkingv1.NetworkPolicySpec{
				PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
				Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}},
			}
		}},
	} {
		if err := retried(ctx, func() error {
			_, err := controllerutil.CreateOrUpdate(ctx, s.Admin, each.object, func() error { each.fill(); return nil })
			return err
		}); err != nil {
			return fmt.Errorf("cluster %s: the gate's %T: %w", s.Name, each.object, err)
		}
	}
	if err := s.SetNamespace(ctx, gateName, g.namespaceLabels()); err != nil {
		return err
	}
	for _, p := range g.pods {
		if p.Site != s {
			continue
		}
		if err := p.Relabel(ctx, map[string]string{gateName: g.label()}); err != nil {
			return err
		}
	}
	return nil
}

// retried calls f until it does not fail with a conflict.
func retried(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return err
		}
	}
}

// pass waits until the generation's connection passes to a node's gate.
func (g *gate) pass(ctx context.Context, from *Place, p *Pod) error {
	for {
		r, err := Flow{From: from, To: &p.Place, Protocol: TCP, Port: g.port()}.Try(50 * time.Millisecond)
		if err == nil && r.Passed {
			return nil
		}
		if felix := p.Node.felix.running(); felix != nil {
			return fmt.Errorf("the Felix of node %s: %w", p.Node.Name, felix)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the Felix of node %s has not taken in what was written to cluster %s within %s; its log is %s: %w",
				p.Node.Name, p.Site.Name, gatePatience, p.Node.felix.log, errors.Join(err, ctx.Err()))
		}
	}
}
