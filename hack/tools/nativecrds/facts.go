package main

import (
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// fact is something that Calico's native API has and the types of this release do not say. Each changes what an apply does: which lists
// several managers may share, and what is filled in.
type fact struct {
	plural string
	path   string // in the schema, with "[]" after a list
	change func(*apiextensions.JSONSchemaProps)
}

// set applies the fact to the schema of its kind.
func (f fact) set(schema *apiextensions.JSONSchemaProps) error {
	return edit(schema, strings.Split(f.path, "."), f.change)
}

// facts are those that Calico v3.32.1 publishes for the kinds that a network policy tool writes.
var facts = func() []fact {
	all := []fact{
		{"tiers", "spec.defaultAction", defaultsTo("Deny")},
		{"globalnetworksets", "spec.nets", listSet},
		{"networksets", "spec.nets", listSet},
		{"ippools", "spec.allowedUses", listSet},
		{"ippools", "spec.assignmentMode", defaultsTo("Automatic")},
		{"stagedkubernetesnetworkpolicies", "spec.stagedAction", defaultsTo("Set")},
	}
	for _, plural := range []string{"networkpolicies", "globalnetworkpolicies", "stagednetworkpolicies", "stagedglobalnetworkpolicies"} {
		all = append(all, fact{plural, "spec.tier", defaultsTo("default")}, fact{plural, "spec.types", listSet})
		if strings.HasPrefix(plural, "staged") {
			all = append(all, fact{plural, "spec.stagedAction", defaultsTo("Set")})
		}
		for _, entity := range []string{"ingress[].source", "ingress[].destination", "egress[].source", "egress[].destination"} {
			all = append(all, fact{plural, "spec." + entity + ".nets", listSet}, fact{plural, "spec." + entity + ".serviceAccounts.names", listSet})
		}
	}
	return all
}()

// shortNames are those under which kubectl knows the kinds; the aggregated API has the same.
var shortNames = map[string][]string{
	"clusterinformations":             {"clusterinfo", "clusterinfos"},
	"globalnetworkpolicies":           {"gnp", "cgnp"},
	"globalnetworksets":               {"gns"},
	"hostendpoints":                   {"hep", "heps"},
	"networkpolicies":                 {"cnp", "caliconetworkpolicy"},
	"stagedglobalnetworkpolicies":     {"sgnp"},
	"stagedkubernetesnetworkpolicies": {"sknp"},
	"stagednetworkpolicies":           {"scnp", "snp"},
}

// listSet makes a list one whose items are owned one by one and may not repeat.
func listSet(schema *apiextensions.JSONSchemaProps) {
	set := "set"
	schema.XListType = &set
}

// defaultsTo fills in a text where none is sent.
func defaultsTo(value string) func(*apiextensions.JSONSchemaProps) {
	return func(schema *apiextensions.JSONSchemaProps) {
		schema.Default = &apiextensions.JSON{Raw: []byte(`"` + value + `"`)}
	}
}
