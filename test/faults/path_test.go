package faults

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/faults/proxy"
)

// pathRows break the way to a member, or the member's API server.
func pathRows() []row {
	return []row{
		{
			id: "F1", fault: "The API server of a member is killed",
			injected: "SIGKILL to kube-apiserver; a network for that member is created while it is away",
			expected: "What was written is held, on all members; the member is reported; it converges after its return",
			result:   "`Reachable=False`, `ConnectionFailed`; the other members and, after its return, this one are byte-identical; the new network becomes Ready",
			run:      killed,
		},
		{
			id: "F2", fault: "The API server of a member hangs",
			injected: "SIGSTOP to kube-apiserver, then a proxy that keeps connections and passes no byte",
			expected: "Found by the probe within 15 s although no connection ends; no connections pile up",
			result:   "`Reachable=False`, \"does not answer in time\", within 15 s both times; no write anywhere; the operator has no more open files than before",
			run:      frozen,
		},
		{
			id: "F41", fault: "A member dies between sets and policies",
			injected: "SIGKILL to kube-apiserver once the proxy has seen a new network's set stored",
			expected: "No policy is in force without its sets (I6)",
			result:   "No policy was written before the kill; after the return all sets stand before the first policy, and the network becomes Ready",
			run:      killedBetween,
		},
		{
			id: "F31", fault: "A member flaps: 5 s up, 5 s down",
			injected: "The proxy resets all connections and refuses new ones for 5 s, then takes them for 5 s, six times",
			expected: "What members hold does not flap; the status is damped",
			result:   "Not one write on any member; Reachable changed at most once for every two times that the path broke",
			run:      flapping,
		},
	}
}

func killed(t *testing.T, w *world) time.Duration {
	s := w.sites[east]
	untouched := w.remember(t, east)
	s.addPod(t, "f1", "app", nil)
	s.down(t)
	t.Logf("killed: unreachable after %s", w.waitReachable(t, east, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, ""))
	for _, name := range base {
		eventually(t, "network "+name+" tells", func() error { return w.named(name, east) })
	}
	w.create(t, flat("f1", east))
	s.up(t)
	took := w.waitReady(t, "f1")
	w.waitReachable(t, east, metav1.ConditionTrue, "", "")
	untouched(t)
	return took
}

// named checks that a network tells that it cannot see a member.
func (w *world) named(network, member string) error {
	n, err := w.get(network)
	if err != nil {
		return err
	}
	if n.Status.Summary.Unreachable == 0 {
		return fmt.Errorf("network %s: summary %+v names no unreachable cluster", network, n.Status.Summary)
	}
	i := slices.IndexFunc(n.Status.Clusters, func(c mcnv1alpha1.ClusterStatus) bool { return c.Name == member })
	if i < 0 || n.Status.Clusters[i].StaleSince == nil {
		return fmt.Errorf("network %s: clusters %+v do not say since when %s is out of sight", network, n.Status.Clusters, member)
	}
	return nil
}

func frozen(t *testing.T, w *world) time.Duration {
	s := w.sites[east]
	untouched := w.remember(t, east)
	files := w.operator.files(t)
	must(t, s.FreezeAPIServer())
	t.Cleanup(func() { _ = s.ThawAPIServer() })
	found := func(how string) {
		took := w.waitReachable(t, east, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, "in time")
		if t.Logf("%s: unreachable after %s", how, took); took > 15*time.Second {
			t.Errorf("%s: it took %s to be found, want at most 15 s", how, took)
		}
	}
	found("SIGSTOP")
	must(t, s.ThawAPIServer())
	took := w.waitReachable(t, east, metav1.ConditionTrue, "", "")

	s.proxy.Freeze()
	t.Cleanup(s.proxy.Thaw)
	found("frozen path")
	s.proxy.Thaw()
	took = max(took, w.waitReachable(t, east, metav1.ConditionTrue, "", ""))
	untouched(t)
	eventually(t, "connections do not pile up", func() error {
		// Other rows run at once, and each of their members may have a few connections more.
		if now := w.operator.files(t); now > files+12 {
			return fmt.Errorf("%d open files, before %d", now, files)
		}
		return nil
	})
	return took
}

// files is the number of the operator's open files.
func (p *program) files(t *testing.T) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	must(t, err)
	return len(list)
}

func killedBetween(t *testing.T, w *world) time.Duration {
	s := w.sites[east]
	untouched := w.remember(t, east)
	mark := s.proxy.Mark()
	w.create(t, subnets("f41", east), east)
	eventually(t, "a set of f41 is stored", func() error {
		if len(done(s.proxy.Since(mark, proxy.Writes("globalnetworksets")))) == 0 {
			return errors.New("no set was written")
		}
		return nil
	})
	s.down(t)
	atKill := s.proxy.Mark()
	if early := done(s.proxy.Since(mark, proxy.Writes("globalnetworkpolicies"))); len(early) > 0 {
		t.Fatalf("policies were written at once with the sets: %v", early)
	}
	s.up(t)
	took := w.waitReady(t, "f41")
	first := 0
	for _, r := range done(s.proxy.Since(mark, proxy.Writes("globalnetworksets", "globalnetworkpolicies"))) {
		if r.Resource == "globalnetworkpolicies" && first == 0 {
			first = r.Seq
		}
		if r.Resource == "globalnetworksets" && first > 0 {
			t.Errorf("set %s was written (request %d) after a policy (request %d)", r.Name, r.Seq, first)
		}
	}
	if first <= int(atKill) {
		t.Errorf("the first policy was request %d, the kill came after request %d", first, atKill)
	}
	untouched(t)
	return took
}

// done are the requests that the server kept.
func done(all []proxy.Request) []proxy.Request {
	return slices.DeleteFunc(slices.Clone(all), func(r proxy.Request) bool { return r.DryRun || r.Code < 200 || r.Code > 299 })
}

func flapping(t *testing.T, w *world) time.Duration {
	s := w.sites[east]
	t.Cleanup(s.proxy.Accept)
	untouched := w.remember(t, east)
	mark := s.proxy.Mark()
	const times = 6
	changes, last := 0, metav1.ConditionTrue
	look := func() error {
		m, err := w.member(east)
		if err != nil {
			return err
		}
		if c := apimeta.FindStatusCondition(m.Status.Conditions, mcnv1alpha1.ConditionReachable); c != nil && c.Status != last {
			changes, last = changes+1, c.Status
		}
		return nil
	}
	for range times {
		s.proxy.Refuse()
		steadily(t, "looking", 5*time.Second, look)
		s.proxy.Accept()
		steadily(t, "looking", 5*time.Second, look)
	}
	took := w.waitReachable(t, east, metav1.ConditionTrue, "", "")
	t.Logf("Reachable changed %d times", changes)
	if changes > times/2 {
		t.Errorf("Reachable changed %d times while the path broke %d times", changes, times)
	}
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	untouched(t)
	return took
}
