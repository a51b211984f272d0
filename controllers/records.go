package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// recordLabel marks our ControllerRevisions, and says which of the two kinds of record one is.
const recordLabel = "multicloud.network/record"

// Values of recordLabel.
const (
	recordSpec = "spec"
	recordHeld = "held"
)

// specKey tells one spec of one network from all others.
type specKey struct {
	UID        types.UID `json:"uid"`
	Generation int64     `json:"generation"`
}

func keyOfSpec(n *mcnv1alpha1.MultiCloudNetwork) specKey {
	return specKey{UID: n.UID, Generation: n.Generation}
}

// specRecord is a spec that came into force.
type specRecord struct {
	specKey
	Network string                            `json:"network"`
	Spec    mcnv1alpha1.MultiCloudNetworkSpec `json:"spec"`
}

// heldRecord is what counted for a member when its updates were Held.
type heldRecord struct {
	Member   string             `json:"member"`
	UID      types.UID          `json:"uid"`
	Labels   map[string]string  `json:"labels,omitempty"`
	Networks map[string]specKey `json:"networks,omitempty"`
}

// records keeps, across restarts, the specs that are in force, and what counted for members that are Held. Each is a ControllerRevision, which the API
// server never lets change: a new spec is a new object, and the old one goes after it.
type records struct {
	client    client.Client
	reader    client.Reader // past any cache, which would need the right to watch
	namespace string

	loaded bool
	specs  map[string]map[specKey]string                            // names of objects, by network
	kept   map[string]map[specKey]mcnv1alpha1.MultiCloudNetworkSpec // by network; only what was there at the start
	held   map[string]heldObject                                    // by member
	spare  []string                                                 // names of objects that others have replaced
}

// heldObject is a heldRecord with the name of its object.
type heldObject struct {
	heldRecord
	object string
}

// load reads the records once.
func (r *records) load(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	r.specs, r.held = map[string]map[specKey]string{}, map[string]heldObject{}
	r.kept = map[string]map[specKey]mcnv1alpha1.MultiCloudNetworkSpec{}
	var list appsv1.ControllerRevisionList
	if err := r.reader.List(ctx, &list, client.InNamespace(r.namespace), client.HasLabels{recordLabel}); err != nil {
		return fmt.Errorf("listing ControllerRevisions in namespace %s, which say what is in force: %w", r.namespace, err)
	}
	for _, object := range list.Items {
		// What cannot be read says nothing; it is left where it is.
		switch object.Labels[recordLabel] {
		case recordSpec:
			var record specRecord
			if json.Unmarshal(object.Data.Raw, &record) != nil {
				continue
			}
			r.noteSpec(record.Network, record.specKey, object.Name)
			if r.kept[record.Network] == nil {
				r.kept[record.Network] = map[specKey]mcnv1alpha1.MultiCloudNetworkSpec{}
			}
			r.kept[record.Network][record.specKey] = record.Spec
		case recordHeld:
			var record heldRecord
			if json.Unmarshal(object.Data.Raw, &record) == nil {
				r.noteHeld(heldObject{heldRecord: record, object: object.Name})
			}
		}
	}
	r.loaded = true
	return nil
}

func (r *records) noteSpec(network string, key specKey, object string) {
	if r.specs[network] == nil {
		r.specs[network] = map[specKey]string{}
	}
	r.specs[network][key] = object
}

func (r *records) noteHeld(now heldObject) {
	if was, ok := r.held[now.Member]; ok && was.object != now.object {
		r.spare = append(r.spare, was.object)
	}
	r.held[now.Member] = now
}

// recall returns a network as it was when a spec was in force; nil if that spec is not known.
func (r *records) recall(n *mcnv1alpha1.MultiCloudNetwork, key specKey) *mcnv1alpha1.MultiCloudNetwork {
	spec, ok := r.kept[n.Name][key]
	if !ok || key.UID != n.UID {
		return nil
	}
	out := n.DeepCopy()
	out.Generation, out.Spec = key.Generation, *spec.DeepCopy()
	return out
}

