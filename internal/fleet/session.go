package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// session keeps one member connected with one server: it connects, stays, and connects again, until it is cancelled. The credential may change under way.
type session struct {
	fleet *Fleet
	name  string
	// cfg leads to the server; its credential is the one that the session began with. local says that it is the hub's own.
	cfg    *rest.Config
	local  bool
	ctx    context.Context
	cancel context.CancelFunc
	log    logr.Logger
	// again ends the present connection, or the pause before the next one.
	again chan struct{}
	// rotated signals that another credential was registered.
	rotated chan struct{}

	mu sync.Mutex
	// registered is the credential that was registered last.
	registered credential
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

// rotate registers another credential for the same server. It does not wait.
func (s *session) rotate(c credential) {
	s.mu.Lock()
	s.registered = c
	s.mu.Unlock()
	signal(s.rotated)
}

// latest is the credential that was registered last.
func (s *session) latest() credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registered
}

// config is how to reach the server with the latest credential.
func (s *session) config() *rest.Config {
	if s.local {
		return s.cfg
	}
	c, out := s.latest(), rest.CopyConfig(s.cfg)
	out.BearerToken, out.CertData, out.KeyData = c.token, c.cert, c.key
	return out
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
		case <-s.rotated:
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
	conn, err := dial(s.config(), s.local, &s.fleet.opts, s.log)
	if err != nil {
		return false, err
	}
	defer conn.close()
	if conn.id, err = s.identify(ctx, conn, nil); err != nil {
		return false, err
	}
	version, err := conn.version(ctx, s.fleet.opts.ProbeTimeout)
	if err != nil {
		return false, err
	}
	w := newView(conn, &s.fleet.opts, s.fleet.facts(s), s.fleet.allIndexes)
	w.pods = podFeed{index: s.fleet.pods, member: s.name, changed: s.fleet.podsChanged}
	s.fleet.openGate(s, w)
	defer w.wait() // the caches end with ctx, which is cancelled first
	defer cancel()
	if err := w.start(ctx); err != nil {
		return false, err
	}
	v := &visit{session: s, conn: conn, view: w, ctx: ctx, publisher: publisher{session: s, conn: conn, view: w, ctx: ctx, version: version}}
	return v.stay()
}

// identify asks for the cluster's ID, through a wire that is not current yet if there is one, and claims it. As a probe it proves in one request that the server answers, that
// its store does, that the credential holds and that it still is the same cluster.
func (s *session) identify(ctx context.Context, conn *connection, through *wire) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.fleet.opts.ProbeTimeout)
	defer cancel()
	if through != nil {
		ctx = throughWire(ctx, through)
	}
	id, err := conn.clusterID(ctx)
	if err != nil {
		return "", err
	}
	return id, s.fleet.claim(s, id)
}
