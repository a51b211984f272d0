// Package operator runs the operator for tests as it runs in production: wired as main wires it, or as the program itself, and always with the rights
// of its service account on the hub.
package operator

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/controllers"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// Options change what Run would do; the zero value is what main's flags say, with short pauses.
type Options struct {
	// Options are handed to the controllers. An empty OwnerID, Tier, Namespace, Settle or Barrier gets its default.
	controllers.Options
	// Log gets what the operator says; default: the test's log.
	Log *logr.Logger
}

// Scheme knows everything that the operator reads and writes.
func Scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	out := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcnv1alpha1.AddToScheme, calicov3.AddToScheme} {
		if err := add(out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Admin returns a client of a cluster's administrator, for what the test itself does there.
func Admin(t testing.TB, c *cluster.Cluster) client.Client {
	t.Helper()
	out, err := client.New(c.RESTConfig(), client.Options{Scheme: Scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Run runs the operator in this process, as its service account on a hub on which access.InstallHub was called, and returns what stops it and waits for
// its end. The test's end stops it too.
func Run(t testing.TB, hub *cluster.Cluster, opts Options) (stop func()) {
	t.Helper()
	log := testr.NewWithInterface(t, testr.Options{})
	if opts.Log != nil {
		log = *opts.Log
	}
	complete(t, hub, &opts.Options)
	never := false
	mgr, err := ctrl.NewManager(access.Operator(t, hub), ctrl.Options{
		Scheme: Scheme(t), Logger: log,
		Cache:   cache.Options{ByObject: controllers.HubCacheByObject(opts.Namespace)},
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true), RecoverPanic: &never},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := controllers.Setup(mgr, opts.Options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the operator ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// complete fills in what main's flags default to.
func complete(t testing.TB, hub *cluster.Cluster, opts *controllers.Options) {
	t.Helper()
	if opts.Namespace == "" {
		opts.Namespace = access.Namespace
	}
	if opts.Settings.OwnerID == "" {
		var system corev1.Namespace
		if err := Admin(t, hub).Get(context.Background(), client.ObjectKey{Name: "kube-system"}, &system); err != nil {
			t.Fatal(err)
		}
		opts.Settings.OwnerID = string(system.UID)
	}
	if opts.Settings.Tier == "" {
		opts.Settings = compile.Settings{
			OwnerID: opts.Settings.OwnerID, Tier: mcnv1alpha1.DefaultTier, TierOrder: mcnv1alpha1.DefaultTierOrder,
			ExcludedNamespaces: append(mcnv1alpha1.DefaultExcludedNamespaces(), opts.Namespace),
		}
	}
	if opts.Settle == 0 {
		opts.Settle = 50 * time.Millisecond
	}
	if opts.Barrier == 0 {
		opts.Barrier = 5 * time.Second
	}
}

// Register makes a member known to the hub as a user does: a Secret with the kubeconfig of the account that config/member-rbac makes, and a MemberCluster,
// which change may complete.
func Register(t testing.TB, hub, member *cluster.Cluster, name string, change ...func(*mcnv1alpha1.MemberCluster)) {
	t.Helper()
	object := &mcnv1alpha1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"name": name}},
		Spec: mcnv1alpha1.MemberClusterSpec{
			Access: mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{SecretRef: mcnv1alpha1.SecretKeyReference{Name: name, Key: "kubeconfig"}}},
		},
	}
	for _, c := range change {
		c(object)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: access.Namespace, Name: name}, Data: map[string][]byte{"kubeconfig": access.MemberKubeconfig(t, member)},
	}
	admin := Admin(t, hub)
	for _, o := range []client.Object{secret, object} {
		if err := admin.Create(context.Background(), o); err != nil {
			t.Fatalf("registering member %s: %v", name, err)
		}
	}
}
