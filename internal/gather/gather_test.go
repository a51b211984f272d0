package gather

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
	"multicloud.network/operator/internal/snapshot"
)

var compareNetip = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.EquateEmpty()}

// objects parses YAML documents, apart by ---.
func objects(t *testing.T, text string) []unstructured.Unstructured {
	t.Helper()
	out := []unstructured.Unstructured{}
	for doc := range strings.SplitSeq(text, "---\n") {
		var u unstructured.Unstructured
		text, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		// As client-go does: whole numbers become int64.
		if err := utiljson.Unmarshal(text, &u.Object); err != nil {
			t.Fatal(err)
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
	return out
}

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func TestPod(t *testing.T) {
	now := metav1.Now()
	annotated := func(values ...string) map[string]string {
		out := map[string]string{identity.PodIPsAnnotation: values[0]}
		if len(values) > 1 {
			out[identity.PodIPAnnotation] = values[1]
		}
		return out
	}
	ips := func(values ...string) corev1.PodStatus {
		status := corev1.PodStatus{Phase: corev1.PodRunning}
		for _, value := range values {
			status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: value})
		}
		return status
	}
	for name, tc := range map[string]struct {
		meta      metav1.ObjectMeta
		spec      corev1.PodSpec
		status    corev1.PodStatus
		addresses []netip.Addr
	}{
		"running":                          {status: ips("10.1.0.1"), addresses: addrs("10.1.0.1")},
		"dual stack":                       {status: ips("fd00::1", "10.1.0.1"), addresses: addrs("10.1.0.1", "fd00::1")},
		"mapped address":                   {status: ips("::ffff:10.1.0.1"), addresses: addrs("10.1.0.1")},
		"old field only":                   {status: corev1.PodStatus{PodIP: "10.1.0.1"}, addresses: addrs("10.1.0.1")},
		"pending with an address":          {status: corev1.PodStatus{Phase: corev1.PodPending, PodIP: "10.1.0.1"}, addresses: addrs("10.1.0.1")},
		"no address yet":                   {status: ips()},
		"host network":                     {spec: corev1.PodSpec{HostNetwork: true}, status: ips("10.1.0.1")},
		"succeeded":                        {status: corev1.PodStatus{Phase: corev1.PodSucceeded, PodIP: "10.1.0.1"}},
		"failed":                           {status: corev1.PodStatus{Phase: corev1.PodFailed, PodIP: "10.1.0.1"}},
		"terminating, still connected":     {meta: metav1.ObjectMeta{DeletionTimestamp: &now, Annotations: annotated("10.1.0.1/32")}, status: ips("10.1.0.1"), addresses: addrs("10.1.0.1")},
		"terminating, other CNI":           {meta: metav1.ObjectMeta{DeletionTimestamp: &now}, status: ips("10.1.0.1"), addresses: addrs("10.1.0.1")},
		"terminating, annotation emptied":  {meta: metav1.ObjectMeta{DeletionTimestamp: &now, Annotations: annotated("", "")}, status: ips("10.1.0.1")},
		"living, annotation emptied":       {meta: metav1.ObjectMeta{Annotations: annotated("", "")}, status: ips("10.1.0.1"), addresses: addrs("10.1.0.1")},
		"annotation before the kubelet":    {meta: metav1.ObjectMeta{Annotations: annotated("10.9.9.9/32,fd00::1/128", "10.9.9.9/32")}, spec: corev1.PodSpec{NodeName: "n"}},
		"annotation against the kubelet":   {meta: metav1.ObjectMeta{Annotations: annotated("10.9.9.9/32")}, spec: corev1.PodSpec{NodeName: "n"}, status: ips("10.1.0.1"), addresses: addrs("10.1.0.1")},
		"annotation of an unscheduled pod": {meta: metav1.ObjectMeta{Annotations: annotated("10.9.9.9/32")}},
		"terminating, annotation only":     {meta: metav1.ObjectMeta{DeletionTimestamp: &now, Annotations: annotated("10.9.9.9/32")}, spec: corev1.PodSpec{NodeName: "n"}},
		"nonsense":                         {status: ips("nonsense", "fe80::1%eth0")},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Pod(&corev1.Pod{ObjectMeta: tc.meta, Spec: tc.spec, Status: tc.status})
			if ok != (tc.addresses != nil) || !slices.Equal(got.Addresses, tc.addresses) {
				t.Errorf("got %v %v, want %v", ok, got.Addresses, tc.addresses)
			}
		})
	}
}

