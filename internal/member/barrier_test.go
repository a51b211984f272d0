package member

import (
	"slices"
	"testing"
	"time"
)

func TestOnlyMembersInWhichANetworkHasAPartAreWaitedFor(t *testing.T) {
	m := NewManager(Options{Barrier: time.Hour})
	wanted := Intent{Networks: map[string]NetworkIntent{"net": {Generation: 1}}}
	unselected := Intent{Unread: true, Networks: map[string]NetworkIntent{"net": {Generation: 1, Remove: true}}}
	behind := func() []string { return m.barrier.behind("net", m.workers["one"].seat, phasePermits, func() {}) }
	check := func(when string, want ...string) {
		t.Helper()
		if got := behind(); !slices.Equal(got, want) {
			t.Errorf("%s: member one waits for %v, want %v", when, got, want)
		}
	}
	m.SetIntents(map[string]Intent{"one": wanted, "two": wanted, "unread": unselected})
	check("after a restart", "two")

	// What its worker finds there counts.
	m.barrier.report("net", m.workers["unread"].seat, phaseDropDenies)
	check("when a rest is found that is past that phase", "two")
	m.barrier.report("net", m.workers["unread"].seat, phaseNone)
	check("when it is behind after all", "two", "unread")
	m.barrier.forget("net", m.workers["unread"].seat)

	m.barrier.report("net", m.workers["two"].seat, phaseSettled)
	check("when the others are done")
	next := unselected
	next.Unread = false
	m.SetIntents(map[string]Intent{"one": wanted, "two": next, "unread": unselected})
	check("when one is selected no more", "two")
}
