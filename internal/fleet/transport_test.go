package fleet

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"multicloud.network/operator/internal/gather"
)

// recordingServer tells who asked: the client certificate's name and the token, and by which of its connections.
func recordingServer(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	var handshakes atomic.Int32
	server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		handshakes.Add(1)
		return nil, nil
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, &handshakes
}

func who(w http.ResponseWriter, r *http.Request) {
	name := ""
	if len(r.TLS.PeerCertificates) > 0 {
		name = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	_, _ = io.WriteString(w, name+" "+r.Header.Get("Authorization")+" "+r.Proto)
}

func configTo(server *httptest.Server, c credential) *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	cfg := &rest.Config{Host: server.URL, BearerToken: c.token}
	cfg.CAData, cfg.CertData, cfg.KeyData = ca, c.cert, c.key
	return cfg
}

func clientCertificate(t *testing.T, name string) credential {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return credential{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
	}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func adopt(t *testing.T, way *transport, c credential) {
	t.Helper()
	w, err := way.wire(c)
	if err != nil {
		t.Fatal(err)
	}
	way.adopt(w)
}

func TestTransportExchangesItsCredential(t *testing.T) {
	server, handshakes := recordingServer(t, who)
	way, err := newTransport(configTo(server, credential{token: "one"}))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: way}
	defer c.CloseIdleConnections()
	if got := get(t, c, server.URL); got != " Bearer one HTTP/2.0" {
		t.Errorf("got %q", got)
	}
	adopt(t, way, credential{token: "two"})
	if got := get(t, c, server.URL); got != " Bearer two HTTP/2.0" {
		t.Errorf("got %q", got)
	}
	if got := handshakes.Load(); got != 1 {
		t.Errorf("a token took %d handshakes", got)
	}
	first, second := clientCertificate(t, "first"), clientCertificate(t, "second")
	adopt(t, way, first)
	if got := get(t, c, server.URL); got != "first  HTTP/2.0" {
		t.Errorf("got %q", got)
	}
	adopt(t, way, second)
	if got := get(t, c, server.URL); got != "second  HTTP/2.0" {
		t.Errorf("got %q, on the connection of another", got)
	}
	if got := handshakes.Load(); got != 3 {
		t.Errorf("two certificates took %d handshakes", got-1)
	}
	// One that is tried is not in force.
	w, err := way.wire(first)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(throughWire(t.Context(), w), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if now := get(t, c, server.URL); !strings.HasPrefix(string(body), "first") || !strings.HasPrefix(now, "second") {
		t.Errorf("tried %q, in force %q", body, now)
	}
	way.drop(w)
}

// TestOpenWatchOutlivesItsCertificate keeps a response open over an exchange: it goes on.
func TestOpenWatchOutlivesItsCertificate(t *testing.T) {
	release := make(chan struct{})
	server, _ := recordingServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "true" {
			who(w, r)
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
			who(w, r)
		case <-r.Context().Done():
		}
	})
	way, err := newTransport(configTo(server, clientCertificate(t, "first")))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &bounded{next: way, maxBytes: 1 << 10, maxTime: time.Minute}}
	resp, err := c.Get(server.URL + "?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	adopt(t, way, clientCertificate(t, "second"))
	if got := get(t, c, server.URL); !strings.HasPrefix(got, "second") {
		t.Errorf("got %q", got)
	}
	close(release)
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(body), "first") {
		t.Errorf("got %q, %v", body, err)
	}
	way.CloseIdleConnections()
}

func TestResponsesAreBounded(t *testing.T) {
	const most = 1000
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	hang := func(r *http.Request) {
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			_, _ = io.WriteString(w, strings.Repeat("x", most))
		case "/declared":
			_, _ = io.WriteString(w, strings.Repeat("x", most+1))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "endless "); err != nil {
					return
				}
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = io.WriteString(zip, strings.Repeat("x", 100*most))
			_ = zip.Close()
		case "/silent":
			hang(r)
		case "/drip":
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			hang(r)
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]error{
		"/fits": nil, "/declared": gather.ErrTooLarge, "/endless": gather.ErrTooLarge, "/bomb": gather.ErrTooLarge, "/silent": errAny, "/drip": errAny,
	} {
		maxTime := time.Minute
		if errors.Is(want, errAny) {
			maxTime = 200 * time.Millisecond
		}
		c := &http.Client{Transport: &bounded{next: http.DefaultTransport, maxBytes: most, maxTime: maxTime}}
		resp, err := c.Get(server.URL + path)
		if err == nil {
			var body []byte
			body, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if len(body) > most {
				t.Errorf("%s: %d bytes were read", path, len(body))
			}
		}
		if errors.Is(want, errAny) {
			want = err
		}
		if !errors.Is(err, want) || (err != nil) != (path != "/fits") {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
}

// errAny stands for any error.
var errAny = errors.New("any")
