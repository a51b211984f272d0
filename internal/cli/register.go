package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const registerExamples = `  # The cluster of the context "aws" becomes a member of the hub that is the current context
  kubectl mcn register --context aws --name aws --labels env=prod,cloud=aws --wait

  # See everything that would be written, and where; nothing is written
  kubectl mcn register --context aws --name aws --labels env=prod --dry-run

  # Only read the cluster, for its pods' addresses
  kubectl mcn register --context aws --name aws --role Source

  # The hub is itself a member
  kubectl mcn register --local --name hub --labels env=prod

  # Once more: a new token; of the rest only what a flag asks for, such as --labels, changes
  kubectl mcn register --context aws --name aws`

const registerLong = `On the member it writes a service account with the rights of config/member-rbac (for role Source without the right to change anything) and
asks for a token that expires; the operator renews it before that. On the hub it writes a Secret with a kubeconfig of that token, and a
MemberCluster. All is server-side applied with the field manager "kubectl-mcn", so that it can be run again at any time: it then
replaces the token, and keeps what you do not name.

It works with your own rights, through two contexts of your kubeconfig: --context is the member, --hub-context the hub. It needs, on the
member, the right to write namespaces, service accounts, roles and bindings and to ask for a token; on the hub the role membercluster-editor and
the right to write Secrets in the operator's namespace. It asks for all of that first.`

// registerOptions are the flags of register.
type registerOptions struct {
	genericiooptions.IOStreams
	flags *genericclioptions.ConfigFlags

	name, hubContext, namespace    string
	role, labels, deletionPolicy   string
	tier, serverForHub             string
	local, clusterID, dryRun, wait bool
	timeout, tokenLifetime         time.Duration
	roleGiven, policyGiven         bool
	labelSet                       map[string]string
}

