package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// fieldManager owns what this package writes into clusters.
const fieldManager = "test-cluster"

// object is an object with the plural name by which it is written, so that no discovery is needed.
type object struct {
	resource  schema.GroupVersionResource
	namespace string
	content   *unstructured.Unstructured
}

// newObject makes an object from the fields beside apiVersion, kind and metadata.
func newObject(resource schema.GroupVersionResource, kind, namespace, name string, fields map[string]any) object {
	content := &unstructured.Unstructured{Object: fields}
	content.SetGroupVersionKind(resource.GroupVersion().WithKind(kind))
	content.SetNamespace(namespace)
	content.SetName(name)
	return object{resource: resource, namespace: namespace, content: content}
}

// apply writes an object by server-side apply.
func (c *Cluster) apply(ctx context.Context, o object) error {
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	var target dynamic.ResourceInterface = client.Resource(o.resource)
	if o.namespace != "" {
		target = client.Resource(o.resource).Namespace(o.namespace)
	}
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	if _, err := target.Apply(ctx, o.content.GetName(), o.content, options); err != nil {
		return fmt.Errorf("applying %s %s: %w", o.content.GetKind(), o.content.GetName(), err)
	}
	return nil
}

var (
	services   = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	crds       = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// createDNS creates the Service of the cluster's DNS as kubeadm does. Pods are up to the test.
func (c *Cluster) createDNS(ctx context.Context) error {
	selector := map[string]any{"k8s-app": "kube-dns"}
	port := func(name, protocol string, number int64) map[string]any {
		return map[string]any{"name": name, "protocol": protocol, "port": number, "targetPort": number}
	}
	dns := newObject(services, "Service", "kube-system", "kube-dns", map[string]any{"spec": map[string]any{
		"clusterIP": dnsServiceIP, "selector": selector,
		"ports": []any{port("dns", "UDP", 53), port("dns-tcp", "TCP", 53)},
	}})
	dns.content.SetLabels(map[string]string{"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"})
	return c.apply(ctx, dns)
}

// installCRDs applies all the CRDs in a folder and waits until the API server serves them.
func (c *Cluster) installCRDs(ctx context.Context, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		return errors.Join(fmt.Errorf("no CRDs in %s: delete that folder, the next start makes it again", folder), err)
	}
	failures := make([]error, len(files))
	var group sync.WaitGroup
	for i, file := range files {
		group.Go(func() { failures[i] = c.installCRD(ctx, file) })
	}
	group.Wait()
	return errors.Join(failures...)
}

func (c *Cluster) installCRD(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading a CRD: %w", err)
	}
	crd := object{resource: crds, content: &unstructured.Unstructured{}}
	if err := yaml.Unmarshal(text, &crd.content.Object); err != nil {
		return fmt.Errorf("reading CRD %s: %w", file, err)
	}
	if err := c.apply(ctx, crd); err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	name := crd.content.GetName()
	return wait(ctx, "CRD "+name+" is established", c.process(apiServer), func(ctx context.Context) error {
		live, err := client.Resource(crds).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return conditionTrue(live, "Established")
	})
}

// conditionTrue returns nil if the object has the condition with status True, else what it has.
func conditionTrue(o *unstructured.Unstructured, kind string) error {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return fmt.Errorf("reading the conditions of %s: %w", o.GetName(), err)
	}
	for _, entry := range conditions {
		condition, ok := entry.(map[string]any)
		if ok && condition["type"] == kind {
			if condition["status"] == "True" {
				return nil
			}
			return fmt.Errorf("%s of %s is %v: %v", kind, o.GetName(), condition["status"], condition["message"])
		}
	}
	return fmt.Errorf("%s has no condition %s yet", o.GetName(), kind)
}
