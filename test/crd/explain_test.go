package crd

import (
	"regexp"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// notOurs are paths whose documentation comes from Kubernetes.
var notOurs = regexp.MustCompile(`^\.(apiVersion|kind|metadata)$|[sS]elector[.]|\.stagedClusters\.|\.status\.conditions\[\]`)

// TestEveryFieldIsExplained holds kubectl explain to its promise: each field's text begins with the field's name and consists of sentences.
func TestEveryFieldIsExplained(t *testing.T) {
	for _, crd := range readCRDs(t) {
		fields := 0
		walkSchema(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			if path == "" || strings.HasSuffix(path, "[]") || strings.HasSuffix(path, "{}") || notOurs.MatchString(path) {
				return
			}
			fields++
			name := path[strings.LastIndex(path, ".")+1:]
			text := strings.TrimSpace(schema.Description)
			if !strings.HasPrefix(text, name+" ") {
				t.Errorf("%s: the text does not begin with %q: %q", path, name, text)
			}
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: the text does not end with a full stop: %q", path, text)
			}
		})
		if fields < 20 {
			t.Errorf("%s: only %d fields found", crd.Name, fields)
		}
	}
}

// TestDefaultsAreExplained: a field with a default says so, because kubectl explain does not show defaults.
func TestDefaultsAreExplained(t *testing.T) {
	for _, crd := range readCRDs(t) {
		walkSchema(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			if schema.Default == nil || path == ".status" {
				return
			}
			value := strings.Trim(string(schema.Default.Raw), `"`)
			text := strings.Join(strings.Fields(schema.Description), " ")
			if !strings.Contains(text, "Default: "+value+".") {
				t.Errorf("%s: the text does not name the default %s: %q", path, value, text)
			}
		})
	}
}

// TestEveryListHasBounds: a list of ours is bounded, and an empty one is refused in spec.
func TestEveryListHasBounds(t *testing.T) {
	for _, crd := range readCRDs(t) {
		walkSchema(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, "", func(path string, schema *apiextensionsv1.JSONSchemaProps) {
			if schema.Type != "array" || notOurs.MatchString(path) {
				return
			}
			refused := strings.Contains(path, ".http.") || strings.Contains(path, ".serviceAccounts.")
			if schema.MaxItems == nil || schema.XListType == nil {
				t.Errorf("%s: a list without bound or type", path)
			}
			if strings.HasPrefix(path, ".spec") && !refused && (schema.MinItems == nil || *schema.MinItems != 1) {
				t.Errorf("%s: an empty list is accepted", path)
			}
		})
	}
}
