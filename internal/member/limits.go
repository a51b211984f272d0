package member

import (
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"multicloud.network/operator/internal/apply"
)

// limits keep a worker from pressing a member that is in trouble.
type limits struct {
	done, failed bool      // whether a write of this pass succeeded, and whether a call failed for the server's sake
	unread       bool      // the last list failed so
	failures     int       // passes in a row in which none succeeded and one failed
	until        time.Time // no call before, but for somebody who asks
}

// listed takes in how a list ended. One that succeeds says nothing about writes.
func (l *limits) listed(err error) {
	if err != nil {
		l.note(err)
		l.unread = l.failed
		return
	}
	if l.unread {
		l.unread, l.failures = false, 0
	}
}

// note takes in how a write ended.
func (l *limits) note(err error) {
	switch {
	case err == nil:
		l.done = true
	case isServersFault(err):
		l.failed = true
	}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok && seconds > 0 {
		l.atLeast(time.Duration(seconds) * time.Second)
	}
}

func (l *limits) atLeast(d time.Duration) {
	if until := time.Now().Add(d); until.After(l.until) {
		l.until = until
	}
}

// isServersFault tells a server that cannot answer from one that answers with a refusal, which says nothing about other calls.
func isServersFault(err error) bool {
	if err == nil || apply.IsRefused(err) || errors.Is(err, apply.ErrFieldNotServed) || errors.Is(err, errOutdated) {
		return false
	}
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return !apply.IsOwnershipConflict(err)
	}
	code := answer.Status().Code
	return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests
}

// tally ends the count of a pass: after Options.BreakAfter failed ones the worker pauses for about Options.BreakFor before each further try.
func (w *worker) tally() {
	l := &w.limits
	switch {
	case l.done:
		if l.failures >= w.m.opts.BreakAfter {
			w.log.Info("the cluster takes calls again")
		}
		l.failures = 0
	case l.failed:
		if l.failures++; l.failures >= w.m.opts.BreakAfter {
			l.atLeast(w.jittered(w.m.opts.BreakFor))
			w.log.Info("nothing succeeded for a while; pausing before the next try", "passes", l.failures, "pause", w.m.opts.BreakFor.String())
		}
	}
	l.done, l.failed = false, false
}

// pauseNote is what the messages of failures say while the worker pauses.
func (w *worker) pauseNote() string {
	if w.limits.failures < w.m.opts.BreakAfter {
		return ""
	}
	return "; nothing succeeded on this cluster for a while, so that it is tried every few minutes only"
}
