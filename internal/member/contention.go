package member

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// fewFlips is how many corrections of one object within Options.Truce make it contended.
const fewFlips = 4

// ContendedError says that somebody else keeps changing an object of ours, and that it is put back only now and then.
type ContendedError struct {
	// Key is the object.
	Key compile.Key
	// Managers are the field managers that the object had beside ours, sorted; empty where it was only deleted.
	Managers []string
}

// Error says who changes what, and what to do about it.
func (e *ContendedError) Error() string {
	who := "somebody"
	if len(e.Managers) > 0 {
		who = "field manager " + strings.Join(quoted(firstFew(e.Managers)), ", ")
	}
	return fmt.Sprintf("%s %q: %s changes or deletes it each time that it is put back, so it is put back about once a minute only: make that tool leave objects with the label %s alone",
		e.Key.Kind, e.Key.Name, who, mcnv1alpha1.OwnerLabel)
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = fmt.Sprintf("%q", name)
	}
	return out
}

// contention is what a worker remembers of an object that was put back.
type contention struct {
	flips    []time.Time // corrections within the last Truce
	managers []string    // of those who changed it
	// nextTry is when the object may be looked at and written again; zero as long as it is not contended.
	nextTry time.Time
	// lookAt is when it is looked at again. It lies ahead of nextTry where the object's turn has come and it could not be written, because updates are Held or writes fail.
	lookAt time.Time
	// disturbed says that somebody changed it since it was last written.
	disturbed bool
}

func (c *contention) contended() bool { return c != nil && !c.nextTry.IsZero() }

// leave leaves the object alone until then.
func (c *contention) leave(until time.Time) { c.nextTry, c.lookAt = until, until }

// flip counts a correction, and makes the object contended if it was not the first of late.
func (w *worker) flip(key compile.Key, managers []string) {
	c := w.contentions[key]
	if c == nil {
		c = &contention{}
		w.contentions[key] = c
	}
	now := time.Now()
	c.flips = slices.DeleteFunc(append(c.flips, now), func(t time.Time) bool { return now.Sub(t) > w.m.opts.Truce })
	for _, name := range managers {
		if !slices.Contains(c.managers, name) {
			c.managers = append(c.managers, name)
		}
	}
	slices.Sort(c.managers)
	c.disturbed = false
	if !c.contended() && len(c.flips) >= fewFlips {
		w.log.Info("somebody else keeps changing an object of ours; it is put back only now and then", "kind", key.Kind, "name", key.Name, "managers", c.managers)
	}
	if c.contended() || len(c.flips) >= fewFlips {
		c.leave(now.Add(w.m.opts.Truce))
	}
}

// disturb notes that somebody changed a contended object, whose turn has not come; it tells whether that is so.
func (w *worker) disturb(key compile.Key) bool {
	c := w.contentions[key]
	if !c.contended() {
		return false
	}
	c.disturbed = true
	return true
}

// mayTouch returns an error if an object is contended and its time has not come.
func (w *worker) mayTouch(key compile.Key) error {
	c := w.contentions[key]
	if !c.contended() || !time.Now().Before(c.nextTry) {
		return nil
	}
	return w.contendedError(key, c)
}

func (w *worker) contendedError(key compile.Key, c *contention) error {
	return &ContendedError{Key: key, Managers: slices.Clone(c.managers)}
}

// recall marks the kinds of contended objects whose time has come as stale, and forgets old corrections.
func (w *worker) recall() {
	for key, c := range w.contentions {
		if !c.contended() {
			if time.Since(c.flips[len(c.flips)-1]) > w.m.opts.Truce {
				delete(w.contentions, key)
			}
			continue
		}
		if now := time.Now(); !now.Before(c.lookAt) {
			w.markStale(key.Kind)
			c.lookAt = now.Add(w.m.opts.Truce)
		}
	}
}

// recallIn returns when the next contended object is to be looked at.
func (w *worker) recallIn() time.Duration {
	next := forever
	for _, c := range w.contentions {
		if c.contended() {
			next = min(next, time.Until(c.lookAt))
		}
	}
	return next
}

// reconcile ends the contention about objects that were left alone for a Truce; live has just been read.
func (w *worker) reconcile(intent *prepared) {
	for key, c := range w.contentions {
		if !c.contended() || time.Now().Before(c.nextTry) || !w.inPlace(key, intent) {
			continue
		}
		if c.disturbed {
			c.disturbed = false
			c.leave(time.Now().Add(w.m.opts.Truce))
			continue
		}
		w.log.Info("an object of ours is left alone again", "kind", key.Kind, "name", key.Name)
		delete(w.contentions, key)
	}
}

// inPlace tells whether an object is as it is wanted, or gone if it is not.
func (w *worker) inPlace(key compile.Key, intent *prepared) bool {
	live := w.live[key]
	want := intent.shared[key]
	for _, n := range intent.networks {
		if n.wants[key] != nil {
			want = n.wants[key]
		}
	}
	if want == nil || live == nil {
		return (want == nil) == (live == nil)
	}
	return apply.Equal(live, want.object)
}

// contended returns the error about the first contended object among some, by kind and name; nil if there is none.
func (w *worker) contended(wants map[compile.Key]*wanted) error {
	var first *compile.Key
	for key, c := range w.contentions {
		if wants[key] != nil && c.contended() && (first == nil || key.Kind+key.Name < first.Kind+first.Name) {
			first = &key
		}
	}
	if first == nil {
		return nil
	}
	return w.contendedError(*first, w.contentions[*first])
}
