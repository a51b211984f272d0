package fleet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const (
	// maxKubeconfigSize is more than any kubeconfig with inline certificates needs.
	maxKubeconfigSize = 1 << 20
	// requestTimeout bounds every request but watches.
	requestTimeout = 30 * time.Second
	// userAgent names the operator in the members' audit logs.
	userAgent = "multicloud-network-operator"
)

// VetCode is the stable name of one cause for which a kubeconfig is not used.
type VetCode string

// Codes of Vet. The first group means that the kubeconfig cannot be read, the second that it asks for something that is not allowed.
const (
	VetTooBig          VetCode = "TooBig"
	VetNotYAML         VetCode = "NotYAML"
	VetManyDocuments   VetCode = "ManyDocuments"
	VetWrongType       VetCode = "WrongType"
	VetMissing         VetCode = "Missing"
	VetDuplicate       VetCode = "Duplicate"
	VetBadCertificate  VetCode = "BadCertificate"
	VetBadServer       VetCode = "BadServer"
	VetBadToken        VetCode = "BadToken"
	VetDanglingContext VetCode = "DanglingContext"

	VetExec          VetCode = "Exec"
	VetAuthProvider  VetCode = "AuthProvider"
	VetFilePath      VetCode = "FilePath"
	VetInsecure      VetCode = "Insecure"
	VetProxy         VetCode = "Proxy"
	VetImpersonation VetCode = "Impersonation"
	VetPassword      VetCode = "Password"
	VetNotHTTPS      VetCode = "NotHTTPS"
	VetLinkLocal     VetCode = "LinkLocal"
	VetUnknownField  VetCode = "UnknownField"
	VetAlias         VetCode = "Alias"
)

// VetError says why a kubeconfig is not used. It names a field of the kubeconfig format, never anything that stands in the kubeconfig.
type VetError struct {
	// Reason is KubeconfigInvalid or KubeconfigRefused.
	Reason mcnv1alpha1.Reason
	// Code names the cause.
	Code VetCode
	// Field is where in the kubeconfig.
	Field string
	// Advice says what to write instead.
	Advice string
}

// Error implements error.
func (e *VetError) Error() string {
	verb := "is invalid"
	if e.Reason == mcnv1alpha1.ReasonKubeconfigRefused {
		verb = "is refused"
	}
	return fmt.Sprintf("kubeconfig %s (%s) at %s: %s", verb, e.Code, e.Field, e.Advice)
}

// remedy says what spares one to write a kubeconfig by hand.
func (e *VetError) remedy() string {
	switch e.Code {
	case VetNotHTTPS, VetLinkLocal, VetBadServer, VetProxy:
		return "; or have \"kubectl mcn register\" write it, with --server-for-hub https://HOST:PORT"
	default:
		return "; or have \"kubectl mcn register\" write it: it takes your own kubeconfig, and gives the operator a token of an account that it makes there"
	}
}

func invalid(code VetCode, field, advice string) *VetError {
	return &VetError{Reason: mcnv1alpha1.ReasonKubeconfigInvalid, Code: code, Field: field, Advice: advice}
}

func refused(code VetCode, field, advice string) *VetError {
	return &VetError{Reason: mcnv1alpha1.ReasonKubeconfigRefused, Code: code, Field: field, Advice: advice}
}

// Vet turns a kubeconfig into a client configuration that can run no program, read no file and skip no verification. It reads the kubeconfig
// itself, field by field: whatever is not on its list is refused, in every context and not only in the current one. The error is a *VetError.
func Vet(kubeconfig []byte) (*rest.Config, error) {
	root, err := parseKubeconfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	doc, vetErr := readDocument(root)
	if vetErr != nil {
		return nil, vetErr
	}
	cluster, user, vetErr := doc.current()
	if vetErr != nil {
		return nil, vetErr
	}
	cfg := &rest.Config{
		Host:        cluster.server,
		BearerToken: user.token,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:     cluster.ca,
			CertData:   user.cert,
			KeyData:    user.key,
			ServerName: cluster.serverName,
		},
	}
	return harden(cfg), nil
}

// harden sets what every connection to a member has, whatever its credential.
func harden(cfg *rest.Config) *rest.Config {
	cfg.UserAgent = userAgent
	cfg.Timeout = requestTimeout
	// The member worker has its own limits; the client's would delay reads behind writes.
	cfg.QPS = -1
	return cfg
}

