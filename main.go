// The operator: it runs on a hub cluster, compiles each MultiCloudNetwork for its member clusters, and keeps them so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/controllers"
	"multicloud.network/operator/internal/compile"
)

// name is the operator's: its lease, and what it calls itself to API servers.
const name = "multicloud-network-operator"

// flags are the command line.
type flags struct {
	namespace, tier, ownerID, excluded string
	tierOrder                          float64
	settle, barrier                    time.Duration
	metrics, probes                    string
	leaderElect, version               bool
	concurrency, maxResponse           int
	limits                             controllers.MemberLimits
	log                                zap.Options
	// rest is what stands behind the flags.
	rest []string
}

func main() {
	// calico-apiserver has no bookmarks at the end of a streamed list; client-go looks this up when it is first used.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		exit(err)
	}
	f := parse()
	if f.version {
		fmt.Println(version())
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&f.log)))
	if err := f.validate(); err != nil {
		exit(err)
	}
	if err := run(ctrl.SetupSignalHandler(), f); err != nil {
		exit(err)
	}
}

func exit(err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

func parse() flags {
	var f flags
	flag.StringVar(&f.namespace, "namespace", mcnv1alpha1.DefaultNamespace, "the hub's `namespace` with the members' Secrets")
	flag.StringVar(&f.tier, "tier", mcnv1alpha1.DefaultTier, "the Calico `tier` that holds all policies on the members")
	flag.Float64Var(&f.tierOrder, "tier-order", mcnv1alpha1.DefaultTierOrder, "that tier's order, between 100 (Calico's own tier) and 1000 (ClusterNetworkPolicy)")
	flag.StringVar(&f.ownerID, "owner-id", "", "the `ID` that marks what is ours on members; a rebuilt hub adopts with the old one (default: the UID of the hub's namespace kube-system)")
	flag.StringVar(&f.excluded, "excluded-namespaces", strings.Join(mcnv1alpha1.DefaultExcludedNamespaces(), ","),
		"`namespaces`, separated by commas, whose pods are never denied anything; the one of --namespace is added")
	flag.DurationVar(&f.settle, "settle", 2*time.Second, "how long Calico is given to take in what was written before the next phase")
	flag.DurationVar(&f.barrier, "barrier", 30*time.Second, "how long a phase waits for other members")
	flag.StringVar(&f.metrics, "metrics-bind-address", ":8080", "where metrics are served; 0 for nowhere")
	flag.StringVar(&f.probes, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served; 0 for nowhere")
	flag.BoolVar(&f.leaderElect, "leader-elect", false, "take part in leader election, for more than one replica (default false)")
	flag.IntVar(&f.concurrency, "concurrency", 4, "how many MemberClusters are reconciled at once")
	flag.IntVar(&f.maxResponse, "max-response", 256, "how many `MiB` one answer of a member may have, and all that is held of it, which bounds what a member can make the operator hold; a list of 50,000 pods has about 250")
	flag.Float64Var(&f.limits.WriteRate, "member-write-rate", 20, "how many writes a second one member gets at most; they are made one after the other")
	flag.IntVar(&f.limits.WriteBurst, "member-write-burst", 50, "how many writes one member gets without regard to --member-write-rate after it had none for a while")
	flag.IntVar(&f.limits.PauseAfter, "member-pause-after", 8, "after how many rounds in a row in which every call failed for the member's sake it is left alone for a while")
	flag.DurationVar(&f.limits.Pause, "member-pause", 2*time.Minute, "how long, about, such a member is left alone before each further try")
	flag.BoolVar(&f.version, "version", false, "print the version and exit (default false)")
	f.log.BindFlags(flag.CommandLine)
	flag.Parse()
	f.rest = flag.Args()
	return f
}

// validate says what is wrong with the flags that are not compile.Settings.
func (f *flags) validate() error {
	var problems []error
	if len(f.rest) > 0 {
		problems = append(problems, fmt.Errorf("%q is no flag, and flags after it are not read: write --flag=value, also for true and false", strings.Join(f.rest, " ")))
	}
	if f.settle < 0 {
		problems = append(problems, fmt.Errorf("--settle %s: write a duration of 0 or more, such as 2s", f.settle))
	}
	if f.barrier < 0 {
		problems = append(problems, fmt.Errorf("--barrier %s: write a duration of 0 or more, such as 30s", f.barrier))
	}
	if f.maxResponse < 1 {
		problems = append(problems, fmt.Errorf("--max-response %d: write 1 or more", f.maxResponse))
	}
	if !(f.limits.WriteRate > 0) { // so that NaN is refused
		problems = append(problems, fmt.Errorf("--member-write-rate %g: write a number above 0", f.limits.WriteRate))
	}
	if f.limits.WriteBurst < 1 {
		problems = append(problems, fmt.Errorf("--member-write-burst %d: write 1 or more", f.limits.WriteBurst))
	}
	if f.limits.PauseAfter < 1 {
		problems = append(problems, fmt.Errorf("--member-pause-after %d: write 1 or more", f.limits.PauseAfter))
	}
	if f.limits.Pause < time.Second {
		problems = append(problems, fmt.Errorf("--member-pause %s: write a duration of 1s or more", f.limits.Pause))
	}
	if f.concurrency < 1 {
		problems = append(problems, fmt.Errorf("--concurrency %d: write 1 or more", f.concurrency))
	}
	return errors.Join(problems...)
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return name + " unknown"
	}
	out := name + " " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out += " (" + s.Value + ")"
		}
	}
	return out + " " + info.GoVersion
}