// shape is a cluster as a cloud's add-ons leave it.
type shape struct {
	nodes, installation, daemonSets, pools, felix string
}

func TestShapes(t *testing.T) {
	const pool = "kind: IPPool\nmetadata: {name: default-ipv4-ippool}\nspec: {cidr: 192.168.0.0/16}\n"
	for name, tc := range map[string]struct {
		in        shape
		cloud     mcnv1alpha1.CloudStatus
		cni       string
		dataplane string
		cidrs     []string
		addresses []netip.Addr
	}{
		"EKS, VPC CNI, Calico for policy": {
			in: shape{
				nodes:        `{metadata: {labels: {topology.kubernetes.io/region: us-east-1}}, spec: {providerID: "aws:///us-east-1a/i-0a"}, status: {addresses: [{type: InternalIP, address: 10.0.1.5}, {type: InternalDNS, address: ip-10-0-1-5}]}}`,
				installation: "metadata: {name: default}\nspec: {kubernetesProvider: EKS, cni: {type: AmazonVPC}, calicoNetwork: {linuxDataplane: Iptables}}\n",
				daemonSets:   "metadata: {name: aws-node}\n---\nmetadata: {name: kube-proxy}\n",
			},
			cloud: mcnv1alpha1.CloudStatus{Provider: "aws", Region: "us-east-1"}, cni: CNIAmazonVPC, dataplane: "Iptables", addresses: addrs("10.0.1.5"),
		},
		"EKS without the Tigera operator": {
			in: shape{
				nodes:      `{spec: {providerID: "aws:///us-east-1a/i-0a"}}`,
				daemonSets: "metadata: {name: aws-node}\n---\nmetadata: {name: calico-node}\n",
			},
			cloud: mcnv1alpha1.CloudStatus{Provider: "aws"}, cni: CNIAmazonVPC, dataplane: "Iptables",
		},
		"AKS, Azure CNI": {
			in: shape{
				nodes:        `{metadata: {labels: {topology.kubernetes.io/region: westeurope, kubernetes.azure.com/cluster: c}}, spec: {providerID: "azure:///subscriptions/s/vm/0"}, status: {addresses: [{type: InternalIP, address: 10.224.0.4}]}}`,
				installation: "metadata: {name: default}\nspec: {kubernetesProvider: AKS, cni: {type: AzureVNET}}\n",
				daemonSets:   "metadata: {name: azure-cns}\n",
			},
			cloud: mcnv1alpha1.CloudStatus{Provider: "azure", Region: "westeurope"}, cni: CNIAzureVNET, dataplane: "Iptables", addresses: addrs("10.224.0.4"),
		},
		"GKE, Calico add-on": {
			in: shape{
				nodes:      `{metadata: {labels: {topology.kubernetes.io/region: europe-west4}}, spec: {providerID: "gce://project/europe-west4-a/n", podCIDR: 10.8.0.0/24, podCIDRs: [10.8.0.0/24]}, status: {addresses: [{type: InternalIP, address: 10.164.0.2}, {type: ExternalIP, address: 34.1.2.3}]}}`,
				daemonSets: "metadata: {name: calico-node}\n",
			},
			cloud: mcnv1alpha1.CloudStatus{Provider: "gcp", Region: "europe-west4"}, cni: CNIGKE, dataplane: "Iptables", cidrs: []string{"10.8.0.0/24"},
			addresses: addrs("10.164.0.2", "34.1.2.3"),
		},
		"on premises, Calico, IPIP and WireGuard, BPF": {
			in: shape{
				nodes: `{metadata: {annotations: {projectcalico.org/IPv4Address: 172.16.0.1/24, projectcalico.org/IPv4IPIPTunnelAddr: 192.168.1.1,
 projectcalico.org/IPv4VXLANTunnelAddr: 192.168.1.2, projectcalico.org/IPv4WireguardInterfaceAddr: 192.168.1.3, projectcalico.org/IPv6Address: fd01::1/64}},
 spec: {podCIDR: 10.244.0.0/24}, status: {addresses: [{type: InternalIP, address: 172.16.0.1}]}}`,
				pools: pool + "---\nmetadata: {name: mcn-remote-1, labels: {multicloud.network/owner: o}}\nspec: {cidr: 10.99.0.0/16, disabled: true}\n",
				felix: "metadata: {name: default}\nspec: {bpfEnabled: true}\n",
			},
			cni: mcnv1alpha1.CNICalico, dataplane: "BPF", cidrs: []string{"192.168.0.0/16"},
			addresses: addrs("172.16.0.1", "192.168.1.1", "192.168.1.2", "192.168.1.3", "fd01::1"),
		},
		"nftables":           {in: shape{pools: pool, felix: "metadata: {name: default}\nspec: {nftablesMode: Enabled}\n"}, cni: mcnv1alpha1.CNICalico, dataplane: "Nftables", cidrs: []string{"192.168.0.0/16"}},
		"Calico, host-local": {in: shape{nodes: `{spec: {podCIDR: 10.244.0.0/24}}`, installation: "metadata: {name: default}\nspec: {cni: {type: Calico}}\n"}, cni: mcnv1alpha1.CNICalico, dataplane: "Iptables", cidrs: []string{"10.244.0.0/24"}},
	} {
		t.Run(name, func(t *testing.T) {
			var node corev1.Node
			if err := yaml.Unmarshal([]byte(tc.in.nodes), &node); err != nil {
				t.Fatal(err)
			}
			g := New(nil, Facts{})
			g.nodes = []corev1.Node{node}
			g.others[APIServices] = objects(t, "metadata: {name: v3.projectcalico.org}\nspec: {service: {name: calico-api, namespace: calico-system}}\n")
			g.others[CRDs] = objects(t, "")
			g.others[Installations], g.others[DaemonSets] = objects(t, tc.in.installation), objects(t, tc.in.daemonSets)
			g.others[IPPools], g.others[FelixConfigurations] = objects(t, tc.in.pools), objects(t, tc.in.felix)
			m := g.Facts().Member
			var cidrs []string
			for _, prefix := range m.PodCIDRs {
				cidrs = append(cidrs, prefix.String())
			}
			want := snapshot.Member{Cloud: tc.cloud, NodeAddresses: tc.addresses, Calico: mcnv1alpha1.CalicoStatus{API: mcnv1alpha1.CalicoAPIAggregated, CNI: tc.cni, Dataplane: tc.dataplane}}
			got := snapshot.Member{Cloud: m.Cloud, NodeAddresses: m.NodeAddresses, Calico: m.Calico}
			if diff := cmp.Diff(want, got, compareNetip); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(cidrs, tc.cidrs) {
				t.Errorf("pod CIDRs: got %v, want %v", cidrs, tc.cidrs)
			}
		})
	}
}

