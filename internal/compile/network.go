package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// network is a network's spec, parsed: what follows it never meets a value that does not make sense. Where errors is not empty the rest is
// incomplete and must not be compiled.
type network struct {
	source    *mcnv1alpha1.MultiCloudNetwork
	errors    field.ErrorList
	boundary  mcnv1alpha1.Boundary
	exclusive bool
	// slot is the place among the Exclusive networks.
	slot *int32
	// rank is the place among the networks of the Calico model that are Shared, oldest first.
	rank int
	// members are the selected members, sorted by name.
	members []*member
	// staged picks the members on which policies are staged.
	staged labels.Selector
	// segments of Flat and VLAN, sorted by name; routes, sorted by name; policies of Calico, sorted by order and name.
	segments []segment
	routes   []route
	policies []calicoPolicy
	// pods counts those that the network picks, shared those that another network picks too, and met says with which: see members.go.
	pods, shared int
	met          map[*network]meeting
	// picking are the subjects that pick a pod, by their text.
	picking map[string]bool
}

func (n *network) name() string { return n.source.Name }

// stagedOn tells whether the network's policies are staged on a member.
func (n *network) stagedOn(m *member) bool { return n.staged.Matches(labels.Set(m.Labels)) }

// selects tells whether the network spans a member.
func (n *network) selects(m *member) bool { return slices.Contains(n.members, m) }

// override tells whether the network's permits have the last word over the cluster's own policies.
func (n *network) override() bool {
	return n.source.Spec.LocalPolicies == mcnv1alpha1.LocalPoliciesOverride
}

// newNetwork parses a network.
func (c *Compiler) newNetwork(source *mcnv1alpha1.MultiCloudNetwork) *network {
	n := &network{
		source:    source,
		boundary:  source.Spec.Boundary,
		exclusive: source.Spec.Membership == mcnv1alpha1.MembershipExclusive,
		staged:    labels.Nothing(),
	}
	p := &parser{settings: c.settings}
	spec, at := &source.Spec, field.NewPath("spec")
	for _, problem := range validation.IsDNS1123Label(source.Name) {
		p.fail(field.Invalid(field.NewPath("metadata", "name"), source.Name, problem))
	}
	clusters := p.labelSelector(at.Child("clusters", "selector"), &spec.Clusters.Selector)
	if spec.StagedClusters != nil {
		n.staged = p.labelSelector(at.Child("stagedClusters"), spec.StagedClusters)
	}
	p.model(n, spec, at)
	n.errors = p.errors
	if len(n.errors) > 0 {
		return n
	}
	for _, m := range c.fleet.members {
		if clusters.Matches(labels.Set(m.Labels)) {
			n.members = append(n.members, m)
		}
	}
	return n
}

// parser collects everything that is wrong with a spec.
type parser struct {
	settings Settings
	errors   field.ErrorList
}

func (p *parser) fail(err *field.Error) { p.errors = append(p.errors, err) }

// model parses the block that the model names, and refuses the others.
func (p *parser) model(n *network, spec *mcnv1alpha1.MultiCloudNetworkSpec, at *field.Path) {
	blocks := []struct {
		model   mcnv1alpha1.Model
		path    *field.Path
		present bool
	}{
		{mcnv1alpha1.ModelFlat, at.Child("flat"), spec.Flat != nil},
		{mcnv1alpha1.ModelVLAN, at.Child("vlan"), spec.VLAN != nil},
		{mcnv1alpha1.ModelCalico, at.Child("calico"), spec.Calico != nil},
	}
	known, before := false, len(p.errors)
	for _, b := range blocks {
		wanted := b.model == spec.Model
		known = known || wanted
		switch {
		case wanted && !b.present:
			p.fail(field.Required(b.path, fmt.Sprintf("model %s needs this block", spec.Model)))
		case !wanted && b.present:
			p.fail(field.Forbidden(b.path, fmt.Sprintf("model is %s: remove this block, or set model to %s", spec.Model, b.model)))
		}
	}
	if !known {
		p.fail(field.NotSupported(at.Child("model"), spec.Model,
			[]mcnv1alpha1.Model{mcnv1alpha1.ModelFlat, mcnv1alpha1.ModelVLAN, mcnv1alpha1.ModelCalico}))
	}
	if len(p.errors) > before {
		return
	}
	switch spec.Model {
	case mcnv1alpha1.ModelFlat:
		n.boundary = cmp.Or(n.boundary, mcnv1alpha1.BoundaryOpen)
		pods := p.subject(at.Child("flat", "pods"), spec.Flat.Pods)
		n.segments = []segment{{name: mcnv1alpha1.FlatSegment, pods: &pods}}
		n.routes = p.routes(at.Child("routes"), spec.Routes, n.segments)
	case mcnv1alpha1.ModelVLAN:
		n.boundary = cmp.Or(n.boundary, mcnv1alpha1.BoundaryClosed)
		n.segments = p.segments(at.Child("vlan", "segments"), spec.VLAN.Segments)
		n.routes = p.routes(at.Child("routes"), spec.Routes, n.segments)
	case mcnv1alpha1.ModelCalico:
		n.boundary = cmp.Or(n.boundary, mcnv1alpha1.BoundaryClosed)
		n.policies = p.calicoPolicies(at.Child("calico", "policies"), spec.Calico.Policies)
		p.notWithCalico(spec, at)
	}
}

