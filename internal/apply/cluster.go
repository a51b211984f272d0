package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/gather"
)

// Outcome is what was done about an object.
type Outcome string

// Outcomes: Apply gives the first three, Deleted is for those who tell of a Delete.
const (
	Created   Outcome = "Created"
	Updated   Outcome = "Updated"
	Unchanged Outcome = "Unchanged"
	Deleted   Outcome = "Deleted"
)

// Cluster reads and writes our objects on one cluster.
type Cluster struct {
	client client.Client
	owner  string
	dryRun bool
}

// New returns the cluster behind a client. Objects are read and written as unstructured ones, so a client that caches typed objects still
// reads from the API server.
func New(c client.Client, ownerID string) *Cluster {
	return &Cluster{client: c, owner: ownerID}
}

// DryRun returns the same cluster, whose writes the API server judges but does not keep.
func (c *Cluster) DryRun() *Cluster {
	out := *c
	out.dryRun = true
	return &out
}

// Apply brings one object to its wanted content and returns what it did and the object as the server then holds it. An object of that
// name that is not ours gives an OwnershipConflictError and is not touched.
func (c *Cluster) Apply(ctx context.Context, want *unstructured.Unstructured) (Outcome, *unstructured.Unstructured, error) {
	return c.applyOver(ctx, want, "")
}

// ApplyOver is Apply over the very object with this UID. ErrReplaced says that another one stands there, or none; nothing was sent then. So it cannot write
// to another cluster than that on which the object was seen.
func (c *Cluster) ApplyOver(ctx context.Context, want *unstructured.Unstructured, seen types.UID) (Outcome, *unstructured.Unstructured, error) {
	return c.applyOver(ctx, want, seen)
}

func (c *Cluster) applyOver(ctx context.Context, want *unstructured.Unstructured, seen types.UID) (Outcome, *unstructured.Unstructured, error) {
	key := KeyOf(want)
	if Owner(want) != c.owner {
		return "", nil, fmt.Errorf("%s %q: %w", key.Kind, key.Name, ErrNotOwned)
	}
	live, others, err := c.get(ctx, key)
	if seen != "" && (apierrors.IsNotFound(err) || (err == nil && live.GetUID() != seen)) {
		return "", nil, fmt.Errorf("%s %q: %w", key.Kind, key.Name, ErrReplaced)
	}
	if apierrors.IsNotFound(err) {
		out, err := c.create(ctx, want)
		return Created, out, err
	}
	if err != nil {
		return "", nil, describe("reading", key, err)
	}
	if Owner(live) != c.owner {
		return "", nil, c.conflict(live, others)
	}
	if Equal(live, want) {
		return Unchanged, live, nil
	}
	send := want.DeepCopy()
	// An object that was replaced by somebody else's since we read it must not be taken over.
	send.SetUID(live.GetUID())
	send.SetResourceVersion(live.GetResourceVersion())
	if key.Kind == KindSet {
		now, err := c.reset(ctx, live, want)
		return Updated, now, err
	}
	if err := c.serverSideApply(ctx, send, client.ForceOwnership); err != nil {
		return "", nil, describe("updating", key, err)
	}
	if Equal(send, want) {
		return Updated, send, nil
	}
	now, err := c.reset(ctx, send, want)
	return Updated, now, err
}

// reset brings an object of ours to exactly the wanted spec, labels and annotations, where server-side apply does not: in lists that are sets, as those of
// addresses are from Calico v3.32 on, it leaves items that it did not put there itself, and an address too many in a set is an opening.
func (c *Cluster) reset(ctx context.Context, live, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	key := KeyOf(want)
	metadata := map[string]any{"resourceVersion": live.GetResourceVersion(), "uid": string(live.GetUID())}
	if labels := want.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	if annotations := want.GetAnnotations(); len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	spec := map[string]any{}
	if wanted, ok := want.Object["spec"].(map[string]any); ok {
		spec = maps.Clone(wanted)
	}
	if had, ok := live.Object["spec"].(map[string]any); ok {
		for name := range had {
			if _, ok := spec[name]; !ok {
				spec[name] = nil // a merge patch removes what is null
			}
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata, "spec": spec})
	if err != nil {
		return nil, describe("resetting", key, err)
	}
	opts := []client.PatchOption{client.FieldOwner(mcnv1alpha1.FieldManager)}
	if c.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	out := live.DeepCopy()
	if err := c.client.Patch(ctx, out, client.RawPatch(types.MergePatchType, patch), opts...); err != nil {
		return nil, describe("resetting", key, err)
	}
	out.SetManagedFields(nil)
	return out, nil
}

// conflict says what is in the way.
func (c *Cluster) conflict(live *unstructured.Unstructured, managers []string) error {
	out := &OwnershipConflictError{Key: KeyOf(live), Owner: Owner(live), Managers: managers}
	if out.Owner == "" && ContentHash(live) != "" {
		out.Stripped = c.owner
	}
	return out
}

// Delete removes one object of ours, but only in the state in which it was listed. One that is gone already is fine.
func (c *Cluster) Delete(ctx context.Context, live *unstructured.Unstructured) error {
	key := KeyOf(live)
	if Owner(live) != c.owner {
		return c.conflict(live, nil)
	}
	uid, version := live.GetUID(), live.GetResourceVersion()
	opts := []client.DeleteOption{client.Preconditions{UID: &uid, ResourceVersion: &version}}
	if c.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	if err := c.client.Delete(ctx, live.DeepCopy(), opts...); err != nil && !apierrors.IsNotFound(err) {
		return describe("deleting", key, err)
	}
	return nil
}

