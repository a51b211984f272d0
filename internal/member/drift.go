package member

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// eventPause is the least time between two lists of a kind that events ask for: somebody who changes our objects without end costs a list now and then.
const eventPause = time.Second

// sightings are what watches saw and the worker has not judged yet.
type sightings struct {
	objects   map[compile.Key]sighting
	inventory map[string]*inventory
}

// saw takes in what happened to one object.
func (w *worker) saw(key compile.Key, s sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seenObjects.objects == nil {
		w.seenObjects.objects = map[compile.Key]sighting{}
	}
	w.seenObjects.objects[key] = s
	w.look()
}

// sawAll takes in a complete list, which replaces what was seen of its kind before.
func (w *worker) sawAll(kind string, all *inventory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seenObjects.inventory == nil {
		w.seenObjects.inventory = map[string]*inventory{}
	}
	w.seenObjects.inventory[kind] = all
	w.look()
}

// look makes the worker judge what was seen.
func (w *worker) look() {
	select {
	case w.events <- struct{}{}:
	default:
	}
}

// concerns judges what was seen, and tells whether there is anything to do about it: most events tell of what the worker did itself, or of others' objects.
func (w *worker) concerns() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judge() < forever || (w.live != nil && len(w.stale) > 0)
}

// judge compares what watches saw with what the worker itself last read or wrote, and marks the kinds that somebody else touched as stale. It returns when
// to judge what had to be put off. The worker's lock is held.
func (w *worker) judge() time.Duration {
	next := forever
	for kind, all := range w.seenObjects.inventory {
		if wait := w.judgeKind(kind, w.live != nil && !w.agrees(kind, all)); wait > 0 {
			next = min(next, wait)
			continue
		}
		delete(w.seenObjects.inventory, kind)
	}
	for key, s := range w.seenObjects.objects {
		unknown := w.live != nil && !w.knows(key, s)
		if unknown && w.disturb(key) {
			unknown = false
		}
		if wait := w.judgeKind(key.Kind, unknown); wait > 0 {
			next = min(next, wait)
			continue
		}
		delete(w.seenObjects.objects, key)
	}
	return next
}

// judgeKind marks a kind as stale if something unknown was seen of it, or tells how long that has to wait.
func (w *worker) judgeKind(kind string, unknown bool) time.Duration {
	if !unknown || w.stale[kind] {
		return 0
	}
	if wait := time.Until(w.askedAt[kind].Add(eventPause)); wait > 0 {
		return wait
	}
	w.askedAt[kind] = time.Now()
	w.markStale(kind)
	return 0
}

// knows tells whether what a watch saw is what the worker read or wrote itself, or older. Events come late: after a write, or a list, that they tell of.
func (w *worker) knows(key compile.Key, s sighting) bool {
	live, ok := w.live[key]
	if s.deleted {
		// Some servers tell of a deletion with the version that was deleted, others with one of its own.
		return !ok || newer(live.GetResourceVersion(), s.version)
	}
	if ok && !newer(s.version, live.GetResourceVersion()) {
		return true
	}
	return !newer(s.version, w.listed[key.Kind])
}

// agrees tells whether a complete list holds what the worker believes to be there.
func (w *worker) agrees(kind string, all *inventory) bool {
	if w.unserved[kind] || w.unlisted[kind] != nil {
		return false // it has come, or may be listed again
	}
	if newer(w.listed[kind], all.version) {
		return false // it may be old, or the cluster was restored from a backup and counts anew
	}
	for name, version := range all.items {
		if !w.knows(compile.Key{Kind: kind, Name: name}, sighting{version: version}) {
			return false
		}
	}
	for key, live := range w.live {
		if key.Kind != kind {
			continue
		}
		if _, ok := all.items[key.Name]; !ok && !newer(live.GetResourceVersion(), all.version) {
			return false
		}
	}
	return true
}

// compare notes which objects of ours somebody else changed or deleted since the worker last read or wrote them.
func (w *worker) compare(listing apply.Listing) {
	for key, before := range w.live {
		if !w.stale[key.Kind] || listing.Forbidden[key.Kind] != nil {
			continue
		}
		hash := apply.ContentHash(before)
		if now := listing.Objects[key]; now == nil || apply.ContentHash(now) != hash {
			w.taken[key] = hash
		}
	}
	for key, hash := range w.taken {
		if now := listing.Objects[key]; now != nil && apply.ContentHash(now) == hash {
			delete(w.taken, key)
		}
	}
	for key := range w.managers {
		if w.stale[key.Kind] {
			delete(w.managers, key)
		}
	}
	for key, names := range listing.Managers {
		w.managers[key] = names
	}
}

// drifted tells whether an object that is to be written is one that we wrote as it is wanted now, and that somebody else changed or deleted since.
func (w *worker) drifted(want *unstructured.Unstructured) bool {
	key, hash := apply.KeyOf(want), apply.ContentHash(want)
	if live := w.live[key]; live != nil && apply.ContentHash(live) == hash {
		return true
	}
	before, ok := w.taken[key]
	return ok && before == hash
}

// putBack tells of a correction that was made.
func (w *worker) putBack(key compile.Key, managers []string) {
	delete(w.taken, key)
	w.m.opts.Observer.Drift(w.name, key.Kind)
	w.log.Info("put back what somebody else changed", "kind", key.Kind, "name", key.Name, "managers", slices.Clone(managers))
	w.flip(key, managers)
}

// The pause before an object is written once more that the server does not keep as it was written: it doubles from the first to the last.
const firstUnkeptPause, lastUnkeptPause = 30 * time.Second, 10 * time.Minute

// unkept is an object that the server holds otherwise than it was written.
type unkept struct {
	version string // the resourceVersion in which it was read back
	tries   int
	retryAt time.Time
}

// kept returns an error if an object was written as it is wanted, and the server holds it otherwise. As long as nobody touches it, and no definition changes,
// writing it once more would most likely change nothing, and is tried seldom.
func (w *worker) kept(want *unstructured.Unstructured) error {
	key := apply.KeyOf(want)
	live := w.live[key]
	if live == nil {
		return nil
	}
	n, known := w.notKept[key]
	if w.written[key] {
		delete(w.written, key)
		n.version, n.tries, known = live.GetResourceVersion(), n.tries+1, true
		n.retryAt = time.Now().Add(w.jittered(min(firstUnkeptPause<<min(n.tries-1, 10), lastUnkeptPause)))
		w.notKept[key] = n
	}
	if !known || n.version != live.GetResourceVersion() {
		delete(w.notKept, key)
		return nil
	}
	if time.Now().After(n.retryAt) {
		return nil
	}
	return fmt.Errorf("%s %q differs in %s: %w", key.Kind, key.Name, apply.Difference(live, want), errNotKept)
}
