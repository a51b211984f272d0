package dataplane

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster/tools"
)

// mutant is a deliberate fault in the operator: texts in a file of the repository that are replaced, and what has to catch it.
type mutant struct {
	name, file string
	replace    [][2]string
	// catcher tries the world with the faulty operator and returns what it finds wrong.
	catcher func(w *world, t *testing.T) []string
}

// mutants are the faults that the packets must catch. Each text stands in its file once: TestMutantsAreCurrent holds that.
var mutants = []mutant{
	{"permits step behind denials", "internal/compile/bands.go", [][2]string{{"orderDeny      = 4000", "orderDeny      = 1999"}}, finds(flatCases[1])},
	{"denials permit", "internal/compile/policies.go", [][2]string{
		{"denials.ingress = []calicov3.Rule{{Action: calicov3.Deny,", "denials.ingress = []calicov3.Rule{{Action: calicov3.Pass,"},
	}, finds(flatCases[1])},
	{"pools are not written", "internal/compile/pools.go", [][2]string{{"objects = append(objects, c.pool(cidr))", "_ = c.pool(cidr)"}}, finds(flatCases[1])},
	{"the sets of one member are not written", "internal/identity/groups.go", [][2]string{
		{"if len(written)+len(gone) > 0 {", `if len(written)+len(gone) > 0 && f.member.name != "b" {`},
	}, finds(flatCases[1])},
	{"routes are reversed", "internal/compile/policies.go", [][2]string{
		{"if slices.ContainsFunc(r.to, s.is) {", "if slices.ContainsFunc(r.from, s.is) {\n\t\t\tr.from, r.to = r.to, r.from"},
	}, finds(vlanCases[1])},
	{"the namespace is forgotten", "internal/compile/builder.go", [][2]string{
		{"return calicov3.EntityRule{NamespaceSelector: s.NamespaceSelector(), Selector: s.Selector()}", `return calicov3.EntityRule{NamespaceSelector: "all()", Selector: s.Selector()}`},
	}, finds(flatCases[1])},
	{"the guard is missing", "internal/compile/shared.go", [][2]string{{"objects := []Object{c.tier(), c.guard(m)}", "objects := []Object{c.tier()}"}}, finds(hostile[0])},
	{"Exclusive networks come last", "internal/compile/bands.go", [][2]string{{"orderExclusive = 1000 //", "orderExclusive = 5000 //"}, {"(orderOverride - orderExclusive) / 2", "500"}}, finds(overlapCases[1])},
	{"a local label satisfies a remote rule", "internal/compile/builder.go", [][2]string{{`NamespaceSelector: "global()",`, ""}}, (*world).impostorPasses},
	{"ports are dropped from routes", "internal/compile/policies.go", [][2]string{{"Destination: calicov3.EntityRule{Ports: m.ports},", ""}, {"e.Ports = m.ports", ""}}, finds(vlanCases[1])},
	{"writes come in reverse order", "internal/member/phase.go", [][2]string{
		{"		return phasePermits\n	case compile.RoleDeny:\n		return phaseDenies\n", "		return phaseDenies\n	case compile.RoleDeny:\n		return phasePermits\n"},
	}, (*world).badMoments},
	{"objects are deleted before their successors are written", "internal/member/plan.go", [][2]string{{"t.actions = append(t.actions, drops...)", "t.actions = append(drops, t.actions...)"}}, (*world).badMoments},
}

// mutantPatience is how long a faulty operator gets to say that networks are in force.
const mutantPatience = 30 * time.Second

// finds tries a case of the table.
func finds(c one) func(*world, *testing.T) []string {
	return func(w *world, t *testing.T) []string {
		for _, n := range c.networks {
			w.apply(t, n)
		}
		w.intent.Networks = c.networks
		if !w.inForceWithin(t, mutantPatience) {
			// It never says that it is in force; what the packets say counts.
			t.Log("the networks do not come into force")
		}
		return w.wrongNow(t, everything)
	}
}

