package member

import (
	"errors"
	"testing"
	"time"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
)

func object(role compile.Role, kind, name, hash string) compile.Object {
	kindOf := metav1.TypeMeta{APIVersion: "projectcalico.org/v3", Kind: kind}
	meta := metav1.ObjectMeta{Name: name, Annotations: map[string]string{mcnv1alpha1.ContentHashAnnotation: hash}}
	if role == compile.RoleSet {
		return compile.Object{Role: role, Resource: &calicov3.GlobalNetworkSet{TypeMeta: kindOf, ObjectMeta: meta}}
	}
	return compile.Object{Role: role, Resource: &calicov3.GlobalNetworkPolicy{TypeMeta: kindOf, ObjectMeta: meta}}
}

// intentOf is an intent with a guard, and network net with a permit and a set.
func intentOf(change func(*Intent, *NetworkIntent)) Intent {
	in := Intent{UID: "u", Shared: []compile.Object{object(compile.RoleGuard, "GlobalNetworkPolicy", "t.guard-a", "g")}}
	n := NetworkIntent{Generation: 1, Objects: []compile.Object{
		object(compile.RoleSet, "GlobalNetworkSet", "mcn-a", "s"), object(compile.RolePermit, "GlobalNetworkPolicy", "t.net-p-a", "p"),
	}}
	if change != nil {
		change(&in, &n)
	}
	in.Networks = map[string]NetworkIntent{"net": n}
	return in
}

func TestIntentsAreToldApart(t *testing.T) {
	tests := map[string]struct {
		change         func(*Intent, *NetworkIntent)
		whole, content bool // what has to differ
	}{
		"nothing":     {func(*Intent, *NetworkIntent) {}, false, false},
		"generation":  {func(_ *Intent, n *NetworkIntent) { n.Generation = 2 }, true, false},
		"held":        {func(_ *Intent, n *NetworkIntent) { n.Held = true }, true, false},
		"member held": {func(in *Intent, _ *NetworkIntent) { in.Held = true }, true, false},
		"frozen":      {func(in *Intent, _ *NetworkIntent) { in.Frozen = true }, true, false},
		"unread":      {func(in *Intent, _ *NetworkIntent) { in.Unread = true }, true, false},
		"deleted":     {func(_ *Intent, n *NetworkIntent) { n.Remove, n.Deleted = true, true }, true, true},
		"unsynced":    {func(in *Intent, _ *NetworkIntent) { in.Unsynced = []string{"x"} }, true, false},
		"staged":      {func(_ *Intent, n *NetworkIntent) { n.Staged = true }, true, true},
		"removal":     {func(_ *Intent, n *NetworkIntent) { n.Remove = true }, true, true},
		"a set's content": {func(_ *Intent, n *NetworkIntent) {
			n.Objects[0] = object(compile.RoleSet, "GlobalNetworkSet", "mcn-a", "s2")
		}, true, false},
		"a policy": {func(_ *Intent, n *NetworkIntent) {
			n.Objects[1] = object(compile.RolePermit, "GlobalNetworkPolicy", "t.net-p-b", "p2")
		}, true, true},
		"the guard": {func(in *Intent, _ *NetworkIntent) {
			in.Shared[0] = object(compile.RoleGuard, "GlobalNetworkPolicy", "t.guard-b", "g2")
		}, true, true},
	}
	base := prepare(intentOf(nil))
	for name, tc := range tests {
		got := prepare(intentOf(tc.change))
		if differs := got.whole != base.whole; differs != tc.whole {
			t.Errorf("%s: the intent differs: %v, want %v", name, differs, tc.whole)
		}
		if differs := got.networks["net"].content != base.networks["net"].content; differs != tc.content {
			t.Errorf("%s: what a status speaks of differs: %v, want %v", name, differs, tc.content)
		}
	}
}

func TestAnEqualIntentWakesNobodyAndLeavesBackoffAlone(t *testing.T) {
	m := NewManager(Options{})
	m.SetIntent("one", intentOf(nil))
	w := m.workers["one"]
	<-w.wakeups
	p := &progress{err: errors.New("refused")}
	w.m.opts.Retry = time.Hour
	w.settleFailure(p, w.intent.networks["net"].whole)
	m.SetIntents(map[string]Intent{"one": intentOf(nil)})
	if len(w.wakeups) > 0 || w.version != 1 {
		t.Errorf("an equal intent woke the worker (version %d)", w.version)
	}
	if p.mayTry(w.intent.networks["net"].whole) {
		t.Error("an equal intent cut the delay after a failure short")
	}
	m.SetIntents(map[string]Intent{"one": intentOf(func(_ *Intent, n *NetworkIntent) { n.Generation = 2 })})
	if len(w.wakeups) == 0 || !p.mayTry(w.intent.networks["net"].whole) {
		t.Error("another intent did not wake the worker, or is not tried")
	}
}

func TestResultsAreOutdatedOnceSomethingElseIsWanted(t *testing.T) {
	m := NewManager(Options{})
	m.SetIntent("one", intentOf(nil))
	w := m.workers["one"]
	w.store(Status{Connected: true, Results: map[string]Result{"net": {Generation: 1, Programmed: true, content: w.intent.networks["net"].content}}})
	if m.Statuses()["one"].Results["net"].Outdated {
		t.Error("the result is outdated at once")
	}
	m.SetIntent("one", intentOf(func(_ *Intent, n *NetworkIntent) { n.Staged = true }))
	if !m.Statuses()["one"].Results["net"].Outdated {
		t.Error("the result still counts although Staged policies are wanted by now")
	}
	w.store(Status{Connected: true, Results: map[string]Result{"net": {Generation: 1, Gone: true, content: "removal"}}})
	m.SetIntent("one", intentOf(func(_ *Intent, n *NetworkIntent) { n.Remove = true }))
	if r, ok := m.Statuses()["one"].Results["net"]; ok {
		t.Errorf("%+v: a removal begins with what an earlier one found", r)
	}
}

func TestErrorsReadTheSameFromOneTryToTheNext(t *testing.T) {
	for _, pair := range [][2]string{
		{"read tcp 127.0.0.1:51234->127.0.0.1:6443: connection reset by peer", "read tcp 127.0.0.1:51235->127.0.0.1:6443: connection reset by peer"},
		{"the ResourceVersion in the precondition (12) does not match (13)", "the ResourceVersion in the precondition (14) does not match (15)"},
		{"webhook failed: request 7f0c1a52-9a5e-4c5e-8f57-0d1c6e0b1a11 after 1.5s", "webhook failed: request 00000000-9a5e-4c5e-8f57-0d1c6e0b1a11 after 20ms"},
	} {
		if a, b := steady(errors.New(pair[0])), steady(errors.New(pair[1])); a != b {
			t.Errorf("%q and %q differ", a, b)
		}
	}
	if got := steady(errors.New(`creating GlobalNetworkSet "mcn-1a2b" on :6443: no`)); got != `creating GlobalNetworkSet "mcn-1a2b" on :6443: no` {
		t.Errorf("got %q, want what tells nothing of the moment left alone", got)
	}
}

func TestAMemberThatIsNotReadIsWaitedForLikeOneOutOfReach(t *testing.T) {
	m := NewManager(Options{})
	for _, unread := range []bool{true, false} {
		m.SetIntent("one", Intent{UID: "u", Unread: unread})
		w := m.workers["one"]
		w.take()
		w.bring(t.Context(), nil)
		if _, lost := m.barrier.lostSince("one"); lost != unread {
			t.Errorf("unread %v: lost %v", unread, lost)
		}
	}
}
