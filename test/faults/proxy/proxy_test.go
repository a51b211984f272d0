package proxy_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/faults/proxy"
)

var one, two *cluster.Cluster

func TestMain(m *testing.M) {
	// What is tested is lists, and then watches.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		panic(err)
	}
	os.Exit(cluster.Main(m, func(all []*cluster.Cluster) { one, two = all[0], all[1] }, cluster.Options{Name: "one"}, cluster.Options{Name: "two"}))
}

const (
	patience  = 60 * time.Second
	namespace = "kube-system"
)

// administrator returns a client of a cluster that passes no proxy, and the way to it with all rights.
func administrator(t *testing.T, c *cluster.Cluster) (kubernetes.Interface, proxy.Backend) {
	t.Helper()
	direct, err := kubernetes.NewForConfig(c.RESTConfig())
	must(t, err)
	accounts := direct.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "tester"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		must(t, err)
		_, err = direct.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "tester"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "tester"}},
		}, metav1.CreateOptions{})
		must(t, err)
	}
	account := access.Token(t, c, namespace, "tester")
	return direct, proxy.Backend{URL: c.URL(), CA: account.CAData, Token: account.BearerToken}
}

// path is a proxy before a cluster, a client through it, and one past it.
type path struct {
	*testing.T
	proxy         *proxy.Proxy
	token         string
	through, past kubernetes.Interface
}

func newPath(t *testing.T) *path {
	t.Helper()
	p := &path{T: t}
	var backend proxy.Backend
	p.past, backend = administrator(t, one)
	// The token is the client's.
	p.token, backend.Token = backend.Token, ""
	var err error
	p.proxy, err = proxy.Start(proxy.Options{Name: t.Name(), Backend: backend, Seed: 1, Log: t.Output()})
	must(t, err)
	t.Cleanup(p.proxy.Close)
	p.through = p.client()
	return p
}

