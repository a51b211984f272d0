package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const (
	// leftoversName is the ConfigMap with what has to be removed from clusters that were out of reach: one key for each cluster ID, and orphanedKey.
	leftoversName = "multicloud-network-leftovers"
	// maxLeftovers is how many bytes of keys and values it may hold of clusters, and maxRecord with orphanedKey; a ConfigMap takes 1 MiB.
	maxLeftovers, maxRecord = 900 << 10, 1000 << 10
	// leftoverTries is how often a change is tried that meets another one.
	leftoverTries = 5
)

// errLeftoversFull says that nothing more can be recorded.
var errLeftoversFull = errors.New("the ConfigMap " + leftoversName + " is full, so that it cannot be recorded what has to be removed when the clusters that " +
	"are out of reach return, or left there; bring some of them back, take the keys of clusters that are gone for good out of it, or set deletionPolicy to Orphan")

// leftover is the evidence that something on a cluster is to be removed.
type leftover struct {
	// Owner is the owner ID that the objects carry.
	Owner string `json:"owner"`
	// Since is when it was recorded.
	Since metav1.Time `json:"since"`
	// Generation is that of the network's deletion; 0 where all networks are meant.
	Generation int64 `json:"generation,omitempty"`
}

// clusterLeftovers is what is known to be left over on one cluster.
type clusterLeftovers struct {
	// Member is the name that the cluster was registered under, for people.
	Member string `json:"member,omitempty"`
	// All says that the cluster was deregistered with deletionPolicy Delete: everything that no network asks for by now is left over.
	All *leftover `json:"all,omitempty"`
	// Kept says that the member became a Source: what was written before stays, and nobody looks after it.
	Kept *leftover `json:"kept,omitempty"`
	// Networks are those that were deleted with deletionPolicy Delete.
	Networks map[string]leftover `json:"networks,omitempty"`
}

func (c clusterLeftovers) empty() bool { return c.All == nil && c.Kept == nil && len(c.Networks) == 0 }

// Leftovers remembers, across restarts, what has to be removed from clusters that were out of reach when it should have been. It is written before the
// finalizer goes that stood for it. Only the leader uses it, so that nobody else changes the ConfigMap but people.
type Leftovers struct {
	// Client writes to the hub.
	Client client.Client
	// Reader reads from the hub, past any cache: the operator may read this one ConfigMap alone, which a cache cannot.
	Reader client.Reader
	// Namespace is the operator's.
	Namespace string
	// Owner is the operator's owner ID; records of others are left alone.
	Owner string

	mu     sync.Mutex
	object *corev1.ConfigMap // nil before it was read
	// again says that the ConfigMap is to be read once more: it hindered us, and a person may have corrected it, or it is not the one that was read.
	again    bool
	clusters map[string]clusterLeftovers
	orphaned orphanedNetworks
	// garbled says that orphanedKey cannot be read, so that nobody knows what is to be spared.
	garbled bool
}

// Load reads what was recorded: once, and as long as something about it hinders us each time.
func (l *Leftovers) Load(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load(ctx)
}

func (l *Leftovers) load(ctx context.Context) error {
	if l.object != nil && !l.again {
		return nil
	}
	object := &corev1.ConfigMap{}
	err := l.Reader.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: leftoversName}, object)
	if apierrors.IsNotFound(err) {
		*object, err = corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: leftoversName}}, nil
	}
	if err != nil {
		return fmt.Errorf("reading ConfigMap %s/%s, which says what has to be removed from clusters: %w", l.Namespace, leftoversName, err)
	}
	l.object, l.clusters = object, map[string]clusterLeftovers{}
	l.orphaned, l.garbled = readOrphaned(object.Data[orphanedKey])
	l.again = l.garbled
	for id, text := range object.Data {
		if id == orphanedKey {
			continue
		}
		var c clusterLeftovers
		// A value that cannot be read is no evidence; it stays as it is.
		if json.Unmarshal([]byte(text), &c) == nil {
			l.clusters[id] = c
		}
	}
	return nil
}

