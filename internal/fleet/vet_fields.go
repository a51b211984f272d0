package fleet

import (
	"go.yaml.in/yaml/v3"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// rule says what is done with a field of a kubeconfig: the zero rule reads it.
type rule struct {
	// refuse is the code with which the field is refused where it is set.
	refuse VetCode
	// ignore takes the field without looking at it: it has no effect on a connection.
	ignore bool
}

var (
	documentFields = map[string]rule{
		"apiVersion": {ignore: true}, "kind": {ignore: true}, "preferences": {ignore: true}, "extensions": {ignore: true},
		"current-context": {}, "clusters": {}, "users": {}, "contexts": {},
	}
	clusterFields = map[string]rule{
		"server": {}, "tls-server-name": {}, "certificate-authority-data": {},
		"extensions": {ignore: true}, "disable-compression": {ignore: true},
		"certificate-authority": {refuse: VetFilePath}, "insecure-skip-tls-verify": {refuse: VetInsecure}, "proxy-url": {refuse: VetProxy},
	}
	userFields = map[string]rule{
		"token": {}, "client-certificate-data": {}, "client-key-data": {},
		"extensions":         {ignore: true},
		"client-certificate": {refuse: VetFilePath}, "client-key": {refuse: VetFilePath}, "tokenFile": {refuse: VetFilePath},
		"exec": {refuse: VetExec}, "auth-provider": {refuse: VetAuthProvider},
		"as": {refuse: VetImpersonation}, "as-uid": {refuse: VetImpersonation},
		"as-groups": {refuse: VetImpersonation}, "as-user-extra": {refuse: VetImpersonation},
		"username": {refuse: VetPassword}, "password": {refuse: VetPassword},
	}
	contextFields = map[string]rule{
		"cluster": {}, "user": {}, "namespace": {ignore: true}, "extensions": {ignore: true},
	}
)

var refusalAdvice = map[VetCode]string{
	VetFilePath:      "files are not read; write the content inline, in the field that ends in -data, or in token",
	VetInsecure:      "the server is always verified; write certificate-authority-data",
	VetProxy:         "proxies are not used; let the operator reach the server directly",
	VetExec:          "programs are not run; write a token or a client certificate inline",
	VetAuthProvider:  "authentication plugins are not run; write a token or a client certificate inline",
	VetImpersonation: "impersonation is not used; write the credential of the account itself",
	VetPassword:      "passwords are not sent; write a token or a client certificate inline",
}

// readMapping returns the fields of a mapping that are to be read. It refuses what rules refuses and what it does not name.
func readMapping(node *yaml.Node, field string, rules map[string]rule) (map[string]*yaml.Node, *VetError) {
	where := field
	if where == "" {
		where = "the document"
	}
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		return nil, refused(VetAlias, where, "write the content out; YAML anchors and aliases are refused")
	}
	if node.Kind != yaml.MappingNode {
		return nil, invalid(VetWrongType, where, "write a mapping")
	}
	out := map[string]*yaml.Node{}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		// A key that is not known is not named: it may be a part of a credential in a damaged file.
		rule, known := rules[key.Value]
		if key.Kind != yaml.ScalarNode || !known {
			return nil, refused(VetUnknownField, where, "it has a field that is not known; remove it")
		}
		at := key.Value
		if field != "" {
			at = field + "." + key.Value
		}
		if seen[key.Value] {
			return nil, invalid(VetDuplicate, at, "write the field once")
		}
		seen[key.Value] = true
		if value.Kind == yaml.AliasNode || value.Anchor != "" {
			return nil, refused(VetAlias, at, "write the content out; YAML anchors and aliases are refused")
		}
		switch {
		case rule.ignore:
		case rule.refuse == "":
			out[key.Value] = value
		case isSet(value):
			return nil, &VetError{Reason: mcnv1alpha1.ReasonKubeconfigRefused, Code: rule.refuse, Field: at, Advice: refusalAdvice[rule.refuse]}
		}
	}
	return out, nil
}

// isSet says whether a field has another value than the zero value of its type, which is what is often written out without meaning anything.
func isSet(node *yaml.Node) bool {
	switch node.Kind {
	case yaml.ScalarNode:
		return !isNull(node) && node.Value != "" && (node.Tag != "!!bool" || node.Value != "false")
	case yaml.MappingNode, yaml.SequenceNode:
		return len(node.Content) > 0
	default:
		return true
	}
}
