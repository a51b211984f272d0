package controllers

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
)

// retryConflict turns a conflict into another pass: somebody changed the object after it was read, which is no fault and nothing to log.
func retryConflict(result ctrl.Result, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: debounce}, nil
	}
	return result, err
}