// parseKubeconfig returns the one document's mapping.
func parseKubeconfig(kubeconfig []byte) (*yaml.Node, error) {
	const field = "the document"
	if len(kubeconfig) > maxKubeconfigSize {
		return nil, invalid(VetTooBig, field, "write at most 1 MiB")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(kubeconfig))
	var root, more yaml.Node
	// The decoder's errors quote the input, so they are not passed on.
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return nil, invalid(VetMissing, field, "it is empty; write a kubeconfig")
	} else if err != nil {
		return nil, invalid(VetNotYAML, field, "it is neither YAML nor JSON")
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, invalid(VetManyDocuments, field, "write exactly one YAML document")
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, invalid(VetNotYAML, field, "it is neither YAML nor JSON")
	}
	return root.Content[0], nil
}

type vettedCluster struct {
	server     string
	serverName string
	ca         []byte
}

type vettedUser struct {
	token     string
	cert, key []byte
}

type vettedContext struct{ cluster, user string }

type vettedDocument struct {
	currentContext string
	clusters       map[string]vettedCluster
	users          map[string]vettedUser
	contexts       map[string]vettedContext
}

// current returns the cluster and user that the current context names.
func (d *vettedDocument) current() (vettedCluster, vettedUser, *VetError) {
	var none vettedUser
	if d.currentContext == "" {
		return vettedCluster{}, none, invalid(VetMissing, "current-context", "name one context")
	}
	context, ok := d.contexts[d.currentContext]
	if !ok {
		return vettedCluster{}, none, invalid(VetDanglingContext, "current-context", "name a context that contexts has")
	}
	cluster, ok := d.clusters[context.cluster]
	if !ok {
		return vettedCluster{}, none, invalid(VetDanglingContext, "contexts[].context.cluster", "name a cluster that clusters has")
	}
	user, ok := d.users[context.user]
	if !ok {
		return vettedCluster{}, none, invalid(VetDanglingContext, "contexts[].context.user", "name a user that users has")
	}
	return cluster, user, nil
}

func readDocument(root *yaml.Node) (*vettedDocument, *VetError) {
	fields, err := readMapping(root, "", documentFields)
	if err != nil {
		return nil, err
	}
	doc := &vettedDocument{}
	if doc.currentContext, err = text(fields["current-context"], "current-context"); err != nil {
		return nil, err
	}
	if doc.clusters, err = readNamed(fields["clusters"], "clusters", "cluster", readCluster); err != nil {
		return nil, err
	}
	if doc.users, err = readNamed(fields["users"], "users", "user", readUser); err != nil {
		return nil, err
	}
	if doc.contexts, err = readNamed(fields["contexts"], "contexts", "context", readContext); err != nil {
		return nil, err
	}
	return doc, nil
}

