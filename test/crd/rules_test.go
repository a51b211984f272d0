package crd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/yaml"
)

// ruleCase changes a valid object in one respect. The API server refuses the result with wantMessage, a part of the message, at wantField;
// where wantMessage is empty it accepts it.
type ruleCase struct {
	base        string
	edits       []edit
	wantField   string
	wantMessage string
}

func TestBaseObjectsAreValid(t *testing.T) {
	for name, base := range map[string]string{"flat": flatBase, "vlan": vlanBase, "calico": calicoBase, "member": memberBase} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := dryRun(t, build(t, base)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRules(t *testing.T) {
	for name, tc := range allRuleCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := dryRun(t, build(t, tc.base, tc.edits...))
			if tc.wantMessage == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !apierrors.IsInvalid(err) {
				t.Fatalf("got %v, want an Invalid error with %q", err, tc.wantMessage)
			}
			if !strings.Contains(err.Error(), tc.wantMessage) {
				t.Errorf("got  %v\nwant %q", err, tc.wantMessage)
			}
			if !strings.Contains(err.Error(), tc.wantField+": ") {
				t.Errorf("got %v\nwant the field %q", err, tc.wantField)
			}
		})
	}
}

// TestEveryRuleHasACase finds rules that the tables above forgot.
func TestEveryRuleHasACase(t *testing.T) {
	for _, message := range ruleMessages(t) {
		covered := false
		for _, tc := range allRuleCases() {
			covered = covered || (tc.wantMessage != "" && strings.Contains(message, tc.wantMessage))
		}
		if !covered && !strings.HasPrefix(message, clusterIDMessage) && !strings.HasPrefix(message, connectedIDMessage) {
			t.Errorf("no case for the rule that says %q", message)
		}
	}
}

func allRuleCases() map[string]ruleCase {
	all := map[string]ruleCase{}
	for group, cases := range map[string]map[string]ruleCase{
		"network": networkCases, "route": routeCases, "address": addressCases, "list": listCases, "policy": policyCases, "rule": calicoRuleCases, "port": portCases,
		"unsupported": unsupportedCases, "member": memberCases,
	} {
		for name, tc := range cases {
			all[group+"/"+name] = tc
		}
	}
	return all
}

// ruleMessages returns the messages of all rules in the CustomResourceDefinitions, each once.
func ruleMessages(t *testing.T) []string {
	t.Helper()
	seen, messages := map[string]bool{}, []string{}
	for _, crd := range readCRDs(t) {
		walkSchema(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "", func(_ string, schema *apiextensionsv1.JSONSchemaProps) {
			for _, rule := range schema.XValidations {
				if !seen[rule.Message] {
					seen[rule.Message] = true
					messages = append(messages, rule.Message)
				}
			}
		})
	}
	return messages
}

// readCRDs reads the generated CustomResourceDefinitions.
func readCRDs(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(crdDirectory, "*.yaml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("got %v (%v), want two files in %s", files, err, crdDirectory)
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		crds = append(crds, crd)
	}
	return crds
}

// walkSchema calls visit for the schema and everything below it, with the path of each.
func walkSchema(schema *apiextensionsv1.JSONSchemaProps, path string, visit func(path string, schema *apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	for name, property := range schema.Properties {
		walkSchema(&property, path+"."+name, visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		walkSchema(schema.Items.Schema, path+"[]", visit)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		walkSchema(schema.AdditionalProperties.Schema, path+"{}", visit)
	}
}
