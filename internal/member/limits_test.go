package member

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

func TestOnlyAServerInTroubleCountsForThePause(t *testing.T) {
	resource := schema.GroupResource{Group: "projectcalico.org", Resource: "tiers"}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("connection refused"), true},
		{apierrors.NewInternalError(errors.New("etcd")), true},
		{apierrors.NewServiceUnavailable("starting"), true},
		{apierrors.NewTooManyRequests("busy", 3), true},
		{apierrors.NewForbidden(resource, "t", errors.New("no")), false},
		{apierrors.NewConflict(resource, "t", errors.New("no")), false},
		{apierrors.NewInternalError(errors.New("cannot delete a non-empty tier")), false},
		{&apply.OwnershipConflictError{Key: compile.Key{Kind: apply.KindTier, Name: "t"}}, false},
	} {
		if got := isServersFault(tc.err); got != tc.want {
			t.Errorf("%v: the server's fault: %v, want %v", tc.err, got, tc.want)
		}
	}
}

func TestAWorkerPausesAfterPassesWithoutSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		broken := apierrors.NewServiceUnavailable("starting")
		fail := func() {
			w.limits.note(broken)
			w.tally()
		}
		for range w.m.opts.BreakAfter - 1 {
			fail()
			w.tally() // a pass that tried nothing is no evidence
		}
		if wait := w.rereadWait(); wait > 0 || w.pauseNote() != "" {
			t.Errorf("it pauses for %s too early", wait)
		}
		fail()
		least, most := w.m.opts.BreakFor*9/10, w.m.opts.BreakFor*11/10
		if wait := w.rereadWait(); wait < least || wait > most || !strings.Contains(w.pauseNote(), "every few minutes") {
			t.Errorf("it pauses for %s, and says %q; want about %s", wait, w.pauseNote(), w.m.opts.BreakFor)
		}
		<-time.After(most)
		if w.rereadWait() > 0 {
			t.Error("it pauses for ever")
		}
		fail()
		if w.rereadWait() < least {
			t.Error("after one more failure it does not pause again")
		}
		w.kick()
		if w.rereadWait() > 0 {
			t.Error("it pauses although somebody asks")
		}
		w.limits.note(nil)
		w.tally()
		if w.limits.failures > 0 || w.pauseNote() != "" {
			t.Error("a success does not end it")
		}
	})
}

func TestAServerThatAsksForTimeGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		w.limits.listed(apierrors.NewTooManyRequests("busy", 7))
		if wait := w.rereadWait(); wait != 7*time.Second {
			t.Errorf("the next call is made after %s, want the 7 s that the server asked for", wait)
		}
	})
}

// TestALowRateOfWritesIsWaitedFor: a rate at which one write takes longer to come than a call may last would otherwise make the worker spin.
func TestALowRateOfWritesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorker(NewManager(Options{WriteRate: 1.0 / 60, WriteBurst: 1}), "one")
		object := versioned("a", "10", "h")
		w.live = there(object)
		w.notKept[apply.KeyOf(object)] = unkept{version: "10", retryAt: time.Now().Add(time.Hour)}
		for range 2 {
			// What the server did not keep is not sent again: the waiting alone is seen.
			if _, err := w.call(t.Context(), nil, action{want: wants(object)[apply.KeyOf(object)]}); !errors.Is(err, errNotKept) {
				t.Fatalf("the call ends with %v, want %v after waiting", err, errNotKept)
			}
		}
	})
}