// readNamed reads a list of {name: ..., <key>: {...}}.
func readNamed[T any](list *yaml.Node, field, key string, read func(*yaml.Node, string) (T, *VetError)) (map[string]T, *VetError) {
	out := map[string]T{}
	if list == nil || isNull(list) {
		return out, nil
	}
	if list.Kind != yaml.SequenceNode {
		return nil, invalid(VetWrongType, field, "write a list")
	}
	for _, item := range list.Content {
		fields, err := readMapping(item, field+"[]", map[string]rule{"name": {}, key: {}})
		if err != nil {
			return nil, err
		}
		name, err := text(fields["name"], field+"[].name")
		if err != nil {
			return nil, err
		}
		if _, twice := out[name]; twice {
			return nil, invalid(VetDuplicate, field+"[].name", "give each entry its own name")
		}
		value := fields[key]
		if value == nil {
			return nil, invalid(VetMissing, field+"[]."+key, "it is missing")
		}
		if out[name], err = read(value, field+"[]."+key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readCluster(node *yaml.Node, field string) (vettedCluster, *VetError) {
	var c vettedCluster
	fields, err := readMapping(node, field, clusterFields)
	if err != nil {
		return c, err
	}
	if c.server, err = text(fields["server"], field+".server"); err != nil {
		return c, err
	}
	if err = vetServer(c.server, field+".server"); err != nil {
		return c, err
	}
	if c.serverName, err = text(fields["tls-server-name"], field+".tls-server-name"); err != nil {
		return c, err
	}
	if c.serverName != "" && len(validation.IsDNS1123Subdomain(c.serverName)) > 0 {
		if _, parseErr := netip.ParseAddr(c.serverName); parseErr != nil {
			return c, invalid(VetBadServer, field+".tls-server-name", "write a DNS name or an address")
		}
	}
	caField := field + ".certificate-authority-data"
	if c.ca, err = data(fields["certificate-authority-data"], caField); err != nil {
		return c, err
	}
	if len(c.ca) == 0 {
		return c, refused(VetMissing, caField, "write the CA certificate inline, in base64")
	}
	if !x509.NewCertPool().AppendCertsFromPEM(c.ca) {
		return c, invalid(VetBadCertificate, caField, "write a PEM certificate, in base64")
	}
	return c, nil
}

func readUser(node *yaml.Node, field string) (vettedUser, *VetError) {
	var u vettedUser
	fields, err := readMapping(node, field, userFields)
	if err != nil {
		return u, err
	}
	if u.token, err = text(fields["token"], field+".token"); err != nil {
		return u, err
	}
	// A token goes into an HTTP header: only what RFC 6750 allows there.
	if strings.ContainsFunc(u.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return u, invalid(VetBadToken, field+".token", "a token has no spaces, line breaks or other than ASCII characters")
	}
	if u.cert, err = data(fields["client-certificate-data"], field+".client-certificate-data"); err != nil {
		return u, err
	}
	if u.key, err = data(fields["client-key-data"], field+".client-key-data"); err != nil {
		return u, err
	}
	switch hasCert, hasKey := len(u.cert) > 0, len(u.key) > 0; {
	case hasCert != hasKey:
		return u, invalid(VetMissing, field, "write client-certificate-data and client-key-data together")
	case hasCert:
		if _, pairErr := tls.X509KeyPair(u.cert, u.key); pairErr != nil {
			return u, invalid(VetBadCertificate, field+".client-certificate-data", "write a PEM certificate and its PEM key, each in base64")
		}
	case u.token == "":
		return u, refused(VetMissing, field, "write an inline token, or client-certificate-data and client-key-data")
	}
	return u, nil
}

func readContext(node *yaml.Node, field string) (vettedContext, *VetError) {
	var c vettedContext
	fields, err := readMapping(node, field, contextFields)
	if err != nil {
		return c, err
	}
	if c.cluster, err = text(fields["cluster"], field+".cluster"); err != nil {
		return c, err
	}
	c.user, err = text(fields["user"], field+".user")
	return c, err
}

// vetServer takes https://host[:port][/path] only, and no link-local address: those serve cloud metadata.
func vetServer(server, field string) *VetError {
	if server == "" {
		return invalid(VetMissing, field, "write https://host:port")
	}
	u, err := url.Parse(server)
	if err != nil {
		return invalid(VetBadServer, field, "write https://host:port")
	}
	if u.Scheme != "https" {
		return refused(VetNotHTTPS, field, "write https://host:port")
	}
	if u.Host == "" || u.Hostname() == "" || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return invalid(VetBadServer, field, "write https://host:port, without query or fragment")
	}
	if u.User != nil {
		return refused(VetPassword, field, "write the server without user information; put a token under users[].user.token")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return invalid(VetBadServer, field, "write a port from 1 to 65535")
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		addr = addr.Unmap()
		if addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
			return refused(VetLinkLocal, field, "write the API server's own address; link-local, multicast and unspecified ones are refused")
		}
	}
	return nil
}

func text(node *yaml.Node, field string) (string, *VetError) {
	if node == nil || isNull(node) {
		return "", nil
	}
	if node.Kind != yaml.ScalarNode {
		return "", invalid(VetWrongType, field, "write a string")
	}
	return node.Value, nil
}

func data(node *yaml.Node, field string) ([]byte, *VetError) {
	encoded, err := text(node, field)
	if err != nil {
		return nil, err
	}
	decoded, decodeErr := base64.StdEncoding.DecodeString(encoded)
	if decodeErr != nil {
		return nil, invalid(VetWrongType, field, "write base64")
	}
	return decoded, nil
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null"
}
