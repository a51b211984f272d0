package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// registration is what one run writes.
type registration struct {
	options     *registerOptions
	hub, member *side
	// existing is the MemberCluster that is there; nil if there is none.
	existing *unstructured.Unstructured

	account account
	// before is the account whose token the Secret has now; without a name if there is none.
	before account
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
	if !o.tierGiven {
		if tier := r.member.tierOf(ctx, r.account); tier != "" {
			r.account.tier = tier
		}
	}
	if r.onMember, err = r.account.objects(); err != nil {
		return err
	}
	if r.onMember, err = r.member.withoutNamespace(ctx, r.onMember, o.namespace); err != nil || o.local {
		return err
	}
	if err := r.mayUseSecret(ctx); err != nil {
		return err
	}
	// A kubeconfig that the operator would refuse is found before anything is written.
	if _, err = o.kubeconfig(r.member, r.account, placeholder); err != nil {
		return err
	}
	o.warnServer(r.member)
	return nil
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
		return explainCluster(r.hub, r.cluster, err, "; the account and the Secret are in place")
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
	secret, err := r.secret(token)
	if err != nil {
		return err
	}
	if err := r.hub.apply(ctx, secret, true); err != nil {
		return r.hub.explain("applying "+nameOf(secret)+", the operator's namespace", err)
	}
	o.say(r.hub, secret, "applied; its token is good until "+expires.UTC().Format(time.RFC3339)+", and the operator renews it before")
	return r.member.noteHub(ctx, r.account, r.hub.id, o.name)
}

// secret is the Secret with the kubeconfig of a token.
func (r *registration) secret(token string) (*unstructured.Unstructured, error) {
	kubeconfig, err := r.options.kubeconfig(r.member, r.account, token)
	if err != nil {
		return nil, err
	}
	secret := r.options.secret(r.account, r.member.id)
	secret.Object["data"] = map[string]any{kubeconfigKey: encode(kubeconfig)}
	return secret, nil
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

// explainCluster explains why the MemberCluster was not taken: fields that somebody else wrote are theirs. The note says what was written before.
func explainCluster(hub *side, cluster *unstructured.Unstructured, err error, note string) error {
	if owners := conflicts(err); owners != "" {
		return fmt.Errorf("context %s (hub): %s is also written by others, and stays as they wrote it: %s; change it there, or leave out the flag%s",
			hub.context, nameOf(cluster), owners, note)
	}
	return hub.explain("applying "+nameOf(cluster), err, note)
}

// warn prints a warning.
func (o *registerOptions) warn(format string, args ...any) {
	fmt.Fprintf(o.ErrOut, "warning: "+strings.TrimSuffix(format, "\n")+"\n", args...)
}
