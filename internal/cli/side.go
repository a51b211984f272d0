package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// The two sides of a registration.
const (
	hubSide    = "hub"
	memberSide = "member"
)

// requestTimeout bounds a request of a person who did not say --request-timeout.
const requestTimeout = 30 * time.Second

// side is one of the two clusters that a command works on, as a context of the kubeconfig reaches it.
type side struct {
	// what is "hub" or "member".
	what string
	// context is the kubeconfig's context.
	context string
	// cluster and config are the kubeconfig's entry and the client configuration.
	cluster *api.Cluster
	config  *rest.Config
	client  client.Client
	// id is the UID of the namespace kube-system.
	id string
}

// newConfigFlags returns kubectl's flags, without those that would mean one of the two clusters only, and without saying which.
func newConfigFlags() *genericclioptions.ConfigFlags {
	all := genericclioptions.NewConfigFlags(false)
	return forContext(all, all.Context)
}

// forContext returns flags that share all values but the context.
func forContext(flags *genericclioptions.ConfigFlags, name *string) *genericclioptions.ConfigFlags {
	return &genericclioptions.ConfigFlags{
		KubeConfig: flags.KubeConfig, Context: name, Timeout: flags.Timeout,
		Impersonate: flags.Impersonate, ImpersonateUID: flags.ImpersonateUID, ImpersonateGroup: flags.ImpersonateGroup,
	}
}

// openSide makes the client for a context; "" is the current one. It asks the cluster for its ID.
func openSide(ctx context.Context, flags *genericclioptions.ConfigFlags, what, name string) (*side, error) {
	loader := forContext(flags, &name).ToRawKubeConfigLoader()
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if name == "" {
		name = raw.CurrentContext
	}
	entry := raw.Contexts[name]
	if entry == nil || raw.Clusters[entry.Cluster] == nil {
		return nil, noContext(raw, what, name)
	}
	if flags.Timeout != nil {
		if _, err := clientcmd.ParseTimeout(*flags.Timeout); err != nil {
			return nil, usagef("--request-timeout %q: write a duration, such as 30s", *flags.Timeout)
		}
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %s (%s): %w", name, what, err)
	}
	config.UserAgent = mcnv1alpha1.PluginFieldManager
	config.QPS = -1
	if config.Timeout == 0 {
		config.Timeout = requestTimeout
	}
	// A deprecated or unusual field is for the one who wrote it; it is not this command's to tell.
	config.WarningHandler = rest.NoWarnings{}
	s := &side{what: what, context: name, cluster: raw.Clusters[entry.Cluster], config: config}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcnv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	if s.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, s.explain("connecting", err)
	}
	return s, s.identify(ctx)
}

// noContext says that a context is not there, and which are.
func noContext(raw api.Config, what, name string) error {
	flag := map[string]string{hubSide: "--hub-context", memberSide: "--context"}[what]
	there := strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
	switch {
	case there == "":
		return usagef("the kubeconfig has no contexts: set KUBECONFIG or --kubeconfig to one that has the hub and the member")
	case name == "":
		return usagef("the kubeconfig has no current context: name the %s with %s (there are: %s)", what, flag, there)
	default:
		return usagef("the kubeconfig has no context %q: name the %s with %s (there are: %s)", name, what, flag, there)
	}
}

// identify reads the cluster's ID.
func (s *side) identify(ctx context.Context) error {
	var system corev1.Namespace
	if err := s.client.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		return s.explain("reading the namespace kube-system, whose UID is the cluster's ID", err)
	}
	s.id = string(system.UID)
	return nil
}

// explain says what was tried, where, what came of it, and what to do. The notes follow.
func (s *side) explain(doing string, err error, notes ...string) error {
	at := fmt.Sprintf("context %s (%s): %s", s.context, s.what, doing)
	if len(notes) > 0 {
		err = fmt.Errorf("%w%s", err, strings.Join(notes, ""))
	}
	switch {
	case meta.IsNoMatchError(err) && s.what == hubSide:
		return fmt.Errorf("%s: the operator's kinds are not installed there: kubectl --context %s apply --server-side -k config/default, or give another --hub-context: %w", at, s.context, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: it is forbidden to you; ask for the right, or use a context that has it: %w", at, err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s: the API server does not know you; log in again, or use another context: %w", at, err)
	default:
		return fmt.Errorf("%s: %w", at, err)
	}
}

// apply server-side applies an object, and puts the API server's answer into it. With force it takes over fields that others wrote.
func (s *side) apply(ctx context.Context, object *unstructured.Unstructured, force bool, more ...client.ApplyOption) error {
	options := append([]client.ApplyOption{client.FieldOwner(mcnv1alpha1.PluginFieldManager)}, more...)
	if force {
		options = append(options, client.ForceOwnership)
	}
	return s.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
}

// nameOf is how kubectl names an object in its output, with the namespace.
func nameOf(object *unstructured.Unstructured) string {
	kind := strings.ToLower(object.GetKind())
	if group := object.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	if namespace := object.GetNamespace(); namespace != "" {
		return kind + "/" + object.GetName() + " in " + namespace
	}
	return kind + "/" + object.GetName()
}
