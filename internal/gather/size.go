package gather

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What an object costs besides its content, and each value in it.
const objectCost, valueCost = 256, 16

// Size is about how many bytes of memory a stripped object takes.
func Size(obj any) int64 {
	switch o := obj.(type) {
	case *unstructured.Unstructured:
		return objectCost + sizeOf(o.Object)
	case interface{ Size() int }:
		return objectCost + int64(o.Size())
	}
	out := int64(objectCost)
	if object, err := meta.Accessor(obj); err == nil {
		for key, value := range object.GetLabels() {
			out += int64(len(key) + len(value))
		}
	}
	return out
}

func sizeOf(value any) int64 {
	out := int64(valueCost)
	switch v := value.(type) {
	case string:
		out += int64(len(v))
	case map[string]any:
		for key, item := range v {
			out += int64(len(key)) + sizeOf(item)
		}
	case []any:
		for _, item := range v {
			out += sizeOf(item)
		}
	}
	return out
}
