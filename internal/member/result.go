package member

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
)

// Result is how far a member is with a network.
type Result struct {
	// Generation is the network's generation that the result speaks of.
	Generation int64
	// Programmed says that all objects were read back with the wanted content, and that nothing else of the network is there.
	Programmed bool
	// Gone says that the network was to be removed, and nothing of it is there any more.
	Gone bool
	// Outdated says that something else is wanted by now: policies, tier, guard or pools, or whether policies are Staged. The result speaks of what was
	// wanted before.
	Outdated bool
	// Staged says that the policies that are there are Staged kinds; where there are none, those that are wanted.
	Staged bool
	// Held says that changes of policies are not written.
	Held bool
	// Wanted is the number of objects that should be there; Done how many of them are.
	Wanted, Done int
	// Reason says why Programmed is false.
	Reason mcnv1alpha1.Reason
	// Message says what is wrong or awaited, and where.
	Message string
	// Waits says for which other clusters the network waits, and until when at the latest; it is in Message too.
	Waits string

	content string // networkPlan.content of what it speaks of
}

// Status is what is known of a member's worker.
type Status struct {
	// Connected says whether the member could be reached when it was last looked at.
	Connected bool
	// LostSince is when it could not be reached any more, or when it was first tried.
	LostSince time.Time
	// Results are by network.
	Results map[string]Result
	// Unknown counts the objects of networks that the intent does not name, by network. They are left as they are.
	Unknown map[string]int
	// Reclaimed is the Intent.Reclaim under which nothing unknown was found; empty before that.
	Reclaimed string
}

// result sums up a network after a pass.
func (w *worker) result(name string, n *networkPlan, t *todo, p *progress) Result {
	out := Result{Generation: n.Generation, content: n.content, Staged: w.live.staged(name, n.Staged), Held: n.Held || w.current.Held, Wanted: len(n.wants)}
	missing := t.frozen
	for _, a := range t.actions {
		if a.want != nil {
			missing++
		}
	}
	out.Done = max(0, out.Wanted-missing)
	switch {
	case p.err != nil:
		out.Reason, out.Message = failureReason(p.err), steady(p.err)+w.pauseNote()
	case w.sharedErr != nil && !n.Remove:
		out.Reason, out.Message = failureReason(w.sharedErr), steady(w.sharedErr)+w.pauseNote()
	case w.contended(n.wants) != nil:
		out.Reason, out.Message = mcnv1alpha1.ReasonContended, steady(w.contended(n.wants))
	case w.contended(w.current.shared) != nil && !n.Remove:
		out.Reason, out.Message = mcnv1alpha1.ReasonContended, steady(w.contended(w.current.shared))
	case len(t.actions) > 0:
		at, _ := t.next()
		out.Reason = mcnv1alpha1.ReasonProgressing
		out.Message = fmt.Sprintf("%d of %d objects are in place; at %s", out.Done, out.Wanted, at)
		switch {
		case p.waitsFor != "":
			out.Message += ", waiting for " + p.waitsFor
		case p.waits != "":
			out.Waits = p.waits
			out.Message += ", " + p.waits
		}
	case t.frozen > 0:
		out.Reason = mcnv1alpha1.ReasonHeld
		out.Message = fmt.Sprintf("updates are Held: %d policies differ from the current spec; set updates to Automatic to let the change out", t.frozen)
	case n.Remove && w.notListed() != nil:
		out.Reason, out.Message = failureReason(w.notListed()), steady(w.notListed())
	case n.Remove:
		out.Gone = !w.live.has(name)
	default:
		out.Programmed = true
		out.Reason = mcnv1alpha1.ReasonProgrammed
	}
	return out
}

// publish tells what this pass found.
func (w *worker) publish() {
	results := make(map[string]Result, len(w.current.networks))
	for name, n := range w.current.networks {
		if w.current.Unread && !n.Remove {
			continue
		}
		t := planNetwork(name, n, w.current, w.live)
		results[name] = w.result(name, n, t, w.progressOf(name))
	}
	w.mu.Lock()
	if w.clean {
		w.cleaned = w.notListed() == nil && w.onlyTierLeft()
		w.cleanErr = firstOf(w.dropErr, w.notListed())
		for _, p := range w.progress {
			w.cleanErr = firstOf(w.cleanErr, p.err)
		}
		if w.cleaned {
			w.cleanErr = nil
		}
	}
	now := Status{Connected: true, Results: results, Unknown: w.current.unknown(w.live)}
	if w.notListed() == nil && w.current.reclaimed(now.Unknown) && w.current.Reclaim == w.conn.ClusterID {
		now.Reclaimed = w.current.Reclaim
	}
	w.mu.Unlock()
	w.store(now)
}

// onlyTierLeft tells whether everything went but what is spared, and what others hold on to: a tier with policies in it that are not ours cannot be deleted.
func (w *worker) onlyTierLeft() bool {
	spares := slices.ContainsFunc(w.spared, w.live.has)
	for key, u := range w.live {
		if network := apply.Network(u); slices.Contains(w.spared, network) || (spares && network == sharedKey) {
			continue
		}
		if key.Kind != apply.KindTier || (!apply.IsRefused(w.dropErr) && u.GetDeletionTimestamp() == nil) {
			return false
		}
	}
	return true
}

// store replaces the status and tells those who listen, if anything is different.
func (w *worker) store(now Status) {
	w.mu.Lock()
	was := w.state
	changed := !was.Connected || !maps.Equal(was.Results, now.Results) || !maps.Equal(was.Unknown, now.Unknown) || was.Reclaimed != now.Reclaimed || w.clean
	w.state = now
	w.mu.Unlock()
	if changed {
		w.m.notify()
	}
}

// varying is what differs from one try to the next in the text of an error that stays the same: our end of a connection, IDs, resource versions, durations.
var varying = regexp.MustCompile(`\S+:\d+->|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\(\d+\)|\b\d+(\.\d+)?(ns|µs|ms|s)\b`)

// steady is the text of an error as it stands in a status, where it must not change without need.
func steady(err error) string {
	if apply.IsOwnershipConflict(err) {
		return err.Error() // it names owners, which are IDs that stay
	}
	return varying.ReplaceAllString(err.Error(), "")
}

// Steady is the text of an error of CleanMember as it stands in a status.
func Steady(err error) string { return steady(err) }

func failureReason(err error) mcnv1alpha1.Reason {
	if apply.IsOwnershipConflict(err) {
		return mcnv1alpha1.ReasonOwnershipConflict
	}
	var contended *ContendedError
	if errors.As(err, &contended) {
		return mcnv1alpha1.ReasonContended
	}
	if errors.Is(err, apply.ErrKindNotServed) {
		return mcnv1alpha1.ReasonKindNotServed
	}
	return mcnv1alpha1.ReasonWriteFailed
}
