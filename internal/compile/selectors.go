package compile

import (
	"strings"

	"multicloud.network/operator/internal/identity"
)

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
