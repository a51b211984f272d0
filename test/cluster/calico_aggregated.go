package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"multicloud.network/operator/test/cluster/tools"
)

const calicoServer = "calico-apiserver"

var (
	calicoV1    = schema.GroupVersion{Group: "crd.projectcalico.org", Version: "v1"}
	apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
)

// installAggregated makes the cluster one with Calico's aggregated API.
func (c *Cluster) installAggregated(ctx context.Context) error {
	if err := c.installCRDs(ctx, c.paths[tools.CalicoStorageCRDs]); err != nil {
		return err
	}
	// These go into the storage, as calico-node writes them.
	err := c.createCalicoDefaults(ctx, calicoV1, "v3.31.0", []tierSpec{
		{"default", 1_000_000, "Deny"}, {"adminnetworkpolicy", 1_000, "Pass"}, {"baselineadminnetworkpolicy", 10_000_000, "Pass"},
	})
	if err != nil {
		return err
	}
	kubeconfig, err := c.kubeconfig(c.certs.calico)
	if err == nil {
		err = os.WriteFile(c.path("calico.kubeconfig"), kubeconfig, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the kubeconfig of calico-apiserver: %w", err)
	}
	if err := c.waitForRequestHeaderConfig(ctx); err != nil {
		return err
	}
	if err := c.createCalicoService(ctx); err != nil {
		return err
	}
	p, err := c.launchCalico(ctx)
	if err != nil {
		return err
	}
	// Only now: what does not answer, the aggregator tries again ever more slowly.
	if err := c.registerAPIService(ctx); err != nil {
		return err
	}
	return c.waitForAggregation(ctx, p)
}

// StartCalicoAPIServer starts calico-apiserver again after StopCalicoAPIServer, on the same port, and waits until policies are listed.
func (c *Cluster) StartCalicoAPIServer(ctx context.Context) error {
	p, err := c.launchCalico(ctx)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	if err := c.waitForAggregation(ctx, p); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return nil
}

// StopCalicoAPIServer ends calico-apiserver: projectcalico.org/v3 answers 503 until it is started again.
func (c *Cluster) StopCalicoAPIServer() error { return c.end(calicoServer) }

// launchCalico starts calico-apiserver and waits until it says itself that it is ready.
func (c *Cluster) launchCalico(ctx context.Context) (*process, error) {
	if c.opts.Calico != Aggregated {
		return nil, errors.New("it has no calico-apiserver: start it with Calico: cluster.Aggregated")
	}
	p, err := c.run(calicoServer, c.paths[tools.CalicoAPIServer],
		[]string{"DATASTORE_TYPE=kubernetes", "KUBECONFIG=calico.kubeconfig", "LOG_LEVEL=info"},
		// Demanded, and used for nothing: the server stores through kube-apiserver.
		"--etcd-servers=http://127.0.0.1:0",
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.calico.number), "--permit-port-sharing",
		"--tls-cert-file=calico.crt", "--tls-private-key-file=calico.key", "--cert-dir=.",
		"--kubeconfig=calico.kubeconfig", "--authentication-kubeconfig=calico.kubeconfig", "--authorization-kubeconfig=calico.kubeconfig",
	)
	if err != nil {
		return nil, err
	}
	direct := c.RESTConfig()
	direct.Host = fmt.Sprintf("https://127.0.0.1:%d", c.ports.calico.number)
	client, err := kubernetes.NewForConfig(direct)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return p, wait(ctx, "calico-apiserver is ready", p, func(ctx context.Context) error {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
}

// waitForRequestHeaderConfig waits until kube-apiserver has published how it authenticates as a proxy. calico-apiserver ends itself when it
// sees that ConfigMap appear.
func (c *Cluster) waitForRequestHeaderConfig(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return wait(ctx, "the aggregator's authority is published", c.process(apiServer), func(ctx context.Context) error {
		const name = "extension-apiserver-authentication"
		published, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		if err == nil && (published.Data["requestheader-client-ca-file"] == "" || published.Data["client-ca-file"] == "") {
			return fmt.Errorf("ConfigMap %s is not whole", name)
		}
		return err
	})
}

// createCalicoService creates a Service without endpoints that names this machine.
func (c *Cluster) createCalicoService(ctx context.Context) error {
	err := c.apply(ctx, newObject(namespaces, "Namespace", "", calicoNamespace, map[string]any{}))
	if err != nil {
		return err
	}
	return c.apply(ctx, newObject(services, "Service", calicoNamespace, calicoService, map[string]any{"spec": map[string]any{
		"type": "ExternalName", "externalName": "localhost",
	}}))
}

// registerAPIService sends projectcalico.org/v3 to calico-apiserver.
func (c *Cluster) registerAPIService(ctx context.Context) error {
	return c.apply(ctx, newObject(apiServices, "APIService", "", calicoV3.Version+"."+calicoV3.Group, map[string]any{"spec": map[string]any{
		"group": calicoV3.Group, "version": calicoV3.Version, "groupPriorityMinimum": int64(1500), "versionPriority": int64(200),
		"caBundle": base64.StdEncoding.EncodeToString(c.certs.ca.certPEM),
		"service":  map[string]any{"namespace": calicoNamespace, "name": calicoService, "port": int64(c.ports.calico.number)},
	}}))
}

// waitForAggregation waits until kube-apiserver forwards Calico's API.
func (c *Cluster) waitForAggregation(ctx context.Context, p *process) error {
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	err = wait(ctx, "APIService v3.projectcalico.org is available", p, func(ctx context.Context) error {
		live, err := client.Resource(apiServices).Get(ctx, calicoV3.Version+"."+calicoV3.Group, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return conditionTrue(live, "Available")
	})
	if err != nil {
		return err
	}
	return c.waitForPolicies(ctx, p)
}
