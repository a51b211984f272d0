package fleet

import (
	"cmp"
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
)

// visit is the time of one connection, from when its view is started. The session's goroutine alone uses it.
type visit struct {
	session   *session
	conn      *connection
	view      *view
	ctx       context.Context
	publisher publisher

	// failures counts the probes that failed in a row; failing is when the first of them began, and began when the last one did.
	failures       int
	failing, began time.Time
	// probing says that a probe is under way, so that there is one at a time, and due that another was wanted meanwhile; tried that the last one was with a
	// credential that is not current.
	probing, due, tried bool
	// probe is when the next one is due.
	probe *time.Timer
	// probed brings the outcome of a probe.
	probed chan probed
	// refreshing says that a refresh is under way; refreshed brings what it found.
	refreshing bool
	refreshed  chan refreshed
}

// probed is the outcome of a probe. With wire it tried a credential that is not current yet.
type probed struct {
	wire *wire
	err  error
}

// stay publishes what the view sees and probes the API server until the connection has to end. It returns why, and whether there was ever a complete view.
func (v *visit) stay() (reached bool, err error) {
	opts := &v.session.fleet.opts
	v.probe = time.NewTimer(jitter(opts.ProbeInterval))
	defer v.probe.Stop()
	v.probed, v.refreshed = make(chan probed, 1), make(chan refreshed, 1)
	refresh := time.NewTicker(opts.RefreshInterval)
	defer refresh.Stop()
	sync := time.NewTimer(opts.SyncTimeout)
	defer sync.Stop()
	for err == nil {
		select {
		case <-v.ctx.Done():
			err = v.ctx.Err()
		case <-v.session.again:
			err = errAgain
		case err = <-v.view.failed:
		case <-sync.C:
			if !v.publisher.published {
				err = &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: "no complete view within " + opts.SyncTimeout.String() + v.view.missing()}
			}
		case <-v.view.changed:
			v.publisher.publish()
			if !v.publisher.published && v.view.refused() {
				err = &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: unwatched + v.view.missing()}
			}
		case <-v.view.recount:
			v.publisher.recount()
		case <-refresh.C:
			v.startRefresh()
		case <-v.extended():
			v.startRefresh()
		case found := <-v.refreshed:
			v.refresh(found)
		case <-v.view.suspect:
			v.probe.Reset(0)
		case <-v.session.rotated:
			v.tried = false
			v.probe.Reset(0)
		case <-v.probe.C:
			v.startProbe()
		case outcome := <-v.probed:
			err = v.judge(outcome)
		}
	}
	return v.publisher.published, err
}

// refreshed is what no watch tells: the API server's version ("" if it does not answer) and the kinds that are served and not watched yet.
type refreshed struct {
	version string
	served  []gather.Kind
}

// extended is when the cluster may have come to serve more kinds, but not before the refresh that is under way has ended.
func (v *visit) extended() <-chan struct{} {
	if v.refreshing {
		return nil
	}
	return v.view.extended
}

// startRefresh looks for what no watch tells. It runs apart: discovery knows no context, and one that hangs must not keep probes from being judged.
func (v *visit) startRefresh() {
	if v.refreshing {
		return
	}
	v.refreshing = true
	wanted := v.view.unwatched()
	go func() {
		version, err := v.conn.version(v.ctx, v.session.fleet.opts.ProbeTimeout)
		if err != nil {
			version = ""
		}
		v.refreshed <- refreshed{version: version, served: v.view.served(wanted)}
	}()
}

// refresh takes in what startRefresh found.
func (v *visit) refresh(found refreshed) {
	v.refreshing = false
	v.publisher.version = cmp.Or(found.version, v.publisher.version)
	for _, k := range found.served {
		v.view.watch(v.ctx, k)
	}
	v.publisher.publish()
}

// startProbe probes the member: with the credential that was registered last, if that is another one than the current one and was not tried just now. It
// runs apart, so that a probe that hangs does not hold up what the watches bring.
func (v *visit) startProbe() {
	if v.probing {
		v.due = true
		return
	}
	v.probing, v.due, v.began = true, false, v.session.fleet.opts.Now()
	var through *wire
	if t := v.conn.transport; t != nil && !v.tried {
		if registered := v.session.latest(); !registered.equal(t.credential()) {
			// It was vetted; a pair that is none does not come here.
			through, _ = t.wire(registered)
		}
	}
	v.tried = through != nil
	go func() {
		_, err := v.session.identify(v.ctx, v.conn, through)
		v.probed <- probed{wire: through, err: err}
	}()
}

// judge takes in the outcome of a probe, and returns why the connection has to end, if it has to.
func (v *visit) judge(outcome probed) error {
	v.probing = false
	opts := &v.session.fleet.opts
	if outcome.wire != nil {
		if rotated, err := v.rotate(outcome); !rotated {
			v.probe.Reset(0) // how the current one does
			return err
		}
	}
	pause := opts.ProbeInterval
	switch {
	case outcome.err == nil:
		v.failures = 0
		v.publisher.resume()
	case v.suspend(outcome.err):
	default:
		if v.failures++; v.failures == 1 {
			v.failing = v.began
		}
		// A path that is broken for a moment is no news: one that flaps must not make the status flap.
		if isFinal(outcome.err) || (v.failures >= opts.ProbeFailures && opts.Now().Sub(v.failing) >= opts.ProbePatience) {
			return outcome.err
		}
		pause = opts.ProbeInterval / 10
	}
	v.view.tellOverdue()
	// What cannot be watched has to be out of sight, whether probes succeed or the credential is refused.
	if why := v.view.frozen(); v.publisher.published && why != "" && (outcome.err == nil || v.publisher.suspended) {
		return &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: unwatched + ": " + why}
	}
	if v.probe.Reset(jitter(pause)); v.due {
		v.probe.Reset(0)
	}
	return nil
}

// rotate puts a credential in force that was probed with success. It was probed first because the same server, a gateway for example, may lead to another cluster
// with it, and nothing may be written there: that ends the connection. One that merely does not work leaves the former one in use for as long as that one
// lasts, since an API server can take a while to know a new account, and is tried again with every probe.
func (v *visit) rotate(outcome probed) (rotated bool, err error) {
	switch {
	case outcome.err == nil:
		v.conn.transport.adopt(outcome.wire)
		v.publisher.setCredentialProblem("")
		v.session.log.Info("The credential of the member was exchanged")
		return true, nil
	case isOther(outcome.err):
		return false, outcome.err
	case apierrors.IsUnauthorized(outcome.err), apierrors.IsForbidden(outcome.err):
		v.publisher.setCredentialProblem("the kubeconfig has a new credential that does not work, and the former one is used: " + describe(outcome.err))
	}
	v.conn.transport.drop(outcome.wire)
	return false, nil
}

// suspend takes the member out of sight because its credential is refused, and keeps the connection: watches that were opened go on, so that the next
// credential finds a view that needs no list. It returns false for other errors, and while there is no view worth keeping.
func (v *visit) suspend(err error) bool {
	if !apierrors.IsUnauthorized(err) || !v.publisher.published || v.conn.transport == nil {
		return false
	}
	v.publisher.suspended = true
	v.session.lose(asFault(err))
	return true
}

// isFinal says whether a failed probe ends a connection at once: the credential is refused, or another cluster answers.
func isFinal(err error) bool { return apierrors.IsUnauthorized(err) || isOther(err) }

// isOther says whether a probe found a cluster that is not to be talked to.
func isOther(err error) bool {
	var known *fault
	return errors.As(err, &known)
}
