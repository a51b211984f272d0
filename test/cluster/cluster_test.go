package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"multicloud.network/operator/test/cluster"
)

func TestRestartKeepsPortAndData(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Name: "restart", Calico: cluster.Aggregated})
	url, tier := c.URL(), parse(t, objects["tiers"])
	if _, err := resource(t, c, "tiers").Apply(t.Context(), tier.GetName(), tier, metav1.ApplyOptions{FieldManager: "test"}); err != nil {
		t.Fatal(err)
	}
	read := func() error {
		_, err := resource(t, c, "tiers").Get(t.Context(), tier.GetName(), metav1.GetOptions{})
		return err
	}

	if err := c.StopCalicoAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := read(); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("without calico-apiserver: got %v, want 503", err)
	}
	if err := c.StartCalicoAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil {
		t.Errorf("after calico-apiserver's restart: %v", err)
	}

	if err := c.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := read(); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("without kube-apiserver: got %v, want a refused connection", err)
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.URL() != url {
		t.Errorf("the URL is now %s, was %s", c.URL(), url)
	}
	eventually(t, read)
}

func TestAFrozenServerHangsAndGoesOnWhenThawed(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Name: "frozen"})
	config := c.RESTConfig()
	config.Timeout = time.Second
	impatient := client(t, config)
	list := func() error {
		_, err := impatient.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		return err
	}
	eventually(t, list)
	if err := c.FreezeAPIServer(); err != nil {
		t.Fatal(err)
	}
	var timeout interface{ Timeout() bool }
	if err := list(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("while frozen: got %v, want a timeout", err)
	}
	if err := c.ThawAPIServer(); err != nil {
		t.Fatal(err)
	}
	eventually(t, list)
	if err := c.FreezeAPIServer(); err != nil { // and Stop, in the clean-up, ends a frozen one
		t.Fatal(err)
	}
}

func TestKilledServersComeBackWithTheirDataOrWithout(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Name: "killed"})
	config := c.RESTConfig()
	config.Timeout = 5 * time.Second
	admin := client(t, config)
	_, err := admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		_, err := admin.CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{})
		return err
	}
	restart := func(empty bool) {
		t.Helper()
		if err := c.KillAPIServer(); err != nil {
			t.Fatal(err)
		}
		if err := c.KillEtcd(); err != nil {
			t.Fatal(err)
		}
		if err := get(); err == nil {
			t.Error("a killed API server answers")
		}
		if err := c.StartEtcd(t.Context(), empty); err != nil {
			t.Fatal(err)
		}
		if err := c.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	restart(false)
	eventually(t, get)
	restart(true)
	if err := get(); !apierrors.IsNotFound(err) {
		t.Errorf("with an empty etcd: %v", err)
	}
}

func TestAServerThatRunsIsNotStartedTwice(t *testing.T) {
	if err := native.StartAPIServer(t.Context()); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("got %v", err)
	}
	if err := native.StartCalicoAPIServer(t.Context()); err == nil || !strings.Contains(err.Error(), "cluster.Aggregated") {
		t.Errorf("got %v, want advice", err)
	}
}

func TestKubeconfigIsSelfContained(t *testing.T) {
	text, err := aggregated.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if config.CAFile != "" || config.CertFile != "" || config.KeyFile != "" || config.Insecure || !strings.HasPrefix(config.Host, "https://") {
		t.Errorf("the kubeconfig refers to files or is not https: %s", config)
	}
	if _, err := client(t, config).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if onDisk, err := os.ReadFile(aggregated.KubeconfigPath()); err != nil || !bytes.Equal(onDisk, text) {
		t.Errorf("the file differs from Kubeconfig(), error %v", err)
	}
}

func TestServiceAccountTokensWorkUnderRBAC(t *testing.T) {
	admin := client(t, aggregated.RESTConfig())
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "operator"}}
	if _, err := admin.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := aggregated.Kubectl(context.Background(), "delete", "clusterrolebinding/operator", "serviceaccount/operator", "--ignore-not-found")
		if err != nil {
			t.Error(err)
		}
	})
	token, err := admin.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "operator", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(aggregated.RESTConfig())
	config.BearerToken = token.Status.Token
	list := func() error {
		_, err := client(t, config).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: got %v, want 403", err)
	}
	_, err = aggregated.Kubectl(t.Context(), "create", "clusterrolebinding", "operator", "--clusterrole=cluster-admin", "--serviceaccount=default:operator")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, list)
}

func TestClustersHaveDNSAndAnAPIServerAddress(t *testing.T) {
	forms(t, func(t *testing.T, c *cluster.Cluster) {
		dns, err := client(t, c.RESTConfig()).CoreV1().Services("kube-system").Get(t.Context(), "kube-dns", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if dns.Spec.ClusterIP == "" || dns.Spec.Selector["k8s-app"] != "kube-dns" || len(dns.Spec.Ports) != 2 {
			t.Errorf("kube-dns is %+v", dns.Spec)
		}
		slices, err := client(t, c.RESTConfig()).DiscoveryV1().EndpointSlices("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
		if err != nil || len(slices.Endpoints) == 0 {
			t.Errorf("the EndpointSlice of default/kubernetes is %+v, error %v", slices, err)
		}
	})
}

func TestKubectlErrorsSayWhatKubectlSaid(t *testing.T) {
	_, err := native.Kubectl(t.Context(), "get", "nonsense")
	if err == nil || !strings.Contains(err.Error(), `the server doesn't have a resource type "nonsense"`) {
		t.Errorf("got %v", err)
	}
}

func TestFailedStartNamesAndKeepsItsLog(t *testing.T) {
	parent := t.TempDir()
	_, err := cluster.Start(t.Context(), cluster.Options{Name: "broken", Parent: parent, APIServerArgs: []string{"--no-such-flag"}})
	if err == nil {
		t.Fatal("a control plane with a wrong flag has started")
	}
	logs, _ := filepath.Glob(filepath.Join(parent, "broken-*", "kube-apiserver.log"))
	if len(logs) != 1 || !strings.Contains(err.Error(), logs[0]) || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("logs are %v; the error is %v", logs, err)
	}
	if data, _ := filepath.Glob(filepath.Join(parent, "broken-*", "*.key")); len(data) > 0 {
		t.Errorf("more than logs is left: %v", data)
	}
}

func TestStartAllStopsTheOthersWhenOneFails(t *testing.T) {
	parent := t.TempDir()
	clusters, err := cluster.StartAll(t.Context(),
		cluster.Options{Name: "good", Parent: parent},
		cluster.Options{Name: "broken", Parent: parent, APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || clusters != nil {
		t.Fatalf("got %v, error %v", clusters, err)
	}
	if left, _ := filepath.Glob(filepath.Join(parent, "good-*")); len(left) > 0 {
		t.Errorf("the cluster that started was not stopped: %v", left)
	}
}

func TestWrongOptionsSayWhatToWrite(t *testing.T) {
	for want, opts := range map[string]cluster.Options{
		"DNS label":          {Name: "No_Label"},
		"cluster.Aggregated": {Name: "form", Calico: "Aggregate"},
	} {
		if _, err := cluster.Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something with %q", err, want)
		}
	}
}

// client makes a typed client.
func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	made, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// eventually polls a condition for up to a minute.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal(fmt.Errorf("still after a minute: %w", err))
		}
	}
}
