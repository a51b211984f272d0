package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"multicloud.network/operator/internal/apply"
)

// errNotListed says why nothing is done about a kind.
var errNotListed = errors.New("as long as it is not known what is there of this kind, nothing of it is written or removed")

// proof is when the cluster was last found to be the right one, and why it was not since this pass began.
type proof struct {
	at  time.Time
	err error
}

// prove asks the cluster who it is, unless it was asked just now. After a failure nothing more is asked in this pass.
func (w *worker) prove(ctx context.Context, within time.Duration) error {
	if w.conn.Prove == nil || (w.proof.err == nil && time.Since(w.proof.at) < within) {
		return nil
	}
	if w.proof.err == nil {
		if err := w.conn.Prove(ctx); err != nil {
			w.proof.err = fmt.Errorf("asking the cluster for its ID, before anything is written: %w", err)
		}
	}
	if w.proof.err == nil {
		w.proof.at = time.Now()
	}
	return w.proof.err
}

// list lists our objects. The answer counts only if the cluster is the right one before and after it: what another cluster lacks would seem to be deleted.
func (w *worker) list(ctx context.Context, cluster *apply.Cluster, kinds []string) (apply.Listing, error) {
	if err := w.prove(ctx, w.m.opts.Proof); err != nil {
		return apply.Listing{}, err
	}
	listing, err := cluster.List(ctx, kinds...)
	if err != nil {
		return apply.Listing{}, err
	}
	return listing, w.prove(ctx, 0)
}

// apply writes an object: over the very one that was listed, or a new one on a cluster that was just found to be the right one.
func (w *worker) apply(ctx context.Context, cluster *apply.Cluster, want *unstructured.Unstructured) (apply.Outcome, *unstructured.Unstructured, error) {
	if live := w.live[apply.KeyOf(want)]; live != nil && live.GetUID() != "" {
		outcome, now, err := cluster.ApplyOver(ctx, want, live.GetUID())
		if !errors.Is(err, apply.ErrReplaced) {
			return outcome, now, err
		}
	}
	if err := w.prove(ctx, w.m.opts.Proof); err != nil {
		return "", nil, err
	}
	return cluster.Apply(ctx, want)
}

// noteForbidden takes in which of the kinds that were asked for may not be listed. They are asked for again after a while, or when a watch can list them.
func (w *worker) noteForbidden(kinds []string, forbidden map[string]error) {
	for _, kind := range kinds {
		err := forbidden[kind]
		if err == nil {
			delete(w.unlisted, kind)
			continue
		}
		if w.unlisted[kind] == nil {
			w.log.Error(err, "a kind cannot be listed; networks that need it wait", "kind", kind)
			w.m.opts.Observer.Failed(w.name, failureReason(err))
		}
		w.unlisted[kind] = fmt.Errorf("%w; %w", err, errNotListed)
	}
	if len(w.unlisted) == 0 {
		w.refusals = 0
		return
	}
	if len(forbidden) > 0 {
		w.refusals++
		w.relistAt = time.Now().Add(w.backoff(w.refusals))
	}
}

// mayDo returns an error if too little is known of what stands there for an action. A set outlives the policies that may need it: as long as those may not be
// listed they may stand, and a denial whose permit has lost its set cuts what was open.
func (w *worker) mayDo(a action) error {
	kind := a.key().Kind
	if err := w.unlisted[kind]; err != nil || a.drop == nil || kind != apply.KindSet {
		return err
	}
	return w.unlisted[apply.KindPolicy]
}

// relistIn returns when to try the kinds again that may not be listed.
func (w *worker) relistIn() time.Duration {
	if len(w.unlisted) == 0 {
		return forever
	}
	return time.Until(w.relistAt)
}

// notListed returns why not all of our objects are known; nil if they are.
func (w *worker) notListed() error {
	for _, kind := range apply.Kinds() {
		if err := w.unlisted[kind]; err != nil {
			return err
		}
	}
	return nil
}

// retryAll lets everything be tried again that failed.
func (w *worker) retryAll() {
	clear(w.notKept)
	for _, p := range w.progress {
		p.retryAt = time.Time{}
	}
}

// schemasChanged makes the worker try again what a definition may have hindered.
func (w *worker) schemasChanged() {
	w.mu.Lock()
	w.schemas = true
	w.mu.Unlock()
	w.wake()
}
