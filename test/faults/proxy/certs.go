package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Certificate says what certificate a proxy shows.
type Certificate struct {
	// NewAuthority makes a new certificate authority; clients that trust the former one do not trust this one.
	NewAuthority bool
	// From and Until say when the certificate is valid, from now on; both zero mean an hour ago and a year from now.
	From, Until time.Duration
	// Name is the DNS name on it; default: the address 127.0.0.1.
	Name string
}

// authority signs a proxy's certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// newSerial returns a random serial number.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "proxy " + name + " " + serial.Text(36)},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate: certificate, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// sign makes a server certificate.
func (a *authority) sign(want Certificate) (*tls.Certificate, error) {
	if want.From == 0 && want.Until == 0 {
		want.From, want.Until = -time.Hour, 365*24*time.Hour
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "proxy"},
		NotBefore: time.Now().Add(want.From), NotAfter: time.Now().Add(want.Until),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if want.Name == "" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	} else {
		template.DNSNames = []string{want.Name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Certify gives the proxy another certificate, for connections to come: Sever ends those that are there.
func (p *Proxy) Certify(want Certificate) error {
	p.mu.Lock()
	ca := p.ca
	p.mu.Unlock()
	if want.NewAuthority {
		made, err := newAuthority(p.opts.Name)
		if err != nil {
			return fmt.Errorf("proxy %s: making an authority: %w", p.opts.Name, err)
		}
		ca = made
	}
	certificate, err := ca.sign(want)
	if err != nil {
		return fmt.Errorf("proxy %s: making a certificate: %w", p.opts.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ca, p.certificate = ca, certificate
	p.noteLocked(nil, fmt.Sprintf("certificate %+v", want), "")
	return nil
}

// CA is the certificate of the proxy's authority, in PEM.
func (p *Proxy) CA() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.ca.pem)
}

// Kubeconfig leads to the proxy, with a bearer token.
func (p *Proxy) Kubeconfig(token string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: member
clusters: [{name: member, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: hub, user: {token: %q}}]
contexts: [{name: member, context: {cluster: member, user: hub}}]
`, p.URL(), base64.StdEncoding.EncodeToString(p.CA()), token)
}
