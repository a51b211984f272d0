package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Backend is an API server.
type Backend struct {
	// URL is https://address:port; CA is its authority's certificate, in PEM.
	URL string
	CA  []byte
	// Token stands in for the client's, if it is set: another cluster does not know the client's.
	Token string
}

// Options say what proxy to start.
type Options struct {
	// Name appears in the log.
	Name string
	// Backend is where requests go.
	Backend Backend
	// Seed decides what Rule.Chance draws.
	Seed uint64
	// Log gets a line for every fault; nil for nowhere.
	Log io.Writer
}

// Proxy is a running proxy. Its methods may be called from several goroutines.
type Proxy struct {
	opts   Options
	listen *net.TCPListener
	server *http.Server
	gate   gate

	mu          sync.Mutex
	ca          *authority
	certificate *tls.Certificate
	backend     Backend
	transport   *http.Transport
	random      *rand.Rand
	rules       []*ActiveRule
	requests    []*Request
	underway    int
	injected    []Injection
	refuses     bool
	conns       map[*conn]bool
	streams     map[*stream]bool
}

// connKey finds a request's connection in its context.
type connKey struct{}

// Start starts a proxy on a free port of 127.0.0.1. Close ends it.
func Start(opts Options) (*Proxy, error) {
	p := &Proxy{
		opts: opts, random: rand.New(rand.NewPCG(opts.Seed, 1)), //nolint:gosec // faults are to be the same for the same seed
		conns: map[*conn]bool{}, streams: map[*stream]bool{},
	}
	var err error
	if p.ca, err = newAuthority(opts.Name); err != nil {
		return nil, fmt.Errorf("proxy %s: making an authority: %w", opts.Name, err)
	}
	if p.certificate, err = p.ca.sign(Certificate{}); err != nil {
		return nil, fmt.Errorf("proxy %s: making a certificate: %w", opts.Name, err)
	}
	if err := p.lead(opts.Backend); err != nil {
		return nil, err
	}
	if p.listen, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", opts.Name, err)
	}
	p.server = &http.Server{
		Handler:           http.HandlerFunc(p.serve),
		ReadHeaderTimeout: time.Minute,
		// What clients think of our certificates is theirs to report.
		ErrorLog:    log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.certificate, nil
			},
			// A resumed session would hide that the certificate has changed.
			SessionTicketsDisabled: true,
		},
	}
	go func() { _ = p.server.ServeTLS(&listener{p.listen, p}, "", "") }()
	return p, nil
}

// URL is where the proxy listens.
func (p *Proxy) URL() string { return "https://" + p.listen.Addr().String() }

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	p.gate.open()
	_ = p.server.Close()
	p.sever()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.transport.CloseIdleConnections()
}

// Freeze holds up every byte in both directions: connections stay, new ones are taken by the kernel, and nothing answers.
func (p *Proxy) Freeze() {
	p.note("freeze")
	p.gate.close()
}

// Thaw lets bytes flow again, those that were held up first.
func (p *Proxy) Thaw() {
	p.gate.open()
	p.note("thaw")
}

// Refuse resets every connection, and those to come.
func (p *Proxy) Refuse() {
	p.note("refuse")
	p.mu.Lock()
	p.refuses = true
	p.mu.Unlock()
	p.sever()
}

// Accept takes connections again.
func (p *Proxy) Accept() {
	p.note("accept")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
}

// Sever resets the connections that are open.
func (p *Proxy) Sever() {
	p.note("sever")
	p.sever()
}

func (p *Proxy) sever() {
	p.mu.Lock()
	open := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		open = append(open, c)
	}
	p.mu.Unlock()
	for _, c := range open {
		c.reset()
	}
}

// Swap sends what comes from now on to another API server. Watches that are open stay with the former one: Sever ends them.
func (p *Proxy) Swap(backend Backend) error {
	p.note("swap to " + backend.URL)
	return p.lead(backend)
}

