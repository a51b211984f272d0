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

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// connection holds the clients of one connection.
type connection struct {
	cfg    *rest.Config
	http   *http.Client
	scheme *runtime.Scheme
	client client.Client
	log    logr.Logger
	// id is the cluster ID that was answered first.
	id string
}

// dial makes the clients. It sends nothing yet.
func dial(cfg *rest.Config, scheme *runtime.Scheme, log logr.Logger) (*connection, error) {
	httpClient, err := httpClientFor(cfg)
	if err != nil {
		return nil, &fault{reason: mcnv1alpha1.ReasonKubeconfigInvalid, message: "no client can be made from the kubeconfig; correct its certificates"}
	}
	mapper, err := apiutil.NewDynamicRESTMapper(cfg, httpClient)
	if err != nil {
		return nil, err
	}
	direct, err := client.New(cfg, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, err
	}
	return &connection{cfg: cfg, http: httpClient, scheme: scheme, client: direct, log: log}, nil
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

// close lets go of idle connections.
func (c *connection) close() { c.http.CloseIdleConnections() }

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