// last returns the newest spec that was in force when the last process ended; nil if there is none of this very network.
func (r *records) last(n *mcnv1alpha1.MultiCloudNetwork) *mcnv1alpha1.MultiCloudNetwork {
	newest := specKey{UID: n.UID}
	for key := range r.kept[n.Name] {
		if key.UID == n.UID && key.Generation > newest.Generation {
			newest = key
		}
	}
	return r.recall(n, newest)
}

// keepSpec records that a spec is in force.
func (r *records) keepSpec(ctx context.Context, n *mcnv1alpha1.MultiCloudNetwork) error {
	key := keyOfSpec(n)
	if _, ok := r.specs[n.Name][key]; ok {
		return nil
	}
	name, err := r.create(ctx, recordSpec, n.Name, n.Generation, specRecord{specKey: key, Network: n.Name, Spec: n.Spec})
	if err != nil {
		return fmt.Errorf("recording that generation %d of network %q is in force: %w", n.Generation, n.Name, err)
	}
	r.noteSpec(n.Name, key, name)
	return nil
}

// keepHeld records what counts for a member that is Held, once.
func (r *records) keepHeld(ctx context.Context, record heldRecord) error {
	if was, ok := r.held[record.Member]; ok && was.UID == record.UID {
		return nil
	}
	name, err := r.create(ctx, recordHeld, record.Member, 1, record)
	if err != nil {
		return fmt.Errorf("recording what counts for member %q while it is Held: %w", record.Member, err)
	}
	r.noteHeld(heldObject{heldRecord: record, object: name})
	return nil
}

// create writes a record. One that is there already has the same content: its name says so.
func (r *records) create(ctx context.Context, kind, of string, revision int64, record any) (name string, err error) {
	text, err := json.Marshal(record)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(kind+"\n"), text...))
	object := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespace, Name: "mcn-" + of + "-" + hex.EncodeToString(sum[:5]), Labels: map[string]string{recordLabel: kind},
		},
		Data: runtime.RawExtension{Raw: text}, Revision: revision,
	}
	if err := r.client.Create(ctx, object, client.FieldOwner(mcnv1alpha1.FieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", err
	}
	return object.Name, nil
}

// prune deletes the records that nobody needs any more.
func (r *records) prune(ctx context.Context, networks map[string]*mcnv1alpha1.MultiCloudNetwork, heldMembers map[string]types.UID) error {
	var failed []error
	var left []string
	for _, object := range r.spare {
		if err := r.delete(ctx, object); err != nil {
			failed, left = append(failed, err), append(left, object)
		}
	}
	r.spare = left
	for member, record := range r.held {
		if uid, ok := heldMembers[member]; ok && uid == record.UID {
			continue
		}
		if err := r.delete(ctx, record.object); err != nil {
			failed = append(failed, err)
			continue
		}
		delete(r.held, member)
	}
	for network, specs := range r.specs {
		for key, object := range maps.Clone(specs) {
			if n := networks[network]; n != nil && n.UID == key.UID && (n.Generation == key.Generation || r.heldNeeds(network, key)) {
				continue
			}
			if err := r.delete(ctx, object); err != nil {
				failed = append(failed, err)
				continue
			}
			delete(specs, key)
			delete(r.kept[network], key)
		}
		if len(specs) == 0 {
			delete(r.specs, network)
			delete(r.kept, network)
		}
	}
	return errors.Join(failed...)
}

// heldNeeds tells whether a spec still counts for a member that is Held.
func (r *records) heldNeeds(network string, key specKey) bool {
	for _, record := range r.held {
		if record.Networks[network] == key {
			return true
		}
	}
	return false
}

func (r *records) delete(ctx context.Context, name string) error {
	object := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: name}}
	if err := r.client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ControllerRevision %s/%s, which is not needed any more: %w", r.namespace, name, err)
	}
	return nil
}
