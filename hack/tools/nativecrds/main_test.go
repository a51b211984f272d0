package main

import (
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// published are the scope and plural of the kinds in Calico's own native CRDs that this release's types have too.
var published = map[string]struct {
	plural string
	scope  apiextensions.ResourceScope
}{
	"BGPConfiguration":              {"bgpconfigurations", apiextensions.ClusterScoped},
	"BGPFilter":                     {"bgpfilters", apiextensions.ClusterScoped},
	"BGPPeer":                       {"bgppeers", apiextensions.ClusterScoped},
	"BlockAffinity":                 {"blockaffinities", apiextensions.ClusterScoped},
	"CalicoNodeStatus":              {"caliconodestatuses", apiextensions.ClusterScoped},
	"ClusterInformation":            {"clusterinformations", apiextensions.ClusterScoped},
	"FelixConfiguration":            {"felixconfigurations", apiextensions.ClusterScoped},
	"GlobalNetworkPolicy":           {"globalnetworkpolicies", apiextensions.ClusterScoped},
	"GlobalNetworkSet":              {"globalnetworksets", apiextensions.ClusterScoped},
	"HostEndpoint":                  {"hostendpoints", apiextensions.ClusterScoped},
	"IPAMConfiguration":             {"ipamconfigurations", apiextensions.ClusterScoped},
	"IPPool":                        {"ippools", apiextensions.ClusterScoped},
	"IPReservation":                 {"ipreservations", apiextensions.ClusterScoped},
	"KubeControllersConfiguration":  {"kubecontrollersconfigurations", apiextensions.ClusterScoped},
	"NetworkPolicy":                 {"networkpolicies", apiextensions.NamespaceScoped},
	"NetworkSet":                    {"networksets", apiextensions.NamespaceScoped},
	"StagedGlobalNetworkPolicy":     {"stagedglobalnetworkpolicies", apiextensions.ClusterScoped},
	"StagedKubernetesNetworkPolicy": {"stagedkubernetesnetworkpolicies", apiextensions.NamespaceScoped},
	"StagedNetworkPolicy":           {"stagednetworkpolicies", apiextensions.NamespaceScoped},
	"Tier":                          {"tiers", apiextensions.ClusterScoped},
}

func TestEveryKindHasThePublishedScopeAndPlural(t *testing.T) {
	generated := generated(t)
	for kind, want := range published {
		got, ok := generated[kind]
		if !ok {
			t.Errorf("%s is not generated", kind)
			continue
		}
		if got.Spec.Scope != want.scope || got.Spec.Names.Plural != want.plural || got.Name != want.plural+".projectcalico.org" {
			t.Errorf("%s is %s, %s, %s; want %s, %s", kind, got.Name, got.Spec.Names.Plural, got.Spec.Scope, want.plural, want.scope)
		}
		if versions := got.Spec.Versions; len(versions) != 1 || versions[0].Name != "v3" {
			t.Errorf("%s has versions %v, want v3 alone", kind, versions)
		}
	}
	if len(generated) != len(published) {
		t.Errorf("%d kinds are generated, want %d", len(generated), len(published))
	}
}

func TestNumbersOrTextsAreNotObjects(t *testing.T) {
	policy := generated(t)["GlobalNetworkPolicy"]
	for _, path := range []string{
		"ingress[].protocol", "ingress[].notProtocol", "egress[].protocol",
		"ingress[].source.ports[]", "ingress[].destination.notPorts[]", "egress[].destination.ports[]",
	} {
		found := fact{path: "spec." + path, change: func(schema *apiextensions.JSONSchemaProps) {
			if !schema.XIntOrString || schema.Type != "" {
				t.Errorf("%s is of type %q and int-or-string is %v", path, schema.Type, schema.XIntOrString)
			}
		}}
		if err := found.set(policy.Spec.Versions[0].Schema.OpenAPIV3Schema); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// generated returns the CRDs by kind.
func generated(t *testing.T) map[string]apiextensions.CustomResourceDefinition {
	t.Helper()
	list, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	byKind := map[string]apiextensions.CustomResourceDefinition{}
	for _, each := range list {
		byKind[each.Spec.Names.Kind] = each
	}
	return byKind
}