// Listing is what of ours is on a cluster.
type Listing struct {
	// Objects are all objects of the kinds listed that carry our owner label and ID.
	Objects map[compile.Key]*unstructured.Unstructured
	// NotServed are kinds that the cluster's API does not have: StagedGlobalNetworkPolicy on an old Calico, all where Calico is missing.
	NotServed []string
	// Forbidden are the kinds that may not be listed, and why. What is there of them is not known.
	Forbidden map[string]error
	// Managers are the field managers of the objects that have others than us; see Managers.
	Managers map[compile.Key][]string
	// Versions are the resourceVersions of the lists, by kind.
	Versions map[string]string
}

// List reads all our objects of the given kinds; of all kinds when none is given. One kind that may not be listed does not keep the others from being read.
func (c *Cluster) List(ctx context.Context, kinds ...string) (Listing, error) {
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	out := Listing{
		Objects: map[compile.Key]*unstructured.Unstructured{}, Managers: map[compile.Key][]string{}, Versions: map[string]string{}, Forbidden: map[string]error{},
	}
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk(kind + "List"))
		err := c.client.List(ctx, list, client.MatchingLabels{mcnv1alpha1.OwnerLabel: c.owner})
		if notServed(err) {
			out.NotServed = append(out.NotServed, kind)
			continue
		}
		if apierrors.IsForbidden(err) {
			out.Forbidden[kind] = fmt.Errorf("listing %s: %w: %w", kind, ErrForbidden, err)
			continue
		}
		if err == nil {
			err = gather.ProveList(list, kind)
		}
		if err != nil {
			return Listing{}, fmt.Errorf("listing %s: %w", kind, err)
		}
		out.Versions[kind] = list.GetResourceVersion()
		for i := range list.Items {
			item := &list.Items[i]
			item.SetGroupVersionKind(gvk(kind))
			if others := Managers(item); len(others) > 0 {
				out.Managers[KeyOf(item)] = others
			}
			item.SetManagedFields(nil)
			out.Objects[KeyOf(item)] = item
		}
	}
	return out, nil
}

// get reads an object, and the names of its field managers but our own.
func (c *Cluster) get(ctx context.Context, key compile.Key) (*unstructured.Unstructured, []string, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(gvk(key.Kind))
	err := c.client.Get(ctx, client.ObjectKey{Name: key.Name}, live)
	others := Managers(live)
	live.SetManagedFields(nil)
	return live, others, err
}

// create makes a new object. It is created, not applied: server-side apply knows no way to say that the object must not be there, and would add our label
// to one of somebody else's that appeared since we looked. Calico v3.32.0 also answers NotFound to a policy that is applied first.
func (c *Cluster) create(ctx context.Context, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	key, out := KeyOf(want), want.DeepCopy()
	// Strictly, as server-side apply is by itself: a policy that lost a field on its way would match more than was meant.
	opts := []client.CreateOption{client.FieldOwner(mcnv1alpha1.FieldManager), client.FieldValidation(metav1.FieldValidationStrict)}
	if c.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	err := c.client.Create(ctx, out, opts...)
	if apierrors.IsAlreadyExists(err) {
		if live, others, getErr := c.get(ctx, key); getErr == nil && Owner(live) != c.owner {
			return nil, c.conflict(live, others)
		}
	}
	if err != nil {
		return nil, describe("creating", key, err)
	}
	out.SetManagedFields(nil)
	return out, nil
}

func (c *Cluster) serverSideApply(ctx context.Context, obj *unstructured.Unstructured, opts ...client.ApplyOption) error {
	opts = append(opts, client.FieldOwner(mcnv1alpha1.FieldManager))
	if c.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	err := c.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), opts...)
	obj.SetManagedFields(nil)
	return err
}

// notServed tells a kind that the API does not have from an API that is not there at the moment. The server of an aggregated API that is
// down answers otherwise, and that must never look like a missing kind.
func notServed(err error) bool {
	return err != nil && (meta.IsNoMatchError(err) || runtime.IsNotRegisteredError(err) || apierrors.IsNotFound(err))
}

func describe(doing string, key compile.Key, err error) error {
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("%s %s %q: %w: %w", doing, key.Kind, key.Name, ErrKindNotServed, err)
	}
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%s %s %q: %w: %w", doing, key.Kind, key.Name, ErrForbidden, err)
	}
	// kube-apiserver says so with a plain internal error when it applies, and with a bad request when it creates.
	if err != nil && (strings.Contains(err.Error(), "not declared in schema") || strings.Contains(err.Error(), "strict decoding error: unknown field")) {
		return fmt.Errorf("%s %s %q: %w: %w", doing, key.Kind, key.Name, ErrFieldNotServed, err)
	}
	return fmt.Errorf("%s %s %q: %w", doing, key.Kind, key.Name, err)
}

// IsRefused tells an answer that the API server will give again from one that a retry may cure. calico-apiserver refuses to delete a tier in which there
// are policies with a plain internal error, which has nothing but its text to know it by.
func IsRefused(err error) bool {
	if err != nil && strings.Contains(err.Error(), "non-empty tier") {
		return true
	}
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) ||
		apierrors.IsNotAcceptable(err)
}