// of returns what of ours is left over on a cluster. It is not to be changed.
func (l *Leftovers) of(clusterID string) clusterLeftovers {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clusters[clusterID]
	out := clusterLeftovers{Member: c.Member, All: l.ours(c.All), Kept: l.ours(c.Kept)}
	for name, n := range c.Networks {
		if n.Owner != l.Owner {
			continue
		}
		if out.Networks == nil {
			out.Networks = map[string]leftover{}
		}
		out.Networks[name] = n
	}
	return out
}

func (l *Leftovers) ours(one *leftover) *leftover {
	if one == nil || one.Owner != l.Owner {
		return nil
	}
	return one
}

// note is a new record.
func (l *Leftovers) note(now time.Time, generation int64) leftover {
	return leftover{Owner: l.Owner, Since: metav1.NewTime(now.Truncate(time.Second)), Generation: generation}
}

// clear takes our records of a cluster out.
func (l *Leftovers) clear(c *clusterLeftovers) {
	if l.ours(c.All) != nil {
		c.All = nil
	}
	if l.ours(c.Kept) != nil {
		c.Kept = nil
	}
	maps.DeleteFunc(c.Networks, func(_ string, n leftover) bool { return n.Owner == l.Owner })
}

// change edits the records of some clusters, and those of our networks that were orphaned, and writes them; when it returns nil they are on the hub.
// errLeftoversFull says that there is no room.
func (l *Leftovers) change(ctx context.Context, edit map[string]func(*clusterLeftovers), orphaned ...func(orphans)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	for range leftoverTries {
		if err = l.load(ctx); err != nil {
			return err
		}
		err = l.write(ctx, edit, orphaned)
		l.again = l.again || errors.Is(err, errLeftoversFull) || stale(err)
		if err == nil || !stale(err) {
			return err
		}
	}
	return err
}

// stale tells that the ConfigMap is not the one that was read.
func stale(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

func (l *Leftovers) write(ctx context.Context, edit map[string]func(*clusterLeftovers), orphaned []func(orphans)) error {
	object, clusters := l.object.DeepCopy(), maps.Clone(l.clusters)
	if object.Data == nil {
		object.Data = map[string]string{}
	}
	for id, change := range edit {
		c := clusters[id]
		c.Networks = maps.Clone(c.Networks)
		if c.Networks == nil {
			c.Networks = map[string]leftover{}
		}
		change(&c)
		if c.empty() {
			if _, known := clusters[id]; known {
				delete(clusters, id)
				delete(object.Data, id)
			}
			continue
		}
		text, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("leftovers of cluster %s: %w", id, err)
		}
		clusters[id], object.Data[id] = c, string(text)
	}
	names, err := l.editOrphaned(object.Data, orphaned)
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(object.Data, l.object.Data) || (len(object.Data) == 0 && object.ResourceVersion == "") {
		return nil
	}
	if !fits(object.Data, l.object.Data) {
		return errLeftoversFull
	}
	send := func() error { return l.Client.Update(ctx, object, client.FieldOwner(mcnv1alpha1.FieldManager)) }
	if object.ResourceVersion == "" {
		send = func() error { return l.Client.Create(ctx, object, client.FieldOwner(mcnv1alpha1.FieldManager)) }
	}
	if err := send(); err != nil {
		return fmt.Errorf("writing ConfigMap %s/%s, which says what has to be removed from clusters: %w", l.Namespace, leftoversName, err)
	}
	l.object, l.clusters, l.orphaned = object, clusters, names
	return nil
}

// fits tells whether there is room for a content, or it is smaller than the one before.
func fits(now, before map[string]string) bool {
	clusters := func(data map[string]string) int {
		data = maps.Clone(data)
		delete(data, orphanedKey)
		return size(data)
	}
	return (size(now) <= maxRecord || size(now) <= size(before)) && (clusters(now) <= maxLeftovers || clusters(now) <= clusters(before))
}

func size(data map[string]string) int {
	out := 0
	for key, value := range data {
		out += len(key) + len(value)
	}
	return out
}

// recordable tells whether a cluster can have leftovers: one that was never connected has none, and has no ID.
func recordable(clusterID string) bool {
	return clusterID != orphanedKey && len(validation.IsConfigMapKey(clusterID)) == 0
}
