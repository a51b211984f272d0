package gather

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// ProveList refuses what is no list of a kind. An answer of another kind is no error to client-go, which leaves the list empty then: all that the member has would
// seem to be gone. A list of an API server has a resource version, and its items have names and no kind but their own.
func ProveList(list runtime.Object, kind string) error {
	of, err := meta.ListAccessor(list)
	if err != nil || of.GetResourceVersion() == "" {
		return ErrNoList
	}
	if got := list.GetObjectKind().GroupVersionKind().Kind; got != "" && got != kind+"List" && got != "List" {
		return ErrNoList
	}
	return meta.EachListItem(list, func(item runtime.Object) error {
		object, err := meta.Accessor(item)
		if got := item.GetObjectKind().GroupVersionKind().Kind; err != nil || object.GetName() == "" || (got != "" && got != kind) {
			return ErrNoList
		}
		return nil
	})
}
