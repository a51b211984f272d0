package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// member is a cluster of the demo.
type member struct {
	// Name is the MemberCluster's name and the kubeconfig's context.
	Name string
	// Region is the nodes' topology.kubernetes.io/region.
	Region string
	// ProviderID is the scheme and path of the nodes' providerID, without the node's name.
	ProviderID string
	// Net is the second octet of the pods' and nodes' subnets: 10.<Net>.0.0/16 and 172.<Net>.0.0/16.
	Net int
	// Labels are the MemberCluster's further labels, as kubectl writes them.
	Labels string
	// Only names the workloads that run here and not in the other clusters.
	Only []string
}

// fleet is the demo's members: one per provider, each with its own subnet, routable between them as VPNs or peerings would make it.
var fleet = []member{
	{Name: "aws", Region: "eu-central-1", ProviderID: "aws:///eu-central-1a/i-0", Net: 16, Labels: "canary=true", Only: []string{"broker"}},
	{Name: "gcp", Region: "europe-west3", ProviderID: "gce://example-prod/europe-west3-b/", Net: 17, Labels: "canary=false"},
	{Name: "azure", Region: "germanywestcentral", Net: 18, Labels: "canary=false",
		ProviderID: "azure:///subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/prod/providers/Microsoft.Compute/virtualMachines/"},
}

// workload is a group of equal pods.
type workload struct {
	namespace, name, namespaceLabels, labels string
	replicas                                 int
}

// workloads are what the samples in config/samples select.
var workloads = []workload{
	{"ingress-nginx", "controller", "purpose: edge", "app: ingress-nginx", 1},
	{"payments", "api", "team: payments", "tier: api", 2},
	{"payments", "ledger", "team: payments", "tier: ledger", 1},
	{"shop", "web", "team: shop", "tier: web", 2},
	{"shop", "cart", "team: shop", "tier: cart", 1},
	{"search", "index", "team: search", "app: index", 2},
	{"booking", "web", "team: booking", "app: web", 1},
	{"booking", "api", "team: booking", "app: api", 1},
	{"checkout", "checkout", "team: checkout", "app: checkout", 1},
	{"orders", "orders", "team: orders", "app: orders", 1},
	{"shipping", "shipping", "team: shipping", "app: shipping", 1},
	{"broker", "broker", "team: broker", "app: broker", 1},
	{"sandbox", "try", "stage: dev", "app: try", 2},
	{"monitoring", "prometheus", "purpose: monitoring", "app.kubernetes.io/name: prometheus", 1},
}

// pod is a pod of a member, with its address.
type pod struct{ Namespace, Name, Labels, Node, Address string }

// namespaceOf is a namespace and its one label.
type namespaceOf struct{ Name, Labels string }

// node is a node of a member.
type node struct{ Name, Address, PodCIDR string }

// content is what the manifests of a member hold.
type content struct {
	member
	Namespaces []namespaceOf
	Nodes      []node
	Pods       []pod
}

// contentOf spreads the workloads over two nodes and gives every pod an address of its node's subnet.
func contentOf(m member) content {
	c := content{member: m}
	for n := range 2 {
		c.Nodes = append(c.Nodes, node{
			Name:    fmt.Sprintf("%s-node-%d", m.Name, n+1),
			Address: fmt.Sprintf("172.%d.0.%d", m.Net, n+10),
			PodCIDR: fmt.Sprintf("10.%d.%d.0/24", m.Net, n+1),
		})
	}
	seen := map[string]bool{}
	for _, w := range workloads {
		if w.name == "broker" && !strings.Contains(strings.Join(m.Only, " "), w.name) {
			continue
		}
		if !seen[w.namespace] {
			seen[w.namespace] = true
			c.Namespaces = append(c.Namespaces, namespaceOf{w.namespace, w.namespaceLabels})
		}
		for i := range w.replicas {
			place := len(c.Pods) % len(c.Nodes)
			c.Pods = append(c.Pods, pod{
				Namespace: w.namespace, Name: fmt.Sprintf("%s-%d", w.name, i), Labels: w.labels,
				Node: c.Nodes[place].Name, Address: fmt.Sprintf("10.%d.%d.%d", m.Net, place+1, len(c.Pods)+10),
			})
		}
	}
	return c
}

// Manifests of a member's content. What kubelets and Calico would write into the status is written by the demo.
var (
	objectsTemplate = template.Must(template.New("objects").Parse(`{{range .Nodes}}---
apiVersion: v1
kind: Node
metadata:
  name: {{.Name}}
  labels: {topology.kubernetes.io/region: {{$.Region}}, kubernetes.io/os: linux}
  annotations: {projectcalico.org/IPv4Address: {{.Address}}/24}
spec: {podCIDR: {{.PodCIDR}}, podCIDRs: [{{.PodCIDR}}], providerID: "{{$.ProviderID}}{{.Name}}"}
{{end}}{{range .Namespaces}}---
apiVersion: v1
kind: Namespace
metadata: {name: {{.Name}}, labels: {{"{"}}{{.Labels}}{{"}"}}}
{{end}}{{range .Pods}}---
apiVersion: v1
kind: Pod
metadata: {namespace: {{.Namespace}}, name: {{.Name}}, labels: {{"{"}}{{.Labels}}{{"}"}}}
spec: {nodeName: {{.Node}}, containers: [{name: app, image: example.com/app}]}
{{end}}`))
	statusTemplate = template.Must(template.New("status").Parse(`{{range .Nodes}}---
apiVersion: v1
kind: Node
metadata: {name: {{.Name}}}
status: {addresses: [{type: InternalIP, address: {{.Address}}}]}
{{end}}{{range .Pods}}---
apiVersion: v1
kind: Pod
metadata: {namespace: {{.Namespace}}, name: {{.Name}}}
status: {phase: Running, podIP: {{.Address}}, podIPs: [{ip: {{.Address}}}]}
{{end}}`))
	calicoTemplate = template.Must(template.New("calico").Parse(`apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: default-ipv4-ippool}
spec: {cidr: 10.{{.Net}}.0.0/16, blockSize: 26, ipipMode: Never, vxlanMode: Never, natOutgoing: true, nodeSelector: all()}
`))
)

// writeManifests writes a member's three manifests into dir: <name>.yaml, <name>-status.yaml and <name>-calico.yaml.
func writeManifests(dir string, m member) error {
	c := contentOf(m)
	for suffix, t := range map[string]*template.Template{"": objectsTemplate, "-status": statusTemplate, "-calico": calicoTemplate} {
		var text strings.Builder
		if err := t.Execute(&text, c); err != nil {
			return fmt.Errorf("writing the manifests of %s: %w", m.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, m.Name+suffix+".yaml"), []byte(text.String()), 0o644); err != nil {
			return fmt.Errorf("writing the manifests of %s: %w", m.Name, err)
		}
	}
	return nil
}
