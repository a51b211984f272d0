package fleet

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// connection holds the clients of one connection.
type connection struct {
	// cfg has the server and the transport, and no credential; http and client bound every request in time, watching bounds none but those that end by
	// themselves.
	cfg, watchCfg  *rest.Config
	http, watching *http.Client
	scheme         *runtime.Scheme
	client         client.Client
	log            logr.Logger
	// transport is what the credential can be exchanged in; nil for the hub itself.
	transport *transport
	// id is the cluster ID that was answered first.
	id string
}

// dial makes the clients. It sends nothing yet.
func dial(cfg *rest.Config, local bool, opts *Options, log logr.Logger) (*connection, error) {
	c := &connection{scheme: opts.Scheme, log: log}
	host, way, err := c.way(cfg, local)
	if err != nil {
		return nil, err
	}
	// The way carries the credential, so that whoever is handed this configuration can neither log it nor keep one that was exchanged.
	c.cfg = harden(&rest.Config{Host: host, Transport: &bounded{next: way, maxBytes: opts.MaxResponseBytes, maxTime: opts.SyncTimeout}})
	c.watchCfg = rest.CopyConfig(c.cfg)
	c.watchCfg.Timeout = 0 // it would cut watches; a dead peer is found by HTTP/2 pings and by the probe
	if c.http, err = httpClientFor(c.cfg); err != nil {
		return nil, err
	}
	if c.watching, err = httpClientFor(c.watchCfg); err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(c.cfg, c.http)
	if err != nil {
		return nil, err
	}
	if c.client, err = client.New(c.cfg, client.Options{HTTPClient: c.http, Scheme: c.scheme, Mapper: mapper}); err != nil {
		return nil, err
	}
	return c, nil
}

// way returns the server's URL and what carries requests there. The hub's own configuration is the administrator's: it may use whatever client-go can do, and
// client-go renews its credential.
func (c *connection) way(cfg *rest.Config, local bool) (string, http.RoundTripper, error) {
	if local {
		server, _, err := rest.DefaultServerUrlFor(cfg)
		if err != nil {
			return "", nil, err
		}
		way, err := rest.TransportFor(cfg)
		return server.String(), way, err
	}
	var err error
	c.transport, err = newTransport(cfg)
	return cfg.Host, c.transport, err
}

// httpClientFor returns a client that follows no redirect: an API server sends none, and a member must not be able to send the hub elsewhere.
func httpClientFor(cfg *rest.Config) (*http.Client, error) {
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	// http.DefaultClient is shared; it is what client-go gives for a configuration without any transport setting.
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own, nil
}

// close lets go of idle connections; those of the hub's own client are not only ours.
func (c *connection) close() {
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// clusterID returns the UID of the namespace kube-system.
func (c *connection) clusterID(ctx context.Context) (string, error) {
	var namespace corev1.Namespace
	if err := c.client.Get(ctx, client.ObjectKey{Name: "kube-system"}, &namespace); err != nil {
		return "", err
	}
	if namespace.UID == "" {
		return "", errors.New("the namespace kube-system has no UID")
	}
	return string(namespace.UID), nil
}

// version returns what the API server says of itself.
func (c *connection) version(ctx context.Context, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d, err := discovery.NewDiscoveryClientForConfigAndClient(c.cfg, c.http)
	if err != nil {
		return "", err
	}
	var info struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := getJSON(ctx, d.RESTClient(), "/version", &info); err != nil {
		return "", err
	}
	return truncate(info.GitVersion, maxVersion), nil
}
