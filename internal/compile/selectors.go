package compile

import (
	"strings"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/identity"
)

// notExcluded returns the namespace selector that leaves excluded namespaces out: those of the flag and those that carry the label.
func (s Settings) notExcluded() string {
	text := "!has(" + mcnv1alpha1.ExcludeLabel + ")"
	if len(s.ExcludedNamespaces) > 0 {
		text += ` && ` + identity.LabelNamespaceName + ` not in {"` + strings.Join(s.ExcludedNamespaces, `", "`) + `"}`
	}
	return text
}

// conjunction joins two selectors; an empty one means no restriction.
func conjunction(a, b string) string {
	switch {
	case strings.TrimSpace(a) == "":
		return b
	case strings.TrimSpace(b) == "":
		return a
	}
	return "(" + a + ") && (" + b + ")"
}

// named returns the namespace selector for one namespace.
func named(namespace string) string {
	return identity.LabelNamespaceName + ` == "` + namespace + `"`
}
