package compile

import (
	"net/netip"
	"path/filepath"
	"testing"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// The network in docs/calico-policies.md means on every cluster what the page says: HTTP in, HTTPS and DNS out, and nothing else.
func TestTheNetworkOfThePageAboutCalicoPoliciesMeansWhatThePageSays(t *testing.T) {
	network := &mcnv1alpha1.MultiCloudNetwork{}
	load(t, filepath.Join("..", "..", "docs", "examples", "calico-policies", "network.yaml"), network)
	fleet := loadFleet(t)
	for i := range fleet.Members {
		m := &fleet.Members[i]
		m.Namespaces = append(m.Namespaces, snapshot.Namespace{Name: "shop", Labels: map[string]string{"kubernetes.io/metadata.name": "shop"}})
		m.Pods = append(m.Pods, snapshot.Pod{Namespace: "shop", Name: "web-0", Labels: map[string]string{"app": "web"}, Addresses: []netip.Addr{m.PodCIDRs[0].Addr().Next()}})
	}
	objects := compileAll(t, Input{Settings: testSettings(), Networks: []*mcnv1alpha1.MultiCloudNetwork{network}, Fleet: fleet})
	ends := places(fleet)
	for i := range fleet.Members {
		m := &fleet.Members[i]
		e := newEvaluator(m.Name, objects[m.Name])
		web := place{member: m, pod: &m.Pods[len(m.Pods)-1]}
		web.address = web.pod.Addresses[0]
		for _, other := range ends {
			if other.address == web.address {
				continue
			}
			dns := other.pod != nil && other.pod.Labels["k8s-app"] == "kube-dns"
			for traffic, opens := range map[packet]struct{ in, out bool }{
				{protocol: "TCP", port: 80}:  {in: true},
				{protocol: "TCP", port: 443}: {out: true},
				{protocol: "UDP", port: 443}: {},
				{protocol: "UDP", port: 53}:  {out: dns},
				{protocol: "TCP", port: 53}:  {out: dns},
				{protocol: "ICMP"}:           {},
			} {
				in := packet{from: other, to: web, protocol: traffic.protocol, port: traffic.port}
				out := packet{from: web, to: other, protocol: traffic.protocol, port: traffic.port}
				check(t, in, e.judge(in, true), opens.in)
				check(t, out, e.judge(out, false), opens.out)
			}
		}
	}
}

func check(t *testing.T, p packet, got verdict, opens bool) {
	t.Helper()
	want := deny
	if opens {
		want = allow
	}
	if got != want {
		t.Errorf("%s -> %s %s/%d is judged %s, want %s", p.from, p.to, p.protocol, p.port, got, want)
	}
}
