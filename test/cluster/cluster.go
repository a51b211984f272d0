// Package cluster starts real Kubernetes control planes (etcd, kube-apiserver and, if wanted, Calico's API) on this machine, for tests
// and for the demo. Nothing in them is a stand-in: requests pass authentication, RBAC, admission and Calico's own validation.
//
// What is not there: kubelets, schedulers and kube-controller-manager. Pods get no address unless the test writes one, namespaces that
// are deleted stay Terminating, nothing collects garbage, and no "default" ServiceAccount appears by itself. A native cluster has Calico's
// CRDs and the effect of its mutating admission policies, but not its webhook (tier RBAC and existence) nor its tier controller.
//
// Processes die with the process that started them, also when that is killed with SIGKILL, unless Options.Detach is set. What a killed
// process leaves on disk is removed by the next start. The package needs Linux.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"multicloud.network/operator/test/cluster/tools"
)

// Calico says in which form a cluster has Calico's API.
type Calico string

// The forms of Calico's API.
const (
	// None is a cluster without any Calico API: a hub, or a member that is not ready.
	None Calico = ""
	// Aggregated is calico-apiserver behind the aggregator, which stores CRDs of crd.projectcalico.org/v1 and validates.
	Aggregated Calico = "Aggregated"
	// Native is CRDs that serve projectcalico.org/v3 themselves, with admission policies that default but hardly validate.
	Native Calico = "Native"
)

// Options says what cluster to start. Only Name is required.
type Options struct {
	// Name is a DNS label; it appears in the folder's name, in the kubeconfig and in errors.
	Name string
	// Calico is the form of Calico's API; the zero value is none.
	Calico Calico
	// Detach lets the control plane outlive the process that starts it; StopDir ends it.
	Detach bool
	// WithoutDNS leaves out the Service kube-system/kube-dns.
	WithoutDNS bool
	// APIServerArgs are further flags of kube-apiserver; they come last, and so win.
	APIServerArgs []string
	// Parent is the folder in which the cluster gets its own; default: the folder "run" of the cache.
	Parent string
	// Timeout bounds the start, without building the programs; default 3 minutes, enough for a machine that is busy compiling.
	Timeout time.Duration
	// Progress gets what a person who waits wants to read; default: nothing. Clusters that start at once write to it at once.
	Progress io.Writer
}

// Cluster is one running control plane. Its methods may be called from several goroutines.
type Cluster struct {
	// Name is that of the options.
	Name string
	// Dir holds the cluster's data, certificates, logs and the file "kubeconfig". Stop removes it.
	Dir string

	opts  Options
	paths tools.Paths
	dir   *runDir
	certs *certificates
	ports ports

	mu        sync.Mutex
	processes map[string]*process
	kubectl   string
	stopped   bool
}

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$`)

// Start starts one control plane and returns when it answers, Calico's API included. It builds programs that are not in the cache first.
// When it fails nothing runs any more; the logs stay, and the error names them.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if !validName.MatchString(opts.Name) {
		return nil, fmt.Errorf("cluster name %q: use a DNS label of at most 42 characters", opts.Name)
	}
	if opts.Timeout == 0 {
		opts.Timeout = 3 * time.Minute
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	want, err := artifacts(opts.Calico)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", opts.Name, err)
	}
	paths, err := tools.Ensure(ctx, opts.Progress, want...)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", opts.Name, err)
	}
	c, err := prepare(opts, paths)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", opts.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opts.Timeout, fmt.Errorf("not ready after %s", opts.Timeout))
	defer cancel()
	if err := c.start(ctx); err != nil {
		c.KeepLogs()
		return nil, errors.Join(fmt.Errorf("cluster %s (logs are in %s): %w", opts.Name, c.Dir, err), c.Stop())
	}
	return c, nil
}

// StartAll starts several control planes at once. When one fails, it stops the others.
func StartAll(ctx context.Context, opts ...Options) ([]*Cluster, error) {
	clusters, failures := make([]*Cluster, len(opts)), make([]error, len(opts))
	var group sync.WaitGroup
	for i := range opts {
		group.Go(func() { clusters[i], failures[i] = Start(ctx, opts[i]) })
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		for _, c := range clusters {
			if c != nil {
				err = errors.Join(err, c.Stop())
			}
		}
		return nil, err
	}
	return clusters, nil
}

// artifacts lists what a cluster needs from the cache.
func artifacts(calico Calico) ([]tools.Artifact, error) {
	want := []tools.Artifact{tools.Etcd, tools.KubeAPIServer}
	switch calico {
	case None:
		return want, nil
	case Aggregated:
		return append(want, tools.CalicoAPIServer, tools.CalicoStorageCRDs), nil
	case Native:
		return append(want, tools.CalicoNativeCRDs), nil
	default:
		return nil, fmt.Errorf("no form %q of Calico's API: use cluster.None, cluster.Aggregated or cluster.Native", calico)
	}
}

// prepare makes the cluster's folder with certificates in it and reserves its ports; no process runs yet.
func prepare(opts Options, paths tools.Paths) (*Cluster, error) {
	dir, err := newRunDir(opts.Parent, opts.Name)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Name: opts.Name, Dir: dir.path, opts: opts, paths: paths, dir: dir, processes: map[string]*process{}}
	if err := c.ports.reserve(); err != nil {
		return nil, errors.Join(err, dir.remove())
	}
	if c.certs, err = writeCertificates(dir.path); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	kubeconfig, err := c.kubeconfig(c.certs.admin)
	if err == nil {
		err = os.WriteFile(c.path("kubeconfig"), kubeconfig, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing the kubeconfig: %w", err), c.Stop())
	}
	return c, nil
}

// start starts the processes in order and fills the cluster with what a real one has.
func (c *Cluster) start(ctx context.Context) error {
	began := time.Now()
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	if !c.opts.WithoutDNS {
		if err := c.createDNS(ctx); err != nil {
			return err
		}
	}
	var err error
	switch c.opts.Calico {
	case Aggregated:
		err = c.installAggregated(ctx)
	case Native:
		err = c.installNative(ctx, c.paths[tools.CalicoNativeCRDs])
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.opts.Progress, "cluster %s is ready after %.1fs\n", c.Name, time.Since(began).Seconds())
	return nil
}

// Stop ends the cluster's processes and removes its folder. A second call does nothing.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var failures []error
	for _, p := range c.processes {
		failures = append(failures, p.kill())
	}
	c.ports.release()
	failures = append(failures, c.dir.remove())
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("stopping cluster %s: %w", c.Name, err)
	}
	return nil
}

// KeepLogs makes Stop leave the logs in Dir, for a person to read. They are removed by a start that happens a day later.
func (c *Cluster) KeepLogs() { c.dir.keep.Store(true) }

// RESTConfig returns the access of an administrator, by client certificate. The caller may change it.
func (c *Cluster) RESTConfig() *rest.Config {
	return &rest.Config{
		Host: c.URL(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: c.certs.ca.certPEM, CertData: c.certs.admin.certPEM, KeyData: c.certs.admin.keyPEM,
		},
		// A test is not a guest on a shared server: without this, client-go holds it to 5 requests a second.
		QPS: -1,
	}
}

// URL is where the API server listens: https://127.0.0.1:port. It stays the same over restarts.
func (c *Cluster) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.ports.api.number) }
