package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"multicloud.network/operator/internal/apply"
)

// forever is when to look again if nothing is to be waited for.
const forever = time.Duration(math.MaxInt64)

// errOutdated stops a pass because there is a newer intent.
var errOutdated = errors.New("there is a newer intent")

// bring does what may be done now for the shared objects and for each network. It tells whether it wrote anything, which then has to be read
// back, and when to look again.
func (w *worker) bring(ctx context.Context, cluster *apply.Cluster) (wrote bool, next time.Duration) {
	next = forever
	intent, ready := w.effective(), false
	// Others wait for a member that is not read yet no longer than for one that is out of reach.
	w.m.barrier.connection(w.seat, !intent.Unread)
	if !intent.Unread {
		wrote, ready, next = w.bringShared(ctx, cluster, intent, planShared(intent, w.live))
	}
	for _, name := range slices.Sorted(maps.Keys(intent.networks)) {
		if w.outdated() || ctx.Err() != nil {
			return wrote, 0
		}
		if intent.Unread && !intent.networks[name].Remove {
			continue
		}
		did, wait := w.bringNetwork(ctx, cluster, name, intent.networks[name], ready)
		wrote, next = wrote || did, min(next, wait)
	}
	if !wrote && !intent.Unread && w.notListed() == nil {
		// The frame and the pools go when no network holds on to them, which only a pass without writes knows.
		did, wait := w.dropShared(ctx, cluster, planShared(intent, w.live))
		wrote, next = wrote || did, min(next, wait)
	}
	return wrote, next
}

// effective is the intent, or the removal of everything when the member is being cleaned.
func (w *worker) effective() *prepared {
	switch {
	case w.isCleaning():
		w.current = cleanIntent(w.live, w.sparedByCleaning())
	case w.current.Reclaim != "" && w.current.Reclaim == w.conn.ClusterID:
		w.current = w.current.withUnknown(w.live)
	}
	for name := range w.progress {
		if name != sharedKey && name != sharedDropKey && w.current.networks[name] == nil {
			delete(w.progress, name)
			w.m.barrier.forget(name, w.seat)
		}
	}
	return w.current
}

// bringShared writes tier, guard and pools. ready says whether policies may follow: the tier and the guard stand.
func (w *worker) bringShared(ctx context.Context, cluster *apply.Cluster, intent *prepared, t *todo) (wrote, ready bool, wait time.Duration) {
	p := w.progressOf(sharedKey)
	if p.mayTry(intent.wholeShared) {
		p.err = intent.err
		at, actions := t.next()
		if at == phaseBase && p.err == nil {
			wrote, p.err = w.do(ctx, cluster, p, t, actions)
		}
	}
	wait = w.settleFailure(p, intent.wholeShared)
	ready = true
	for _, a := range t.actions {
		if a.want != nil && isFrame(a.want.object) {
			ready = false
		}
	}
	w.sharedErr = p.err
	return wrote, ready, wait
}

// dropShared removes an old guard, pools, and at the very end the guard and the tier.
func (w *worker) dropShared(ctx context.Context, cluster *apply.Cluster, t *todo) (wrote bool, wait time.Duration) {
	p := w.progressOf(sharedDropKey)
	at, actions := t.next()
	if at < phaseDropDenies || at == phaseSettled || !p.mayTry(w.current.wholeShared) {
		return false, forever
	}
	if wait := w.settling(w.progressOf(sharedKey), at); wait > 0 {
		return false, wait
	}
	wrote, p.err = w.do(ctx, cluster, p, t, actions)
	w.dropErr = p.err
	return wrote, w.settleFailure(p, w.current.wholeShared)
}

