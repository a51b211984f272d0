package fleet

import (
	"sync/atomic"

	toolscache "k8s.io/client-go/tools/cache"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
)

// weight bounds what is held of one member. Each answer is bounded by itself, but a watch may tell of new objects without end.
type weight struct {
	held atomic.Int64
	most int64
}

// add takes in that an object came (before is nil), changed or went (now is nil), and tells whether that was too much.
func (w *weight) add(before, now any) bool {
	var change int64
	if now != nil {
		change += gather.Size(now)
	}
	if before != nil {
		change -= gather.Size(before)
	}
	return w.held.Add(change) > w.most && change > 0
}

// handler marks a kind as changed at each event, and ends the view when it holds too much.
func (w *view) handler(mark func()) toolscache.ResourceEventHandler {
	weigh := func(before, now any) {
		if w.weight.add(before, now) {
			select {
			case w.failed <- &fault{reason: mcnv1alpha1.ReasonViewTooLarge, message: tooMuch}:
			default:
			}
		}
		mark()
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { weigh(nil, obj) },
		UpdateFunc: weigh,
		DeleteFunc: func(obj any) {
			if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			weigh(obj, nil)
		},
	}
}

// tooMuch is the message of ReasonViewTooLarge.
const tooMuch = "the cluster has more objects than are held of one cluster, and what was known of it before is held; raise the operator's --max-response if it is that " +
	"large, else see what makes so many pods, Services or other objects there"
