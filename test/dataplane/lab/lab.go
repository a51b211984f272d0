package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

// apiAddress is what package cluster has every API server advertise.
var apiAddress = netip.MustParseAddr("192.0.2.10")

// startFor bounds the start of a control plane, on a machine that is busy.
const startFor = 8 * time.Minute

// Options say what range to make.
type Options struct {
	// Nodes are the number of nodes of each member cluster; its length is the number of clusters, at most 26.
	Nodes []int
	// Dataplane is what Felix programs.
	Dataplane Dataplane
	// Progress gets what a person who waits wants to read; default: nothing.
	Progress io.Writer
}

// Lab is the range: a hub, and member clusters named a, b, c ... that reach each other by the backbone.
type Lab struct {
	// Hub is a control plane without Calico, nodes or pods.
	Hub *cluster.Cluster
	// HubAdmin is the administrator's client there.
	HubAdmin client.Client
	// Sites are the members.
	Sites []*Site
	// Outside are hosts on the backbone that belong to no cluster.
	Outside []*Place

	ctx       context.Context
	cancel    context.CancelFunc
	dataplane Dataplane
	backbone  *backbone
	clusters  []*cluster.Cluster
	gate      gate
}

// OutsideAddresses are those of the hosts outside the clusters: two in one subnet, one elsewhere.
var OutsideAddresses = []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("198.51.100.10")}

// Start makes a range. When it fails, nothing of it is left.
func Start(ctx context.Context, opts Options) (*Lab, error) {
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	if err := Require(opts.Progress); err != nil {
		return nil, err
	}
	paths, err := tools.Ensure(ctx, opts.Progress, tools.Etcd, tools.KubeAPIServer, tools.CalicoAPIServer, tools.CalicoFelix, tools.CalicoStorageCRDs, tools.Kubectl)
	if err != nil {
		return nil, err
	}
	l := &Lab{dataplane: opts.Dataplane}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.start(ctx, opts, paths); err != nil {
		l.KeepLogs()
		return nil, errors.Join(err, l.Stop())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context, opts Options, paths tools.Paths) error {
	began := time.Now()
	var err error
	if l.backbone, err = newBackbone(); err != nil {
		return err
	}
	if err := l.backbone.IP(fmt.Sprintf("addr add %s/32 dev lo", apiAddress)); err != nil {
		return err
	}
	for i, a := range OutsideAddresses {
		if err := l.addOutside(fmt.Sprintf("outside%d", i+1), a); err != nil {
			return err
		}
	}
	specs := []cluster.Options{{Name: "hub", Timeout: startFor, Progress: opts.Progress}}
	for i := range opts.Nodes {
		specs = append(specs, cluster.Options{Name: string(rune('a' + i)), Calico: cluster.Aggregated, Timeout: startFor, Progress: opts.Progress})
	}
	if l.clusters, err = cluster.StartAll(ctx, specs...); err != nil {
		return err
	}
	l.Hub = l.clusters[0]
	if l.HubAdmin, err = newClient(l.Hub); err != nil {
		return err
	}
	l.Sites = make([]*Site, len(opts.Nodes))
	failures := make([]error, len(opts.Nodes))
	var group sync.WaitGroup
	for i, nodes := range opts.Nodes {
		group.Go(func() { l.Sites[i], failures[i] = l.newSite(ctx, l.clusters[i+1], i+1, nodes, paths) })
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if err := l.startGate(ctx); err != nil {
		return err
	}
	if err := l.Settle(ctx); err != nil {
		return err
	}
	fmt.Fprintf(opts.Progress, "the range stands after %.0fs: %d clusters, dataplane %s\n", time.Since(began).Seconds(), len(l.Sites), l.dataplane)
	return nil
}

// addOutside makes a host that belongs to no cluster.
func (l *Lab) addOutside(name string, address netip.Addr) error {
	s, err := newSpace(name)
	if err != nil {
		return err
	}
	p := &Place{Name: name, Address: address, space: s}
	l.Outside = append(l.Outside, p)
	if err := l.backbone.attach(s, []netip.Addr{address}); err != nil {
		return err
	}
	if err := s.sysctl(map[string]string{"net/ipv4/ping_group_range": "0 0", "net/ipv4/icmp_ratelimit": "0"}); err != nil {
		return err
	}
	return p.serve(Ports)
}

// KeepLogs makes Stop leave the logs of control planes and agents where they are.
func (l *Lab) KeepLogs() {
	for _, c := range l.clusters {
		c.KeepLogs()
	}
}

// Stop ends everything in the range.
func (l *Lab) Stop() error {
	l.cancel()
	var failures []error
	for _, s := range l.Sites {
		if s != nil {
			s.stop()
		}
	}
	for _, p := range append(l.Outside, l.gate.place()...) {
		failures = append(failures, p.shut(), p.space.Close())
	}
	for _, c := range l.clusters {
		failures = append(failures, c.Stop())
	}
	if l.backbone != nil {
		failures = append(failures, l.backbone.Close())
	}
	return errors.Join(failures...)
}

// newClient returns the administrator's client of a cluster.
func newClient(c *cluster.Cluster) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcnv1alpha1.AddToScheme, calicov3.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(c.RESTConfig(), client.Options{Scheme: scheme})
}