// bringNetwork takes a network through its phases as far as it may go now.
func (w *worker) bringNetwork(ctx context.Context, cluster *apply.Cluster, name string, n *networkPlan, ready bool) (wrote bool, wait time.Duration) {
	p := w.progressOf(name)
	if n.err != nil {
		p.err = n.err
		return false, forever
	}
	t := planNetwork(name, n, w.current, w.live)
	for {
		at, actions := t.next()
		w.arrive(name, p, at)
		if w.notOurs != nil && at <= phaseDenies {
			return wrote, forever // somebody else owns the tier, and with it the member; the shared objects' turn tells when that ends
		}
		if at == phaseSettled {
			w.succeeded(p)
			return wrote, forever
		}
		if !p.mayTry(n.whole) {
			return w.restore(ctx, cluster, t, at) || wrote, time.Until(p.retryAt)
		}
		if at < phaseDropDenies && isTaken(w.sharedErr) {
			p.err = w.sharedErr
			return wrote, forever
		}
		if wait := w.gate(name, n, p, at, ready); wait > 0 {
			return wrote, wait
		}
		did, err := w.do(ctx, cluster, p, t, actions)
		wrote = wrote || did
		if errors.Is(err, errOutdated) {
			return wrote, 0
		}
		if p.err = err; err != nil {
			return w.restore(ctx, cluster, t, at) || wrote, w.settleFailure(p, n.whole)
		}
	}
}

// restore puts back what others changed of later phases, which a failure in an earlier one must not hold up: it stood already. Calico rules are left to their
// phase, which knows what a failed one means for the others.
func (w *worker) restore(ctx context.Context, cluster *apply.Cluster, t *todo, failed phase) (wrote bool) {
	for _, a := range t.actions {
		if a.want == nil || a.phase <= failed || isRules(a.key()) || !w.drifted(a.want.object) || w.outdated() || ctx.Err() != nil {
			continue
		}
		// An error is met again, and told, when the phase's turn comes.
		did, _ := w.call(ctx, cluster, a)
		wrote = wrote || did
	}
	return wrote
}

// arrive notes the phase that a network stands at, for the barrier and for how long it has been waiting.
func (w *worker) arrive(name string, p *progress, at phase) {
	w.m.barrier.report(name, w.seat, at)
	if p.at != at {
		p.at, p.since, p.named = at, time.Now(), false
	}
	p.waitsFor, p.waits = "", ""
	if at == phaseSettled && len(w.stale) == 0 {
		p.policies = false
	}
}

// gate returns how long a network has to wait before it may enter a phase.
func (w *worker) gate(name string, n *networkPlan, p *progress, at phase, ready bool) time.Duration {
	if at == phasePermits || at == phaseDenies {
		if !ready {
			p.waitsFor = "the tier and the guard"
			return w.m.opts.Resync
		}
	}
	if !at.gated() {
		return 0
	}
	wait := w.settling(p, at)
	if at != phaseDropBase {
		wait = max(wait, w.settling(w.progressOf(sharedKey), phasePermits))
	}
	if wait > 0 {
		p.waitsFor = "Calico to take in what was written"
		return wait
	}
	if n.Deleted || (at == phaseDropBase && !p.policies) {
		return 0
	}
	others := w.m.barrier.behind(name, w.seat, at, w.wake)
	if at == phaseDenies {
		others = append(others, n.Unsynced...)
		slices.Sort(others)
		others = slices.Compact(others)
	}
	if len(others) == 0 {
		return 0
	}
	end := p.since.Add(w.m.opts.Barrier)
	if left := time.Until(end); left > 0 {
		p.waits = waits(others, end)
		return left
	}
	if !p.named {
		p.named = true
		w.log.Info("going on without other clusters, which took too long", "network", name, "phase", at.String(), "others", others, "waited", w.m.opts.Barrier.String())
	}
	return 0
}

// waits says for whom a network waits, until when at the latest, and why no longer. It says the same as long as it waits for the same.
func waits(others []string, end time.Time) string {
	kind := "cluster "
	if len(others) > 1 {
		kind = "clusters "
	}
	// The time is told in whole seconds, and not before it is over.
	return "waiting for " + kind + strings.Join(firstFew(others), ", ") + " until " + end.Add(time.Second-time.Nanosecond).UTC().Format(time.RFC3339) +
		" at the latest (--barrier)"
}

// settling returns how long Calico still has to be given after the writes that a phase follows.
func (w *worker) settling(p *progress, at phase) time.Duration {
	var wait time.Duration
	first, last := at.settlesAfter()
	for q := first; q <= last; q++ {
		if t := p.wrote[q]; !t.IsZero() {
			wait = max(wait, time.Until(t.Add(w.m.opts.Settle)))
		}
	}
	return wait
}

