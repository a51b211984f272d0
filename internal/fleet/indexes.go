package fleet

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"multicloud.network/operator/internal/gather"
)

// index is what IndexField was asked for.
type index struct {
	indexKey
	object  client.Object
	extract client.IndexerFunc
}

// indexKey is what makes an index: there is one for each field of a kind.
type indexKey struct {
	gvk   schema.GroupVersionKind
	field string
}

// IndexField implements multicluster.Provider: it indexes objects of a kind by a field in the caches of all members, those that come later included. Only
// kinds that the fleet watches can be indexed, and each field once: an index must neither make members watch more, nor fail on one of them.
func (f *Fleet) IndexField(ctx context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	gvk, err := apiutil.GVKForObject(object, f.opts.Scheme)
	if err != nil {
		return fmt.Errorf("index of field %q: %w", field, err)
	}
	i := slices.IndexFunc(allKinds(), func(k gather.Kind) bool { return k.GroupVersionKind == gvk && !k.Foreign })
	if i < 0 {
		return fmt.Errorf("index of field %q of %s: the members' caches do not hold this kind; index one of those that the fleet watches", field, gvk)
	}
	added := index{indexKey: indexKey{gvk: gvk, field: field}, object: objectFor(allKinds()[i]), extract: f.harmless(gvk, extract)}
	f.mu.Lock()
	if slices.ContainsFunc(f.indexes, func(x index) bool { return x.indexKey == added.indexKey }) {
		f.mu.Unlock()
		return fmt.Errorf("index of field %q of %s: it exists already", field, gvk)
	}
	f.indexes = append(f.indexes, added)
	var views []*view
	for _, m := range f.members {
		if m.conn != nil {
			views = append(views, m.conn.view)
		}
	}
	f.mu.Unlock()
	for _, w := range views {
		w.applyIndexes(ctx)
	}
	return nil
}

// harmless keeps a panic over one object, which runs in a member's informer, from ending the process: the object is not found by this index.
func (f *Fleet) harmless(gvk schema.GroupVersionKind, extract client.IndexerFunc) client.IndexerFunc {
	return func(object client.Object) (values []string) {
		defer func() {
			if cause := recover(); cause != nil {
				f.opts.Logger.Info("An index function panics; the object is left out of the index", "kind", gvk.String(), "panic", fmt.Sprint(cause))
				values = nil
			}
		}()
		return extract(object)
	}
}

// allIndexes returns the indexes that were asked for so far.
func (f *Fleet) allIndexes() []index {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.indexes)
}

// applyIndexes adds the indexes that are missing to the caches of kinds that are watched. Any goroutine may call it. It asks the member nothing. An index that
// cannot be added is the loss of those who read by it, not of the member.
func (w *view) applyIndexes(ctx context.Context) {
	wanted := w.indexes()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range wanted {
		if !w.indexable[x.gvk] || w.indexed[x.indexKey] {
			continue
		}
		w.indexed[x.indexKey] = true
		if err := w.cluster.GetCache().IndexField(ctx, x.object, x.field, x.extract); err != nil {
			w.conn.log.Error(err, "Field could not be indexed", "kind", x.gvk.String(), "field", x.field)
		}
	}
}