// newRegister returns the command.
func newRegister(streams genericiooptions.IOStreams) *cobra.Command {
	o := &registerOptions{IOStreams: streams, flags: newConfigFlags()}
	c := &cobra.Command{
		Use: "register --name NAME --context MEMBER", Short: "Make a cluster a member, or renew its token",
		Example: registerExamples, Long: registerLong, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.roleGiven, o.policyGiven = c.Flags().Changed("role"), c.Flags().Changed("deletion-policy")
			if err := o.validate(); err != nil {
				return err
			}
			return failed(o.run(c.Context()))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "the `name` of the MemberCluster and of its Secret")
	f.StringVar(&o.hubContext, "hub-context", "", "the kubeconfig's `context` of the hub (default: the current context)")
	f.StringVarP(&o.namespace, "namespace", "n", mcnv1alpha1.DefaultNamespace, "the operator's `namespace` on the hub; the member's account is in one of this name")
	f.StringVar(&o.role, "role", string(mcnv1alpha1.RoleManaged), "Managed: policies are written there; Source: only read")
	f.StringVar(&o.labels, "labels", "", "labels of the MemberCluster, by which networks select it: `key=value,...`")
	f.StringVar(&o.deletionPolicy, "deletion-policy", string(mcnv1alpha1.DeletionDelete), "what becomes of the policies there when it is unregistered: Delete or Orphan")
	f.BoolVar(&o.clusterID, "cluster-id", false, "write the cluster's ID into spec.clusterID, where it can never be changed")
	f.BoolVar(&o.local, "local", false, "the member is the hub itself: the operator's own account there gets the rights, and no token is needed")
	f.StringVar(&o.tier, "tier", mcnv1alpha1.DefaultTier, "the operator's --tier: the account may write policies in this `tier` only")
	f.StringVar(&o.serverForHub, "server-for-hub", "", "the `URL` of the member's API server as the hub reaches it (default: that of the context)")
	f.DurationVar(&o.tokenLifetime, "token-lifetime", 30*24*time.Hour, "how long a token is good; the operator renews it when a third is left. The API server may allow less")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be written, without a token, and write nothing")
	f.BoolVar(&o.wait, "wait", false, "wait until the MemberCluster is Ready")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long --wait waits")
	o.flags.AddFlags(f)
	f.Lookup("context").Usage = "The kubeconfig's context of the member"
	completeBoth(c, o.flags, &o.hubContext)
	complete(c, "role", cobra.FixedCompletions([]string{string(mcnv1alpha1.RoleManaged), string(mcnv1alpha1.RoleSource)}, cobra.ShellCompDirectiveNoFileComp))
	complete(c, "deletion-policy", cobra.FixedCompletions([]string{string(mcnv1alpha1.DeletionDelete), string(mcnv1alpha1.DeletionOrphan)}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// validate checks what can be checked without a cluster.
func (o *registerOptions) validate() error {
	if err := validateName(o.name); err != nil {
		return err
	}
	switch {
	case *o.flags.Context == "" && !o.local:
		return usagef("which cluster? Name its context with --context (kubectl config get-contexts), or say --local for the hub itself")
	case *o.flags.Context != "" && o.local:
		return usagef("--local means the hub itself: leave out --context, and name the hub with --hub-context")
	case o.local && o.serverForHub != "":
		return usagef("--local needs no --server-for-hub: the operator uses its own way to the hub")
	case !slices.Contains([]string{string(mcnv1alpha1.RoleManaged), string(mcnv1alpha1.RoleSource)}, o.role):
		return usagef("--role %q: write Managed or Source", o.role)
	case !slices.Contains([]string{string(mcnv1alpha1.DeletionDelete), string(mcnv1alpha1.DeletionOrphan)}, o.deletionPolicy):
		return usagef("--deletion-policy %q: write Delete or Orphan", o.deletionPolicy)
	case o.tokenLifetime < minTokenLifetime:
		return usagef("--token-lifetime %s: write %s or more, which is what API servers ask", o.tokenLifetime, minTokenLifetime)
	case o.wait && o.timeout <= 0:
		return usagef("--timeout %s: write how long --wait waits, such as 2m", o.timeout)
	case o.dryRun && o.wait:
		return usagef("--dry-run writes nothing that --wait could wait for: leave one of them out")
	}
	for flag, value := range map[string]string{"tier": o.tier, "namespace": o.namespace} {
		if problems := validation.IsDNS1123Label(value); len(problems) > 0 {
			return usagef("--%s %q: %s", flag, value, problems[0])
		}
	}
	set, err := labels.ConvertSelectorToLabelsMap(o.labels)
	if err != nil {
		return usagef("--labels: write key=value,key=value: %w", err)
	}
	o.labelSet = set
	return nil
}

// validateName checks the name of a MemberCluster.
func validateName(name string) error {
	if name == "" {
		return usagef("the member has no name: give it with --name; networks and messages will call it so")
	}
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return usagef("--name %q: %s", name, problems[0])
	}
	return nil
}

// run registers.
func (o *registerOptions) run(ctx context.Context) error {
	hub, err := openSide(ctx, o.flags, hubSide, o.hubContext)
	if err != nil {
		return err
	}
	member := hub
	if !o.local {
		if member, err = openSide(ctx, o.flags, memberSide, *o.flags.Context); err != nil {
			return err
		}
	}
	existing, err := o.check(ctx, hub, member)
	if err != nil {
		return err
	}
	r := &registration{options: o, hub: hub, member: member, existing: existing}
	if err := r.compose(ctx); err != nil {
		return err
	}
	if o.dryRun {
		return r.print()
	}
	if err := r.mayWrite(ctx); err != nil {
		return err
	}
	if err := r.write(ctx); err != nil {
		return err
	}
	if !o.wait {
		fmt.Fprintf(o.ErrOut, "next: kubectl --context %s wait --for=condition=Ready membercluster/%s\n", hub.context, o.name)
		return nil
	}
	return waitReady(ctx, hub, o.name, o.timeout, o.ErrOut)
}

// registration is what one run writes.
type registration struct {
	options     *registerOptions
	hub, member *side
	// existing is the MemberCluster that is there; nil if there is none.
	existing *unstructured.Unstructured

	account account
	// onMember are the account's objects, cluster the MemberCluster. The Secret is made with the token.
	onMember []*unstructured.Unstructured
	cluster  *unstructured.Unstructured
}

// compose makes what is to be written, as far as it needs no token.
func (r *registration) compose(ctx context.Context) error {
	o := r.options
	var err error
	if r.cluster, err = o.memberCluster(r.existing, r.member.id); err != nil {
		return err
	}
	role, _, err := unstructured.NestedString(r.cluster.Object, "spec", "role")
	if err != nil {
		return err
	}
	r.account = newAccount(o.namespace, mcnv1alpha1.MemberRole(role), o.local, o.tier)
	if r.onMember, err = r.account.objects(); err != nil {
		return err
	}
	if r.onMember, err = r.member.withoutNamespace(ctx, r.onMember, o.namespace); err != nil || o.local {
		return err
	}
	// A kubeconfig that the operator would refuse is found before anything is written.
	if _, err = o.kubeconfig(r.member, r.account, placeholder); err != nil {
		return err
	}
	o.warnServer(r.member)
	return r.mayUseSecret(ctx)
}

// withoutNamespace leaves out the namespace if it is there: whoever made it may have written more into it than a name.
func (s *side) withoutNamespace(ctx context.Context, objects []*unstructured.Unstructured, name string) ([]*unstructured.Unstructured, error) {
	err := s.client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
	switch {
	case apierrors.IsNotFound(err):
		return objects, nil
	case err != nil:
		return nil, s.explain("reading the namespace "+name, err)
	}
	return slices.DeleteFunc(objects, func(object *unstructured.Unstructured) bool { return object.GetKind() == "Namespace" }), nil
}

// write writes everything, the member's side first: what the hub gets to know works.
func (r *registration) write(ctx context.Context) error {
	o := r.options
	for _, object := range r.onMember {
		if err := r.member.apply(ctx, object, true); err != nil {
			return r.member.explain("applying "+nameOf(object), err)
		}
		o.say(r.member, object, "applied")
	}
	if !o.local {
		if err := r.writeSecret(ctx); err != nil {
			return err
		}
	}
	if err := r.hub.apply(ctx, r.cluster, false); err != nil {
		return explainCluster(r.hub, r.cluster, err)
	}
	verb := "registered"
	if r.existing != nil {
		verb = "registered again"
	}
	o.say(r.hub, r.cluster, verb)
	return nil
}

// writeSecret asks for a token and writes the Secret with it.
func (r *registration) writeSecret(ctx context.Context) error {
	o := r.options
	token, expires, err := r.member.token(ctx, r.account, o.tokenLifetime)
	if err != nil {
		return err
	}
	kubeconfig, err := o.kubeconfig(r.member, r.account, token)
	if err != nil {
		return err
	}
	secret := o.secret(r.account, r.member.id)
	secret.Object["data"] = map[string]any{kubeconfigKey: encode(kubeconfig)}
	if err := r.hub.apply(ctx, secret, true); err != nil {
		return r.hub.explain("applying "+nameOf(secret)+", the operator's namespace", err)
	}
	o.say(r.hub, secret, "applied; its token is good until "+expires.UTC().Format(time.RFC3339)+", and the operator renews it before")
	return r.member.noteHub(ctx, r.account, r.hub.id, o.name)
}

// say prints what was done to an object.
func (o *registerOptions) say(at *side, object *unstructured.Unstructured, what string) {
	fmt.Fprintf(o.Out, "%s: %s %s\n", at.context, nameOf(object), what)
}

// mayWrite asks for all rights that write needs.
func (r *registration) mayWrite(ctx context.Context) error {
	var onMember []right
	for _, object := range r.onMember {
		needed, err := r.member.rightTo(object, "create", "patch")
		if err != nil {
			return err
		}
		onMember = append(onMember, needed)
	}
	onHub := []right{{
		verbs: []string{"create", "patch"}, group: mcnv1alpha1.GroupVersion.Group, resource: "memberclusters", name: r.options.name,
	}}
	if !r.options.local {
		onMember = append(onMember, right{
			verbs: []string{"create"}, resource: "serviceaccounts", subresource: "token", name: r.account.name, ns: r.account.namespace,
		})
		onHub = append(onHub, right{verbs: []string{"create", "patch"}, resource: "secrets", name: r.options.name, ns: r.options.namespace})
	}
	if err := r.member.demand(ctx, onMember); err != nil {
		return err
	}
	return r.hub.demand(ctx, onHub)
}

// print writes everything as YAML, each document with a comment that says where it goes.
func (r *registration) print() error {
	o := r.options
	for _, object := range r.onMember {
		if err := o.printObject(r.member, object, ""); err != nil {
			return err
		}
	}
	if !o.local {
		kubeconfig, err := o.kubeconfig(r.member, r.account, placeholder)
		if err != nil {
			return err
		}
		secret := o.secret(r.account, r.member.id)
		secret.Object["stringData"] = map[string]any{kubeconfigKey: string(kubeconfig)}
		comment := fmt.Sprintf("# The token comes from: kubectl --context %s -n %s create token %s --duration %s\n",
			r.member.context, r.account.namespace, r.account.name, o.tokenLifetime)
		if err := o.printObject(r.hub, secret, comment); err != nil {
			return err
		}
	}
	return o.printObject(r.hub, r.cluster, "")
}

// explainCluster explains why the MemberCluster was not taken: fields that somebody else wrote are theirs.
func explainCluster(hub *side, cluster *unstructured.Unstructured, err error) error {
	if owners := conflicts(err); owners != "" {
		return fmt.Errorf("context %s (hub): %s is also written by others, and stays as they wrote it: %s; change it there, or leave out the flag; the account and the Secret are in place",
			hub.context, nameOf(cluster), owners)
	}
	return hub.explain("applying "+nameOf(cluster), err)
}

// warn prints a warning.
func (o *registerOptions) warn(format string, args ...any) {
	fmt.Fprintf(o.ErrOut, "warning: "+strings.TrimSuffix(format, "\n")+"\n", args...)
}