// lead makes requests go to a backend.
func (p *Proxy) lead(backend Backend) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(backend.CA) {
		return fmt.Errorf("proxy %s: the backend's CA is no certificate in PEM", p.opts.Name)
	}
	if _, err := url.Parse(backend.URL); err != nil {
		return fmt.Errorf("proxy %s: %w", p.opts.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backend = backend
	p.transport = &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, DisableCompression: true,
	}
	return nil
}

// serve handles one request: a rule's fault, or the way to the backend and back.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	info := parse(r)
	defer p.admit(&info)()
	x := &exchange{proxy: p, w: w, r: r, info: &info}
	if fault := p.judge(&info); fault != nil {
		fault.serve(x)
		return
	}
	x.pass(nil)
}

// exchange is one request and the way to answer it.
type exchange struct {
	proxy *Proxy
	w     http.ResponseWriter
	r     *http.Request
	info  *Request
}

// forward sends the request on, and returns the answer.
func (x *exchange) forward() (*http.Response, error) {
	x.proxy.mu.Lock()
	backend, transport := x.proxy.backend, x.proxy.transport
	x.proxy.mu.Unlock()
	out, err := http.NewRequestWithContext(x.r.Context(), x.r.Method, backend.URL+x.r.URL.RequestURI(), x.r.Body)
	if err != nil {
		return nil, err
	}
	out.ContentLength = x.r.ContentLength
	out.Header = x.r.Header.Clone()
	out.Header.Del("Accept-Encoding")
	for _, hop := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade"} {
		out.Header.Del(hop)
	}
	if accept := out.Header.Get("Accept"); accept != "" {
		out.Header.Set("Accept", readable(accept))
	}
	if backend.Token != "" {
		out.Header.Set("Authorization", "Bearer "+backend.Token)
	}
	return transport.RoundTrip(out)
}

// readable takes Kubernetes' protobuf out of what a client accepts.
func readable(accept string) string {
	var out []string
	for kind := range strings.SplitSeq(accept, ",") {
		if !strings.HasPrefix(strings.TrimSpace(kind), "application/vnd.kubernetes.protobuf") {
			out = append(out, kind)
		}
	}
	if len(out) == 0 {
		return "application/json"
	}
	return strings.Join(out, ",")
}

// pass forwards the request and hands the answer back, its body changed on the way if change is not nil. A backend that does not answer looks to the
// client as if there were no proxy: the connection is reset.
func (x *exchange) pass(change func(io.Reader) io.Reader) {
	answer, err := x.forward()
	if err != nil {
		if x.r.Context().Err() == nil {
			x.reset()
		}
		x.abort()
	}
	x.hand(answer, change)
}

// hand hands an answer back.
func (x *exchange) hand(answer *http.Response, change func(io.Reader) io.Reader) {
	defer answer.Body.Close()
	x.proxy.answered(x.info, answer.StatusCode)
	header := x.w.Header()
	for name, values := range answer.Header {
		if change == nil || name != "Content-Length" {
			header[name] = append(header[name], values...)
		}
	}
	x.w.WriteHeader(answer.StatusCode)
	if x.info.Verb == "watch" && answer.StatusCode == http.StatusOK && change == nil {
		x.stream(answer.Body)
		return
	}
	body := io.Reader(answer.Body)
	if change != nil {
		body = change(body)
	}
	x.copy(body)
}

// copy sends a body, each part at once.
func (x *exchange) copy(body io.Reader) {
	controller := http.NewResponseController(x.w)
	buffer := make([]byte, 64<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			if _, err := x.w.Write(buffer[:n]); err != nil {
				x.abort()
			}
			_ = controller.Flush()
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			x.abort()
		}
	}
}

// abort ends the exchange without an answer: a reset stream in HTTP/2, a closed connection in HTTP/1.
func (x *exchange) abort() { panic(http.ErrAbortHandler) }

// reset resets the exchange's connection.
func (x *exchange) reset() {
	outer, ok := x.r.Context().Value(connKey{}).(*tls.Conn)
	if !ok {
		return
	}
	if inner, ok := outer.NetConn().(*conn); ok {
		inner.reset()
	}
}
