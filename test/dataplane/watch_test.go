package dataplane

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"multicloud.network/operator/test/dataplane/lab"
)

const (
	// watchEvery is the pause between two tries of a watched flow.
	watchEvery = 20 * time.Millisecond
	// unanswered is how long a flow that must pass may take. A lost packet shows by itself; this is for machines that are busy.
	unanswered = 5 * time.Second
	// together is how far apart two flows may be lost for the same reason.
	together = 500 * time.Millisecond
)

// watcher tries flows without a pause while the networks change: some must always pass, some never.
type watcher struct {
	stop  chan struct{}
	once  sync.Once // closes stop
	group sync.WaitGroup

	mu         sync.Mutex
	began      time.Time
	step       string
	tries      int
	violations []string
	// slow are the moments in which a packet between hosts outside was lost too: then it is the machine.
	slow  []time.Time
	lost  []lostTry
	fault error
}

type lostTry struct {
	at   time.Time
	what string
}

// watch begins to try flows, named as in the matrix, and one between hosts outside, which no network touches.
func (w *world) watch(t *testing.T, always, never []string) *watcher {
	t.Helper()
	all := map[string]lab.Flow{}
	for _, f := range w.flows(everything) {
		all[f.String()] = f
	}
	find := func(name string) lab.Flow {
		f, known := all[name]
		if !known {
			t.Fatalf("no flow %q", name)
		}
		return f
	}
	o := &watcher{stop: make(chan struct{}), began: time.Now()}
	for _, name := range always {
		f := find(name)
		o.each(f, unanswered, func(r lab.Result, at time.Time) {
			if !r.Passed || r.Again {
				o.lost = append(o.lost, lostTry{at, fmt.Sprintf("%s after %.2f s, at %s: a packet is lost (answered %t, after %s)", f, at.Sub(o.began).Seconds(), o.step, r.Passed, r.Took)})
			}
		})
	}
	for _, name := range never {
		f := find(name)
		o.each(f, 100*time.Millisecond, func(r lab.Result, at time.Time) {
			if r.Passed {
				o.violations = append(o.violations, fmt.Sprintf("%s after %.2f s, at %s: passes", f, at.Sub(o.began).Seconds(), o.step))
			}
		})
	}
	o.each(lab.Flow{From: w.Outside[0], To: w.Outside[1], Protocol: lab.TCP, Port: 80}, unanswered, func(r lab.Result, at time.Time) {
		if !r.Passed || r.Again {
			o.slow = append(o.slow, at)
		}
	})
	t.Cleanup(o.halt) // where the test ends early
	return o
}

// halt ends the tries.
func (o *watcher) halt() {
	o.once.Do(func() { close(o.stop) })
	o.group.Wait()
}

// each tries one flow again and again, always with a new connection.
func (o *watcher) each(f lab.Flow, patience time.Duration, note func(lab.Result, time.Time)) {
	o.group.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			select {
			case <-o.stop:
				return
			case <-ticker.C:
			}
			at := time.Now()
			r, err := f.Once(patience)
			o.mu.Lock()
			o.tries++
			if err != nil {
				o.fault = fmt.Errorf("%s: %w", f, err)
			}
			note(r, at)
			o.mu.Unlock()
		}
	})
}

// at tells what happens from now on.
func (o *watcher) at(step string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.step = step
}

// clean tells whether nothing was seen yet that should not have been.
func (o *watcher) clean() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.violations)+len(o.lost) == 0
}

// end ends the tries and returns how many there were, and what should not have been. What was lost when the machine lost packets is not counted.
func (o *watcher) end(t *testing.T) (tries int, violations []string) {
	t.Helper()
	o.halt()
	must(t, o.fault)
	excused := 0
	for _, l := range o.lost {
		if slices.ContainsFunc(o.slow, func(s time.Time) bool { return l.at.Sub(s).Abs() < together }) {
			excused++
			continue
		}
		o.violations = append(o.violations, l.what)
	}
	if excused > 0 {
		t.Logf("%d lost packets are not counted: a flow that no policy touches lost one in the same moment", excused)
	}
	return o.tries, o.violations
}
