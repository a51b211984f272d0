// Package identity says which pods a selection means, in any cluster, and which of their addresses count.
//
// A selection is a pair of Calico selectors. Compiled rules carry the very same text for the local pods that this package evaluates, with Calico's own
// parser, for the pods of other clusters: both halves of a rule mean the same. It is pure: no client, context, log or clock.
package identity

import (
	"fmt"
	"slices"
	"strings"

	"github.com/projectcalico/calico/libcalico-go/lib/selector/parser"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"multicloud.network/operator/internal/snapshot"
)

// Labels that Calico puts on every pod's endpoint and, the last one, on every namespace.
const (
	LabelOrchestrator   = "projectcalico.org/orchestrator"
	LabelNamespace      = "projectcalico.org/namespace"
	LabelServiceAccount = "projectcalico.org/serviceaccount"
	LabelNamespaceName  = "projectcalico.org/name"

	namespaceLabelPrefix      = "pcns."
	serviceAccountLabelPrefix = "pcsa."
	orchestratorKubernetes    = "k8s"
)

// PodsOnly is the conjunct that keeps host endpoints and network sets out of a selector: only pods carry this label.
const PodsOnly = LabelOrchestrator + ` == "` + orchestratorKubernetes + `"`

// MaxSelectorLength is the longest selector that Calico's CRDs accept, in characters (Calico v3.33).
const MaxSelectorLength = 1024

// Selection picks pods by the labels of their namespace and their own. The zero value picks nothing.
type Selection struct {
	namespace parser.Selector
	pod       parser.Selector
}

// Parse makes a selection of two selectors in Calico's language. Empty ones pick everything. The result picks pods only: host endpoints
// and network sets never match it. It is an error if a selector does not parse, uses global(), or refers to labels of service
// accounts, which are not known across clusters.
func Parse(namespaceSelector, podSelector string) (Selection, error) {
	namespace, err := parseOne(orAll(namespaceSelector))
	if err != nil {
		return Selection{}, fmt.Errorf("namespace selector: %w", err)
	}
	// Parsed alone first, so that an unbalanced parenthesis cannot reach the conjunct.
	own, err := parseOne(orAll(podSelector))
	if err != nil {
		return Selection{}, fmt.Errorf("pod selector: %w", err)
	}
	text := PodsOnly
	if own.String() != allSelector {
		text = "(" + own.String() + ") && " + PodsOnly
	}
	pod, err := parseOne(text)
	if err != nil {
		return Selection{}, fmt.Errorf("pod selector: %w", err)
	}
	return Selection{namespace: namespace, pod: pod}, nil
}

const allSelector = "all()"

func orAll(selector string) string {
	if strings.TrimSpace(selector) == "" {
		return allSelector
	}
	return selector
}

func parseOne(text string) (parser.Selector, error) {
	selector, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w; write it in Calico's selector language, for example app == 'web' && has(tier)", err)
	}
	v := &refusals{}
	selector.AcceptVisitor(v)
	switch {
	case v.global:
		return nil, fmt.Errorf("global() matches no pod; leave the selector out to mean any namespace")
	case v.serviceAccountLabel != "":
		return nil, fmt.Errorf("%s is a label of a service account, which is not known across clusters; select by a pod or namespace label",
			v.serviceAccountLabel)
	case len(selector.String()) > MaxSelectorLength:
		return nil, fmt.Errorf("it compiles to %d characters, and Calico accepts %d; select by fewer labels or values",
			len(selector.String()), MaxSelectorLength)
	}
	return selector, nil
}

// refusals finds what a selector may not use.
type refusals struct {
	global              bool
	serviceAccountLabel string
}

// Visit looks at one node of a selector.
func (r *refusals) Visit(n any) {
	label := ""
	switch n := n.(type) {
	case *parser.GlobalNode:
		r.global = true
	case *parser.LabelEqValueNode:
		label = n.LabelName
	case *parser.LabelNeValueNode:
		label = n.LabelName
	case *parser.LabelContainsValueNode:
		label = n.LabelName
	case *parser.LabelStartsWithValueNode:
		label = n.LabelName
	case *parser.LabelEndsWithValueNode:
		label = n.LabelName
	case *parser.LabelInSetNode:
		label = n.LabelName
	case *parser.LabelNotInSetNode:
		label = n.LabelName
	case *parser.HasNode:
		label = n.LabelName
	}
	if strings.HasPrefix(label, serviceAccountLabelPrefix) {
		r.serviceAccountLabel = label
	}
}

