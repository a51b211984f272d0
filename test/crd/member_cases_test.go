package crd

import "strings"

// memberCases are about MemberCluster.
var memberCases = map[string]ruleCase{
	"the name has a dot": {base: memberBase, edits: []edit{{"metadata.name", "aws.use1"}},
		wantField: "<nil>", wantMessage: "metadata.name becomes a label value on the members"},
	"the name has 64 characters": {base: memberBase, edits: []edit{{"metadata.name", strings.Repeat("a", 64)}},
		wantField: "<nil>", wantMessage: "metadata.name becomes a label value on the members"},

	"no access":    {base: memberBase, edits: []edit{{"spec.access", ""}}, wantField: "spec.access", wantMessage: "Required value"},
	"empty access": {base: memberBase, edits: []edit{{"spec.access", "{}"}}, wantField: "spec.access", wantMessage: "access is exactly one of kubeconfig and local"},
	"access twice": {base: memberBase, edits: []edit{{"spec.access.local", "{}"}}, wantField: "spec.access", wantMessage: "access is exactly one of kubeconfig and local"},
	"local access": {base: memberBase, edits: []edit{{"spec.access", "{local: {}}"}}},
	"no Secret":    {base: memberBase, edits: []edit{{"spec.access.kubeconfig", "{}"}}, wantField: "spec.access.kubeconfig.secretRef", wantMessage: "Required value"},
	"no Secret name": {base: memberBase, edits: []edit{{"spec.access.kubeconfig.secretRef.name", ""}},
		wantField: "spec.access.kubeconfig.secretRef.name", wantMessage: "Required value"},
	"an empty Secret name": {base: memberBase, edits: []edit{{"spec.access.kubeconfig.secretRef.name", `""`}},
		wantField: "spec.access.kubeconfig.secretRef.name", wantMessage: "should be at least 1 chars long"},
	"an empty key": {base: memberBase, edits: []edit{{"spec.access.kubeconfig.secretRef.key", `""`}},
		wantField: "spec.access.kubeconfig.secretRef.key", wantMessage: "should be at least 1 chars long"},

	"an unknown role":           {base: memberBase, edits: []edit{{"spec.role", "ReadOnly"}}, wantField: "spec.role", wantMessage: `supported values: "Managed", "Source"`},
	"an unknown updates":        {base: memberBase, edits: []edit{{"spec.updates", "Manual"}}, wantField: "spec.updates", wantMessage: `supported values: "Automatic", "Held"`},
	"an unknown deletionPolicy": {base: memberBase, edits: []edit{{"spec.deletionPolicy", "Keep"}}, wantField: "spec.deletionPolicy", wantMessage: `supported values: "Delete", "Orphan"`},
	"an unknown sourceNAT":      {base: memberBase, edits: []edit{{"spec.podNetwork.sourceNAT", "true"}}, wantField: "spec.podNetwork.sourceNAT", wantMessage: `supported values: "Unmanaged", "Preserve"`},
	"an empty clusterID":        {base: memberBase, edits: []edit{{"spec.clusterID", `""`}}, wantField: "spec.clusterID", wantMessage: "should be at least 1 chars long"},
	"an empty domain":           {base: memberBase, edits: []edit{{"spec.podNetwork.domain", `""`}}, wantField: "spec.podNetwork.domain", wantMessage: "should be at least 1 chars long"},
	"no podNetwork":             {base: memberBase, edits: []edit{{"spec.podNetwork", ""}}},
}
