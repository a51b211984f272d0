package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// session keeps one member connected with one credential: it connects, stays, and connects again, until it is cancelled.
type session struct {
	fleet  *Fleet
	name   string
	cfg    *rest.Config
	ctx    context.Context
	cancel context.CancelFunc
	log    logr.Logger
	// again ends the present connection, or the pause before the next one.
	again chan struct{}
}

// unwatched begins the message about a member of which a required kind cannot be listed or watched, whether it could be before or not.
const unwatched = "the cluster cannot be watched, and what is known of it is held"

// errAgain ends a connection because something about the member's registration changed.
var errAgain = errors.New("the registration changed")

// reconnect makes the session connect anew. It does not wait.
func (s *session) reconnect() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// run is the session's goroutine.
func (s *session) run() {
	opts := &s.fleet.opts
	pause := opts.BackoffMin
	for s.ctx.Err() == nil {
		reached, err := s.connectAndStay()
		if s.ctx.Err() != nil {
			return
		}
		if reached {
			pause = opts.BackoffMin
		}
		if errors.Is(err, errAgain) {
			s.pending()
		} else {
			s.lose(asFault(err))
		}
		select {
		case <-s.ctx.Done():
		case <-s.again:
			pause = opts.BackoffMin
		case <-time.After(jitter(pause)):
			pause = min(2*pause, opts.BackoffMax)
		}
	}
}

// lose records why the member is out of sight, and logs it where that is news.
func (s *session) lose(why *fault) {
	s.fleet.update(s, func(m *member) bool {
		if m.state.Reason != why.reason || m.state.Message != why.message {
			s.log.Info("Member is not reachable", "reason", why.reason, "message", why.message)
		}
		s.fleet.loseLocked(m, why.reason, why.message)
		return false
	})
}

// pending records that the member is being connected to anew, for a reason that is not the cluster's.
func (s *session) pending() {
	s.fleet.update(s, func(m *member) bool {
		m.conn = nil
		if m.state.Reachable {
			m.state.Reachable = false
			m.state.Reason, m.state.Message = mcnv1alpha1.ReasonConnecting, "connecting to the cluster"
		}
		return false
	})
}

// connectAndStay makes one connection and returns why it ended, and whether it ever had a complete view.
func (s *session) connectAndStay() (reached bool, err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	conn, err := dial(s.cfg, s.fleet.opts.Scheme, s.log)
	if err != nil {
		return false, err
	}
	defer conn.close()
	if conn.id, err = s.identify(ctx, conn); err != nil {
		return false, err
	}
	version, err := conn.version(ctx, s.fleet.opts.ProbeTimeout)
	if err != nil {
		return false, err
	}
	w := newView(conn, &s.fleet.opts, s.fleet.facts(s), s.fleet.allIndexes)
	defer w.wait() // the caches end with ctx, which is cancelled first
	defer cancel()
	if err := w.start(ctx); err != nil {
		return false, err
	}
	return s.stay(ctx, conn, w, version)
}

// stay publishes what the view sees and probes the API server until the connection has to end.
func (s *session) stay(ctx context.Context, conn *connection, w *view, version string) (reached bool, err error) {
	opts := &s.fleet.opts
	probe := time.NewTimer(jitter(opts.ProbeInterval))
	defer probe.Stop()
	refresh := time.NewTicker(opts.RefreshInterval)
	defer refresh.Stop()
	sync := time.NewTimer(opts.SyncTimeout)
	defer sync.Stop()
	publisher := &publisher{session: s, conn: conn, view: w, ctx: ctx, version: version}
	probes := make(chan error, 1)
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return publisher.published, ctx.Err()
		case <-s.again:
			return publisher.published, errAgain
		case err := <-w.failed:
			return publisher.published, err
		case <-sync.C:
			if !publisher.published {
				return false, &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: "no complete view within " + opts.SyncTimeout.String() + w.missing()}
			}
		case <-w.changed:
			publisher.publish()
			if !publisher.published && w.refused() {
				return false, &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: unwatched + w.missing()}
			}
		case <-refresh.C:
			if now, err := conn.version(ctx, opts.ProbeTimeout); err == nil {
				publisher.version = now
			}
			w.look(ctx)
			publisher.publish()
		case <-w.suspect:
			probe.Reset(0)
		case <-probe.C:
			// Apart, so that a probe that hangs does not hold up what the watches bring.
			go func() {
				_, err := s.identify(ctx, conn)
				select {
				case probes <- err:
				case <-ctx.Done():
				}
			}()
		case err := <-probes:
			if failures++; err == nil {
				failures = 0
				if why := w.frozen(); publisher.published && why != "" {
					return true, &fault{reason: mcnv1alpha1.ReasonConnectionFailed, message: unwatched + ": " + why}
				}
			} else if isFinal(err) || failures >= opts.ProbeFailures {
				return publisher.published, err
			}
			probe.Reset(jitter(opts.ProbeInterval))
		}
	}
}

// isFinal says whether a failed probe ends a connection at once: the credential is refused, or another cluster answers.
func isFinal(err error) bool {
	var known *fault
	return apierrors.IsUnauthorized(err) || errors.As(err, &known)
}

// identify asks for the cluster's ID and claims it. As a probe it proves in one request that the server answers, that its store does, that the credential
// holds and that it still is the same cluster.
func (s *session) identify(ctx context.Context, conn *connection) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.opts.ProbeTimeout)
	defer cancel()
	id, err := conn.clusterID(ctx)
	if err != nil {
		return "", err
	}
	return id, s.fleet.claim(s, id)
}