func TestCloudTakesTheMostCommon(t *testing.T) {
	node := func(region string) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyRegion: region}}, Spec: corev1.NodeSpec{ProviderID: "kind://docker/k/n"}}
	}
	got := Cloud([]corev1.Node{node("b"), node("c"), node("c"), node("a"), node("a")})
	if want := (mcnv1alpha1.CloudStatus{Provider: "kind", Region: "a"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCalicoAPI(t *testing.T) {
	const (
		aggregated = "metadata: {name: v3.projectcalico.org}\nspec: {service: {name: calico-api}}\n---\n"
		local      = "metadata: {name: v3.projectcalico.org}\nspec: {group: projectcalico.org}\n---\n"
		stored     = "metadata: {name: v1.crd.projectcalico.org}\nspec: {}\n---\n"
		v3         = "metadata: {name: globalnetworkpolicies.projectcalico.org}\n---\n"
		v1         = "metadata: {name: globalnetworkpolicies.crd.projectcalico.org}\n---\n"
		unread     = "unread"
	)
	for name, tc := range map[string]struct {
		apiServices, crds string
		want              mcnv1alpha1.CalicoAPI
	}{
		"aggregated":                          {aggregated + stored, v1, mcnv1alpha1.CalicoAPIAggregated},
		"native":                              {local, v3, mcnv1alpha1.CalicoAPINative},
		"migration, still aggregated":         {aggregated, v1 + v3, mcnv1alpha1.CalicoAPIAggregated},
		"migration, already native":           {local, v1 + v3, mcnv1alpha1.CalicoAPINative},
		"storage only":                        {stored, v1, mcnv1alpha1.CalicoAPIStorageOnly},
		"none":                                {"", "", mcnv1alpha1.CalicoAPINone},
		"CRDs forbidden, aggregated":          {aggregated + stored, unread, mcnv1alpha1.CalicoAPIAggregated},
		"CRDs forbidden, native":              {local, unread, mcnv1alpha1.CalicoAPINative},
		"CRDs forbidden, storage only":        {stored, unread, mcnv1alpha1.CalicoAPIStorageOnly},
		"CRDs forbidden, none":                {"", unread, mcnv1alpha1.CalicoAPINone},
		"APIServices forbidden, native":       {unread, v3, mcnv1alpha1.CalicoAPINative},
		"APIServices forbidden, none":         {unread, "", mcnv1alpha1.CalicoAPINone},
		"APIServices forbidden, cannot tell":  {unread, v1, ""},
		"APIServices forbidden, in migration": {unread, v1 + v3, ""},
		"both forbidden":                      {unread, unread, ""},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(text string) []unstructured.Unstructured {
				if text == unread {
					return nil
				}
				return objects(t, text)
			}
			if got := CalicoAPI(read(tc.apiServices), read(tc.crds)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCalicoHealth(t *testing.T) {
	const ready = "metadata: {name: default}\nspec: {datastoreReady: true, calicoVersion: v3.31.0}\n"
	const down = "metadata: {name: v3.projectcalico.org}\nstatus: {conditions: [{type: Available, status: 'False', reason: FailedDiscoveryCheck}]}\n"
	for name, tc := range map[string]struct {
		api           mcnv1alpha1.CalicoAPI
		apiServices   string
		info, problem string
		migrations    string
		unread        bool
		want          mcnv1alpha1.Reason
	}{
		"ready":             {api: mcnv1alpha1.CalicoAPINative, info: ready, want: mcnv1alpha1.ReasonCalicoReady},
		"none":              {api: mcnv1alpha1.CalicoAPINone, want: mcnv1alpha1.ReasonCalicoNotInstalled},
		"storage only":      {api: mcnv1alpha1.CalicoAPIStorageOnly, info: ready, want: mcnv1alpha1.ReasonCalicoAPIUnavailable},
		"API server down":   {api: mcnv1alpha1.CalicoAPIAggregated, apiServices: down, info: ready, want: mcnv1alpha1.ReasonCalicoAPIUnavailable},
		"not ready":         {api: mcnv1alpha1.CalicoAPINative, info: "metadata: {name: default}\nspec: {datastoreReady: false}\n", want: mcnv1alpha1.ReasonDatastoreNotReady},
		"readiness not set": {api: mcnv1alpha1.CalicoAPINative, info: "metadata: {name: default}\n", want: mcnv1alpha1.ReasonDatastoreNotReady},
		"no information":    {api: mcnv1alpha1.CalicoAPINative, want: mcnv1alpha1.ReasonDatastoreNotReady},
		"not read yet":      {api: mcnv1alpha1.CalicoAPINative, unread: true, want: mcnv1alpha1.ReasonConnecting},
		"forbidden":         {api: mcnv1alpha1.CalicoAPINative, unread: true, problem: "cannot list", want: mcnv1alpha1.ReasonCalicoAPIUnavailable},
		"migrating":         {api: mcnv1alpha1.CalicoAPIAggregated, apiServices: down, info: ready, migrations: "status: {phase: Migrating}\n", want: mcnv1alpha1.ReasonDatastoreNotReady},
		"about to migrate":  {api: mcnv1alpha1.CalicoAPIAggregated, info: ready, migrations: "metadata: {name: m}\n", want: mcnv1alpha1.ReasonDatastoreNotReady},
		"migrated":          {api: mcnv1alpha1.CalicoAPINative, info: ready, migrations: "status: {phase: Complete}\n", want: mcnv1alpha1.ReasonCalicoReady},
		"nonsense phase":    {api: mcnv1alpha1.CalicoAPINative, info: ready, migrations: "status: {phase: [1]}\n", want: mcnv1alpha1.ReasonDatastoreNotReady},
		"unknown form":      {unread: true, want: mcnv1alpha1.ReasonConnecting},
	} {
		t.Run(name, func(t *testing.T) {
			info := objects(t, tc.info)
			if tc.unread {
				info = nil
			}
			got := calicoHealth(calicoFacts{api: tc.api, apiServices: objects(t, tc.apiServices), info: info, problem: tc.problem, migrations: objects(t, tc.migrations)})
			if got.Reason != tc.want || got.Ready != (tc.want == mcnv1alpha1.ReasonCalicoReady) || got.Message == "" {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

func TestServices(t *testing.T) {
	svc := func(namespace, name string, labels map[string]string, ports ...corev1.ServicePort) corev1.Service {
		return corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::10"}, Selector: map[string]string{"app": name}, Ports: ports},
		}
	}
	dnsLabel := map[string]string{"k8s-app": "kube-dns"}
	services := []corev1.Service{
		svc("openshift-dns", "dns-default", nil),
		svc("kube-system", "anything", dnsLabel, corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromString("dns")}),
		svc("kube-system", "coredns", nil),
		svc("intruder", "kube-dns", dnsLabel),
		svc("kube-system", "metrics", nil),
		svc("w", "hook", nil, corev1.ServicePort{Port: 443, TargetPort: intstr.FromInt32(9443)}, corev1.ServicePort{Port: 8443}, corev1.ServicePort{Port: 8080, TargetPort: intstr.FromString("metrics")}),
		svc("w", "convert", nil, corev1.ServicePort{Port: 443, TargetPort: intstr.FromString("https")}),
		svc("w", "api", nil, corev1.ServicePort{Port: 6443}),
		svc("w", "idle", nil, corev1.ServicePort{Port: 443}),
		{ObjectMeta: metav1.ObjectMeta{Namespace: "w", Name: "external"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, Ports: []corev1.ServicePort{{Port: 443}}}},
	}
	var dns []string
	for _, s := range DNS(services) {
		dns = append(dns, s.Namespace+"/"+s.Name)
	}
	if want := []string{"kube-system/anything", "kube-system/coredns", "openshift-dns/dns-default"}; !slices.Equal(dns, want) {
		t.Errorf("DNS: got %v, want %v", dns, want)
	}
	got := APIBackends(services,
		objects(t, "webhooks: [{clientConfig: {service: {namespace: w, name: hook}}}, {clientConfig: {url: 'https://x'}}, {clientConfig: {service: {namespace: w, name: external}}}]\n"),
		objects(t, "webhooks: [{clientConfig: {service: {namespace: w, name: hook, port: 8443}}}, {clientConfig: {service: {namespace: w, name: gone}}}]\n"),
		objects(t, "spec: {conversion: {webhook: {clientConfig: {service: {namespace: w, name: convert}}}}}\n---\nspec: {conversion: {strategy: None}}\n"),
		objects(t, "spec: {service: {namespace: w, name: api, port: 6443}}\n---\nspec: {}\n"))
	backend := func(name string, ports ...intstr.IntOrString) snapshot.Service {
		out := snapshot.Service{Namespace: "w", Name: name, ClusterIPs: addrs("10.96.0.1", "fd00::10"), Selector: map[string]string{"app": name}}
		for _, port := range ports {
			out.Ports = append(out.Ports, snapshot.ServicePort{Protocol: "TCP", TargetPort: port})
		}
		return out
	}
	want := []snapshot.Service{
		backend("api", intstr.FromInt32(6443)), backend("convert", intstr.FromString("https")), backend("hook", intstr.FromInt32(8443), intstr.FromInt32(9443)),
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Error(diff)
	}
}

func TestSetsAndPolicies(t *testing.T) {
	sets := NetworkSetSection(
		objects(t, "metadata: {name: theirs, labels: {a: b}}\n---\nmetadata: {name: ours, labels: {multicloud.network/owner: o}}\n"),
		objects(t, "metadata: {name: theirs, namespace: team}\n"))
	if diff := cmp.Diff([]snapshot.NetworkSet{{Name: "theirs", Labels: map[string]string{"a": "b"}}, {Namespace: "team", Name: "theirs"}}, sets); diff != "" {
		t.Error(diff)
	}
	policies := PolicySection(objects(t, `
kind: GlobalNetworkPolicy
metadata: {name: theirs}
spec:
  ingress: [{action: Allow, source: {selector: "!has(x)"}, destination: {selector: own}}, {action: Allow, source: {nets: [10.0.0.0/8]}}]
  egress: [{action: Allow, source: {selector: own}, destination: {namespaceSelector: global(), notSelector: a}}]
---
kind: GlobalNetworkPolicy
metadata: {name: no-peers}
spec: {ingress: [{action: Deny}]}
---
kind: GlobalNetworkPolicy
metadata: {name: ours, labels: {multicloud.network/owner: o}}
spec: {ingress: [{action: Allow, source: {selector: all()}}]}
`))
	want := []snapshot.Policy{{Kind: "GlobalNetworkPolicy", Name: "theirs", Peers: []snapshot.Peer{
		{Selector: "!has(x)"}, {NamespaceSelector: "global()", NotSelector: "a"},
	}}}
	if diff := cmp.Diff(want, policies); diff != "" {
		t.Error(diff)
	}
}

// brokenReader cannot list anything.
type brokenReader struct{ err error }

func (r brokenReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return r.err
}

func (r brokenReader) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return r.err
}

func TestWhatCannotBeReadStays(t *testing.T) {
	last := Facts{OwnPools: 1, Member: snapshot.Member{
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Pools: []snapshot.Pool{{Name: "p", CIDR: netip.MustParsePrefix("10.1.0.0/16")}},
		Calico:      mcnv1alpha1.CalicoStatus{API: mcnv1alpha1.CalicoAPIAggregated, CNI: mcnv1alpha1.CNICalico, Version: "v3.31.0", Dataplane: "BPF"},
		Sets:        []snapshot.NetworkSet{{Name: "s"}},
		Policies:    []snapshot.Policy{{Name: "p"}},
		APIBackends: []snapshot.Service{{Namespace: "w", Name: "hook"}},
	}}
	for name, err := range map[string]error{"forbidden": apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "", nil), "not read yet": ErrNotRead} {
		t.Run(name, func(t *testing.T) {
			g := New(brokenReader{err}, last)
			g.Read(t.Context(), APIServices, CRDs, IPPools, GlobalNetworkSets, ClusterInformations)
			got := g.Facts()
			if diff := cmp.Diff(last.Member, got.Member, compareNetip); diff != "" {
				t.Error(diff)
			}
			if wantProblems := name == "forbidden"; (len(got.Problems) == 5) != wantProblems {
				t.Errorf("got problems %v", got.Problems)
			}
		})
	}
}

func TestProblem(t *testing.T) {
	got := Problem("watch", GlobalNetworkPolicies, apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "", nil))
	if want := "cannot watch globalnetworkpolicies.projectcalico.org: forbidden; grant get, list and watch on globalnetworkpolicies.projectcalico.org to the operator's account on the member"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestStrip(t *testing.T) {
	crd := objects(t, "kind: CustomResourceDefinition\nmetadata: {name: x, managedFields: [{manager: m}], annotations: {a: b}}\nspec: {group: g, versions: [{name: v1}], conversion: {strategy: None}}\nstatus: {}\n")[0]
	out, err := Strip(&crd)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"group": "g", "conversion": map[string]any{"strategy": "None"}}}
	if diff := cmp.Diff(want, out.(*unstructured.Unstructured).Object); diff != "" {
		t.Error(diff)
	}
	pod, err := Strip(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{identity.PodIPAnnotation: "", "large": "x"}, OwnerReferences: []metav1.OwnerReference{{}}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantPod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{identity.PodIPAnnotation: ""}}, Spec: corev1.PodSpec{NodeName: "n"}}
	if diff := cmp.Diff(wantPod, pod); diff != "" {
		t.Error(diff)
	}
}
