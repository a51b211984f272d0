package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// check refuses what would register a cluster twice or under the name of another. It returns the MemberCluster that is there already, or nil.
func (o *registerOptions) check(ctx context.Context, hub, member *side) (*unstructured.Unstructured, error) {
	if !o.local && hub.id == member.id {
		return nil, fmt.Errorf("the contexts %s (hub) and %s (member) are the same cluster: say --local instead of --context to make the hub a member, or name the hub with --hub-context",
			hub.context, member.context)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(mcnv1alpha1.GroupVersion.WithKind("MemberClusterList"))
	if err := hub.client.List(ctx, list); err != nil {
		return nil, hub.explain("listing memberclusters", err)
	}
	var existing, other *unstructured.Unstructured
	for i := range list.Items {
		switch item := &list.Items[i]; {
		case item.GetName() == o.name:
			existing = item
		case knownID(item) == member.id:
			other = item
		}
	}
	if existing != nil {
		if err := o.checkExisting(existing, hub, member); err != nil {
			return nil, err
		}
	}
	if other != nil {
		return nil, fmt.Errorf("the cluster of context %s (ID %s) is registered as %s already: use --name %s, or first: kubectl mcn unregister --name %s --context %s",
			member.context, member.id, other.GetName(), other.GetName(), other.GetName(), member.context)
	}
	return existing, nil
}

// checkExisting refuses to change what a name stands for.
func (o *registerOptions) checkExisting(existing *unstructured.Unstructured, hub, member *side) error {
	remedy := fmt.Sprintf("choose another --name, or first run kubectl mcn unregister --name %s with the --context of the cluster that it stands for", o.name)
	if existing.GetDeletionTimestamp() != nil {
		return fmt.Errorf("%s is being removed: wait until it is gone (kubectl --context %s wait --for=delete membercluster/%s), and register then", o.name, hub.context, o.name)
	}
	_, local, _ := unstructured.NestedMap(existing.Object, "spec", "access", "local")
	if local != o.local {
		return fmt.Errorf("%s is registered with the other kind of access (local: %t): %s", o.name, local, remedy)
	}
	if id := knownID(existing); id != "" && id != member.id {
		return fmt.Errorf("the name %s belongs to another cluster (ID %s; context %s has %s): %s", o.name, id, member.context, member.id, remedy)
	}
	secret, _, _ := unstructured.NestedString(existing.Object, "spec", "access", "kubeconfig", "secretRef", "name")
	key, _, _ := unstructured.NestedString(existing.Object, "spec", "access", "kubeconfig", "secretRef", "key")
	if !local && (secret != o.name || key != kubeconfigKey) {
		return fmt.Errorf("%s takes its kubeconfig from the key %s of Secret %s, which this command does not write: set spec.access.kubeconfig.secretRef to {name: %s}, and run this again",
			o.name, key, secret, o.name)
	}
	return nil
}

// knownID is the ID of the cluster that a MemberCluster stands for, as far as anybody has said it.
func knownID(cluster *unstructured.Unstructured) string {
	spec, _, _ := unstructured.NestedString(cluster.Object, "spec", "clusterID")
	status, _, _ := unstructured.NestedString(cluster.Object, "status", "clusterID")
	return cmp.Or(spec, status, cluster.GetAnnotations()[mcnv1alpha1.ClusterIDAnnotation])
}

// mayUseSecret refuses to take over a Secret that is for something else, and takes from it what an earlier run was told.
func (r *registration) mayUseSecret(ctx context.Context) error {
	o := r.options
	var secret corev1.Secret
	err := r.hub.client.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: o.name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return r.hub.explain(fmt.Sprintf("reading Secret %s/%s", o.namespace, o.name), err)
	case secret.DeletionTimestamp != nil:
		return fmt.Errorf("the hub's Secret %s/%s is being deleted, and is held only until the operator lets go of it: wait until it is gone, and run this again",
			o.namespace, o.name)
	case r.existing == nil && secret.Labels[managedByLabel] != mcnv1alpha1.PluginFieldManager:
		return fmt.Errorf("the hub has a Secret %s/%s that this command did not write: choose another --name, or delete that Secret if it is of no use", o.namespace, o.name)
	}
	if id := secret.Annotations[mcnv1alpha1.ClusterIDAnnotation]; r.existing == nil && id != "" && id != r.member.id {
		return fmt.Errorf("the hub's Secret %s/%s is left of another cluster (ID %s; context %s has %s): choose another --name, or first run kubectl mcn unregister --name %s with the --context of that cluster, or with --keep-member-rbac if it is gone",
			o.namespace, o.name, id, r.member.context, r.member.id, o.name)
	}
	if namespace, name, ok := strings.Cut(secret.Annotations[mcnv1alpha1.RenewAnnotation], "/"); ok && slices.Contains([]string{managedAccount, sourceAccount}, name) {
		r.before = account{name: name, namespace: namespace}
	}
	if server := secret.Annotations[mcnv1alpha1.ServerForHubAnnotation]; server != "" && o.serverForHub == "" {
		o.serverForHub = server
		fmt.Fprintf(o.ErrOut, "%s is registered with --server-for-hub %s, which stays\n", o.name, server)
	}
	return nil
}

// conflicts names the fields of a failed apply that others own; "" if the failure is another one.
func conflicts(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	var out []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			out = append(out, cause.Field+" ("+cause.Message+")")
		}
	}
	return strings.Join(out, ", ")
}
