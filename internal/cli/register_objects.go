package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
)

const (
	// kubeconfigKey is the key of the Secret.
	kubeconfigKey = mcnv1alpha1.DefaultKubeconfigKey
	// managedByLabel is on the Secrets that this command writes.
	managedByLabel = "app.kubernetes.io/managed-by"
	// placeholder stands where the token would.
	placeholder = "REPLACE-WITH-THE-TOKEN"
	// minTokenLifetime is the shortest that API servers grant.
	minTokenLifetime = 10 * time.Minute
)

// reference is how the Secret names the account.
func (a account) reference() string { return a.namespace + "/" + a.name }

// token asks the member for a token of the account, and returns it with the time of its end, which the API server may have brought forward.
func (s *side) token(ctx context.Context, a account, lifetime time.Duration) (token string, expires time.Time, err error) {
	seconds := int64(lifetime.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: a.name}}
	if err := s.client.SubResource("token").Create(ctx, owner, request); err != nil {
		return "", time.Time{}, s.explain("asking for a token of the service account "+a.reference(), err)
	}
	return request.Status.Token, request.Status.ExpirationTimestamp.Time, nil
}

// kubeconfig is what the operator gets to reach the member. It is vetted here as the operator will vet it.
func (o *registerOptions) kubeconfig(member *side, a account, token string) ([]byte, error) {
	server := o.serverForHub
	if server == "" {
		server = member.cluster.Server
	}
	if u, err := url.Parse(server); err != nil || u.Scheme != "https" {
		return nil, fmt.Errorf("context %s (member): its server is not https://..., and the operator uses no other: give --server-for-hub https://HOST:PORT", member.context)
	}
	ca := member.cluster.CertificateAuthorityData
	if file := member.cluster.CertificateAuthority; len(ca) == 0 && file != "" {
		var err error
		if ca, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("context %s (member): reading its certificate-authority: %w", member.context, err)
		}
	}
	if len(ca) == 0 {
		return nil, fmt.Errorf("context %s (member): the kubeconfig has no certificate authority for %s, and the operator skips no verification: add certificate-authority-data to that cluster (kubectl config set-cluster %s --certificate-authority=FILE --embed-certs)",
			member.context, server, member.context)
	}
	cluster := map[string]any{"server": server, "certificate-authority-data": encode(ca)}
	if name := member.cluster.TLSServerName; name != "" {
		cluster["tls-server-name"] = name
	}
	content, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "member",
		"contexts": []any{map[string]any{"name": "member", "context": map[string]any{"cluster": "member", "user": a.name}}},
		"clusters": []any{map[string]any{"name": "member", "cluster": cluster}},
		"users":    []any{map[string]any{"name": a.name, "user": map[string]any{"token": token}}},
	})
	if err != nil {
		return nil, err
	}
	if _, err := fleet.Vet(content); err != nil {
		return nil, fmt.Errorf("context %s (member): the operator would not take this cluster's %w", member.context, err)
	}
	return content, nil
}

// warnServer warns of a server that means another machine to the operator than to the one who registers it.
func (o *registerOptions) warnServer(member *side) {
	if o.serverForHub != "" {
		return
	}
	server := member.cluster.Server
	if u, err := url.Parse(server); err == nil {
		address, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() == "localhost" || (err == nil && address.Unmap().IsLoopback()) {
			o.warn("the operator will look for %s at %s, which is the machine that it runs on itself: that is right if the operator is a program on this machine, as in the demo; otherwise, also if it is a pod, give --server-for-hub https://HOST:PORT with an address that it can reach",
				o.name, server)
		}
	}
	if member.cluster.ProxyURL != "" {
		o.warn("context %s uses a proxy, which the operator does not: give --server-for-hub if the hub cannot reach %s", member.context, server)
	}
}

// secret is the Secret without its content.
func (o *registerOptions) secret(a account, clusterID string) *unstructured.Unstructured {
	secret := &unstructured.Unstructured{Object: map[string]any{"type": string(corev1.SecretTypeOpaque)}}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	secret.SetNamespace(o.namespace)
	secret.SetName(o.name)
	secret.SetLabels(map[string]string{managedByLabel: mcnv1alpha1.PluginFieldManager})
	annotations := map[string]string{mcnv1alpha1.RenewAnnotation: a.reference(), mcnv1alpha1.ClusterIDAnnotation: clusterID}
	if o.serverForHub != "" {
		annotations[mcnv1alpha1.ServerForHubAnnotation] = o.serverForHub
	}
	secret.SetAnnotations(annotations)
	return secret
}

