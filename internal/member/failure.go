package member

import (
	"errors"
	"time"

	"multicloud.network/operator/internal/apply"
)

// mayTry tells whether a failed network's time has come, or what is wanted of it has changed.
func (p *progress) mayTry(plan string) bool {
	return p.failures == 0 || p.retryPlan != plan || time.Now().After(p.retryAt)
}

// settleFailure plans the next try after a failure, and forgets failures after a success.
func (w *worker) settleFailure(p *progress, plan string) time.Duration {
	switch {
	case p.err == nil:
		w.succeeded(p)
		return forever
	case errors.Is(p.err, errOutdated):
		p.err, p.failures = nil, 0
		return forever
	}
	var contended *ContendedError
	if errors.As(p.err, &contended) || errors.Is(p.err, apply.ErrKindNotServed) || errors.Is(p.err, errNotListed) {
		// Nothing was tried, and an event, not time, makes it worth trying. Others of the network must not wait for it.
		p.failures = 0
		return forever
	}
	if p.failures > 0 && p.retryPlan == plan && time.Now().Before(p.retryAt) {
		return time.Until(p.retryAt)
	}
	p.failures++
	p.retryPlan = plan
	p.retryAt = time.Now().Add(w.backoff(p.failures))
	w.tell(p)
	w.m.opts.Observer.Failed(w.name, failureReason(p.err))
	return time.Until(p.retryAt)
}

// succeeded forgets failures, and tells that they are over if they were told.
func (w *worker) succeeded(p *progress) {
	if p.told != "" {
		w.log.Info("what failed is done now")
	}
	p.err, p.failures, p.told = nil, 0, ""
}

// tell logs a failure when it is news. That an object is not ours, or that the cluster refuses one, is expected of a cluster that others work on too: it is
// told once, in status as in the log, and without the stack of ours that an error brings.
func (w *worker) tell(p *progress) {
	text := steady(p.err)
	switch {
	case text == p.told:
		w.log.V(1).Info("a write fails as before; trying again", "reason", failureReason(p.err), "failures", p.failures)
	case apply.IsOwnershipConflict(p.err), apply.IsRefused(p.err):
		w.log.Info("the cluster does not let us write; trying again", "reason", failureReason(p.err), "cause", text)
	default:
		w.log.Error(p.err, "a write failed; trying again", "failures", p.failures)
	}
	p.told = text
}