// TestMutantsAreCurrent holds that every mutant changes what it means to change.
func TestMutantsAreCurrent(t *testing.T) {
	root, err := tools.Root()
	must(t, err)
	for _, m := range mutants {
		text, err := os.ReadFile(filepath.Join(root, m.file))
		must(t, err)
		for _, r := range m.replace {
			if n := strings.Count(string(text), r[0]); n != 1 {
				t.Errorf("mutant %q: %s has its text %d times, want once; find the code that it breaks now: %s", m.name, m.file, n, r[0])
			}
		}
	}
}

// build builds the operator with the mutant's fault; the repository stays as it is.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	root, err := tools.Root()
	must(t, err)
	dir := t.TempDir()
	source := filepath.Join(root, m.file)
	text, err := os.ReadFile(source)
	must(t, err)
	faulty := string(text)
	for _, r := range m.replace {
		faulty = strings.Replace(faulty, r[0], r[1], 1)
	}
	must(t, os.WriteFile(filepath.Join(dir, "faulty.go"), []byte(faulty), 0o600))
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: filepath.Join(dir, "faulty.go")}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	program := filepath.Join(dir, "manager")
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the operator with its fault: %v\n%s", err, out)
	}
	return program
}

// TestMutants runs the operator with each fault, and expects that packets catch it.
func TestMutants(t *testing.T) {
	if !*mutate {
		t.Skip("it takes some minutes: run make mutants")
	}
	requireRoot(t)
	w := start(t)
	sound := w.program
	caught, lines := 0, ""
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			w.program = m.build(t)
			w.restart(t, quick...)
			wrong := m.catcher(w, t)
			w.program = sound
			w.restart(t, quick...)
			w.set(t)
			if len(wrong) == 0 {
				t.Fatal("no packet catches it")
			}
			caught++
			first, _, _ := strings.Cut(wrong[0], "\n")
			lines += fmt.Sprintf("- %s: caught, first by %s\n", m.name, first)
			t.Logf("caught by %d flows, first by %s", len(wrong), first)
		})
	}
	t.Logf("%d of %d mutants are caught", caught, len(mutants))
	if *updateDocs && !t.Failed() {
		writeBlock(t, "mutants", lines)
	}
}

// impostorPasses labels a pod like a group of a network, and returns the flows by which it gets in, beside all others that are wrong.
func (w *world) impostorPasses(t *testing.T) []string {
	t.Helper()
	n := flat("n", of("shop", ""), mcnv1alpha1.BoundaryClosed)
	w.set(t, n)
	pod := w.pod("b/bank/db")
	labels := pod.Labels()
	labels[mcnv1alpha1.GroupLabel] = w.group(t, pod.Site)
	must(t, pod.Relabel(t.Context(), labels))
	wrong := w.wrongNow(t, everything[:2])
	delete(labels, mcnv1alpha1.GroupLabel)
	must(t, pod.Relabel(t.Context(), labels))
	return wrong
}

// badMoments creates a network and changes its model, to and fro and with the settling times of production, while flows are watched that must always or
// never pass, until one does what it must not.
func (w *world) badMoments(t *testing.T) []string {
	t.Helper()
	models := list{flat("base", of("shop", ""), mcnv1alpha1.BoundaryClosed), vlan("base", []mcnv1alpha1.Segment{segment("all", "shop", "")}, nil)}
	always := []string{"a/shop/web -> b/shop/api TCP/80", "b/shop/web -> b/shop/api TCP/80", "c/shop/web -> a/shop/api TCP/80", "c/shop/web -> c/shop/db TCP/80"}
	never := []string{"a/bank/web -> b/shop/api TCP/80", "b/bank/web -> b/shop/api TCP/80", "outside1 -> c/shop/api TCP/80"}
	w.restart(t, "--barrier=10s")
	change := func(o *watcher, step string, to *mcnv1alpha1.MultiCloudNetwork) {
		o.at(step)
		w.apply(t, to)
		w.inForceWithin(t, mutantPatience)
		must(t, w.Settle(t.Context()))
	}
	o := w.watch(t, always, nil)
	change(o, "the creation", models[0])
	if _, violations := o.end(t); len(violations) > 0 {
		return violations
	}
	o = w.watch(t, always, never)
	for round := 1; round <= 4 && o.clean(); round++ {
		change(o, fmt.Sprintf("change %d of the model", round), models[round%2])
	}
	_, violations := o.end(t)
	return violations
}
