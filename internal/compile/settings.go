package compile

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// Orders between which our tier has to stand: behind Calico's own tier, which keeps Calico's pods working, and before the Admin tier of
// ClusterNetworkPolicy (calico-system and kube-admin).
const (
	lowestTierOrder  = 100
	highestTierOrder = 1000
)

// Settings are the operator's flags that shape what is compiled.
type Settings struct {
	// OwnerID is written to every object; two operators with one owner ID are one operator.
	OwnerID string
	// Tier is the name of the tier that holds all policies.
	Tier string
	// TierOrder is that tier's order.
	TierOrder float64
	// ExcludedNamespaces are the namespaces whose pods are never a subject.
	ExcludedNamespaces []string
}

// Validate says what is wrong with the settings, by the names of the flags.
func (s Settings) Validate() error {
	var problems []error
	if s.OwnerID == "" {
		problems = append(problems, errors.New("--owner-id is empty: without it nothing would be known to be ours"))
	}
	for _, problem := range validation.IsValidLabelValue(s.OwnerID) {
		problems = append(problems, fmt.Errorf("--owner-id %q: %s", s.OwnerID, problem))
	}
	for _, problem := range validation.IsDNS1123Label(s.Tier) {
		problems = append(problems, fmt.Errorf("--tier %q: %s", s.Tier, problem))
	}
	if !(s.TierOrder > lowestTierOrder && s.TierOrder < highestTierOrder) { // so that NaN is refused
		problems = append(problems, fmt.Errorf("--tier-order %v: choose one between %d and %d, behind Calico's own tier and before ClusterNetworkPolicy's",
			s.TierOrder, lowestTierOrder, highestTierOrder))
	}
	for _, ns := range s.ExcludedNamespaces {
		for _, problem := range validation.IsDNS1123Label(ns) {
			problems = append(problems, fmt.Errorf("--excluded-namespaces %q: %s", ns, problem))
		}
	}
	if _, err := identity.Parse(s.notExcluded(), ""); err != nil && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("--excluded-namespaces: %w; label namespaces with %s instead", err, mcnv1alpha1.ExcludeLabel))
	}
	return errors.Join(problems...)
}

// notExcluded returns the namespace selector that leaves excluded namespaces out: those of the flag and those that carry the label.
func (s Settings) notExcluded() string {
	text := "!has(" + mcnv1alpha1.ExcludeLabel + ")"
	if len(s.ExcludedNamespaces) > 0 {
		text += ` && ` + identity.LabelNamespaceName + ` not in {"` + strings.Join(s.ExcludedNamespaces, `", "`) + `"}`
	}
	return text
}
