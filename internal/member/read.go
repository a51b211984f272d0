package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"multicloud.network/operator/internal/apply"
)

// attach begins anew on a connection that is not the one of the last pass.
func (w *worker) attach(conn Connection) {
	if w.conn.ID == conn.ID {
		return
	}
	w.conn, w.live, w.attached, w.unread = conn, nil, time.Now(), 0
	w.notOurs, w.limits, w.proof = nil, limits{}, proof{}
	clear(w.unlisted)
	w.refusals = 0
	clear(w.listed)
	clear(w.taken)
	clear(w.managers)
	clear(w.notKept)
	w.progress = map[string]*progress{}
	w.markStale(apply.Kinds()...)
	w.m.barrier.connection(w.seat, true)
}

// lose notes that the member is out of reach. What was last known of its networks stays.
func (w *worker) lose() {
	w.conn, w.live = Connection{}, nil
	w.m.barrier.connection(w.seat, false)
	since, _ := w.m.barrier.lostSince(w.name)
	w.mu.Lock()
	changed := w.state.Connected
	w.state.Connected, w.state.LostSince = false, since
	if w.clean && !w.cleaned {
		w.cleanErr = ErrNotConnected
	}
	w.mu.Unlock()
	if changed {
		w.m.notify()
	}
}

func (w *worker) markStale(kinds ...string) {
	for _, kind := range kinds {
		w.stale[kind] = true
	}
}

// refresh lists the kinds whose content may have changed.
func (w *worker) refresh(ctx context.Context, cluster *apply.Cluster) error {
	if len(w.stale) == 0 {
		return nil
	}
	all := w.live == nil || len(w.stale) == len(apply.Kinds())
	ctx, cancel := context.WithTimeout(ctx, w.m.opts.CallTimeout)
	defer cancel()
	kinds := slices.Sorted(maps.Keys(w.stale))
	listing, err := w.list(ctx, cluster, kinds)
	w.limits.listed(err)
	if err != nil {
		return err
	}
	for _, kind := range listing.NotServed {
		if kind != apply.KindStaged {
			return fmt.Errorf("%w (%s)", errNotCalico, kind)
		}
	}
	for _, kind := range kinds {
		w.unserved[kind] = slices.Contains(listing.NotServed, kind)
	}
	w.noteForbidden(kinds, listing.Forbidden)
	w.compare(listing)
	fresh := content{}
	for key, u := range w.live {
		if !w.stale[key.Kind] {
			fresh[key] = u
		}
	}
	maps.Copy(fresh, listing.Objects)
	maps.Copy(w.listed, listing.Versions)
	w.live = fresh
	clear(w.stale)
	if w.current != nil {
		w.reconcile(w.current)
	}
	w.unread, w.unreadTold = 0, ""
	if all {
		w.resyncAt = time.Now().Add(w.jittered(w.m.opts.Resync))
	}
	return nil
}

// failAll notes a failure that concerns all networks, and returns when to try again.
func (w *worker) failAll(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil && w.conn.Context != nil && w.conn.Context.Err() != nil {
		return w.m.opts.Retry
	}
	w.unread++
	w.tally()
	delay := w.backoff(w.unread)
	w.rereadAt = time.Now().Add(delay)
	if text := steady(err); text != w.unreadTold {
		w.unreadTold = text
		w.log.Error(err, "cannot read our objects on the cluster; trying again", "failures", w.unread)
	} else {
		w.log.V(1).Info("still cannot read our objects on the cluster; trying again", "failures", w.unread)
	}
	w.m.opts.Observer.Failed(w.name, failureReason(err))
	// Others wait for a member that cannot be read no longer than for one that is out of reach.
	w.m.barrier.connection(w.seat, false)
	var answer apierrors.APIStatus
	if !w.isCleaning() && !errors.As(err, &answer) && !errors.Is(err, errNotCalico) {
		// No answer at all says nothing about what the cluster holds; the fleet's probe says soon whether it is out of reach.
		return delay
	}
	w.mu.Lock()
	results := map[string]Result{}
	if w.current != nil && !w.clean {
		for name, n := range w.current.networks {
			if w.current.Unread && !n.Remove {
				continue
			}
			old := w.state.Results[name]
			old.Generation, old.content, old.Programmed, old.Gone = n.Generation, n.content, false, false
			old.Reason, old.Message = failureReason(err), steady(err)+w.pauseNote()
			results[name] = old
		}
	}
	if w.clean {
		w.cleanErr = err
	}
	now := Status{Connected: true, Results: results, Unknown: w.state.Unknown}
	w.mu.Unlock()
	w.store(now)
	return delay
}

// rereadWait tells how long to make no call after a failure, whatever wakes us, but for somebody who asks for it.
func (w *worker) rereadWait() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.relist {
		return 0
	}
	wait := time.Until(w.limits.until)
	if w.unread > 0 {
		wait = max(wait, time.Until(w.rereadAt))
	}
	return wait
}
