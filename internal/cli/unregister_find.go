package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// registered is what is left of a registration.
type registered struct {
	cluster *unstructured.Unstructured
	secret  *corev1.Secret
	// id is the cluster's, as far as it is known.
	id string
	// local says that the member is the hub.
	local bool
	// accounts are the operator's on the member.
	accounts []account
}

// nothing says that there is nothing to remove.
func (r *registered) nothing() bool {
	return r.cluster == nil && r.secret == nil && len(r.accounts) == 0
}

// find reads what there is of the registration on the hub.
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
	case err == nil && !out.local:
		fmt.Fprintf(o.ErrOut, "warning: Secret %s/%s was not written by kubectl mcn register, and stays\n", o.namespace, o.name)
	case err != nil && !apierrors.IsNotFound(err):
		return nil, hub.explain(fmt.Sprintf("reading Secret %s/%s", o.namespace, o.name), err)
	}
	return out, nil
}

// openMember opens the member's side, if its account is to go; it makes sure that it is the cluster that was registered. Without anything on the hub it opens
// what --context names, if anything.
func (o *unregisterOptions) openMember(ctx context.Context, hub *side, found *registered) (*side, error) {
	switch {
	case o.keepMemberRBAC:
		return nil, nil
	case found.local:
		return hub, nil
	case *o.flags.Context == "" && found.nothing():
		return nil, nil
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

// findAccounts looks on the member for the accounts that this hub uses there under the name: that of the Secret, one that a former role had, and those
// whose MemberCluster and Secret are gone. An account is known by the hub's note on it.
func (o *unregisterOptions) findAccounts(ctx context.Context, hub, member *side, found *registered) error {
	if member == nil {
		return nil
	}
	if found.local || member.id == hub.id {
		return o.findLocalAccount(ctx, hub, found)
	}
	var named account
	if found.secret != nil {
		namespace, name, ok := strings.Cut(found.secret.Annotations[mcnv1alpha1.RenewAnnotation], "/")
		if ok && slices.Contains([]string{managedAccount, sourceAccount}, name) {
			named = account{name: name, namespace: namespace}
		} else {
			fmt.Fprintf(o.ErrOut, "warning: the Secret does not say which account is the operator's on %s\n", member.context)
		}
	}
	for _, a := range []account{{name: managedAccount}, {name: sourceAccount}} {
		a.namespace = cmp.Or(named.namespace, o.namespace)
		owner, err := member.serviceAccount(ctx, a)
		if err != nil {
			return err
		}
		as := ""
		if owner != nil {
			as, _ = hubsOf(owner.Annotations, hub.id)
		}
		switch {
		case as != "" && as != o.name:
			if a.name == named.name {
				fmt.Fprintf(o.ErrOut, "%s: the account %s stays, because this hub uses it for %s\n", member.context, a.reference(), as)
			}
		case as == o.name || a.name == named.name:
			found.accounts = append(found.accounts, a)
		}
	}
	return nil
}

// findLocalAccount finds the rights that the operator's own account has as a member. After the MemberCluster is gone, those that register wrote are left over
// if no other MemberCluster stands for the hub itself.
func (o *unregisterOptions) findLocalAccount(ctx context.Context, hub *side, found *registered) error {
	a := account{name: localAccount, namespace: o.namespace, local: true}
	if found.local {
		found.accounts = append(found.accounts, a)
		return nil
	}
	if !found.nothing() {
		return nil
	}
	var clusters mcnv1alpha1.MemberClusterList
	if err := hub.client.List(ctx, &clusters); err != nil {
		return hub.explain("listing memberclusters", err)
	}
	for i := range clusters.Items {
		if clusters.Items[i].Spec.Access.Local != nil {
			return nil
		}
	}
	var binding rbacv1.ClusterRoleBinding
	err := hub.client.Get(ctx, client.ObjectKey{Name: a.name}, &binding)
	if err != nil && !apierrors.IsNotFound(err) {
		return hub.explain("reading clusterrolebinding/"+a.name, err)
	}
	byRegister := func(entry metav1.ManagedFieldsEntry) bool { return entry.Manager == mcnv1alpha1.PluginFieldManager }
	if err == nil && slices.ContainsFunc(binding.ManagedFields, byRegister) {
		found.accounts = append(found.accounts, a)
	}
	return nil
}

// nothingFound says where was looked, and where one might look.
func (o *unregisterOptions) nothingFound(hub, member *side) error {
	where := fmt.Sprintf("it has neither membercluster/%s nor a Secret %s/%s of kubectl mcn register", o.name, o.namespace, o.name)
	if member == nil {
		return fmt.Errorf("context %s (hub): nothing is registered as %s: %s; see kubectl --context %s get memberclusters, and name the cluster with --context if its account may be left there",
			hub.context, o.name, where, hub.context)
	}
	return fmt.Errorf("context %s (hub): nothing is registered as %s: %s, and the cluster of context %s has no account that this hub uses under that name; see kubectl --context %s get memberclusters",
		hub.context, o.name, where, member.context, hub.context)
}

// tell prints what was found.
func (o *unregisterOptions) tell(hub, member *side, found *registered) {
	if found.cluster == nil {
		fmt.Fprintf(o.ErrOut, "found: %s has no membercluster/%s any more; what is left of it:\n", hub.context, o.name)
	} else {
		fmt.Fprintf(o.ErrOut, "found: %s: %s\n", hub.context, nameOf(found.cluster))
	}
	if found.secret != nil {
		fmt.Fprintf(o.ErrOut, "found: %s: secret/%s in %s\n", hub.context, o.name, o.namespace)
	}
	for _, a := range found.accounts {
		if a.local {
			fmt.Fprintf(o.ErrOut, "found: %s: the rights that the operator's account has there as a member (%s)\n", member.context, a.name)
			continue
		}
		fmt.Fprintf(o.ErrOut, "found: %s: the account %s\n", member.context, a.reference())
	}
}

// hubsOf reads the notes of hubs on an account: the name under which this hub uses it, and which others do.
func hubsOf(annotations map[string]string, hubID string) (name, others string) {
	var hubs []string
	for key, as := range annotations {
		switch id, ok := strings.CutPrefix(key, mcnv1alpha1.HubAnnotationPrefix); {
		case !ok:
		case id == hubID:
			name = as
		default:
			hubs = append(hubs, id+" (there as "+as+")")
		}
	}
	slices.Sort(hubs)
	return name, strings.Join(hubs, ", ")
}

// serviceAccount reads an account on the member; nil if it is not there.
func (s *side) serviceAccount(ctx context.Context, a account) (*corev1.ServiceAccount, error) {
	out := &corev1.ServiceAccount{}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: a.name}, out)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain("reading the service account "+a.reference(), err)
	}
	return out, nil
}
