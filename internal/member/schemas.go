package member

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// definitions are the CustomResourceDefinitions, which the fleet watches on every member.
var definitions = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// watchSchemas makes a member's worker try again at once when a definition of one of Calico's kinds comes or changes there: it may have lacked a field.
func (m *Manager) watchSchemas(e *engagement) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(definitions)
	log := m.opts.Log.WithValues("cluster", e.name)
	informer, err := e.cluster.GetCache().GetInformer(e.ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		log.V(1).Info("cannot watch CustomResourceDefinitions; what they hinder is tried again now and then only", "reason", err.Error())
		return
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) {
			if !initial {
				m.schemaChanged(e, obj)
			}
		},
		UpdateFunc: func(before, now any) {
			if generationOf(before) != generationOf(now) {
				m.schemaChanged(e, now)
			}
		},
	})
	if err != nil {
		return // the cache has ended
	}
	<-e.ctx.Done()
	_ = informer.RemoveEventHandler(registration)
}

func (m *Manager) schemaChanged(e *engagement, obj any) {
	object, err := meta.Accessor(obj)
	if err != nil || !strings.HasSuffix(object.GetName(), "projectcalico.org") {
		return
	}
	m.mu.Lock()
	w := m.workers[e.name]
	m.mu.Unlock()
	if w != nil {
		w.schemasChanged()
	}
}

func generationOf(obj any) int64 {
	object, err := meta.Accessor(obj)
	if err != nil {
		return 0
	}
	return object.GetGeneration()
}
