package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/faults/proxy"
)

// behind puts a proxy before a member; nothing may have been intended for it yet.
func (b *bench) behind(name string) *proxy.Proxy {
	b.t.Helper()
	direct := b.configs[name]
	p, err := proxy.Start(proxy.Options{Name: name, Backend: proxy.Backend{URL: direct.Host, CA: direct.CAData}, Seed: 1, Log: b.t.Output()})
	if err != nil {
		b.t.Fatal(err)
	}
	past := b.clients[name]
	b.t.Cleanup(func() {
		b.set(func() { b.clients[name] = past }) // for what has to be cleaned
		p.Close()
	})
	cfg, err := clientcmd.RESTConfigFromKubeConfig(p.Kubeconfig(direct.BearerToken))
	if err != nil {
		b.t.Fatal(err)
	}
	cfg.QPS = -1
	base, err := client.NewWithWatch(cfg, client.Options{Scheme: fleetScheme(b.t)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.set(func() { b.clients[name] = b.recorded(name, base) })
	return p
}

func TestAMemberInTroubleIsNotPressedAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const pause = 6 * time.Second
	b := newBench(t, time.Millisecond, 100*time.Millisecond, map[string]*cluster.Cluster{"one": forms["native"], "two": forms["aggregated"]}, func(o *member.Options) {
		o.BreakAfter, o.BreakFor = 3, pause
	})
	p := b.behind("one")
	rule := p.Add(proxy.Rule{Match: proxy.Writes(), Fault: proxy.Status(500)})
	b.manager.SetIntents(b.intents("x", 1, "one", "two"))
	b.wait("two", "net", programmed(1))
	got := b.wait("one", "net", func(r member.Result) bool { return strings.Contains(r.Message, "every few minutes") })
	if got.Reason != mcnv1alpha1.ReasonWriteFailed {
		t.Errorf("%+v: want WriteFailed", got)
	}
	mark := p.Mark()
	eventually(t, "two more tries", func() string {
		// Whatever wakes the worker meanwhile does not shorten the pause.
		b.manager.Wake()
		if tries(p.Since(mark, proxy.Writes())) < 2 {
			return "not yet"
		}
		return ""
	})
	all := p.Since(mark, proxy.Writes())
	if took := all[len(all)-1].At.Sub(all[0].At); took < pause*8/10 {
		t.Errorf("two tries lie %s apart, want about %s", took, pause)
	}
	rule.Remove()
	b.wait("one", "net", programmed(1))

	// A server that asks for time gets it.
	mark = p.Mark()
	p.Add(proxy.Rule{Match: proxy.Writes(), Times: 3, Fault: proxy.StatusAfter(429, 2*time.Second)})
	b.manager.SetIntents(b.intents("y", 2, "one", "two"))
	b.wait("one", "net", programmed(2))
	all = p.Since(mark, proxy.Writes())
	for i, r := range all[:len(all)-1] {
		if gap := all[i+1].At.Sub(r.At); r.Code == 429 && gap < 2*time.Second-50*time.Millisecond {
			t.Errorf("after a 429 with Retry-After 2 the next write came after %s", gap)
		}
	}
	if n := len(slices.DeleteFunc(all, func(r proxy.Request) bool { return r.Code != 429 })); n != 3 {
		t.Errorf("%d writes were answered 429, want 3", n)
	}
}

// tries counts bursts of requests: those with a second between them.
func tries(all []proxy.Request) int {
	n := 0
	for i, r := range all {
		if i == 0 || r.At.Sub(all[i-1].At) > time.Second {
			n++
		}
	}
	return n
}

// testMissingRight takes one right from the operator's account.
func testMissingRight(t *testing.T, on *cluster.Cluster) {
	b := newBench(t, time.Millisecond, time.Second, map[string]*cluster.Cluster{"one": on})
	c, err := client.New(on.RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: access.MemberAccount}}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		t.Fatal(err)
	}
	whole := role.DeepCopy()
	for i, r := range role.Rules {
		if slices.Contains(r.Resources, "ippools") && slices.Contains(r.Verbs, "create") {
			role.Rules[i].Resources = slices.DeleteFunc(slices.Clone(r.Resources), func(s string) bool { return s == "ippools" })
			role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: []string{"ippools"}, Verbs: []string{"get", "list", "watch", "patch", "delete"}})
			break
		}
	}
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	pool := compile.Object{Role: compile.RolePool, Resource: everyKind("right")[1]}
	pool.Resource.SetLabels(map[string]string{mcnv1alpha1.OwnerLabel: b.owner})
	eventually(t, "the right to be gone", func() string {
		probe := intended(t, pool.Resource)
		if err := b.clients["one"].Create(t.Context(), probe, client.DryRunAll); err == nil {
			return "it is there"
		}
		return ""
	})
	b.intend("one", map[string]member.NetworkIntent{"net": {Generation: 1, Objects: b.version("net", "x")}}, func(in *member.Intent) { in.Shared = append(in.Shared, pool) })
	got := b.wait("one", "net", func(r member.Result) bool { return r.Reason == mcnv1alpha1.ReasonWriteFailed && r.Done == r.Wanted })
	for _, want := range []string{`cannot create resource "ippools"`, "config/member-rbac", "right-pool"} {
		if !strings.Contains(got.Message, want) {
			t.Errorf("%s: want %q in it", got.Message, want)
		}
	}
	role.Rules = whole.Rules
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	b.wait("one", "net", programmed(1))
}
