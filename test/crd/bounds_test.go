package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// etcdLimit is what etcd takes for one request by default; objects near it are the biggest that can exist.
const etcdLimit = 3 << 19

type object = map[string]any

// TestLargestObjects stores objects that fill the bounds. The API server counts the cost of every rule while it does so, and refuses
// objects that are too dear to validate; all bounds at once would be far beyond what etcd stores. The objects come one after the other,
// because each takes seconds of a core, and the API server gives a request 34.
func TestLargestObjects(t *testing.T) {
	cases := map[string]*unstructured.Unstructured{
		"segments and routes": largestVLAN(8, 1),
		"CIDRs in segments":   largestVLAN(1, 64),
		"CIDRs in routes":     largestCIDRs(),
		"policies and rules":  largestPolicies(),
		"one rule":            largestRule(),
	}
	for name, network := range cases {
		t.Run(name, func(t *testing.T) {
			network.SetName("largest-" + strings.ToLower(strings.ReplaceAll(name, " ", "-")))
			text, err := json.Marshal(network)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > etcdLimit {
				t.Fatalf("%d bytes are more than etcd stores: the test asks for too much", len(text))
			}
			began := time.Now()
			create(t, network)
			t.Logf("%d KiB accepted in %s", len(text)>>10, time.Since(began).Round(time.Millisecond))
			network.SetLabels(map[string]string{"touched": "true"})
			if err := hub.Update(context.Background(), network); err != nil {
				t.Errorf("updating: %v", err)
			}
		})
	}
}

// TestOneMoreThanTheBound exceeds each bound by one; the same object at the bound is valid.
func TestOneMoreThanTheBound(t *testing.T) {
	names := func(i int) any { return fmt.Sprintf("n%d", i) }
	cidrs := func(i int) any { return fmt.Sprintf("10.%d.%d.0/24", i/256, i%256) }
	ports := func(i int) any { return int64(1000 + i) }
	segments := func(i int) any { return object{"name": names(i), "cidrs": []any{"10.0.0.0/8"}} }
	routes := func(i int) any {
		return object{"name": names(i), "from": []any{object{"nodes": object{}}}, "to": []any{object{"segment": "api"}}}
	}
	nodes := func(int) any { return object{"nodes": object{}} }
	toAPI := func(int) any { return object{"segment": "api"} }
	routePorts := func(i int) any { return object{"protocol": "TCP", "port": ports(i)} }
	rules := func(int) any { return object{"action": "Allow"} }
	policies := func(i int) any {
		return object{"name": names(i), "order": int64(i), "pods": object{"namespaceSelector": object{}}, "types": []any{"Ingress"}}
	}
	cases := map[string]struct {
		base, path string
		bound      int
		item       func(int) any
		also       []edit
	}{
		"segments":          {base: vlanBase, path: "spec.vlan.segments", bound: 128, item: segments, also: []edit{{"spec.routes", ""}}},
		"segment CIDRs":     {base: vlanBase, path: "spec.vlan.segments[1].cidrs", bound: 64, item: cidrs},
		"routes":            {base: vlanBase, path: "spec.routes", bound: 256, item: routes},
		"from":              {base: vlanBase, path: "spec.routes[0].from", bound: 8, item: nodes},
		"to":                {base: vlanBase, path: "spec.routes[0].to", bound: 8, item: toAPI},
		"route ports":       {base: vlanBase, path: "spec.routes[0].ports", bound: 32, item: routePorts},
		"peer CIDRs":        {base: flatBase, path: "spec.routes[0].from[0].cidrs", bound: 64, item: cidrs},
		"except":            {base: flatBase, path: "spec.routes[0].from[0].except", bound: 64, item: cidrs},
		"policies":          {base: calicoBase, path: "spec.calico.policies", bound: 128, item: policies},
		"ingress rules":     {base: calicoBase, path: policy + ".ingress", bound: 32, item: rules},
		"egress rules":      {base: calicoBase, path: policy + ".egress", bound: 32, item: rules},
		"nets":              {base: calicoBase, path: ingressRule + ".source.nets", bound: 16, item: cidrs},
		"notNets":           {base: calicoBase, path: ingressRule + ".source.notNets", bound: 16, item: cidrs},
		"rule ports":        {base: calicoBase, path: ingressRule + ".destination.ports", bound: 50, item: ports},
		"rule notPorts":     {base: calicoBase, path: ingressRule + ".destination.notPorts", bound: 50, item: ports},
		"pod network CIDRs": {base: memberBase, path: "spec.podNetwork.cidrs", bound: 64, item: cidrs},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, count := range []int{tc.bound, tc.bound + 1} {
				items := make([]any, count)
				for i := range items {
					items[i] = tc.item(i)
				}
				text, err := json.Marshal(items)
				if err != nil {
					t.Fatal(err)
				}
				err = dryRun(t, build(t, tc.base, append(tc.also, edit{tc.path, string(text)})...))
				want := fmt.Sprintf("must have at most %d items", tc.bound)
				if count == tc.bound && err != nil {
					t.Errorf("%d: %v", count, err)
				}
				if count > tc.bound && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want)) {
					t.Errorf("%d: got %v, want %q", count, err, want)
				}
			}
		})
	}
}

