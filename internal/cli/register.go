package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

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
the right to write Secrets in the operator's namespace. It asks for all of that first, and sends everything as a server-side dry run, so that what is
refused changes nothing. Before it writes it says which networks begin or cease to select the cluster.`

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
	tierGiven                      bool
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
			o.tierGiven = c.Flags().Changed("tier")
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
	f.StringVar(&o.role, "role", string(mcnv1alpha1.RoleManaged), "Managed: policies are written there; Source: only read. A role that is registered stays without this flag")
	f.StringVar(&o.labels, "labels", "", "labels of the MemberCluster to add or change, by which networks select it: `key=value,...`")
	f.StringVar(&o.deletionPolicy, "deletion-policy", string(mcnv1alpha1.DeletionDelete), "what becomes of the policies there when it is unregistered: Delete or Orphan. What is registered stays without this flag")
	f.BoolVar(&o.clusterID, "cluster-id", false, "write the cluster's ID into spec.clusterID, where it can never be changed")
	f.BoolVar(&o.local, "local", false, "the member is the hub itself: the operator's own account there gets the rights, and no token is needed")
	f.StringVar(&o.tier, "tier", mcnv1alpha1.DefaultTier, "the operator's --tier: the account may write policies in this `tier` only. What is registered stays without this flag")
	f.StringVar(&o.serverForHub, "server-for-hub", "", "the `URL` of the member's API server as the hub reaches it (default: what is registered, else that of the context)")
	f.DurationVar(&o.tokenLifetime, "token-lifetime", 30*24*time.Hour, "how long a token is good; the operator renews it when a third is left. The API server may allow less")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be written, without a token, and what that would change, and write nothing")
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
		return r.show(ctx)
	}
	if err := r.mayWrite(ctx); err != nil {
		return err
	}
	if err := r.rehearse(ctx); err != nil {
		return err
	}
	if err := r.tell(ctx); err != nil {
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
