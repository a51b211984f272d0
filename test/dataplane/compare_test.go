package dataplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"multicloud.network/operator/test/dataplane/intent"
	"multicloud.network/operator/test/dataplane/lab"
)

// everything is the traffic of a full matrix.
var everything = []intent.Traffic{{Protocol: lab.TCP, Port: 80}, {Protocol: lab.TCP, Port: 8080}, {Protocol: lab.UDP, Port: 443}, {Protocol: lab.ICMP}}

// tally counts what a run has seen.
type tally struct {
	dataplane                       lab.Dataplane
	matrices, cells, allowed, looks int
	mismatches                      int
	probing                         time.Duration
	// of flows that were watched while networks changed
	tries, violations int
	effects           []string
	// random says what random networks were tried.
	random []string
}

// String is the run's result, for people and for the document.
func (c *tally) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "### Dataplane %s\n\n", c.dataplane)
	fmt.Fprintf(&out, "- %d matrices, %d cells: %d should pass, %d should not; **%d mismatches**\n", c.matrices, c.cells, c.allowed, c.cells-c.allowed, c.mismatches)
	for _, line := range c.random {
		fmt.Fprintf(&out, "- %s\n", line)
	}
	if c.tries > 0 {
		fmt.Fprintf(&out, "- while networks, pods, the operator and an API server came, changed and went: %d tries of flows that must always or never pass; **%d violations**\n",
			c.tries, c.violations)
	}
	for _, line := range c.effects {
		fmt.Fprintf(&out, "- time to effect, %s\n", line)
	}
	return out.String() + "\n"
}

// flows lists all flows between places of which one is a pod. DNS and API traffic is tried where it leads.
func (w *world) flows(traffic []intent.Traffic) []lab.Flow {
	places := w.look()
	var out []lab.Flow
	for _, from := range places {
		for _, to := range places {
			if from == to || w.places[from].Namespace == "" && w.places[to].Namespace == "" {
				continue
			}
			for _, what := range traffic {
				out = append(out, lab.Flow{From: from, To: to, Protocol: what.Protocol, Port: what.Port})
			}
		}
	}
	for _, p := range w.pods {
		out = append(out, lab.Flow{From: &p.Place, To: &p.Site.DNS.Place, Protocol: lab.UDP, Port: 53},
			lab.Flow{From: &p.Place, To: &p.Site.DNS.Place, Protocol: lab.TCP, Port: 53})
		out = append(out, lab.Flow{From: &p.Place, To: p.Site.API, Protocol: lab.TCP, Port: p.Site.APIPort})
	}
	return out
}

// cell is a flow with what the specification says of it.
type cell struct {
	lab.Flow
	passes bool
	seen   string // by the receiver; empty: whatever
}

func (c cell) String() string { return c.Flow.String() }

// expect asks the specification about flows.
func (w *world) expect(flows []lab.Flow) []cell {
	out := make([]cell, len(flows))
	for i, f := range flows {
		from, to := w.places[f.From], w.places[f.To]
		if to.Address != f.To.Address {
			to.Address = f.To.Address // the API server's
		}
		out[i] = cell{Flow: f, passes: w.intent.Passes(from, to, intent.Traffic{Protocol: f.Protocol, Port: f.Port})}
		if out[i].passes && f.Protocol != lab.ICMP && f.Port < 20000 {
			out[i].seen = w.intent.Seen(from, to).Address.String()
		}
	}
	return out
}

// looks is how often a matrix is tried before it counts as wrong: the operator tells that a network is in force, and not that it has seen the last pod.
const looks = 8

// compare waits until Felix has what is written, tries every flow, and compares each with what the specification says.
func (w *world) compare(t *testing.T, traffic []intent.Traffic) {
	t.Helper()
	cells := w.expect(w.flows(traffic))
	var wrong []string
	for look := 1; look <= looks; look++ {
		w.tally.looks++
		must(t, w.Settle(t.Context()))
		began := time.Now()
		var err error
		wrong, err = try(cells)
		must(t, err)
		w.tally.probing += time.Since(began)
		if len(wrong) == 0 {
			break
		}
		if look <= 2 || look == looks/2 {
			t.Logf("look %d: %d of %d cells are wrong, %s", look, len(wrong), len(cells), wrong[0])
		}
	}
	w.tally.matrices++
	w.tally.cells += len(cells)
	w.tally.mismatches += len(wrong)
	for _, c := range cells {
		if c.passes {
			w.tally.allowed++
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d of %d cells are wrong:\n%s\nwith\n%s", len(wrong), len(cells), strings.Join(wrong[:min(len(wrong), 30)], "\n"), w.describe())
	}
}

// try probes cells and says which are wrong.
func try(cells []cell) ([]string, error) {
	flows := make([]lab.Flow, len(cells))
	for i, c := range cells {
		flows[i] = c.Flow
	}
	results, err := lab.Probe(flows)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for i, c := range cells {
		switch r := results[i]; {
		case r.Passed != c.passes:
			wrong = append(wrong, fmt.Sprintf("%s: passes %t, want %t", c, r.Passed, c.passes))
		case c.seen != "" && r.Source.String() != c.seen:
			wrong = append(wrong, fmt.Sprintf("%s: seen from %s, want %s", c, r.Source, c.seen))
		}
	}
	return wrong, nil
}

// describe prints the networks in force.
func (w *world) describe() string {
	var out strings.Builder
	for _, n := range w.intent.Networks {
		text, err := yaml.Marshal(n.Spec)
		fmt.Fprintf(&out, "--- %s\n%s", n.Name, text)
		if err != nil {
			fmt.Fprintln(&out, err)
		}
	}
	for _, p := range w.pods {
		fmt.Fprintf(&out, "%s %s %v\n", p.Name, p.Address, p.Labels())
	}
	return out.String()
}
