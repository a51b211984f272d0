package dataplane

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/dataplane/intent"
	"multicloud.network/operator/test/dataplane/lab"
)

// testRandom changes the networks of the standing range again and again, and the pods' labels with them, and tries every flow each time. Of a round that
// fails, the smallest networks that fail too are looked for.
func (w *world) testRandom(t *testing.T) {
	c := coverage{kinds: map[string]int{}}
	var before []*mcnv1alpha1.MultiCloudNetwork
	began := time.Now()
	rounds := 0
	for ; c.networks < *networks; rounds++ {
		d := newDrawer(*seed + uint64(rounds))
		w.relabel(t, d)
		var drawn []*mcnv1alpha1.MultiCloudNetwork
		for i := range 2 + d.IntN(4) {
			name := fmt.Sprintf("n%d-%d", i, rounds)
			// Half of the networks are those of the round before, changed in place.
			if i < len(before) && d.oneIn(2) {
				name = before[i].Name
			}
			drawn = append(drawn, d.network(name))
		}
		traffic := []intent.Traffic{everything[0], everything[1+d.IntN(len(everything)-1)]}
		ok := t.Run(fmt.Sprintf("seed=%d", *seed+uint64(rounds)), func(t *testing.T) {
			if d.oneIn(3) {
				w.local(t, pick(d, "a", "b", "c"), d.local())
			}
			w.set(t, drawn...)
			c.count(w, traffic)
			w.compare(t, traffic)
			if t.Failed() {
				w.shrink(t, drawn, traffic)
			}
		})
		if !ok {
			break
		}
		before = drawn
	}
	w.tally.random = c.lines(rounds)
	t.Logf("%.1f s a round", time.Since(began).Seconds()/float64(rounds))
	w.set(t)
	w.relabelBack(t)
}

// relabel gives some pods another tier, and some namespaces another team.
func (w *world) relabel(t *testing.T, d drawer) {
	t.Helper()
	for _, p := range w.pods {
		if d.oneIn(6) {
			labels := map[string]string{"app": p.Labels()["app"]}
			if !d.oneIn(5) {
				labels["tier"] = pick(d, tierNames...)
			}
			must(t, p.Relabel(t.Context(), labels))
		}
	}
	for _, s := range w.Sites {
		for _, name := range slices.Sorted(maps.Keys(namespaces)) {
			if d.oneIn(9) {
				w.setNamespace(t, s, name, map[string]string{"team": pick(d, teamNames...)})
			}
		}
	}
}

// relabelBack makes pods and namespaces what they were at first.
func (w *world) relabelBack(t *testing.T) {
	t.Helper()
	for i, p := range w.pods {
		must(t, p.Relabel(t.Context(), labelsOf(population[i%len(population)])))
	}
	for _, s := range w.Sites {
		for name, labels := range namespaces {
			w.setNamespace(t, s, name, labels)
		}
	}
}

// coverage counts what was drawn.
type coverage struct {
	networks, overlaps, pods                             int
	kinds                                                map[string]int
	sameAllowed, sameDenied, crossAllowed, crossDenied   int
	localPolicies, stagedSomewhere, notOnAll, withRoutes int
}

func (c *coverage) count(w *world, traffic []intent.Traffic) {
	places := w.look()
	for _, n := range w.intent.Networks {
		c.networks++
		boundary, membership := n.Spec.Boundary, n.Spec.Membership
		if boundary == "" {
			boundary = "default"
		}
		c.kinds[fmt.Sprintf("%s %s %s", n.Spec.Model, boundary, membership)]++
		if n.Spec.StagedClusters != nil {
			c.stagedSomewhere++
		}
		if len(n.Spec.Routes) > 0 {
			c.withRoutes++
		}
		if slices.ContainsFunc(w.Sites, func(s *lab.Site) bool { return !w.intent.Spans(n, s.Name) }) {
			c.notOnAll++
		}
	}
	for _, p := range places {
		switch of := w.intent.NetworksOf(w.places[p]); {
		case of > 1:
			c.overlaps++
			c.pods++
		case of == 1:
			c.pods++
		}
	}
	for _, l := range w.intent.Local {
		c.localPolicies += len(l)
	}
	for _, e := range w.expect(w.flows(traffic)) {
		from, to := w.places[e.From].Cluster, w.places[e.To].Cluster
		switch {
		case from == "" || to == "":
		case from == to && e.passes:
			c.sameAllowed++
		case from == to:
			c.sameDenied++
		case e.passes:
			c.crossAllowed++
		default:
			c.crossDenied++
		}
	}
}

// lines say what was covered.
func (c *coverage) lines(rounds int) []string {
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		kinds = append(kinds, fmt.Sprintf("%d x %s", c.kinds[kind], kind))
	}
	return []string{
		fmt.Sprintf("%d random networks in %d rounds: %s", c.networks, rounds, strings.Join(kinds, ", ")),
		fmt.Sprintf("of them %d with routes, %d not on all clusters, %d staged somewhere; %d NetworkPolicies beside them; %d times a pod was in a network, %d times in several",
			c.withRoutes, c.notOnAll, c.stagedSomewhere, c.localPolicies, c.pods, c.overlaps),
		fmt.Sprintf("their cells in one cluster: %d should pass, %d should not; across clusters: %d should pass, %d should not", c.sameAllowed, c.sameDenied, c.crossAllowed, c.crossDenied),
	}
}
