package controllers

import (
	"sync"
	"time"

	"multicloud.network/operator/internal/member"
)

// measuredWriter measures how long it takes from the moment that the workers are told of a new spec until a member holds it.
type measuredWriter struct {
	MemberWriter
	metrics *metrics
	now     func() time.Time

	mu sync.Mutex
	// seen is the newest generation of each network that each member was told of; nil before the first time.
	seen map[string]map[string]int64
	// pending is since when a member has been told of a network's newest generation, and does not hold it.
	pending map[string]map[string]time.Time
}

// SetIntents implements MemberWriter.
func (w *measuredWriter) SetIntents(intents map[string]member.Intent) {
	w.metrics.setMembers(intents)
	w.note(intents)
	w.MemberWriter.SetIntents(intents)
}

// note begins to measure what is new. What a starting operator finds is not: it may be in place for long.
func (w *measuredWriter) note(intents map[string]member.Intent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first, now := w.seen == nil, w.now()
	seen, pending := make(map[string]map[string]int64, len(intents)), map[string]map[string]time.Time{}
	for name, intent := range intents {
		seen[name] = make(map[string]int64, len(intent.Networks))
		for network, n := range intent.Networks {
			if n.Remove {
				continue
			}
			seen[name][network] = n.Generation
			since, waiting := w.pending[name][network]
			if w.seen[name][network] != n.Generation {
				since, waiting = now, !first
			}
			if waiting && !n.Held && !intent.Held && !intent.Frozen {
				if pending[name] == nil {
					pending[name] = map[string]time.Time{}
				}
				pending[name][network] = since
			}
		}
	}
	w.seen, w.pending = seen, pending
}

// Statuses implements MemberWriter.
func (w *measuredWriter) Statuses() map[string]member.Status {
	statuses := w.MemberWriter.Statuses()
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, networks := range w.pending {
		for network, since := range networks {
			r := statuses[name].Results[network]
			if r.Programmed && !r.Outdated && r.Generation == w.seen[name][network] {
				w.metrics.latency.Observe(w.now().Sub(since).Seconds())
				delete(networks, network)
			}
		}
	}
	return statuses
}