// TestLongestStrings exceeds the bounds of strings by one.
func TestLongestStrings(t *testing.T) {
	cases := map[string]struct {
		base, path string
		bound      int
	}{
		"a segment's name":     {vlanBase, "spec.vlan.segments[1].name", 63},
		"a route's name":       {vlanBase, "spec.routes[0].name", 63},
		"a policy's name":      {calicoBase, policy + ".name", 63},
		"a selector":           {calicoBase, ingressRule + ".source.selector", 1024},
		"a namespaceSelector":  {calicoBase, ingressRule + ".source.namespaceSelector", 1024},
		"a clusterID":          {memberBase, "spec.clusterID", 63},
		"a domain":             {memberBase, "spec.podNetwork.domain", 63},
		"the name of a Secret": {memberBase, "spec.access.kubeconfig.secretRef.name", 253},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remove := edit{"spec.updates", ""}
			if tc.path == "spec.vlan.segments[1].name" {
				remove = edit{"spec.routes", ""}
			}
			if err := dryRun(t, build(t, tc.base, remove, edit{tc.path, strings.Repeat("a", tc.bound)})); err != nil {
				t.Errorf("%d characters: %v", tc.bound, err)
			}
			err := dryRun(t, build(t, tc.base, remove, edit{tc.path, strings.Repeat("a", tc.bound+1)}))
			if want := fmt.Sprintf("may not be more than %d", tc.bound); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%d characters: got %v, want %q", tc.bound+1, err, want)
			}
		})
	}
}

// largestVLAN has as many segments and routes as fit, with names of 63 characters and so many peers a side and CIDRs a segment.
func largestVLAN(peers, cidrs int) *unstructured.Unstructured {
	segments, routes := make([]any, 128), make([]any, 256)
	name := func(i int) string { return fmt.Sprintf("%s-%03d", strings.Repeat("s", 59), i) }
	for i := range segments {
		segments[i] = object{"name": name(i), "id": int64(i + 1), "cidrs": repeat(cidrs, func(j int) any { return longCIDR(i, j) })}
	}
	for i := range routes {
		peer := func(j int) any { return object{"segment": name((i + j) % 128)} }
		routes[i] = object{
			"name": fmt.Sprintf("%s-%03d", strings.Repeat("r", 59), i), "from": repeat(peers, peer), "to": repeat(peers, peer),
			"ports": repeat(32, func(j int) any { return object{"protocol": "TCP", "port": int64(1), "endPort": int64(j + 1)} }),
		}
	}
	return largest(object{"model": "VLAN", "vlan": object{"segments": segments}, "routes": routes})
}

// largestCIDRs has routes with full lists of short CIDRs, up to etcd's limit.
func largestCIDRs() *unstructured.Unstructured {
	cidr := func(i int) any { return fmt.Sprintf("%d.0.0.0/8", i+1) }
	routes := make([]any, 120)
	for i := range routes {
		peers := func(int) any { return object{"cidrs": repeat(64, cidr), "except": repeat(64, cidr)} }
		routes[i] = object{"name": fmt.Sprintf("r%d", i), "from": []any{object{"segment": "flat"}}, "to": repeat(7, peers)}
	}
	return largest(object{"model": "Flat", "flat": object{"pods": object{"namespaceSelector": object{}}}, "routes": routes})
}

// largestPolicies has all policies with all rules, each with both ends, selectors, subnets and ports, up to etcd's limit.
func largestPolicies() *unstructured.Unstructured {
	end := object{"selector": "has(a)", "notNets": []any{"1.0.0.0/8"}}
	rule := func(int) any { return object{"action": "Allow", "protocol": "TCP", "source": end, "destination": end} }
	policies := repeat(128, func(i int) any {
		return object{
			"name": fmt.Sprintf("p%d", i), "order": int64(i), "pods": object{"namespaceSelector": object{}},
			"types": []any{"Ingress", "Egress"}, "ingress": repeat(32, rule), "egress": repeat(32, rule),
		}
	})
	return largest(object{"model": "Calico", "calico": object{"policies": policies}})
}

// largestRule has policies whose one rule in each direction fills every list and string, as many as fit.
func largestRule() *unstructured.Unstructured {
	end := object{
		"selector": longSelector(), "namespaceSelector": longSelector(),
		"nets": repeat(16, func(i int) any { return longCIDR(0, i) }), "notNets": repeat(16, func(i int) any { return longCIDR(1, i) }),
		"ports": repeat(50, func(i int) any { return fmt.Sprintf("%d:65535", 10000+i) }), "notPorts": repeat(50, func(i int) any { return int64(60000 + i) }),
	}
	rule := func(int) any { return object{"action": "Allow", "protocol": "SCTP", "source": end, "destination": end} }
	policies := repeat(60, func(i int) any {
		return object{
			"name": fmt.Sprintf("p%d", i), "order": int64(i), "pods": object{"namespaceSelector": object{}},
			"types": []any{"Ingress", "Egress"}, "ingress": repeat(1, rule), "egress": repeat(1, rule),
		}
	})
	return largest(object{"model": "Calico", "calico": object{"policies": policies}})
}

func largest(spec object) *unstructured.Unstructured {
	spec["clusters"] = object{"selector": object{}}
	network := &unstructured.Unstructured{Object: object{"spec": spec}}
	network.SetAPIVersion("multicloud.network/v1alpha1")
	network.SetKind("MultiCloudNetwork")
	return network
}

func repeat(count int, item func(int) any) []any {
	items := make([]any, count)
	for i := range items {
		items[i] = item(i)
	}
	return items
}

// longCIDR is an IPv6 subnet of 43 characters, the longest that there are.
func longCIDR(i, j int) string {
	return fmt.Sprintf("2001:1db8:ffff:ffff:ffff:%04x:%04x:ffff/128", 0x1000+i, 0x1000+j)
}

// longSelector has 1024 characters.
func longSelector() string {
	return "has(a" + strings.Repeat("a", 1024-len("has(a)")) + ")"
}
