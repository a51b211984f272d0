package integration

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
)

// rotator issues tokens that can be revoked.
type rotator struct {
	client.Client
	on      *cluster.Cluster
	account *corev1.ServiceAccount
	issued  int
}

// newRotator gives the member its role, and the account that tokens are for.
func newRotator(t *testing.T, on *cluster.Cluster) *rotator {
	t.Helper()
	access.Member(t, on)
	c, err := client.New(on.RESTConfig(), client.Options{Scheme: fleetScheme(t)})
	must(t, err)
	r := &rotator{Client: c, on: on, account: &corev1.ServiceAccount{}}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: mcnv1alpha1.DefaultNamespace, Name: "multicloud-network-member"}, r.account))
	return r
}

// kubeconfig is one with a token.
func (r *rotator) kubeconfig(t *testing.T, token string) []byte {
	t.Helper()
	cfg := access.Member(t, r.on)
	cfg.BearerToken = token
	return access.Kubeconfig(t, cfg)
}

// next issues a token, bound to a Secret of its own, and returns a kubeconfig with it, the name that audit events give it, and what revokes it.
func (r *rotator) next(t *testing.T) (kubeconfig []byte, id string, revoke func()) {
	t.Helper()
	r.issued++
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.account.Namespace, Name: fmt.Sprintf("rotating-%d", r.issued)}}
	must(t, r.Create(t.Context(), secret))
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: secret.Name, UID: secret.UID},
	}}
	must(t, r.SubResource("token").Create(t.Context(), r.account, request))
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(request.Status.Token, ".")[1])
	must(t, err)
	var claims struct{ JTI string }
	must(t, json.Unmarshal(payload, &claims))
	return r.kubeconfig(t, request.Status.Token), "JTI=" + claims.JTI, func() { must(t, r.Delete(t.Context(), secret)) }
}

// operatorsEvents returns the operator's requests with a verb, in the order in which they were answered.
func operatorsEvents(t *testing.T, on *cluster.Cluster, verb string) []audit.Event {
	t.Helper()
	return slices.DeleteFunc(audit.By(audit.Read(t, on), "multicloud-network-operator"), func(e audit.Event) bool { return e.Verb != verb })
}

// TestFleetRotation exchanges a member's credential in every way, and counts at its API server what that costs.
func TestFleetRotation(t *testing.T) {
	t.Parallel()
	on := cluster.ForTest(t, cluster.Options{Name: "rotation", Calico: cluster.Native, APIServerArgs: audit.Args(t)})
	g := gomega.NewWithT(t)
	r := newRotator(t, on)
	f := newFleet(t)
	kubeconfig, id, revoke := r.next(t)
	f.Set(registration("m", 0), kubeconfig)
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	g.Eventually(func() bool { s, _ := f.State("m"); return s.CalicoReady }, patience).Should(gomega.BeTrue())
	conn, _ := f.Connection("m")
	used := func() string {
		all := operatorsEvents(t, on, "get")
		if len(all) == 0 {
			return ""
		}
		return all[len(all)-1].Credential()
	}
	lists := func() int { return len(operatorsEvents(t, on, "list")) }
	watches := func() int { return len(operatorsEvents(t, on, "watch")) } // a watch is there twice: when it begins and when it ends
	g.Eventually(used, patience).Should(gomega.Equal(id))
	// The view is complete: every kind has been listed and is watched.
	var listsBefore, watchesBefore int
	g.Eventually(func() bool {
		same := lists() == listsBefore && watches() == watchesBefore && listsBefore > 0
		listsBefore, watchesBefore = lists(), watches()
		return same
	}, patience, 3*time.Second).Should(gomega.BeTrue())
	unchanged := func(g gomega.Gomega, after string) {
		g.Expect(lists()).To(gomega.Equal(listsBefore), "lists after "+after)
		g.Expect(watches()).To(gomega.Equal(watchesBefore), "watches that began or ended after "+after)
		g.Expect(conn.Context().Err()).NotTo(gomega.HaveOccurred(), after)
		now, _ := f.Connection("m")
		g.Expect(now).To(gomega.BeIdenticalTo(conn), after)
	}

	const rotations = 25
	for i := range rotations {
		next, nextID, revokeNext := r.next(t)
		f.Set(registration("m", 0), next)
		g.Expect(stateReason(f, "m")()).To(gomega.Equal(mcnv1alpha1.ReasonConnected), "nobody notices")
		g.Eventually(used, patience).Should(gomega.Equal(nextID), "rotation %d", i)
		revoke()
		revoke = revokeNext
	}
	unchanged(g, "25 rotations")
	createPod(t, r.Client, "during", "10.1.0.9")
	g.Eventually(seenPods(f, "m"), patience).Should(gomega.ContainElement("during"), "the watches that the first token opened go on")
	must(t, conn.Client.Get(t.Context(), client.ObjectKey{Name: "kube-system"}, &corev1.Namespace{}))

	// One that does not work leaves the former one in use.
	f.Set(registration("m", 0), r.kubeconfig(t, "no-such-token"))
	state := func() fleet.State { s, _ := f.State("m"); return s }
	g.Eventually(state, patience).Should(gomega.And(gomega.HaveField("Reachable", true),
		gomega.HaveField("Problems", gomega.ContainElement(gomega.ContainSubstring("a new credential that does not work")))))
	next, nextID, revokeNext := r.next(t)
	f.Set(registration("m", 0), next)
	g.Eventually(state, patience).Should(gomega.HaveField("Problems", gomega.Not(gomega.ContainElement(gomega.ContainSubstring("a new credential")))))
	g.Eventually(used, patience).Should(gomega.Equal(nextID))
	unchanged(g, "a wrong credential")

	// One that is revoked before the next is there takes the member out of sight, at once when that is noticed, and nothing is lost.
	revoke()
	revokeNext()
	g.Eventually(state, patience).Should(gomega.And(gomega.HaveField("Reachable", false), gomega.HaveField("Message", gomega.ContainSubstring("401"))))
	_, connected := f.Connection("m")
	g.Expect(connected).To(gomega.BeFalse())
	createPod(t, r.Client, "unseen", "10.1.0.10")
	next, nextID, _ = r.next(t)
	f.Set(registration("m", 0), next)
	g.Eventually(state, patience).Should(gomega.And(gomega.HaveField("Reachable", true), gomega.HaveField("StaleSince", gomega.BeNil())))
	g.Eventually(seenPods(f, "m"), patience).Should(gomega.ContainElement("unseen"))
	g.Eventually(used, patience).Should(gomega.Equal(nextID))
	unchanged(g, "a revoked credential")

	t.Logf("%d rotations, a wrong token and a revoked one: %d new lists, %d watches begun or ended", rotations+2, lists()-listsBefore, watches()-watchesBefore)
}

