package crd

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The base objects are valid and use every field of their model. Cases change one thing in them.
const (
	flatBase = `
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: development}
spec:
  clusters: {selector: {matchLabels: {env: dev}}, maxUnavailable: 1}
  model: Flat
  flat: {pods: {namespaceSelector: {}, podSelector: {matchExpressions: [{key: batch, operator: DoesNotExist}]}}}
  routes:
  - {name: web, from: [{cidrs: [10.0.0.0/8], except: [10.1.0.0/16]}], to: [{segment: flat}], ports: [{protocol: TCP, port: 80}]}
  boundary: Closed
  membership: Exclusive
  localPolicies: Override
  stagedClusters: {matchLabels: {canary: "true"}}
  updates: Held
  deletionPolicy: Orphan
`
	vlanBase = `
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: payments}
spec:
  clusters: {selector: {matchLabels: {env: prod}}}
  model: VLAN
  vlan:
    segments:
    - {name: api, id: 110, pods: {namespaceSelector: {matchLabels: {team: pay}}, podSelector: {matchLabels: {tier: api}}}}
    - {name: oracle, id: 130, cidrs: [192.168.130.0/24, "2001:db8:130::/64"]}
  routes:
  - name: edge
    scope: SameCluster
    from: [{pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}}, {nodes: {}}]
    to: [{segment: api}]
    ports: [{protocol: TCP, port: 8443}, {protocol: UDP, port: 8000, endPort: 8100}, {protocol: SCTP}, {protocol: ICMP}]
  - {name: db, from: [{segment: api}], to: [{segment: oracle}], ports: [{protocol: TCP, port: 1521}]}
`
	calicoBase = `
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: shop}
spec:
  clusters: {selector: {}}
  model: Calico
  calico:
    policies:
    - name: web
      order: 100
      pods: {namespaceSelector: {matchLabels: {team: shop}}}
      types: [Ingress, Egress]
      ingress:
      - action: Allow
        protocol: TCP
        source: {namespaceSelector: all(), selector: app == 'front', nets: [10.0.0.0/8], notNets: [10.1.0.0/16], ports: ["1024:65535"]}
        destination: {ports: [80, http, "8000:8100"], notPorts: [8001]}
      - {action: Deny, protocol: ICMP, icmp: {type: 8, code: 0}}
      - {action: Log, notProtocol: UDP}
      egress:
      - {action: Pass, protocol: 6, source: {ports: [http]}, destination: {ports: [443]}}
      - {action: Allow, protocol: 132}
`
	memberBase = `
apiVersion: multicloud.network/v1alpha1
kind: MemberCluster
metadata: {name: aws-use1, labels: {env: prod}}
spec:
  access: {kubeconfig: {secretRef: {name: aws-use1, key: config}}}
  role: Managed
  updates: Held
  deletionPolicy: Orphan
  clusterID: 6f2ee1a5-6ad4-4a3b-9d3e-2b6a5c9a3f10
  podNetwork: {cidrs: [10.1.0.0/16], domain: vpc-0a1, sourceNAT: Preserve}
`
)

// edit puts a value, written as YAML, at a path such as "spec.routes[0].from"; an empty value removes what is there.
type edit struct{ path, value string }

// build returns the object that the YAML text describes, with the edits made.
func build(t *testing.T, text string, edits ...edit) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		t.Fatalf("base object: %v", err)
	}
	for _, e := range edits {
		var value any
		if err := yaml.UnmarshalStrict([]byte(e.value), &value); err != nil {
			t.Fatalf("value of %s: %v", e.path, err)
		}
		if err := put(object.Object, steps(e.path), value, e.value == ""); err != nil {
			t.Fatalf("editing %s: %v", e.path, err)
		}
	}
	return object
}

// steps splits "a.b[0].c" into a, b, 0, c.
func steps(path string) []string {
	return strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(path), ".")
}

// put sets or removes the value under the steps; an index of the list's length appends.
func put(in any, steps []string, value any, remove bool) error {
	object, isObject := in.(map[string]any)
	if !isObject {
		return fmt.Errorf("%q is not in an object", steps[0])
	}
	key := steps[0]
	switch {
	case len(steps) == 1 && remove:
		delete(object, key)
	case len(steps) == 1:
		object[key] = value
	case isIndex(steps[1]):
		list, _ := object[key].([]any)
		index, _ := strconv.Atoi(steps[1])
		if index == len(list) {
			list = append(list, map[string]any{})
			object[key] = list
		}
		if len(steps) == 2 {
			list[index] = value
			return nil
		}
		return put(list[index], steps[2:], value, remove)
	default:
		if object[key] == nil {
			object[key] = map[string]any{}
		}
		return put(object[key], steps[1:], value, remove)
	}
	return nil
}

func isIndex(step string) bool {
	_, err := strconv.Atoi(step)
	return err == nil
}

// dryRun asks the API server whether it would accept the object, and leaves nothing behind.
func dryRun(t *testing.T, object client.Object) error {
	t.Helper()
	return hub.Create(context.Background(), object, client.DryRunAll)
}

// create creates the object for real and deletes it at the end of the test. Tests that share the API server use their own names.
func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := hub.Create(context.Background(), object); err != nil {
		t.Fatalf("creating %s: %v", object.GetName(), err)
	}
	t.Cleanup(func() {
		if err := hub.Delete(context.Background(), object); err != nil {
			t.Errorf("deleting %s: %v", object.GetName(), err)
		}
	})
}
