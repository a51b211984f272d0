package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// maxHeaderBytes bounds the header of a member's response.
const maxHeaderBytes = 1 << 20

// credential is what a member's requests are authenticated with: a token, a client certificate with its key, or both.
type credential struct {
	token     string
	cert, key []byte
}

func credentialOf(cfg *rest.Config) credential {
	return credential{token: cfg.BearerToken, cert: cfg.CertData, key: cfg.KeyData}
}

func (c credential) equal(other credential) bool {
	return c.token == other.token && c.sameCertificate(other)
}

func (c credential) sameCertificate(other credential) bool {
	return bytes.Equal(c.cert, other.cert) && bytes.Equal(c.key, other.key)
}

// sameServer says whether two configurations differ in nothing but their credential.
func sameServer(a, b *rest.Config) bool {
	return a.Host == b.Host && a.ServerName == b.ServerName && bytes.Equal(a.CAData, b.CAData)
}

// wire is a pool of connections together with the credential of the requests that go through it.
type wire struct {
	pool       *http.Transport
	credential credential
}

// transport carries the requests to one API server, and lets their credential be exchanged under way: what is open stays open, and what comes after goes with the
// new one.
//
// With a token nothing more needs to happen, since it stands in each request. A client certificate belongs to a TLS connection, and HTTP/2 would put all later
// requests on the one that is there: a new certificate gets a new pool, and so new connections. Watches that are open then go on over their old
// connection, as the account that opened them, until the server ends them (5 to 10 minutes, as with a token that it has ceased to accept); the watch that
// follows is one over the new connection. An old connection without watches is closed at once, others when they have been idle for 90 s or the session ends.
type transport struct {
	cfg     *rest.Config
	current atomic.Pointer[wire]

	mu sync.Mutex
	// pools are all that were ever current.
	pools []*http.Transport
}

func newTransport(cfg *rest.Config) (*transport, error) {
	t := &transport{cfg: cfg}
	w, err := t.wire(credentialOf(cfg))
	if err != nil {
		return nil, err
	}
	t.adopt(w)
	return t, nil
}

// wire makes what carries requests with a credential. It is not current before it is adopted.
func (t *transport) wire(c credential) (*wire, error) {
	if now := t.current.Load(); now != nil && now.credential.sameCertificate(c) {
		return &wire{pool: now.pool, credential: c}, nil
	}
	pool, err := newPool(t.cfg, c)
	if err != nil {
		return nil, err
	}
	return &wire{pool: pool, credential: c}, nil
}

// newPool makes a pool of connections to the server of cfg. No proxy is used: the guard of the dialer could not see past it.
func newPool(cfg *rest.Config, c credential) (*http.Transport, error) {
	unusable := &fault{reason: mcnv1alpha1.ReasonKubeconfigInvalid, message: "no client can be made from the kubeconfig; correct its server and certificates"}
	server, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, unusable
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.CAData) {
		return nil, unusable
	}
	secured := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: cfg.ServerName}
	if len(c.cert) > 0 {
		pair, err := tls.X509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, unusable
		}
		secured.Certificates = []tls.Certificate{pair}
	}
	return utilnet.SetTransportDefaults(&http.Transport{
		Proxy:                  func(*http.Request) (*url.URL, error) { return nil, nil },
		DialContext:            guardedDial(server.Hostname()),
		TLSClientConfig:        secured,
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}), nil
}

// adopt makes a wire the current one.
func (t *transport) adopt(w *wire) {
	before := t.current.Swap(w)
	t.mu.Lock()
	if !slices.Contains(t.pools, w.pool) {
		t.pools = append(t.pools, w.pool)
	}
	t.mu.Unlock()
	if before != nil && before.pool != w.pool {
		before.pool.CloseIdleConnections()
	}
}

// drop lets go of a wire that was not adopted.
func (t *transport) drop(w *wire) {
	if w.pool != t.current.Load().pool {
		w.pool.CloseIdleConnections()
	}
}

// credential is that of the next request.
func (t *transport) credential() credential { return t.current.Load().credential }

// CloseIdleConnections lets go of all connections that nothing is open on. http.Client looks for it by this name.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, pool := range t.pools {
		pool.CloseIdleConnections()
	}
}

// wireKey is the key of a context's value.
type wireKey struct{}

// throughWire makes requests go through a wire that is not current yet.
func throughWire(ctx context.Context, w *wire) context.Context {
	return context.WithValue(ctx, wireKey{}, w)
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	w, ok := req.Context().Value(wireKey{}).(*wire)
	if !ok {
		w = t.current.Load()
	}
	if w.credential.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+w.credential.token)
	}
	return w.pool.RoundTrip(req)
}