// notWithCalico refuses what the Calico model has no meaning for.
func (p *parser) notWithCalico(spec *mcnv1alpha1.MultiCloudNetworkSpec, at *field.Path) {
	if len(spec.Routes) > 0 {
		p.fail(field.Forbidden(at.Child("routes"), "routes belong to Flat and VLAN: write rules in calico.policies"))
	}
	if spec.LocalPolicies == mcnv1alpha1.LocalPoliciesOverride {
		p.fail(field.Forbidden(at.Child("localPolicies"),
			"the Calico model's actions are literal: use action Allow to override the cluster's own policies, Pass to honor them"))
	}
}

// labelSelector parses a selector over MemberClusters.
func (p *parser) labelSelector(at *field.Path, selector *metav1.LabelSelector) labels.Selector {
	errs := metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, at)
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil && len(errs) == 0 {
		errs = field.ErrorList{field.Invalid(at, selector, err.Error())}
	}
	p.errors = append(p.errors, namingOperators(errs)...)
	if len(errs) > 0 {
		return labels.Nothing()
	}
	return parsed
}

// namingOperators adds to errors about a label selector's operator which ones there are.
func namingOperators(errs field.ErrorList) field.ErrorList {
	for _, err := range errs {
		if err.Type == field.ErrorTypeInvalid && strings.HasSuffix(err.Field, ".operator") {
			err.Detail += ": write In, NotIn, Exists or DoesNotExist"
		}
	}
	return errs
}

// pods parses a pod selection as it stands.
func (p *parser) pods(at *field.Path, s mcnv1alpha1.PodSelection) identity.Selection {
	return p.selection(at, s, "")
}

// subject parses a pod selection whose pods are subjects: those in excluded namespaces are never picked.
func (p *parser) subject(at *field.Path, s mcnv1alpha1.PodSelection) identity.Selection {
	return p.selection(at, s, p.settings.notExcluded())
}

func (p *parser) selection(at *field.Path, s mcnv1alpha1.PodSelection, namespaces string) identity.Selection {
	before := len(p.errors)
	options := metav1validation.LabelSelectorValidationOptions{}
	if s.NamespaceSelector == nil {
		p.fail(field.Required(at.Child("namespaceSelector"), "write {} to pick pods of every namespace"))
	} else {
		p.errors = append(p.errors, namingOperators(metav1validation.ValidateLabelSelector(s.NamespaceSelector, options, at.Child("namespaceSelector")))...)
	}
	if s.PodSelector != nil {
		p.errors = append(p.errors, namingOperators(metav1validation.ValidateLabelSelector(s.PodSelector, options, at.Child("podSelector")))...)
	}
	if len(p.errors) > before {
		return identity.Selection{}
	}
	parsed, err := identity.Parse(conjunction(identity.FromLabelSelector(s.NamespaceSelector), namespaces), identity.FromLabelSelector(s.PodSelector))
	if err != nil {
		p.fail(field.Invalid(at, "", err.Error()))
	}
	return parsed
}

// name checks the name of a part: policies of ours carry it, and a Calico policy's name is made of DNS labels.
func (p *parser) name(at *field.Path, name string, seen map[string]bool) {
	for _, problem := range validation.IsDNS1123Label(name) {
		p.fail(field.Invalid(at, name, problem))
	}
	if seen[name] {
		p.fail(field.Duplicate(at, name))
	}
	seen[name] = true
}