// do makes the calls of one phase. An object that fails does not keep the others of the phase from being tried; the phase is then not done. Only Calico
// rules stop at the first that fails: among them the first match decides, so that a later Allow must not stand without the earlier Deny. And all stops where
// the tier is another owner's.
func (w *worker) do(ctx context.Context, cluster *apply.Cluster, p *progress, t *todo, actions []action) (wrote bool, err error) {
	var failed []action
	rulesFailed := false
	for i, a := range actions {
		if w.outdated() || ctx.Err() != nil {
			t.actions = append(failed, t.actions[i:]...)
			return wrote, errOutdated
		}
		if rulesFailed && isRules(a.key()) {
			failed = append(failed, a)
			continue
		}
		if w.hasPending() {
			// Whatever a pass has to write, what pods changed meanwhile does not wait for it. What fails is met again.
			_ = w.writePending(ctx, cluster)
		}
		a, needed := w.renew(a)
		if !needed {
			continue
		}
		did, callErr := w.call(ctx, cluster, a)
		if a.want != nil && a.want.key.Kind == apply.KindTier {
			w.notOurs = nil
			if apply.IsOwnershipConflict(callErr) {
				w.notOurs = callErr
				t.actions = append(failed, t.actions[i:]...)
				return wrote, callErr
			}
		}
		if did {
			wrote = true
			p.wrote[a.phase] = time.Now()
			p.policies = p.policies || isPolicy(a.key())
		}
		if isTaken(callErr) {
			t.actions = append(append(failed, a), t.actions[i+1:]...)
			return wrote, callErr
		}
		if callErr != nil {
			failed = append(failed, a)
			err = firstOf(err, callErr)
			rulesFailed = rulesFailed || isRules(a.key())
		}
	}
	t.actions = append(failed, t.actions[len(actions):]...)
	return wrote, err
}

// isTaken tells whether an error means that the member has another owner, who has the tier. Two owners would deny what the other permits, so that not even
// sets are written there.
func isTaken(err error) bool {
	var conflict *apply.OwnershipConflictError
	return errors.As(err, &conflict) && conflict.Key.Kind == apply.KindTier
}

// call makes one call and keeps what is known to be there in step with it.
func (w *worker) call(ctx context.Context, cluster *apply.Cluster, a action) (wrote bool, err error) {
	key := a.key()
	if err := w.mayTouch(key); err != nil {
		return false, err
	}
	if err := w.mayDo(a); err != nil {
		return false, err
	}
	if w.unserved[key.Kind] {
		return false, fmt.Errorf("%s %q: %w", key.Kind, key.Name, apply.ErrKindNotServed)
	}
	if err := w.writes.Wait(ctx); err != nil {
		return false, errOutdated // the connection ended
	}
	ctx, cancel := context.WithTimeout(ctx, w.m.opts.CallTimeout)
	defer cancel()
	if a.drop != nil {
		err := cluster.Delete(ctx, a.drop)
		w.limits.note(err)
		if err != nil {
			w.markStale(key.Kind)
			return false, err
		}
		w.forgetLive(a.drop)
		w.m.opts.Observer.Wrote(w.name, key.Kind, apply.Deleted)
		w.log.V(1).Info("deleted", "kind", key.Kind, "name", key.Name)
		return true, nil
	}
	if err := w.kept(a.want.object); err != nil {
		return false, err
	}
	drifted, managers := w.drifted(a.want.object), w.managers[key]
	outcome, now, err := w.apply(ctx, cluster, a.want.object)
	w.limits.note(err)
	if err != nil {
		w.markStale(key.Kind)
		return false, err
	}
	w.live[key] = now
	if outcome == apply.Unchanged {
		return false, nil
	}
	w.written[key] = true
	w.markStale(key.Kind)
	w.m.opts.Observer.Wrote(w.name, key.Kind, outcome)
	delete(w.managers, key)
	if drifted {
		w.putBack(key, managers)
	}
	w.log.V(1).Info("wrote", "kind", key.Kind, "name", key.Name, "outcome", outcome)
	return true, nil
}

func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// firstFew keeps messages short.
func firstFew(names []string) []string {
	const few = 3
	if len(names) <= few {
		return names
	}
	return append(slices.Clone(names[:few]), fmt.Sprintf("and %d more", len(names)-few))
}
