package cluster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"multicloud.network/operator/test/cluster/tools"
)

// admission is served as v1, and mutating policies are on without a flag, from Kubernetes 1.36 on.
var admission = schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}

// InstallNative gives a cluster that was started without Calico the native API, as a user does who installs Calico later.
func (c *Cluster) InstallNative(ctx context.Context) error {
	paths, err := tools.Ensure(ctx, c.opts.Progress, tools.CalicoNativeCRDs)
	if err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	if err := c.installNative(ctx, paths[tools.CalicoNativeCRDs]); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return nil
}

// installNative makes the cluster one whose kube-apiserver serves projectcalico.org/v3 itself.
func (c *Cluster) installNative(ctx context.Context, crds string) error {
	if err := c.installCRDs(ctx, crds); err != nil {
		return err
	}
	for _, policy := range []mutation{defaultTypes, labelTier} {
		if err := c.applyMutation(ctx, policy); err != nil {
			return err
		}
	}
	p := c.process(apiServer)
	if err := c.waitForPolicies(ctx, p); err != nil {
		return err
	}
	err := c.createCalicoDefaults(ctx, calicoV3, "v3.32.1", []tierSpec{
		{"default", 1_000_000, "Deny"}, {"kube-admin", 1_000, "Pass"}, {"kube-baseline", 10_000_000, "Pass"},
	})
	if err != nil {
		return err
	}
	return c.waitForMutations(ctx, p)
}

// mutation is a MutatingAdmissionPolicy over Calico's policy kinds. Its name is that of Calico's policy with the same effect.
type mutation struct {
	name string
	// condition is a CEL expression; where it is false nothing happens.
	condition string
	// patches are CEL expressions of type list of JSONPatch.
	patches []string
}

var (
	// defaultTypes fills in the directions that a policy has rules for; one without rules is an ingress policy.
	defaultTypes = mutation{
		name:      "policytypes.policy.projectcalico.org",
		condition: `has(object.spec) && !has(object.spec.types)`,
		patches: []string{`[JSONPatch{op: "add", path: "/spec/types", value:
			!has(object.spec.egress) ? ["Ingress"] : has(object.spec.ingress) ? ["Ingress", "Egress"] : ["Egress"]}]`},
	}
	// labelTier makes the label that says a policy's tier, by which policies are listed, equal to the field.
	labelTier = mutation{
		name:      "tierlabel.policy.projectcalico.org",
		condition: `has(object.spec)`,
		patches: []string{
			`has(object.spec.tier) && object.spec.tier != "" ? [] : [JSONPatch{op: "add", path: "/spec/tier", value: "default"}]`,
			`has(object.metadata.labels) ? [] : [JSONPatch{op: "add", path: "/metadata/labels", value: {}}]`,
			`[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("projectcalico.org/tier"), value: object.spec.tier}]`,
		},
	}
)

// applyMutation writes a mutating policy and binds it to every object that it names.
func (c *Cluster) applyMutation(ctx context.Context, m mutation) error {
	patches := []any{}
	for _, expression := range m.patches {
		patches = append(patches, map[string]any{"patchType": "JSONPatch", "jsonPatch": map[string]any{"expression": expression}})
	}
	rule := map[string]any{
		"apiGroups": []any{calicoV3.Group}, "apiVersions": []any{calicoV3.Version}, "operations": []any{"CREATE", "UPDATE"},
		"resources": []any{"globalnetworkpolicies", "networkpolicies", "stagedglobalnetworkpolicies", "stagednetworkpolicies"},
	}
	policy := map[string]any{
		"failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
		"matchConstraints": map[string]any{"resourceRules": []any{rule}},
		"matchConditions":  []any{map[string]any{"name": "applies", "expression": m.condition}},
		"mutations":        patches,
	}
	for _, o := range []object{
		newObject(admission.WithResource("mutatingadmissionpolicies"), "MutatingAdmissionPolicy", "", m.name, map[string]any{"spec": policy}),
		newObject(admission.WithResource("mutatingadmissionpolicybindings"), "MutatingAdmissionPolicyBinding", "", m.name,
			map[string]any{"spec": map[string]any{"policyName": m.name}}),
	} {
		err := c.apply(ctx, o)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("kube-apiserver %s is too old, native clusters need 1.36 or newer: %w", c.paths[tools.KubeAPIServer], err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// waitForMutations waits until a policy that names neither tier nor types would get both: admission policies take effect a moment after
// they are written.
func (c *Cluster) waitForMutations(ctx context.Context, p *process) error {
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	policies := calicoV3.WithResource("globalnetworkpolicies")
	probe := newObject(policies, "GlobalNetworkPolicy", "", "default.probe", map[string]any{"spec": map[string]any{"selector": "all()"}})
	return wait(ctx, "Calico's admission policies are in force", p, func(ctx context.Context) error {
		made, err := client.Resource(policies).Create(ctx, probe.content, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		types, _, err := unstructured.NestedStringSlice(made.Object, "spec", "types")
		if err != nil || len(types) == 0 || made.GetLabels()["projectcalico.org/tier"] == "" {
			return errors.Join(fmt.Errorf("a policy is created with types %q and labels %v", types, made.GetLabels()), err)
		}
		return nil
	})
}
