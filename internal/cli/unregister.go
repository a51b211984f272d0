package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
"kubectl mcn register" wrote is removed; an account that another hub uses stays, and so does the namespace. What is gone already is no
error, so that it can be run again.`

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

// registered is what is left of a registration.
type registered struct {
	cluster *unstructured.Unstructured
	secret  *corev1.Secret
	// id is the cluster's, as far as it is known.
	id string
	// local says that the member is the hub.
	local bool
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
	// The account first: as long as the Secret is there, it says whose account it is.
	if member != nil {
		if err := o.removeAccount(ctx, hub, member, found); err != nil {
			return err
		}
	}
	return o.removeSecret(ctx, hub, found)
}

// find reads what there is of the registration.
func (o *unregisterOptions) find(ctx context.Context, hub *side) (*registered, error) {
	out := &registered{}
	cluster := &unstructured.Unstructured{}
	cluster.SetGroupVersionKind(mcnv1alpha1.GroupVersion.WithKind("MemberCluster"))
	switch err := hub.client.Get(ctx, client.ObjectKey{Name: o.name}, cluster); {
	case err == nil:
		out.cluster, out.id = cluster, knownID(cluster)
		_, out.local, _ = unstructured.NestedMap(cluster.Object, "spec", "access", "local")
	case !apierrors.IsNotFound(err):
		return nil, hub.explain("reading membercluster/"+o.name, err)
	}
	secret := &corev1.Secret{}
	switch err := hub.client.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: o.name}, secret); {
	case err == nil && secret.Labels[managedByLabel] == mcnv1alpha1.PluginFieldManager:
		out.secret, out.id = secret, cmp.Or(out.id, secret.Annotations[mcnv1alpha1.ClusterIDAnnotation])
	case err == nil && out.cluster != nil && !out.local:
		fmt.Fprintf(o.ErrOut, "warning: Secret %s/%s was not written by kubectl mcn register, and stays\n", o.namespace, o.name)
	case err != nil && !apierrors.IsNotFound(err):
		return nil, hub.explain(fmt.Sprintf("reading Secret %s/%s", o.namespace, o.name), err)
	}
	if out.cluster == nil && out.secret == nil {
		return nil, fmt.Errorf("context %s (hub): nothing is registered as %s: see kubectl --context %s get memberclusters", hub.context, o.name, hub.context)
	}
	return out, nil
}

// openMember opens the member's side, if its account is to go; it makes sure that it is the cluster that was registered.
func (o *unregisterOptions) openMember(ctx context.Context, hub *side, found *registered) (*side, error) {
	switch {
	case o.keepMemberRBAC:
		return nil, nil
	case found.local:
		return hub, nil
	case *o.flags.Context == "":
		return nil, usagef("name the member's context with --context, so that the operator's account there can be removed, or say --keep-member-rbac")
	}
	member, err := openSide(ctx, o.flags, memberSide, *o.flags.Context)
	if err != nil {
		return nil, err
	}
	if found.id != "" && found.id != member.id {
		return nil, fmt.Errorf("context %s (member) is not the cluster that is registered as %s (ID %s, registered is %s): name the right one, or say --keep-member-rbac",
			member.context, o.name, member.id, found.id)
	}
	return member, nil
}

// removeAccount removes the operator's account on the member, unless another hub uses it.
func (o *unregisterOptions) removeAccount(ctx context.Context, hub, member *side, found *registered) error {
	a := account{name: localAccount, namespace: o.namespace, local: true}
	if !found.local {
		if found.secret == nil {
			return nil
		}
		namespace, name, ok := strings.Cut(found.secret.Annotations[mcnv1alpha1.RenewAnnotation], "/")
		if !ok || !slices.Contains([]string{managedAccount, sourceAccount}, name) {
			fmt.Fprintf(o.ErrOut, "warning: the Secret does not say which account is the operator's on %s; nothing is removed there\n", member.context)
			return nil
		}
		a = account{name: name, namespace: namespace}
		if others, err := o.release(ctx, hub, member, a); err != nil || others != "" {
			return err
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

// release takes this hub's note off the account, and returns which other hubs use it.
func (o *unregisterOptions) release(ctx context.Context, hub, member *side, a account) (others string, err error) {
	if err := member.noteHub(ctx, a, hub.id, ""); err != nil {
		return "", err
	}
	var owner corev1.ServiceAccount
	if err := member.client.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: a.name}, &owner); err != nil {
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "", member.explain("reading the service account "+a.reference(), err)
	}
	var hubs []string
	for key, name := range owner.Annotations {
		if id, ok := strings.CutPrefix(key, mcnv1alpha1.HubAnnotationPrefix); ok {
			hubs = append(hubs, id+" (there as "+name+")")
		}
	}
	if len(hubs) == 0 {
		return "", nil
	}
	slices.Sort(hubs)
	others = strings.Join(hubs, ", ")
	fmt.Fprintf(o.ErrOut, "%s: the account %s stays, because other hubs use it: %s\n", member.context, a.reference(), others)
	return others, nil
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
	fmt.Fprintf(o.Out, "%s: secret/%s deleted\n", hub.context, o.name)
	return nil
}
