package member

import (
	"testing"
	"testing/synctest"
	"time"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// TestAContendedObjectThatIsNotWrittenIsLookedAtNowAndThen: its turn may come while updates are Held, or while writes fail. Nothing is written then, and its kind
// must not be listed without end.
func TestAContendedObjectThatIsNotWrittenIsLookedAtNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching()
		key := compile.Key{Kind: apply.KindSet, Name: "a"}
		for range fewFlips {
			w.flip(key, []string{"tool"})
		}
		looks := 0
		for began := time.Now(); time.Since(began) < 10*w.m.opts.Truce; looks++ {
			if looks > 20 {
				t.Fatalf("the %d. look comes after %s: the worker spins", looks, time.Since(began))
			}
			<-time.After(max(w.recallIn(), 0))
			clear(w.stale)
			if w.recall(); !w.stale[apply.KindSet] {
				t.Fatalf("the kind is not listed when the object's turn comes, after %s", time.Since(began))
			}
			if err := w.mayTouch(key); err != nil {
				t.Fatalf("the object may not be written when its turn comes: %v", err)
			}
		}
	})
}
