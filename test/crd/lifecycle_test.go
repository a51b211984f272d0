package crd

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const clusterIDMessage = "clusterID is neither changed nor removed once it is set"

// connectedIDMessage begins the message of the rule that compares it with the status.
const connectedIDMessage = "clusterID is not the ID of the cluster that this MemberCluster stands for"

// newbornStatus is the status of an object that the operator has not seen. Its observedGeneration differs from the generation, which
// is what kstatus, and with it Flux and Argo CD, calls in progress.
const newbornStatus = `
observedGeneration: -1
conditions:
- {type: Ready, status: Unknown, reason: Pending, message: The operator has not looked at this object yet., lastTransitionTime: "1970-01-01T00:00:00Z"}
`

func TestDefaults(t *testing.T) {
	cases := map[string]struct{ object, wantSpec string }{
		"Flat": {
			object: `
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: defaults-flat}
spec: {clusters: {selector: {}}, model: Flat, flat: {pods: {namespaceSelector: {}}}}
`,
			wantSpec: `{clusters: {selector: {}, maxUnavailable: 0}, model: Flat, flat: {pods: {namespaceSelector: {}}},
  membership: Shared, localPolicies: Honor, updates: Automatic, deletionPolicy: Delete}`,
		},
		"VLAN with a route": {
			object: `
apiVersion: multicloud.network/v1alpha1
kind: MultiCloudNetwork
metadata: {name: defaults-vlan}
spec: {clusters: {selector: {}}, model: VLAN, vlan: {segments: [{name: a, cidrs: [10.0.0.0/8]}]}, routes: [{name: b, from: [{nodes: {}}], to: [{segment: a}]}]}
`,
			wantSpec: `{clusters: {selector: {}, maxUnavailable: 0}, model: VLAN, vlan: {segments: [{name: a, cidrs: [10.0.0.0/8]}]},
  routes: [{name: b, scope: Network, from: [{nodes: {}}], to: [{segment: a}]}],
  membership: Shared, localPolicies: Honor, updates: Automatic, deletionPolicy: Delete}`,
		},
		"a member": {
			object: `
apiVersion: multicloud.network/v1alpha1
kind: MemberCluster
metadata: {name: defaults-member}
spec: {access: {kubeconfig: {secretRef: {name: a}}}, podNetwork: {}}
`,
			wantSpec: `{access: {kubeconfig: {secretRef: {name: a, key: kubeconfig}}}, role: Managed, updates: Automatic, deletionPolicy: Delete,
  podNetwork: {sourceNAT: Unmanaged}}`,
		},
		"a member without podNetwork": {
			object: `
apiVersion: multicloud.network/v1alpha1
kind: MemberCluster
metadata: {name: defaults-hub}
spec: {access: {local: {}}}
`,
			wantSpec: `{access: {local: {}}, role: Managed, updates: Automatic, deletionPolicy: Delete}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := build(t, tc.object)
			create(t, object)
			if err := hub.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, tc.wantSpec), object.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(parse(t, newbornStatus), object.Object["status"]); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNewbornStatusCannotBeForged proves that a status in a user's manifest, or one that a Go client fills with zeroes, changes nothing.
func TestNewbornStatusCannotBeForged(t *testing.T) {
	t.Parallel()
	network := &mcnv1alpha1.MultiCloudNetwork{}
	network.Name = "forged"
	network.Spec = mcnv1alpha1.MultiCloudNetworkSpec{Model: mcnv1alpha1.ModelFlat, Flat: &mcnv1alpha1.FlatSpec{}}
	network.Spec.Flat.Pods.NamespaceSelector = network.Spec.Clusters.Selector.DeepCopy()
	network.Status.ObservedGeneration = 1
	network.Status.Summary.Clusters = "3/3"
	create(t, network)
	if err := hub.Get(context.Background(), client.ObjectKeyFromObject(network), network); err != nil {
		t.Fatal(err)
	}
	if network.Status.ObservedGeneration != -1 || network.Status.Summary.Clusters != "" || network.Generation != 1 {
		t.Errorf("got generation %d and status %+v, want generation 1 and observedGeneration -1", network.Generation, network.Status)
	}
}

func TestUpdates(t *testing.T) {
	cases := map[string]struct {
		base        string
		edits       []edit
		wantMessage string
	}{
		"the model changes": {base: flatBase, edits: []edit{{"spec.model", "VLAN"}, {"spec.flat", ""}, {"spec.vlan", vlanBlock}, {"spec.routes", ""}}},
		"the model changes, its block does not": {base: flatBase, edits: []edit{{"spec.model", "VLAN"}, {"spec.routes", ""}},
			wantMessage: "model VLAN needs its block"},
		"a boundary is removed":   {base: flatBase, edits: []edit{{"spec.boundary", ""}}},
		"a clusterID changes":     {base: memberBase, edits: []edit{{"spec.clusterID", "another"}}, wantMessage: clusterIDMessage},
		"a clusterID is removed":  {base: memberBase, edits: []edit{{"spec.clusterID", ""}}, wantMessage: clusterIDMessage},
		"a clusterID stays":       {base: memberBase, edits: []edit{{"spec.role", "Source"}}},
		"access changes":          {base: memberBase, edits: []edit{{"spec.access", "{local: {}}"}}},
		"other fields are absent": {base: memberBase, edits: []edit{{"spec.role", ""}, {"spec.updates", ""}, {"spec.podNetwork", ""}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := build(t, tc.base, edit{"metadata.name", "update-" + strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name))})
			create(t, object)
			changed := build(t, tc.base, tc.edits...)
			changed.SetName(object.GetName())
			changed.SetResourceVersion(object.GetResourceVersion())
			err := hub.Update(context.Background(), changed)
			if tc.wantMessage == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tc.wantMessage != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.wantMessage)) {
				t.Errorf("got %v, want an Invalid error with %q", err, tc.wantMessage)
			}
		})
	}
}

// TestClusterIDCanBeSetLater: the operator's users may register a cluster first and pin its identity afterwards.
func TestClusterIDCanBeSetLater(t *testing.T) {
	t.Parallel()
	member := build(t, memberBase, edit{"metadata.name", "cluster-id-later"}, edit{"spec.clusterID", ""})
	create(t, member)
	for _, step := range []struct{ clusterID, wantMessage string }{{"first", ""}, {"second", clusterIDMessage}, {"first", ""}} {
		member.Object["spec"].(map[string]any)["clusterID"] = step.clusterID
		err := hub.Update(context.Background(), member.DeepCopy())
		if step.wantMessage == "" && err != nil {
			t.Errorf("clusterID %s: %v", step.clusterID, err)
		}
		if step.wantMessage != "" && (err == nil || !strings.Contains(err.Error(), step.wantMessage)) {
			t.Errorf("clusterID %s: got %v, want %q", step.clusterID, err, step.wantMessage)
		}
		if err := hub.Get(context.Background(), client.ObjectKeyFromObject(member), member); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClusterIDIsThatOfTheConnectedCluster: what was written to the cluster is known by the ID in the status, and a wrong one could never be taken back.
func TestClusterIDIsThatOfTheConnectedCluster(t *testing.T) {
	t.Parallel()
	member := build(t, memberBase, edit{"metadata.name", "cluster-id-connected"}, edit{"spec.clusterID", ""})
	create(t, member)
	member.Object["status"] = map[string]any{"clusterID": "first"}
	if err := hub.Status().Update(context.Background(), member); err != nil {
		t.Fatal(err)
	}
	for clusterID, wantMessage := range map[string]string{"typo": connectedIDMessage, "first": ""} {
		pinned := member.DeepCopy()
		pinned.Object["spec"].(map[string]any)["clusterID"] = clusterID
		err := hub.Update(context.Background(), pinned, client.DryRunAll)
		if wantMessage == "" && err != nil {
			t.Errorf("clusterID %s: %v", clusterID, err)
		}
		if wantMessage != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), wantMessage)) {
			t.Errorf("clusterID %s: got %v, want %q", clusterID, err, wantMessage)
		}
	}
}

func TestUnknownFieldsAreRefusedUnderStrictValidation(t *testing.T) {
	cases := map[string]struct {
		base      string
		edit      edit
		wantField string
	}{
		"spec":                 {vlanBase, edit{"spec.tier", "default"}, "spec.tier"},
		"a segment":            {vlanBase, edit{"spec.vlan.segments[0].subnet", "10.0.0.0/8"}, "spec.vlan.segments[0].subnet"},
		"a peer":               {vlanBase, edit{"spec.routes[0].from[1].ipBlock", "{cidr: 10.0.0.0/8}"}, "spec.routes[0].from[1].ipBlock"},
		"nodes":                {vlanBase, edit{"spec.routes[0].from[1].nodes.selector", "{}"}, "spec.routes[0].from[1].nodes.selector"},
		"ports in a rule":      {calicoBase, edit{egressRule + ".ports", "[80]"}, egressRule + ".ports"},
		"a selector in policy": {calicoBase, edit{policy + ".selector", "all()"}, policy + ".selector"},
		"a member":             {memberBase, edit{"spec.kubeconfig", "x"}, "spec.kubeconfig"},
		"local access":         {memberBase, edit{"spec.access", "{local: {name: hub}}"}, "spec.access.local.name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := hub.Create(context.Background(), build(t, tc.base, tc.edit), client.DryRunAll, client.FieldValidation("Strict"))
			if want := `unknown field "` + tc.wantField + `"`; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// parse reads YAML into the form in which the API server answers: whole numbers are int64.
func parse(t *testing.T, text string) any {
	t.Helper()
	value, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Any","value":%s}`, value)); err != nil {
		t.Fatal(err)
	}
	return object.Object["value"]
}
