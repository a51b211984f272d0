package controllers

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestConflictsAreRetriedQuietly(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "memberclusters"}, "aws", errors.New("the object has been modified"))
	result, err := retryConflict(ctrl.Result{}, fmt.Errorf("release: %w", conflict))
	if err != nil || result.RequeueAfter != debounce {
		t.Errorf("a conflict gives %v, %v, want another pass and no error", result, err)
	}
	fault := errors.New("the API server is gone")
	if _, err := retryConflict(ctrl.Result{}, fault); !errors.Is(err, fault) {
		t.Errorf("another error gives %v, want itself", err)
	}
}
