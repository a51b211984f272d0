package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"multicloud.network/operator/test/cluster/tools"
)

// Addresses inside every cluster. All clusters share them, as real ones do that nobody planned together.
const (
	serviceCIDR  = "10.96.0.0/16"
	apiServiceIP = "10.96.0.1"
	dnsServiceIP = "10.96.0.10"
	// advertised is the address in the EndpointSlice of default/kubernetes. Kubernetes refuses the true one, 127.0.0.1, there; this one
	// is reserved for documentation.
	advertised = "192.0.2.10"
)

const apiServer = "kube-apiserver"

// StartAPIServer starts kube-apiserver and waits until it is ready. Start has done it already: call it after StopAPIServer. Port, data
// and certificates are those of before.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.api.number), "--permit-port-sharing",
		"--advertise-address=" + advertised, "--service-cluster-ip-range=" + serviceCIDR,
		"--tls-cert-file=apiserver.crt", "--tls-private-key-file=apiserver.key", "--client-ca-file=ca.crt", "--cert-dir=.",
		"--authorization-mode=RBAC", "--allow-privileged=true",
		// It would refuse every pod, because no controller makes the ServiceAccount "default".
		"--disable-admission-plugins=ServiceAccount",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=service-account.crt", "--service-account-signing-key-file=service-account.key",
		"--requestheader-client-ca-file=front-proxy-ca.crt", "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=front-proxy.crt", "--proxy-client-key-file=front-proxy.key",
		"--profiling=false",
	}
	p, err := c.run(apiServer, c.paths[tools.KubeAPIServer], nil, append(args, c.opts.APIServerArgs...)...)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	err = wait(ctx, "kube-apiserver is ready", p, func(ctx context.Context) error {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return wait(ctx, "kube-apiserver has made its namespaces", p, func(ctx context.Context) error {
		_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		return err
	})
}

// StopAPIServer ends kube-apiserver and leaves etcd, and calico-apiserver, running: the cluster becomes unreachable.
func (c *Cluster) StopAPIServer() error { return c.end(apiServer) }

// KillAPIServer ends kube-apiserver with SIGKILL: no connection is closed in order. StartAPIServer starts it again.
func (c *Cluster) KillAPIServer() error { return c.killProgram(apiServer) }