func run(ctx context.Context, f flags) error {
	cfg, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no way to the hub: use --kubeconfig, or run in a cluster: %w", err)
	}
	cfg.UserAgent = name
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcnv1alpha1.AddToScheme, calicov3.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	settings, err := f.settings(ctx, cfg, scheme)
	if err != nil {
		return err
	}
	if err := settings.Validate(); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cache.Options{ByObject: controllers.HubCacheByObject(f.namespace)},
		Metrics:                       metricsserver.Options{BindAddress: f.metrics},
		HealthProbeBindAddress:        f.probes,
		LeaderElection:                f.leaderElect,
		LeaderElectionID:              name,
		LeaderElectionNamespace:       f.namespace,
		LeaderElectionReleaseOnCancel: true,
		Controller:                    config.Controller{GroupKindConcurrency: map[string]int{"MemberCluster." + mcnv1alpha1.GroupVersion.Group: f.concurrency}},
	})
	if err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	options := controllers.Options{
		Settings: settings, Namespace: f.namespace, Settle: f.settle, Barrier: f.barrier, MaxResponseBytes: int64(f.maxResponse) << 20, Limits: f.limits,
	}
	if err := controllers.Setup(mgr, options); err != nil {
		return err
	}
	mgr.GetLogger().Info("starting", "version", version(), "owner", settings.OwnerID, "tier", settings.Tier)
	return mgr.Start(ctx)
}

// settings are the flags that shape what is compiled; the owner ID is the hub's own ID unless it is given.
func (f *flags) settings(ctx context.Context, cfg *rest.Config, scheme *runtime.Scheme) (compile.Settings, error) {
	out := compile.Settings{OwnerID: f.ownerID, Tier: f.tier, TierOrder: f.tierOrder, ExcludedNamespaces: []string{f.namespace}}
	for ns := range strings.SplitSeq(f.excluded, ",") {
		if ns = strings.TrimSpace(ns); ns != "" {
			out.ExcludedNamespaces = append(out.ExcludedNamespaces, ns)
		}
	}
	if out.OwnerID != "" {
		return out, nil
	}
	hub, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return out, fmt.Errorf("no way to the hub %s: %w", cfg.Host, err)
	}
	var system corev1.Namespace
	if err := hub.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		return out, fmt.Errorf("reading the hub's namespace kube-system, whose UID is the owner ID (or give --owner-id): %w", err)
	}
	out.OwnerID = string(system.UID)
	return out, nil
}