// NamespaceSelector returns the selection's namespace selector in Calico's language: never empty.
func (s Selection) NamespaceSelector() string {
	if s.namespace == nil {
		return "!" + allSelector
	}
	return s.namespace.String()
}

// Selector returns the selection's pod selector in Calico's language: never empty, and never true for anything but a pod.
func (s Selection) Selector() string {
	if s.pod == nil {
		return "!" + allSelector
	}
	return s.pod.String()
}

// Canonical returns a text that is equal for equal selections.
func (s Selection) Canonical() string { return s.NamespaceSelector() + "\n" + s.Selector() }

// MatchesNamespace tells whether pods of a namespace can be in the selection.
func (s Selection) MatchesNamespace(ns snapshot.Namespace) bool {
	return s.namespace != nil && s.namespace.EvaluateLabels(namespaceLabels(ns))
}

// MatchesPod tells whether a pod of a namespace that matches is in the selection.
func (s Selection) MatchesPod(ns snapshot.Namespace, pod snapshot.Pod) bool {
	return s.pod != nil && s.pod.EvaluateLabels(podLabels{namespace: ns, pod: pod})
}

// namespaceLabels are a namespace's labels as Calico sees them.
type namespaceLabels snapshot.Namespace

// Get returns a label.
func (l namespaceLabels) Get(name string) (string, bool) {
	if name == LabelNamespaceName {
		return l.Name, true
	}
	value, ok := l.Labels[name]
	return value, ok
}

// podLabels are an endpoint's labels as Calico sees them: the pod's own, those that Calico adds, and those inherited from the namespace.
type podLabels struct {
	namespace snapshot.Namespace
	pod       snapshot.Pod
}

// Get returns a label.
func (l podLabels) Get(name string) (string, bool) {
	switch name {
	case LabelOrchestrator:
		return orchestratorKubernetes, true
	case LabelNamespace:
		return l.pod.Namespace, true
	case LabelServiceAccount:
		return l.pod.ServiceAccount, l.pod.ServiceAccount != ""
	}
	if value, ok := l.pod.Labels[name]; ok {
		return value, true
	}
	if inherited, ok := strings.CutPrefix(name, namespaceLabelPrefix); ok {
		return namespaceLabels(l.namespace).Get(inherited)
	}
	return "", false
}

// FromLabelSelector translates a Kubernetes label selector to Calico's language. The selector must be valid (apimachinery's
// ValidateLabelSelector); nil and an empty one give the empty text.
func FromLabelSelector(selector *metav1.LabelSelector) string {
	if selector == nil {
		return ""
	}
	var terms []string
	for key, value := range selector.MatchLabels {
		terms = append(terms, key+" == "+quote(value))
	}
	for _, e := range selector.MatchExpressions {
		terms = append(terms, fromRequirement(e))
	}
	slices.Sort(terms)
	return strings.Join(slices.Compact(terms), " && ")
}

func fromRequirement(e metav1.LabelSelectorRequirement) string {
	switch e.Operator {
	case metav1.LabelSelectorOpIn:
		return e.Key + " in " + quoteSet(e.Values)
	case metav1.LabelSelectorOpNotIn:
		return e.Key + " not in " + quoteSet(e.Values)
	case metav1.LabelSelectorOpExists:
		return "has(" + e.Key + ")"
	case metav1.LabelSelectorOpDoesNotExist:
		return "!has(" + e.Key + ")"
	}
	// Not a selector's operator: a text that no parser accepts, so that it is refused and not dropped.
	return "invalid operator " + quote(string(e.Operator))
}

func quoteSet(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, v := range slices.Compact(slices.Sorted(slices.Values(values))) {
		quoted = append(quoted, quote(v))
	}
	return "{" + strings.Join(quoted, ", ") + "}"
}

// quote writes a string literal. Calico's literals have no escapes; a value with both kinds of quotes cannot be written, and cannot be a label value
// either, so it becomes a text that no parser accepts.
func quote(value string) string {
	if !strings.Contains(value, `"`) {
		return `"` + value + `"`
	}
	if !strings.Contains(value, `'`) {
		return `'` + value + `'`
	}
	return `"`
}