// client returns a new client with connections of its own.
func (p *path) client() kubernetes.Interface {
	p.Helper()
	cfg, err := clientcmd.RESTConfigFromKubeConfig(p.proxy.Kubeconfig(p.token))
	must(p.T, err)
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	must(p.T, err)
	return client
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon is a context for what should fail by itself, or has to be given up.
func (p *path) soon(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(p.Context(), d)
	p.Cleanup(cancel)
	return ctx
}

func (p *path) list(ctx context.Context) (*corev1.NamespaceList, error) {
	return p.through.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
}

func (p *path) create(ctx context.Context, name string) error {
	_, err := p.through.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

// exists asks past the proxy.
func (p *path) exists(name string) bool {
	p.Helper()
	_, err := p.past.CoreV1().ConfigMaps(namespace).Get(p.Context(), name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		must(p.T, err)
	}
	return err == nil
}

// watch watches config maps through the proxy, from now on.
func (p *path) watch() watch.Interface {
	p.Helper()
	now, err := p.past.CoreV1().ConfigMaps(namespace).List(p.Context(), metav1.ListOptions{})
	must(p.T, err)
	w, err := p.through.CoreV1().ConfigMaps(namespace).Watch(p.Context(), metav1.ListOptions{ResourceVersion: now.ResourceVersion, AllowWatchBookmarks: true})
	must(p.T, err)
	p.Cleanup(w.Stop)
	return w
}

// change creates config maps past the proxy.
func (p *path) change(names ...string) {
	p.Helper()
	for _, name := range names {
		_, err := p.past.CoreV1().ConfigMaps(namespace).Create(p.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		must(p.T, err)
		p.Cleanup(func() {
			_ = p.past.CoreV1().ConfigMaps(namespace).Delete(context.Background(), name, metav1.DeleteOptions{})
		})
	}
}

// next returns the next events as "TYPE name".
func (p *path) next(w watch.Interface, n int) []string {
	p.Helper()
	var out []string
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(out) < n {
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				return append(out, "end")
			}
			text := string(e.Type)
			switch o := e.Object.(type) {
			case *corev1.ConfigMap:
				text += " " + o.Name
			case *metav1.Status:
				text += fmt.Sprintf(" %d", o.Code)
				if o.Code == http.StatusInternalServerError {
					text = "end" // client-go's own, where a watch broke in the middle of an event
				}
			}
			out = append(out, text)
		case <-timer.C:
			p.Fatalf("%d events came, not %d: %q", len(out), n, out)
		}
	}
	return out
}

func (p *path) expect(w watch.Interface, want ...string) {
	p.Helper()
	if got := p.next(w, len(want)); !slices.Equal(got, want) {
		p.Errorf("events %q, want %q", got, want)
	}
}

func TestNothingChangesWithoutFaults(t *testing.T) {
	p := newPath(t)
	mark := p.proxy.Mark()
	direct, err := p.past.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	list, err := p.list(t.Context())
	must(t, err)
	if len(list.Items) != len(direct.Items) {
		t.Errorf("%d namespaces, want %d", len(list.Items), len(direct.Items))
	}
	w := p.watch()
	p.change("plain-a", "plain-b")
	p.expect(w, "ADDED plain-a", "ADDED plain-b")
	must(t, p.create(t.Context(), "plain-c"))
	must(t, p.through.CoreV1().ConfigMaps(namespace).Delete(t.Context(), "plain-c", metav1.DeleteOptions{}))
	var got []string
	for _, r := range p.proxy.Since(mark, proxy.Match{}) {
		got = append(got, fmt.Sprintf("%s %s %s/%s %d", r.Verb, r.Resource, r.Namespace, r.Name, r.Code))
	}
	want := []string{
		"list namespaces / 200", "watch configmaps kube-system/ 200", "create configmaps kube-system/ 201", "delete configmaps kube-system/plain-c 200",
	}
	if !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	if writes := p.proxy.Count(mark, proxy.Writes("configmaps")); writes != 2 {
		t.Errorf("%d writes counted, want 2", writes)
	}
	if len(p.proxy.Injected()) != 0 {
		t.Errorf("faults without rules: %v", p.proxy.Injected())
	}
}

func TestStatusCodes(t *testing.T) {
	p := newPath(t)
	for code, is := range map[int]func(error) bool{
		401: apierrors.IsUnauthorized, 403: apierrors.IsForbidden, 404: apierrors.IsNotFound, 409: apierrors.IsConflict,
		410: apierrors.IsResourceExpired, 413: apierrors.IsRequestEntityTooLargeError, 422: apierrors.IsInvalid,
		429: apierrors.IsTooManyRequests, 500: apierrors.IsInternalError, 503: apierrors.IsServiceUnavailable, 504: apierrors.IsTimeout,
	} {
		rule := p.proxy.Add(proxy.Rule{Match: proxy.Lists("namespaces"), Fault: proxy.Status(code)})
		if _, err := p.list(t.Context()); !is(err) {
			t.Errorf("%d: %v", code, err)
		}
		rule.Remove()
	}
	rule := p.proxy.Add(proxy.Rule{Match: proxy.Lists(), Times: 1, Fault: proxy.StatusAfter(429, time.Second)})
	if _, err := p.list(t.Context()); err != nil || rule.Faults() != 1 {
		t.Errorf("after Retry-After the client asks again: %v, %d faults", err, rule.Faults())
	}
}

func TestRulesPickAndCount(t *testing.T) {
	p := newPath(t)
	rule := p.proxy.Add(proxy.Rule{Match: proxy.Match{Resources: []string{"namespaces"}, Group: "core", Verbs: []string{"get"}, Name: "default"}, After: 1, Times: 2, Fault: proxy.Status(500)})
	var got []bool
	for range 5 {
		_, err := p.through.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
		got = append(got, err == nil)
		_, err = p.through.CoreV1().Namespaces().Get(t.Context(), "kube-public", metav1.GetOptions{})
		must(t, err)
	}
	if want := []bool{true, false, false, true, true}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
	log := p.proxy.Injected()
	if len(log) != 2 || log[1].Seq != 2 || log[1].Request.Name != "default" || rule.Faults() != 2 {
		t.Errorf("log %v, %d faults", log, rule.Faults())
	}
}

func TestChanceComesFromTheSeed(t *testing.T) {
	draw := func() (out []int) {
		p := newPath(t)
		p.proxy.Add(proxy.Rule{Match: proxy.Lists("namespaces"), Chance: 0.5, Fault: proxy.Status(500)})
		for i := range 20 {
			if _, err := p.list(t.Context()); err != nil {
				out = append(out, i)
			}
		}
		return out
	}
	first := draw()
	if second := draw(); !slices.Equal(first, second) || len(first) == 0 || len(first) == 20 {
		t.Errorf("with one seed the faults are at %v and at %v", first, second)
	}
}

func TestLostAndDroppedRequests(t *testing.T) {
	p := newPath(t)
	for name, tc := range map[string]struct {
		fault proxy.Fault
		done  bool
	}{
		"drop-before": {proxy.DropBefore(), false}, "drop-after": {proxy.DropAfter(), true},
		"lose-before": {proxy.LoseBefore(), false}, "lose-after": {proxy.LoseAfter(), true}, "reset": {proxy.Reset(), false},
	} {
		rule := p.proxy.Add(proxy.Rule{Match: proxy.Writes("configmaps"), Fault: tc.fault})
		ctx := p.soon(2 * time.Second)
		if err := p.create(ctx, name); err == nil {
			t.Errorf("%s: no error", name)
		}
		rule.Remove()
		if p.exists(name) != tc.done {
			t.Errorf("%s: the object is there: %v, want %v", name, !tc.done, tc.done)
		}
	}
	rule := p.proxy.Add(proxy.Rule{Match: proxy.Lists(), Fault: proxy.Delay(300 * time.Millisecond)})
	began := time.Now()
	if _, err := p.list(t.Context()); err != nil || time.Since(began) < 300*time.Millisecond {
		t.Errorf("delay: %v after %s", err, time.Since(began))
	}
	rule.Remove()
}

func TestAnswersThatAreWrong(t *testing.T) {
	p := newPath(t)
	whole, err := p.list(t.Context())
	must(t, err)
	with := func(fault proxy.Fault) (*corev1.NamespaceList, error) {
		defer p.proxy.Add(proxy.Rule{Match: proxy.Lists("namespaces"), Fault: fault}).Remove()
		return p.list(p.soon(patience))
	}
	for _, fault := range []proxy.Fault{proxy.Truncate(100), proxy.Break(100), proxy.Corrupt(100)} {
		if _, err := with(fault); err == nil {
			t.Errorf("%s: no error", fault)
		}
	}
	if list, err := with(proxy.EmptyList("")); err != nil || len(list.Items) != 0 || list.ResourceVersion == "1" {
		t.Errorf("empty list: %v, %v", list, err)
	}
	if list, err := with(proxy.EmptyList("1")); err != nil || len(list.Items) != 0 || list.ResourceVersion != "1" {
		t.Errorf("empty list with a version: %v, %v", list, err)
	}
	if list, err := with(proxy.ShortList(1)); err != nil || len(list.Items) != 1 {
		t.Errorf("short list: %v, %v", list, err)
	}
	if list, err := with(proxy.Giant(4 << 20)); err != nil || len(list.Items[0].Annotations["giant"]) != 4<<20 || len(list.Items) != len(whole.Items) {
		t.Errorf("giant: %v", err)
	}
	began := time.Now()
	if list, err := with(proxy.Slow(1000, 50*time.Millisecond)); err != nil || len(list.Items) != len(whole.Items) || time.Since(began) < 100*time.Millisecond {
		t.Errorf("slow: %v after %s", err, time.Since(began))
	}
	if list, err := with(proxy.Skew(-10 * time.Minute)); err != nil || !list.Items[0].CreationTimestamp.Time.Equal(whole.Items[0].CreationTimestamp.Add(-10*time.Minute)) {
		t.Errorf("skew: %v", err)
	}
	recording := proxy.NewRecording()
	_, err = with(proxy.Record(recording))
	must(t, err)
	_, err = p.past.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{})
	must(t, err)
	if list, err := with(proxy.Replay(recording)); err != nil || len(list.Items) != len(whole.Items) {
		t.Errorf("replay: %v", err)
	}
	if list, err := p.list(t.Context()); err != nil || len(list.Items) != len(whole.Items)+1 {
		t.Errorf("after the faults: %v", err)
	}
}

