package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// pollInterval is how often something that is waited for is looked at.
const pollInterval = 500 * time.Millisecond

// waitReady waits for a MemberCluster to be Ready, in the meaning of "kubectl wait --for=condition=Ready" for its newest generation.
func waitReady(ctx context.Context, hub *side, name string, timeout time.Duration, progress io.Writer) error {
	last := ""
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) {
		var cluster mcnv1alpha1.MemberCluster
		if err := hub.client.Get(ctx, client.ObjectKey{Name: name}, &cluster); err != nil {
			return false, hub.explain("reading membercluster/"+name, err)
		}
		ready := meta.FindStatusCondition(cluster.Status.Conditions, mcnv1alpha1.ConditionReady)
		if ready == nil {
			return false, nil
		}
		if now := ready.Reason + ": " + ready.Message; now != last {
			last = now
			fmt.Fprintf(progress, "membercluster/%s: %s\n", name, now)
		}
		return meta.IsStatusConditionTrue(cluster.Status.Conditions, mcnv1alpha1.ConditionReady) && cluster.Status.ObservedGeneration == cluster.Generation, nil
	})
	if errors.Is(err, errLate) {
		return &codedError{code: exitWaiting, err: fmt.Errorf(
			"%s is registered, but not Ready after %s (%s): see docs/troubleshooting.md for the reason, and whether the operator runs", name, timeout, last)}
	}
	return err
}

// waitGone waits until a MemberCluster is away, which is when the operator has cleaned the member.
func waitGone(ctx context.Context, hub *side, name string, timeout time.Duration) error {
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) {
		err := hub.client.Get(ctx, client.ObjectKey{Name: name}, &mcnv1alpha1.MemberCluster{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, hub.explain("reading membercluster/"+name, err)
		}
		return false, nil
	})
	if errors.Is(err, errLate) {
		return &codedError{code: exitWaiting, err: fmt.Errorf(
			"%s is still being cleaned after %s, and its Secret and account are kept for that: see whether the operator runs, and run this again", name, timeout)}
	}
	return err
}

// errLate says that what was waited for did not come in time.
var errLate = errors.New("not in time")

// poll looks until done, an error, or the timeout.
func poll(ctx context.Context, timeout time.Duration, done wait.ConditionWithContextFunc) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, done)
	if ctx.Err() == nil && wait.Interrupted(err) {
		return errLate
	}
	return err
}