// memberCluster is the MemberCluster to apply: what an earlier run wrote, as it is now, and what the flags say.
func (o *registerOptions) memberCluster(existing *unstructured.Unstructured, clusterID string) (*unstructured.Unstructured, error) {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	if existing != nil {
		kept, err := ownFields(existing)
		if err != nil {
			return nil, err
		}
		out.Object = kept
	}
	out.SetGroupVersionKind(mcnv1alpha1.GroupVersion.WithKind("MemberCluster"))
	out.SetName(o.name)
	labels := out.GetLabels()
	if labels == nil && len(o.labelSet) > 0 {
		labels = map[string]string{}
	}
	maps.Copy(labels, o.labelSet)
	out.SetLabels(labels)
	annotations := out.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[mcnv1alpha1.ClusterIDAnnotation] = clusterID
	out.SetAnnotations(annotations)
	access := map[string]any{"kubeconfig": map[string]any{"secretRef": map[string]any{"name": o.name, "key": kubeconfigKey}}}
	if o.local {
		access = map[string]any{"local": map[string]any{}}
	}
	spec := map[string]any{"access": access}
	for _, field := range []struct {
		name, value string
		given       bool
	}{{"role", o.role, o.roleGiven}, {"deletionPolicy", o.deletionPolicy, o.policyGiven}} {
		spec[field.name] = field.value
		if now, found, _ := unstructured.NestedString(specOf(existing), field.name); found && !field.given {
			spec[field.name] = now
		}
	}
	if _, pinned, _ := unstructured.NestedString(out.Object, "spec", "clusterID"); pinned || o.clusterID {
		spec["clusterID"] = clusterID
	}
	out.Object["spec"] = spec
	return out, nil
}

// specOf is the spec of an object that may be nil.
func specOf(object *unstructured.Unstructured) map[string]any {
	if object == nil {
		return nil
	}
	spec, _, _ := unstructured.NestedMap(object.Object, "spec")
	return spec
}

// ownFields returns the part of an object that this command wrote earlier and that nobody has changed since: what it applies again must hold that,
// or it would be removed.
func ownFields(object *unstructured.Unstructured) (map[string]any, error) {
	out := map[string]any{}
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != mcnv1alpha1.PluginFieldManager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			return nil, fmt.Errorf("reading the managed fields of %s: %w", nameOf(object), err)
		}
		extract(object.Object, fields, out)
	}
	return out, nil
}

// extract copies from an object the fields that a set of managed fields names. Lists are copied whole: we write none that are merged.
func extract(from map[string]any, fields, to map[string]any) {
	for key, below := range fields {
		name, isField := strings.CutPrefix(key, "f:")
		value, there := from[name]
		if !isField || !there {
			continue
		}
		object, isObject := value.(map[string]any)
		deeper, _ := below.(map[string]any)
		if !isObject || len(deeper) == 0 {
			to[name] = value
			continue
		}
		part := map[string]any{}
		extract(object, deeper, part)
		to[name] = part
	}
}

// noteHub notes on the member's account that a hub uses it, under which name; "" takes the note away.
func (s *side) noteHub(ctx context.Context, a account, hubID, name string) error {
	var value any
	if name != "" {
		value = name
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{mcnv1alpha1.HubAnnotationPrefix + hubID: value}}})
	if err != nil {
		return err
	}
	owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: a.name}}
	err = s.client.Patch(ctx, owner, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(mcnv1alpha1.PluginFieldManager))
	if err != nil && (name != "" || !apierrors.IsNotFound(err)) {
		return s.explain("noting the hub on the service account "+a.reference(), err)
	}
	return nil
}

// printObject prints one YAML document with where it goes.
func (o *registerOptions) printObject(at *side, object *unstructured.Unstructured, comment string) error {
	content, err := yaml.Marshal(object.Object)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "---\n# To the %s: kubectl --context %s apply --server-side -f -\n%s%s", at.what, at.context, comment, content)
	return nil
}

func encode(content []byte) string { return base64.StdEncoding.EncodeToString(content) }
