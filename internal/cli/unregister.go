package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const unregisterExamples = `  # Remove what the operator wrote to the member, then the MemberCluster, its Secret, and the operator's account on the member
  kubectl mcn unregister --name aws --context aws

  # Leave the account on the member, for example because you have no access to that cluster
  kubectl mcn unregister --name aws --keep-member-rbac`

const unregisterLong = `The operator cleans the member while the MemberCluster is being deleted, unless its deletionPolicy is Orphan; a member that it cannot reach holds up
nobody and keeps what it has. The Secret and the account go only after that, because the cleaning needs them. Only what
"kubectl mcn register" wrote is removed; an account that another hub uses stays, and so does the namespace. It prints what it found, and what
it removed.

What is gone already is no error, so that it can be run again, also after "kubectl delete membercluster", which leaves the Secret and the account:
the account is known by the Secret, and by the note on it of the hub that uses it, and under which name.`

// unregisterOptions are the flags of unregister.
type unregisterOptions struct {
	genericiooptions.IOStreams
	flags *genericclioptions.ConfigFlags

	name, hubContext, namespace string
	wait, keepMemberRBAC        bool
	timeout                     time.Duration
}

// newUnregister returns the command.
func newUnregister(streams genericiooptions.IOStreams) *cobra.Command {
	o := &unregisterOptions{IOStreams: streams, flags: newConfigFlags()}
	c := &cobra.Command{
		Use: "unregister --name NAME {--context MEMBER | --keep-member-rbac}", Short: "Take a member out of the fleet, and remove what was written for it",
		Example: unregisterExamples, Long: unregisterLong, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := validateName(o.name); err != nil {
				return err
			}
			if o.wait && o.timeout <= 0 {
				return usagef("--timeout %s: write how long --wait waits, such as 2m", o.timeout)
			}
			return failed(o.run(c.Context()))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "the `name` of the MemberCluster")
	f.StringVar(&o.hubContext, "hub-context", "", "the kubeconfig's `context` of the hub (default: the current context)")
	f.StringVarP(&o.namespace, "namespace", "n", mcnv1alpha1.DefaultNamespace, "the operator's `namespace` on the hub")
	f.BoolVar(&o.wait, "wait", true, "wait until the member is cleaned; without, the Secret and the account stay until this is run again")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long --wait waits")
	f.BoolVar(&o.keepMemberRBAC, "keep-member-rbac", false, "leave the operator's account on the member as it is")
	o.flags.AddFlags(f)
	f.Lookup("context").Usage = "The kubeconfig's context of the member; not needed for the hub itself"
	completeBoth(c, o.flags, &o.hubContext)
	return c
}

// run unregisters.
func (o *unregisterOptions) run(ctx context.Context) error {
	hub, err := openSide(ctx, o.flags, hubSide, o.hubContext)
	if err != nil {
		return err
	}
	found, err := o.find(ctx, hub)
	if err != nil {
		return err
	}
	member, err := o.openMember(ctx, hub, found)
	if err != nil {
		return err
	}
	if err := o.findAccounts(ctx, hub, member, found); err != nil {
		return err
	}
	if found.nothing() {
		return o.nothingFound(hub, member)
	}
	o.tell(hub, member, found)
	if found.cluster != nil {
		if err := hub.client.Delete(ctx, found.cluster); client.IgnoreNotFound(err) != nil {
			return hub.explain("deleting "+nameOf(found.cluster), err)
		}
		if !o.wait {
			fmt.Fprintf(o.Out, "%s: %s is being deleted\n", hub.context, nameOf(found.cluster))
			fmt.Fprintf(o.ErrOut, "next: run this again without --wait=false, for the Secret and the account\n")
			return nil
		}
		if err := waitGone(ctx, hub, o.name, o.timeout); err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "%s: %s deleted\n", hub.context, nameOf(found.cluster))
	}
	// The accounts first: as long as the Secret is there, it says whose they are.
	for _, a := range found.accounts {
		if err := o.removeAccount(ctx, hub, member, a); err != nil {
			return err
		}
	}
	return o.removeSecret(ctx, hub, found)
}

// removeAccount removes one of the operator's accounts on the member, unless somebody else uses it.
func (o *unregisterOptions) removeAccount(ctx context.Context, hub, member *side, a account) error {
	if !a.local {
		owner, err := member.serviceAccount(ctx, a)
		if err != nil {
			return err
		}
		if owner != nil {
			if _, others := hubsOf(owner.Annotations, hub.id); others != "" {
				fmt.Fprintf(o.ErrOut, "%s: the account %s stays, because other hubs use it: %s\n", member.context, a.reference(), others)
				return member.noteHub(ctx, a, hub.id, "")
			}
		}
	}
	objects, err := a.objects()
	if err != nil {
		return err
	}
	slices.Reverse(objects)
	var failures []error
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			continue
		}
		switch err := member.client.Delete(ctx, object); {
		case err == nil:
			fmt.Fprintf(o.Out, "%s: %s deleted\n", member.context, nameOf(object))
		case !apierrors.IsNotFound(err):
			failures = append(failures, member.explain("deleting "+nameOf(object), err))
		}
	}
	return errors.Join(failures...)
}

// removeSecret removes the Secret that register wrote.
func (o *unregisterOptions) removeSecret(ctx context.Context, hub *side, found *registered) error {
	if found.secret == nil {
		return nil
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.name}}
	// Only the one that was looked at: a registration that began meanwhile keeps its own.
	same := client.Preconditions{UID: &found.secret.UID}
	if err := hub.client.Delete(ctx, secret, same); client.IgnoreNotFound(err) != nil {
		return hub.explain(fmt.Sprintf("deleting Secret %s/%s", o.namespace, o.name), err)
	}
	fmt.Fprintf(o.Out, "%s: secret/%s in %s deleted\n", hub.context, o.name, o.namespace)
	return nil
}