func TestEvents(t *testing.T) {
	p := newPath(t)
	for i, tc := range []struct {
		fault proxy.Fault
		want  []string
	}{
		{proxy.SkipEvent(), []string{"ADDED b", "ADDED c"}},
		{proxy.RepeatEvent(), []string{"ADDED a", "ADDED a", "ADDED b", "ADDED c"}},
		{proxy.OvertakeEvent(), []string{"ADDED b", "ADDED a", "ADDED c"}},
		{proxy.DelayEvent(10 * time.Millisecond), []string{"ADDED a", "ADDED b", "ADDED c"}},
		{proxy.SkewEvents(time.Minute), []string{"ADDED a", "ADDED b", "ADDED c"}},
		{proxy.CorruptEvent(), []string{"end"}},
		{proxy.CutEvent(), []string{"end"}},
	} {
		names := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("c%d", i)}
		rule := p.proxy.Add(proxy.Rule{
			Match: proxy.Match{Verbs: []string{"watch"}, Resources: []string{"configmaps"}, Name: names[0], Namespace: namespace}, Events: []string{"ADDED"}, Fault: tc.fault,
		})
		w := p.watch()
		p.change(names...)
		got := p.next(w, len(tc.want))
		for j := range got {
			got[j] = strings.TrimSuffix(got[j], fmt.Sprint(i))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.fault, got, tc.want)
		}
		rule.Remove()
		w.Stop()
	}
	w := p.watch()
	if n := p.proxy.Expire(proxy.Watches("configmaps")); n == 0 {
		t.Error("no open watch to expire")
	}
	p.expect(w, "ERROR 410")
}

