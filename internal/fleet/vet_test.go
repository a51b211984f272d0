package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// canary stands in every field that a case plants; no error may hold it.
const canary = "c4n4ry"

var testCert, testKey = selfSigned()

func selfSigned() (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		panic(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		panic(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER)
}

// kubeconfigText is a valid kubeconfig.
func kubeconfigText() string {
	return `apiVersion: v1
kind: Config
current-context: main
clusters:
- name: one
  cluster:
    server: https://api.example.com:6443
    certificate-authority-data: ` + testCert + `
users:
- name: reader
  user:
    token: ` + canary + `
contexts:
- name: main
  context: {cluster: one, user: reader}
`
}

func replaced(old, new string) string {
	text := kubeconfigText()
	if !strings.Contains(text, old) {
		panic("nothing to replace: " + old)
	}
	return strings.Replace(text, old, new, 1)
}

func withCluster(line string) string {
	return replaced("    server: https", "    "+line+"\n    server: https")
}

func withUser(line string) string {
	return replaced("    token: ", "    "+line+"\n    token: ")
}

func TestVetAccepts(t *testing.T) {
	certUser := "client-certificate-data: " + testCert + "\n    client-key-data: " + testKey
	for name, text := range map[string]string{
		"token":                      kubeconfigText(),
		"client certificate":         replaced("token: "+canary, certUser),
		"insecure false":             withCluster("insecure-skip-tls-verify: false"),
		"empty proxy":                withCluster(`proxy-url: ""`),
		"null exec":                  withUser("exec: null"),
		"server name":                withCluster("tls-server-name: api.internal"),
		"extensions and preferences": kubeconfigText() + "preferences: {}\nextensions: [{name: x, extension: {a: b}}]\n",
		"path in the server":         replaced("api.example.com:6443", "rancher.example.com/k8s/clusters/c-1"),
		"namespace in the context":   replaced("user: reader}", "user: reader, namespace: x}"),
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Vet([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if cfg.ExecProvider != nil || cfg.AuthProvider != nil || cfg.Insecure || cfg.Proxy != nil || cfg.BearerTokenFile != "" ||
				cfg.CAFile != "" || cfg.CertFile != "" || cfg.KeyFile != "" || cfg.Username != "" || cfg.Impersonate.UserName != "" {
				t.Errorf("the configuration does what it must not")
			}
			if cfg.Timeout == 0 || cfg.QPS != -1 || cfg.UserAgent == "" || len(cfg.CAData) == 0 {
				t.Errorf("the configuration lacks timeout, user agent or CA")
			}
		})
	}
}

func TestVetRefuses(t *testing.T) {
	const invalidReason, refusedReason = mcnv1alpha1.ReasonKubeconfigInvalid, mcnv1alpha1.ReasonKubeconfigRefused
	for name, tc := range map[string]struct {
		text   string
		reason mcnv1alpha1.Reason
		code   VetCode
		field  string
	}{
		"empty":                   {"", invalidReason, VetMissing, "the document"},
		"too big":                 {kubeconfigText() + strings.Repeat("# "+canary+"\n", 1<<18), invalidReason, VetTooBig, "the document"},
		"not YAML":                {"{" + canary, invalidReason, VetNotYAML, "the document"},
		"a string":                {canary, invalidReason, VetWrongType, "the document"},
		"many documents":          {kubeconfigText() + "---\n" + kubeconfigText(), invalidReason, VetManyDocuments, "the document"},
		"no current context":      {replaced("current-context: main\n", ""), invalidReason, VetMissing, "current-context"},
		"current context unknown": {replaced("current-context: main", "current-context: "+canary), invalidReason, VetDanglingContext, "current-context"},
		"cluster unknown":         {replaced("cluster: one,", "cluster: "+canary+","), invalidReason, VetDanglingContext, "contexts[].context.cluster"},
		"user unknown":            {replaced("user: reader}", "user: "+canary+"}"), invalidReason, VetDanglingContext, "contexts[].context.user"},
		"unknown field":           {withUser(canary + ": x"), refusedReason, VetUnknownField, "users[].user"},
		"unknown top-level field": {kubeconfigText() + canary + ": 1\n", refusedReason, VetUnknownField, "the document"},
		"field twice":             {withUser("token: " + canary), invalidReason, VetDuplicate, "users[].user.token"},
		"cluster twice": {replaced("users:", "- name: one\n  cluster: {server: https://"+canary+", certificate-authority-data: "+testCert+"}\nusers:"),
			invalidReason, VetDuplicate, "clusters[].name"},
		"exec":                       {withUser("exec: {command: " + canary + ", apiVersion: v1}"), refusedReason, VetExec, "users[].user.exec"},
		"auth provider":              {withUser("auth-provider: {name: " + canary + "}"), refusedReason, VetAuthProvider, "users[].user.auth-provider"},
		"token file":                 {withUser("tokenFile: /" + canary), refusedReason, VetFilePath, "users[].user.tokenFile"},
		"client certificate file":    {withUser("client-certificate: /" + canary), refusedReason, VetFilePath, "users[].user.client-certificate"},
		"client key file":            {withUser("client-key: /" + canary), refusedReason, VetFilePath, "users[].user.client-key"},
		"CA file":                    {withCluster("certificate-authority: /" + canary), refusedReason, VetFilePath, "clusters[].cluster.certificate-authority"},
		"insecure":                   {withCluster("insecure-skip-tls-verify: true"), refusedReason, VetInsecure, "clusters[].cluster.insecure-skip-tls-verify"},
		"insecure as a string":       {withCluster(`insecure-skip-tls-verify: "false"`), refusedReason, VetInsecure, "clusters[].cluster.insecure-skip-tls-verify"},
		"proxy":                      {withCluster("proxy-url: http://" + canary), refusedReason, VetProxy, "clusters[].cluster.proxy-url"},
		"impersonation":              {withUser("as: " + canary), refusedReason, VetImpersonation, "users[].user.as"},
		"impersonated groups":        {withUser("as-groups: [" + canary + "]"), refusedReason, VetImpersonation, "users[].user.as-groups"},
		"username":                   {withUser("username: " + canary), refusedReason, VetPassword, "users[].user.username"},
		"password":                   {withUser("password: " + canary), refusedReason, VetPassword, "users[].user.password"},
		"http":                       {replaced("https://api", "http://"+canary), refusedReason, VetNotHTTPS, "clusters[].cluster.server"},
		"no scheme":                  {replaced("https://api.example.com:6443", canary), refusedReason, VetNotHTTPS, "clusters[].cluster.server"},
		"credentials in the server":  {replaced("https://", "https://me:"+canary+"@"), refusedReason, VetPassword, "clusters[].cluster.server"},
		"metadata address":           {replaced("api.example.com:6443", "169.254.169.254"), refusedReason, VetLinkLocal, "clusters[].cluster.server"},
		"mapped metadata address":    {replaced("https://api.example.com:6443", `"https://[::ffff:169.254.169.254]"`), refusedReason, VetLinkLocal, "clusters[].cluster.server"},
		"query in the server":        {replaced(":6443", ":6443?"+canary), invalidReason, VetBadServer, "clusters[].cluster.server"},
		"server missing":             {replaced("    server: https://api.example.com:6443\n", ""), invalidReason, VetMissing, "clusters[].cluster.server"},
		"no CA":                      {replaced("certificate-authority-data: "+testCert, ""), refusedReason, VetMissing, "clusters[].cluster.certificate-authority-data"},
		"CA not base64":              {replaced(testCert, canary+"!"), invalidReason, VetWrongType, "clusters[].cluster.certificate-authority-data"},
		"CA not PEM":                 {replaced(testCert, "YzRuNHJ5"), invalidReason, VetBadCertificate, "clusters[].cluster.certificate-authority-data"},
		"no credential":              {replaced("user:\n    token: "+canary, "user: {}"), refusedReason, VetMissing, "users[].user"},
		"certificate without key":    {withUser("client-certificate-data: " + testCert), invalidReason, VetMissing, "users[].user"},
		"key of another certificate": {withUser("client-certificate-data: " + testCert + "\n    client-key-data: " + testCert), invalidReason, VetBadCertificate, "users[].user.client-certificate-data"},
		"line break in the token":    {replaced("token: "+canary, `token: "`+canary+`\nHost: x"`), invalidReason, VetBadToken, "users[].user.token"},
		"alias":                      {replaced("token: "+canary, "token: &a "+canary), refusedReason, VetAlias, "users[].user.token"},
		"exec in another context": {replaced("contexts:", "- name: other\n  user: {exec: {command: "+canary+"}}\ncontexts:"),
			refusedReason, VetExec, "users[].user.exec"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Vet([]byte(tc.text))
			var vetErr *VetError
			if !errors.As(err, &vetErr) {
				t.Fatalf("got %v, want a VetError", err)
			}
			if vetErr.Reason != tc.reason || vetErr.Code != tc.code || vetErr.Field != tc.field {
				t.Errorf("got %s %s at %s, want %s %s at %s", vetErr.Reason, vetErr.Code, vetErr.Field, tc.reason, tc.code, tc.field)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error echoes content: %v", err)
			}
		})
	}
}

