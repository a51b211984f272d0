package integration

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// flood answers as an API server with one namespace would, but that lists of pods, or else of Services, never end.
type flood struct {
	*httptest.Server
	resource string
	// sent are the bytes of lists that were taken from it.
	sent atomic.Int64
}

func newFlood(t *testing.T, resource string) *flood {
	t.Helper()
	f := &flood{resource: resource}
	f.Server = httptest.NewUnstartedServer(f)
	f.EnableHTTP2 = true
	f.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	f.StartTLS()
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

// ServeHTTP implements http.Handler.
func (f *flood) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
	switch path := r.URL.Path; {
	case r.URL.Query().Get("watch") == "true":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	case path == "/version":
		body = `{"gitVersion":"v1.36.0"}`
	case path == "/api":
		body = `{"kind":"APIVersions","versions":["v1"]}`
	case path == "/apis":
		body = `{"kind":"APIGroupList","apiVersion":"v1","groups":[` + group("apps") + "," + group("discovery.k8s.io") + `]}`
	case path == "/apis/apps/v1":
		body = resourceList("apps/v1", `{"name":"daemonsets","kind":"DaemonSet","namespaced":true,"verbs":["list"]}`)
	case path == "/apis/discovery.k8s.io/v1":
		body = resourceList("discovery.k8s.io/v1", `{"name":"endpointslices","kind":"EndpointSlice","namespaced":true,"verbs":["list"]}`)
	case path == "/api/v1":
		body = resourceList("v1", `{"name":"pods","kind":"Pod","namespaced":true,"verbs":["list"]},{"name":"namespaces","kind":"Namespace","verbs":["get"]},`+
			`{"name":"nodes","kind":"Node","verbs":["list"]},{"name":"services","kind":"Service","namespaced":true,"verbs":["list"]}`)
	case path == "/api/v1/namespaces/kube-system":
		body = `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"` + f.URL + `"}}`
	case path == "/api/v1/"+f.resource:
		f.endless(w, r)
		return
	case strings.HasPrefix(path, "/api/v1/"), strings.HasPrefix(path, "/apis/apps/v1/"), strings.HasPrefix(path, "/apis/discovery.k8s.io/v1/"):
		body = `{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	_, _ = w.Write([]byte(body))
}

func group(name string) string {
	return `{"name":"` + name + `","versions":[{"groupVersion":"` + name + `/v1","version":"v1"}],"preferredVersion":{"groupVersion":"` + name + `/v1","version":"v1"}}`
}

func resourceList(groupVersion, resources string) string {
	return `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"` + groupVersion + `","resources":[` + resources + `]}`
}

func (f *flood) endless(w http.ResponseWriter, r *http.Request) {
	n, err := w.Write([]byte(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[`))
	item := []byte(strings.Repeat(`{"metadata":{"name":"p","namespace":"n"}},`, 1000))
	for err == nil && r.Context().Err() == nil {
		f.sent.Add(int64(n))
		n, err = w.Write(item)
	}
}

// TestFleetIsolation registers members that each break in another way beside one that is well, and sees that it fares as if it were alone.
func TestFleetIsolation(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	clusters := cluster.AllForTest(t, cluster.Options{Name: "isolation-well"}, cluster.Options{Name: "isolation-frozen"})
	well, frozen := clusters[0], clusters[1]
	const maxResponse = 4 << 20
	f := fleet.New(fleet.Options{
		Scheme: fleetScheme(t), Logger: testr.New(t), MaxResponseBytes: maxResponse,
		ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 2 * time.Second, ProbeFailures: 2,
		BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
		RefreshInterval: time.Second, OptionalTimeout: 2 * time.Second, FrozenTimeout: time.Second,
	})
	t.Cleanup(f.Close)
	f.Set(registration("frozen", 0), kubeconfigFor(t, frozen, frozen.URL()))
	g.Eventually(stateReason(f, "frozen"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	must(t, frozen.FreezeAPIServer())
	t.Cleanup(func() { _ = frozen.ThawAPIServer() })

	// One that takes connections and never says a word of TLS.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	f.Set(registration("handshake", 1), kubeconfigFor(t, well, "https://"+silent.Addr().String()))
	// One whose lists have no end.
	endless := newFlood(t, "pods")
	cfg := &rest.Config{Host: endless.URL, BearerToken: "t"}
	cfg.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endless.Certificate().Raw})
	f.Set(registration("endless", 2), access.Kubeconfig(t, cfg))

	f.Set(registration("well", 3), kubeconfigFor(t, well, well.URL()))
	g.Eventually(stateReason(f, "well"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(stateReason(f, "frozen"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnectionFailed))
	message := func(name string) func() string { return func() string { s, _ := f.State(name); return s.Message } }
	g.Eventually(message("handshake"), patience).Should(gomega.ContainSubstring("in time"))
	g.Eventually(message("endless"), patience).Should(gomega.ContainSubstring("cannot list pods: the answer is larger than is taken"))
	before := endless.sent.Load()
	g.Expect(before).To(gomega.BeNumerically(">", 0))

	// While they go on breaking, a change of the one that is well arrives as ever.
	admin := fleetAdmin(t, well)
	for _, name := range []string{"one", "two", "three"} {
		createPod(t, admin, name, "10.1.0.1")
		g.Eventually(seenPods(f, "well"), patience).Should(gomega.ContainElement(name))
		g.Expect(stateReason(f, "well")()).To(gomega.Equal(mcnv1alpha1.ReasonConnected))
	}
	must(t, frozen.ThawAPIServer())
	g.Eventually(stateReason(f, "frozen"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
}
