package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates are those of one cluster. No two clusters share any.
type certificates struct {
	ca     *keyPair // signs servers and clients
	admin  *keyPair // group system:masters
	calico *keyPair // the client certificate of calico-apiserver
}

// keyPair is a certificate with its key.
type keyPair struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// Names and addresses under which the servers are reached.
const (
	calicoNamespace = "calico-system"
	calicoService   = "calico-api"
)

// writeCertificates makes the cluster's certificates and writes those that the servers read, as <name>.crt and <name>.key.
func writeCertificates(dir string) (*certificates, error) {
	ca, err := newAuthority("ca")
	if err != nil {
		return nil, err
	}
	// The front proxy has its own authority: a client certificate must never pass for the aggregator's.
	proxyCA, err := newAuthority("front-proxy-ca")
	if err != nil {
		return nil, err
	}
	local := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(apiServiceIP)}
	made := map[string]*keyPair{"ca": ca, "front-proxy-ca": proxyCA}
	for _, leaf := range []struct {
		file, user, group string
		authority         *keyPair
		names             []string
	}{
		{file: "admin", user: "admin", group: "system:masters", authority: ca},
		{file: "calico-client", user: "calico-apiserver", group: "system:masters", authority: ca},
		{file: "front-proxy", user: "front-proxy-client", authority: proxyCA},
		{file: "apiserver", user: "kube-apiserver", authority: ca,
			names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}},
		{file: "calico", user: "calico-apiserver", authority: ca, names: []string{"localhost", calicoService + "." + calicoNamespace + ".svc"}},
	} {
		if made[leaf.file], err = leaf.authority.sign(leaf.user, leaf.group, leaf.names, local); err != nil {
			return nil, err
		}
	}
	if made["service-account"], err = newAuthority("service-account"); err != nil { // only its key is used
		return nil, err
	}
	for name, pair := range made {
		if err := pair.write(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("writing certificate %s: %w", name, err)
		}
	}
	return &certificates{ca: ca, admin: made["admin"], calico: made["calico-client"]}, nil
}

// newAuthority makes a certificate authority.
func newAuthority(name string) (*keyPair, error) {
	template := template(name, "")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return newKeyPair(template, nil)
}

// sign makes a certificate for a server (names not empty) or a client.
func (authority *keyPair) sign(user, group string, names []string, addresses []net.IP) (*keyPair, error) {
	template := template(user, group)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(names) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames, template.IPAddresses = names, addresses
	}
	return newKeyPair(template, authority)
}

// template is what all certificates share: they are valid from an hour ago, for clocks that jump, and for a year.
func template(user, group string) *x509.Certificate {
	subject := pkix.Name{CommonName: user}
	if group != "" {
		subject.Organization = []string{group}
	}
	return &x509.Certificate{Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
}

func newKeyPair(template *x509.Certificate, authority *keyPair) (*keyPair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	template.SerialNumber = serial
	pair := &keyPair{}
	if pair.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	if authority == nil {
		authority = &keyPair{cert: template, key: pair.key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.cert, &pair.key.PublicKey, authority.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", template.Subject, err)
	}
	if pair.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("reading back the certificate of %s: %w", template.Subject, err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key of %s: %w", template.Subject, err)
	}
	pair.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pair.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return pair, nil
}

// write writes the pair as path.crt and path.key.
func (pair *keyPair) write(path string) error {
	if err := os.WriteFile(path+".crt", pair.certPEM, 0o644); err != nil {
		return err
	}
	return os.WriteFile(path+".key", pair.keyPEM, 0o600)
}