// gateway is one server that leads to the cluster that the token names, as gateways in front of many clusters do.
type gateway struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string][]string
}

func newGateway(t *testing.T, byToken map[string]*cluster.Cluster) *gateway {
	t.Helper()
	gw := &gateway{seen: map[string][]string{}}
	ways := map[string]http.Handler{}
	for token, c := range byToken {
		target, err := url.Parse(c.URL())
		must(t, err)
		transport, err := rest.TransportFor(access.Member(t, c))
		must(t, err)
		ways[token] = &httputil.ReverseProxy{
			Transport: transport, FlushInterval: -1,
			Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Header.Del("Authorization") },
		}
	}
	gw.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		gw.mu.Lock()
		gw.seen[token] = append(gw.seen[token], r.Method+" "+r.URL.Path)
		gw.mu.Unlock()
		ways[token].ServeHTTP(w, r)
	}))
	gw.EnableHTTP2 = true
	gw.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	gw.StartTLS()
	t.Cleanup(func() { gw.CloseClientConnections(); gw.Close() })
	return gw
}

func (gw *gateway) kubeconfig(t *testing.T, token string) []byte {
	cfg := &rest.Config{Host: gw.URL, BearerToken: token}
	cfg.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gw.Certificate().Raw})
	return access.Kubeconfig(t, cfg)
}

// testFleetOtherCredential gives a member, behind one and the same server, the credential of another cluster.
func testFleetOtherCredential(t *testing.T, native, plain *cluster.Cluster) {
	g := gomega.NewWithT(t)
	gw := newGateway(t, map[string]*cluster.Cluster{"right": native, "renewed": native, "other": plain})
	f := newFleet(t)
	f.Set(registration("m", 0), gw.kubeconfig(t, "right"))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	before, _ := f.Member("m")
	conn, _ := f.Connection("m")
	f.Set(registration("m", 0), gw.kubeconfig(t, "other"))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonClusterIDMismatch))
	g.Eventually(func() error { return conn.Context().Err() }, patience).Should(gomega.HaveOccurred())
	after, _ := f.Member("m")
	g.Expect(after.Namespaces).To(gomega.Equal(before.Namespaces), "nothing is read from the other cluster")
	gw.mu.Lock()
	for _, request := range gw.seen["other"] {
		g.Expect(request).To(gomega.Or(gomega.Equal("GET /api/v1/namespaces/kube-system"), gomega.Equal("GET /api"), gomega.Equal("GET /apis"), gomega.Equal("GET /api/v1")),
			"the other cluster is asked for nothing but its ID")
	}
	gw.mu.Unlock()
	f.Set(registration("m", 0), gw.kubeconfig(t, "renewed"))
	g.Eventually(stateReason(f, "m"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
}

// fleetAdmin is a client for the test's own hands.
func fleetAdmin(t *testing.T, on *cluster.Cluster) client.Client {
	t.Helper()
	c, err := client.New(on.RESTConfig(), client.Options{Scheme: fleetScheme(t)})
	must(t, err)
	return c
}
