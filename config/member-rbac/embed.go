// Package memberrbac holds the manifests of this folder, so that what the plugin applies on a member is what "kubectl apply -k" applies there.
package memberrbac

import (
	_ "embed"
	"strings"
)

var (
	//go:embed service_account.yaml
	serviceAccount string
	//go:embed role.yaml
	role string
	//go:embed role_binding.yaml
	roleBinding string
)

// Manifests returns the documents of this folder, in the order in which they are to be applied.
func Manifests() string { return strings.Join([]string{serviceAccount, role, roleBinding}, "---\n") }