func FuzzVet(f *testing.F) {
	f.Add(kubeconfigText())
	f.Add(withUser("exec: {command: x}"))
	f.Add("{}")
	f.Add("--- a\n--- b")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Vet([]byte(text))
		if err != nil {
			var vetErr *VetError
			if !errors.As(err, &vetErr) || vetErr.Field == "" || vetErr.Advice == "" || vetErr.Code == "" {
				t.Fatalf("not a complete VetError: %#v", err)
			}
			return
		}
		if !strings.HasPrefix(cfg.Host, "https://") && !strings.HasPrefix(strings.ToLower(cfg.Host), "https://") {
			t.Fatalf("accepted a server that is not https")
		}
		if cfg.ExecProvider != nil || cfg.AuthProvider != nil || cfg.Insecure || cfg.Proxy != nil || len(cfg.CAData) == 0 ||
			(cfg.BearerToken == "" && len(cfg.CertData) == 0) {
			t.Fatalf("accepted what is to be refused")
		}
	})
}

// TestRefusalNamesTheRemedy: whoever reads the condition is told of the command that writes what is taken, with the flag that it needs.
func TestRefusalNamesTheRemedy(t *testing.T) {
	for text, want := range map[string]string{
		withUser("exec: {command: x, apiVersion: v1}"):        `have "kubectl mcn register" write it: it takes your own kubeconfig`,
		replaced("https://api", "http://api"):                 `have "kubectl mcn register" write it, with --server-for-hub https://HOST:PORT`,
		withCluster("proxy-url: http://proxy.example.com"):    "--server-for-hub",
		replaced("api.example.com:6443", "169.254.169.254"):   "--server-for-hub",
		replaced("certificate-authority-data: "+testCert, ""): `have "kubectl mcn register" write it: it takes your own kubeconfig`,
	} {
		_, err := Vet([]byte(text))
		if message := asFault(err).message; !strings.HasPrefix(message, err.Error()) || !strings.Contains(message, want) {
			t.Errorf("the condition says %q, want %q in it", message, want)
		}
	}
}
