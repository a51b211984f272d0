package member

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// versioned is an object with a resourceVersion and a content hash.
func versioned(name, version, hash string) *unstructured.Unstructured {
	u := thing(apply.KindSet, name, "net", map[string]any{"nets": []any{hash}})
	u.SetResourceVersion(version)
	u.SetAnnotations(map[string]string{mcnv1alpha1.ContentHashAnnotation: hash})
	return u
}

// watching is a worker that has read object a at version 10, in a list of version 12.
func watching() *worker {
	w := newWorker(NewManager(Options{}), "one")
	w.live = there(versioned("a", "10", "h"))
	w.listed[apply.KindSet] = "12"
	return w
}

func TestEventsOfOurOwnDoingAreKnown(t *testing.T) {
	for what, tc := range map[string]struct {
		name string
		sighting
		known bool
	}{
		"the version that was read":             {"a", sighting{version: "10"}, true},
		"an older one":                          {"a", sighting{version: "9"}, true},
		"a newer one":                           {"a", sighting{version: "13"}, false},
		"a deletion with a version of its own":  {"a", sighting{version: "13", deleted: true}, false},
		"a deletion with the version deleted":   {"a", sighting{version: "10", deleted: true}, false},
		"a deletion before it was made anew":    {"a", sighting{version: "8", deleted: true}, true},
		"an object that was gone when we read":  {"b", sighting{version: "11"}, true},
		"an object that came since":             {"b", sighting{version: "13"}, false},
		"the deletion of what we do not have":   {"b", sighting{version: "13", deleted: true}, true},
		"a version that cannot be compared":     {"a", sighting{version: "x"}, false},
		"an object whose version has no number": {"b", sighting{version: "x"}, false},
	} {
		w := watching()
		if got := w.knows(compile.Key{Kind: apply.KindSet, Name: tc.name}, tc.sighting); got != tc.known {
			t.Errorf("%s: known %v, want %v", what, got, tc.known)
		}
	}
}

func TestCompleteListsAreCompared(t *testing.T) {
	for what, tc := range map[string]struct {
		inventory
		agrees bool
	}{
		"the same":                            {inventory{"12", map[string]string{"a": "10"}}, true},
		"another version":                     {inventory{"14", map[string]string{"a": "13"}}, false},
		"one missing":                         {inventory{"14", nil}, false},
		"one more":                            {inventory{"14", map[string]string{"a": "10", "b": "13"}}, false},
		"older than what we read, or rewound": {inventory{"7", map[string]string{"a": "6"}}, false},
	} {
		if got := watching().agrees(apply.KindSet, &tc.inventory); got != tc.agrees {
			t.Errorf("%s: agrees %v, want %v", what, got, tc.agrees)
		}
	}
}

func TestUnknownEventsMakeOneKindStaleNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		key := compile.Key{Kind: apply.KindSet, Name: "a"}
		w.saw(key, sighting{version: "10"})
		if w.concerns() || len(w.stale) > 0 {
			t.Errorf("a known event makes %v stale", w.stale)
		}
		w.saw(key, sighting{version: "13"})
		if !w.concerns() || len(w.stale) != 1 || !w.stale[apply.KindSet] {
			t.Errorf("stale are %v, want sets", w.stale)
		}
		clear(w.stale)
		w.saw(key, sighting{version: "14"})
		if wait := w.judge(); wait != eventPause || len(w.stale) > 0 {
			t.Errorf("the next event is put off by %s, and %v is stale; want %s and nothing", wait, w.stale, eventPause)
		}
		<-time.After(eventPause)
		if w.judge(); !w.stale[apply.KindSet] {
			t.Error("an event that was put off is forgotten")
		}
	})
}

func TestAContendedObjectIsWrittenOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		key := compile.Key{Kind: apply.KindSet, Name: "a"}
		want := versioned("a", "", "h")
		w.live[key].Object["spec"] = map[string]any{"nets": []any{"theirs"}}
		intent := &prepared{networks: map[string]*networkPlan{"net": {wants: wants(want)}}}
		if !w.drifted(want) {
			t.Fatal("an object with our hash and another content has not drifted")
		}
		for range fewFlips {
			if err := w.mayTouch(key); err != nil {
				t.Fatalf("%v, want the first corrections to be made at once", err)
			}
			w.putBack(key, []string{"argocd"})
			<-time.After(time.Second)
		}
		if err := w.mayTouch(key); failureReason(err) != mcnv1alpha1.ReasonContended || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), `"argocd"`) {
			t.Errorf("%v: want Contended with the object and who it is", err)
		}
		if w.contended(intent.networks["net"].wants) == nil {
			t.Error("the network does not say so")
		}
		if !w.disturb(key) {
			t.Error("an event of a contended object asks for a list")
		}
		if w.recall(); w.recallIn() != time.Minute-time.Second || len(w.stale) > 0 {
			t.Errorf("it is looked at again after %s, want the rest of a minute", w.recallIn())
		}
		<-time.After(time.Minute)
		if w.recall(); !w.stale[apply.KindSet] || w.mayTouch(key) != nil {
			t.Error("after a minute it is not looked at")
		}
		// It happens to be right, but was changed meanwhile: one more minute.
		w.live[key] = versioned("a", "20", "h")
		w.reconcile(intent)
		if w.mayTouch(key) == nil {
			t.Error("it counts as left alone, although it was not")
		}
		<-time.After(time.Minute)
		w.reconcile(intent)
		if len(w.contentions) > 0 {
			t.Error("it still counts as contended after a minute in peace")
		}
	})
}

func TestWhatTheServerDoesNotKeepIsTriedAgainSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		w.written = map[compile.Key]bool{}
		want := versioned("a", "", "other")
		key := apply.KeyOf(want)
		write := func() {
			w.written[key] = true
			if err := w.kept(want); err == nil || !strings.Contains(err.Error(), "differs in") {
				t.Fatalf("what was read back with another content gives %v", err)
			}
		}
		tries := 0
		var last time.Duration
		for began := time.Now(); time.Since(began) < time.Hour; <-time.After(time.Second) {
			if w.kept(want) == nil {
				tries++
				last = time.Since(began)
				write()
			}
		}
		if tries < 6 || tries > 14 || last < 40*time.Minute {
			t.Errorf("it was written %d times within an hour, the last time after %s; want it seldom, and for ever", tries, last)
		}
		w.schemasChanged()
		w.take()
		if err := w.kept(want); err != nil {
			t.Errorf("after a definition changed: %v, want it tried at once", err)
		}
	})
}

func TestAKindThatMayNotBeListedIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		w.resyncAt = time.Now().Add(time.Hour)
		sets := []string{apply.KindSet}
		w.noteForbidden(sets, map[string]error{apply.KindSet: errors.New("no")})
		if w.take(); w.stale[apply.KindSet] || w.relistIn() <= 0 || w.notListed() == nil {
			t.Errorf("it is asked for at once, after %s, %v", w.relistIn(), w.notListed())
		}
		<-time.After(w.relistIn())
		if w.take(); !w.stale[apply.KindSet] {
			t.Error("it is not asked for again")
		}
		if w.agrees(apply.KindSet, &inventory{version: "12", items: map[string]string{"a": "10"}}) {
			t.Error("a watch that can list it is no news")
		}
		w.noteForbidden(sets, nil)
		if w.relistIn() != forever || w.notListed() != nil {
			t.Error("once it was listed it is still asked for")
		}
	})
}
