// Command nativecrds writes the CRDs by which kube-apiserver itself serves projectcalico.org/v3, as Calico does from v3.32 on, generated
// from the Go types of an older release that has none. Each goes to <plural>.yaml in the folder given by -out, which has to exist.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
	"sigs.k8s.io/yaml"

	// The generator reads the source of these types; the import keeps their module in go.mod.
	_ "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
)

const (
	typesPackage       = "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	numOrStringPackage = "github.com/projectcalico/api/pkg/lib/numorstring"
)

func main() {
	out := flag.String("out", "", "folder to write the CRDs into")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "nativecrds:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	if out == "" {
		return errors.New("-out is missing: name a folder that exists")
	}
	generated, err := generate()
	if err != nil {
		return err
	}
	for _, each := range generated {
		text, err := encode(each)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", each.Name, err)
		}
		if err := os.WriteFile(filepath.Join(out, each.Spec.Names.Plural+".yaml"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// encode writes a CRD as YAML without its status, which is the API server's.
func encode(definition apiextensions.CustomResourceDefinition) ([]byte, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&definition)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	return yaml.Marshal(fields)
}

// generate makes one CRD per kind of the API, except Profile, which native mode does not have.
func generate() ([]apiextensions.CustomResourceDefinition, error) {
	roots, err := loader.LoadRoots(typesPackage)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", typesPackage, err)
	}
	registry := &markers.Registry{}
	if err := crdmarkers.Register(registry); err != nil {
		return nil, fmt.Errorf("registering the generator's markers: %w", err)
	}
	// client-gen's marker, which the CRD generator does not read: without it every kind comes out Namespaced.
	if err := registry.Define(nonNamespaced, markers.DescribesType, struct{}{}); err != nil {
		return nil, fmt.Errorf("registering %s: %w", nonNamespaced, err)
	}
	parser := &crd.Parser{Collector: &markers.Collector{Registry: registry}, Checker: &loader.TypeChecker{}, AllowDangerousTypes: true}
	crd.AddKnownTypes(parser)
	parser.PackageOverrides[numOrStringPackage] = overrideNumOrString
	for _, root := range roots {
		parser.NeedPackage(root)
	}
	metav1 := crd.FindMetav1(roots)
	if metav1 == nil {
		return nil, fmt.Errorf("%s does not import metav1, so it has no API types", typesPackage)
	}
	var generated []apiextensions.CustomResourceDefinition
	withoutDescriptions := 0
	for _, kind := range crd.FindKubeKinds(parser, metav1) {
		if kind.Kind == "Profile" {
			continue
		}
		parser.NeedCRDFor(kind, &withoutDescriptions)
		definition := parser.CustomResourceDefinitions[kind]
		crd.FixTopLevelMetadata(definition)
		if err := correct(&definition, parser, kind, roots); err != nil {
			return nil, fmt.Errorf("%s: %w", kind.Kind, err)
		}
		generated = append(generated, definition)
	}
	// The generator checks types only as far as it needs, so that errors of type checking mean nothing.
	if loader.PrintErrors(roots, packages.TypeError) {
		return nil, fmt.Errorf("%s has errors, printed above", typesPackage)
	}
	return generated, nil
}

const nonNamespaced = "genclient:nonNamespaced"

// overrideNumOrString gives the types that are written as a number or a text their true schema; by their Go fields they are objects.
func overrideNumOrString(parser *crd.Parser, pkg *loader.Package) {
	for _, name := range []string{"Protocol", "Port", "Uint8OrString"} {
		parser.Schemata[crd.TypeIdent{Package: pkg, Name: name}] = apiextensions.JSONSchemaProps{
			XIntOrString: true,
			AnyOf:        []apiextensions.JSONSchemaProps{{Type: "integer"}, {Type: "string"}},
		}
	}
	parser.AddPackage(pkg)
}

// correct sets what the generator cannot know from the types of this release.
func correct(definition *apiextensions.CustomResourceDefinition, parser *crd.Parser, kind schema.GroupKind, roots []*loader.Package) error {
	for _, root := range roots {
		info := parser.Types[crd.TypeIdent{Package: root, Name: kind.Kind}]
		if info != nil && info.Markers.Get(nonNamespaced) != nil {
			definition.Spec.Scope = apiextensions.ClusterScoped
		}
	}
	if kind.Kind == "ClusterInformation" { // the generator takes it for a plural already
		definition.Spec.Names.Plural = "clusterinformations"
		definition.Name = definition.Spec.Names.Plural + "." + kind.Group
	}
	definition.Spec.Names.ShortNames = shortNames[definition.Spec.Names.Plural]
	for i := range definition.Spec.Versions {
		version := &definition.Spec.Versions[i]
		if _, tiered := version.Schema.OpenAPIV3Schema.Properties["spec"].Properties["tier"]; tiered {
			version.SelectableFields = []apiextensions.SelectableField{{JSONPath: ".spec.tier"}}
		}
		for _, each := range facts {
			if each.plural != definition.Spec.Names.Plural {
				continue
			}
			if err := each.set(version.Schema.OpenAPIV3Schema); err != nil {
				return err
			}
		}
	}
	return nil
}

// edit changes the schema at a path; "[]" steps into a list.
func edit(at *apiextensions.JSONSchemaProps, path []string, change func(*apiextensions.JSONSchemaProps)) error {
	if len(path) == 0 {
		change(at)
		return nil
	}
	name, isList := strings.CutSuffix(path[0], "[]")
	child, ok := at.Properties[name]
	if !ok {
		return fmt.Errorf("the schema has no field %q where one is to be corrected", name)
	}
	target := &child
	if isList {
		if child.Items == nil || child.Items.Schema == nil {
			return fmt.Errorf("the schema's field %q is no list", name)
		}
		target = child.Items.Schema
	}
	if err := edit(target, path[1:], change); err != nil {
		return err
	}
	at.Properties[name] = child
	return nil
}