func TestPathAsAWhole(t *testing.T) {
	p := newPath(t)
	w := p.watch()
	p.proxy.Freeze()
	if _, err := p.list(p.soon(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("frozen: %v", err)
	}
	p.change("frozen")
	p.proxy.Thaw()
	p.expect(w, "ADDED frozen")

	p.proxy.Refuse()
	p.expect(w, "end")
	if _, err := p.list(p.soon(patience)); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("refused: %v", err)
	}
	p.proxy.Accept()
	_, err := p.list(p.soon(patience))
	must(t, err)

	mark := len(p.proxy.Injected())
	p.proxy.Add(proxy.Rule{Match: proxy.Lists(), Times: 1, Fault: proxy.GoAway()})
	for range 3 {
		_, err := p.list(p.soon(patience))
		must(t, err)
	}
	if len(p.proxy.Injected()) != mark+1 {
		t.Errorf("faults %v", p.proxy.Injected()[mark:])
	}
}

func TestRedirect(t *testing.T) {
	p := newPath(t)
	p.proxy.Add(proxy.Rule{Match: proxy.Match{Path: "/version"}, Fault: proxy.Redirect("https://192.0.2.1/")})
	cfg, err := clientcmd.RESTConfigFromKubeConfig(p.proxy.Kubeconfig(p.token))
	must(t, err)
	client, err := rest.HTTPClientFor(cfg)
	must(t, err)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Get(p.proxy.URL() + "/version")
	must(t, err)
	defer answer.Body.Close()
	if location := answer.Header.Get("Location"); answer.StatusCode != http.StatusTemporaryRedirect || location != "https://192.0.2.1/" {
		t.Errorf("%d to %q", answer.StatusCode, location)
	}
}

func TestBackendThatIsAnotherCluster(t *testing.T) {
	p := newPath(t)
	other, backend := administrator(t, two)
	id := func(client kubernetes.Interface) string {
		ns, err := client.CoreV1().Namespaces().Get(p.soon(patience), namespace, metav1.GetOptions{})
		must(t, err)
		return string(ns.UID)
	}
	if id(p.through) != id(p.past) {
		t.Error("the proxy does not lead to its backend")
	}
	must(t, p.proxy.Swap(backend))
	if id(p.through) != id(other) {
		t.Error("the proxy does not lead to the other backend")
	}
}

func TestBackendThatDies(t *testing.T) {
	p := newPath(t)
	w := p.watch()
	must(t, one.StopAPIServer())
	p.expect(w, "end")
	if _, err := p.list(p.soon(patience)); err == nil || apierrors.ReasonForError(err) != "" {
		t.Errorf("an answer without a backend: %v", err)
	}
	must(t, one.StartAPIServer(t.Context()))
	_, err := p.list(p.soon(patience))
	must(t, err)
}

func TestCertificates(t *testing.T) {
	p := newPath(t)
	try := func() error {
		// The client is a new one each time; the dead connections of the former are not used.
		_, err := p.client().CoreV1().Namespaces().Get(p.soon(patience), namespace, metav1.GetOptions{})
		return err
	}
	must(t, try())
	for name, tc := range map[string]proxy.Certificate{
		"expired":       {From: -2 * time.Hour, Until: -time.Hour},
		"not yet valid": {From: time.Hour, Until: 2 * time.Hour},
		"another name":  {Name: "elsewhere.example"},
	} {
		must(t, p.proxy.Certify(tc))
		p.proxy.Sever()
		if err := try(); err == nil || !strings.Contains(err.Error(), "x509") {
			t.Errorf("%s: %v", name, err)
		}
	}
	old := p.proxy.CA()
	must(t, p.proxy.Certify(proxy.Certificate{NewAuthority: true}))
	p.proxy.Sever()
	must(t, try())
	if string(old) == string(p.proxy.CA()) {
		t.Error("the authority is the former one")
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(p.proxy.Kubeconfig(p.token))
	must(t, err)
	cfg.CAData = old
	client, err := kubernetes.NewForConfig(cfg)
	must(t, err)
	var unknown x509.UnknownAuthorityError
	if _, err := client.CoreV1().Namespaces().Get(p.soon(patience), namespace, metav1.GetOptions{}); !errors.As(err, &unknown) {
		t.Errorf("the former authority is trusted: %v", err)
	}
}
