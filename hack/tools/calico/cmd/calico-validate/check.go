package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	calicoerrors "github.com/projectcalico/calico/libcalico-go/lib/errors"
	"github.com/projectcalico/calico/libcalico-go/lib/names"
	"github.com/projectcalico/calico/libcalico-go/lib/selector"
	validator "github.com/projectcalico/calico/libcalico-go/lib/validator/v3"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// kinds are those that can be checked, with an empty object of each.
var kinds = map[string]func() metav1.Object{
	v3.KindTier:                      func() metav1.Object { return &v3.Tier{} },
	v3.KindGlobalNetworkPolicy:       func() metav1.Object { return &v3.GlobalNetworkPolicy{} },
	v3.KindStagedGlobalNetworkPolicy: func() metav1.Object { return &v3.StagedGlobalNetworkPolicy{} },
	v3.KindNetworkPolicy:             func() metav1.Object { return &v3.NetworkPolicy{} },
	v3.KindStagedNetworkPolicy:       func() metav1.Object { return &v3.StagedNetworkPolicy{} },
	v3.KindGlobalNetworkSet:          func() metav1.Object { return &v3.GlobalNetworkSet{} },
	v3.KindNetworkSet:                func() metav1.Object { return &v3.NetworkSet{} },
	v3.KindIPPool:                    func() metav1.Object { return &v3.IPPool{} },
}

// check returns an object's name and all that is wrong with it.
func check(text []byte) (string, []string) {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(text, &kind); err != nil {
		return "", []string{fmt.Sprintf("not a JSON object: %v", err)}
	}
	empty, known := kinds[kind.Kind]
	if !known || kind.APIVersion != v3.GroupVersionCurrent {
		return "", []string{fmt.Sprintf("%s %q is not a kind that calico-validate knows", kind.APIVersion, kind.Kind)}
	}
	object := empty()
	// Unlike encoding/json this one tells upper from lower case and refuses a field that stands twice.
	strict, err := kjson.UnmarshalStrict(text, object)
	if err != nil {
		return "", []string{fmt.Sprintf("decoding as %s: %v", kind.Kind, err)}
	}
	problems := texts("decoding: ", strict)
	problems = append(problems, checkNames(object)...)
	problems = append(problems, checkTier(object)...)
	problems = append(problems, texts("validator: ", calicoSays(object))...)
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return object.GetName(), append(problems, err.Error())
	}
	return object.GetName(), append(problems, checkFields("", fields)...)
}

// calicoSays runs Calico's validator.
func calicoSays(object metav1.Object) []error {
	if pool, ok := object.(*v3.IPPool); ok {
		fillPool(pool)
	}
	err := validator.Validate(object)
	var found calicoerrors.ErrorValidation
	if !errors.As(err, &found) {
		if err != nil {
			return []error{err}
		}
		return nil
	}
	var list []error
	for _, each := range found.ErroredFields {
		list = append(list, fmt.Errorf("%s = %v: %s", each.Name, each.Value, each.Reason))
	}
	return list
}

// fillPool sets what Calico's API fills in before it validates a pool.
func fillPool(pool *v3.IPPool) {
	if pool.Spec.BlockSize == 0 {
		pool.Spec.BlockSize = 26
		if strings.Contains(pool.Spec.CIDR, ":") {
			pool.Spec.BlockSize = 122
		}
	}
	if pool.Spec.IPIPMode == "" {
		pool.Spec.IPIPMode = v3.IPIPModeNever
	}
	if pool.Spec.VXLANMode == "" {
		pool.Spec.VXLANMode = v3.VXLANModeNever
	}
	if pool.Spec.NodeSelector == "" {
		pool.Spec.NodeSelector = "all()"
	}
}

// checkNames applies the rules of every Kubernetes object.
func checkNames(object metav1.Object) []string {
	at := field.NewPath("metadata")
	found := validation.ValidateAnnotations(object.GetAnnotations(), at.Child("annotations"))
	found = append(found, metav1validation.ValidateLabels(object.GetLabels(), at.Child("labels"))...)
	var problems []string
	for _, each := range found {
		problems = append(problems, each.Error())
	}
	for _, each := range validation.NameIsDNSSubdomain(object.GetName(), false) {
		problems = append(problems, fmt.Sprintf("metadata.name %q: %s", object.GetName(), each))
	}
	return problems
}

// checkTier checks that a policy's name begins with its tier, and that tier and types are sent: what an API fills in is drift.
func checkTier(object metav1.Object) []string {
	var tier string
	var types int
	switch policy := object.(type) {
	case *v3.GlobalNetworkPolicy:
		tier, types = policy.Spec.Tier, len(policy.Spec.Types)
	case *v3.StagedGlobalNetworkPolicy:
		tier, types = policy.Spec.Tier, len(policy.Spec.Types)
	case *v3.NetworkPolicy:
		tier, types = policy.Spec.Tier, len(policy.Spec.Types)
	case *v3.StagedNetworkPolicy:
		tier, types = policy.Spec.Tier, len(policy.Spec.Types)
	default:
		return nil
	}
	var problems []string
	if tier == "" {
		problems = append(problems, "spec.tier is missing: Calico would fill in default")
	}
	if types == 0 {
		problems = append(problems, "spec.types is missing: Calico would fill it in from the rules")
	}
	if err := names.ValidateTieredPolicyName(object.GetName(), tier); err != nil {
		problems = append(problems, fmt.Sprintf("metadata.name: %v (tier %q)", err, tier))
	}
	return problems
}

// sets are the lists in which the native API refuses an item that stands twice.
var sets = map[string]bool{"nets": true, "types": true, "allowedUses": true}

// checkFields walks all fields and checks every selector, whatever it is the selector of, and every list that is a set.
func checkFields(path string, value any) []string {
	var problems []string
	switch value := value.(type) {
	case map[string]any:
		for key, child := range value {
			at := strings.TrimPrefix(path+"."+key, ".")
			if text, ok := child.(string); ok && strings.HasSuffix(strings.ToLower(key), "selector") {
				if _, err := selector.Parse(text); err != nil {
					problems = append(problems, fmt.Sprintf("%s: selector %q: %v", at, text, err))
				}
			}
			if list, ok := child.([]any); ok && sets[key] {
				problems = append(problems, repeated(at, list)...)
			}
			if path == "" && key == "metadata" {
				continue // an annotation may be called anything
			}
			problems = append(problems, checkFields(at, child)...)
		}
	case []any:
		for i, child := range value {
			problems = append(problems, checkFields(fmt.Sprintf("%s[%d]", path, i), child)...)
		}
	}
	return problems
}

// repeated reports items that stand twice in a list.
func repeated(path string, list []any) []string {
	var problems []string
	seen := map[string]bool{}
	for _, item := range list {
		text := fmt.Sprint(item)
		if seen[text] {
			problems = append(problems, fmt.Sprintf("%s: %s stands twice in a set", path, text))
		}
		seen[text] = true
	}
	return problems
}

// texts writes errors as texts.
func texts(prefix string, list []error) []string {
	var out []string
	for _, each := range list {
		out = append(out, prefix+each.Error())
	}
	return out
}
