package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/faults/proxy"
)

// hubRows break the hub, and with it what all members rely on, one after the other.
func hubRows() []row {
	return []row{
		{
			id: "F42", fault: "The operator is an older version than the one that wrote before",
			injected: "Networks, MemberClusters and the members' objects get annotations and labels that this version does not know; the operator is restarted",
			expected: "Nothing is stripped; the ownership of fields stays",
			result:   "Everything on the members is byte-identical, the unknown annotations and labels are there, and the operator wrote nothing",
			run:      downgraded,
		},
		{
			id: "F22", fault: "The hub is down",
			injected: "SIGKILL to the hub's kube-apiserver and etcd, for 40 s",
			expected: "Members stay byte-identical; the operator resumes by itself",
			result:   "Not one write on any member, neither during the outage nor after it; a new network becomes Ready after the return",
			run:      hubDown,
		},
		{
			id: "F24", fault: "The hub is empty: every object is gone, and none was deleted",
			injected: "The hub comes back with an empty etcd; it is installed anew, members are registered, networks are not",
			expected: "No deletion on any member: only a finalizer's evidence removes",
			result:   "Not one write on any member, with a new owner ID and with the old one; with the old one and the networks applied again they are Ready, still without a write",
			run:      hubEmpty,
		},
		{
			id: "F19", fault: "A second operator, with another owner ID",
			injected: "The operator is started with another `--owner-id` on a hub with the same members and networks",
			expected: "It refuses the members that are taken",
			result:   "`OwnershipConflict` on every member, not one write, not even of sets; with the right ID the networks are Ready again",
			run:      secondOwner,
		},
	}
}

// stillRows break nothing.
func stillRows() []row {
	return []row{{
		id: "F43", fault: "The operator's webhook is down",
		injected: "Not applicable: the operator has no webhook",
		expected: "Nothing in the cluster waits for the operator",
		result:   "No webhook configuration is in `config/`, none on the hub after installation",
		run:      noWebhooks,
	}}
}

// members are those that carry the base networks.
func members() []string { return []string{east, west, south} }

// marks are the moments of all members' proxies.
func (w *world) marks() map[string]proxy.Mark {
	out := map[string]proxy.Mark{}
	for name, s := range w.sites {
		out[name] = s.proxy.Mark()
	}
	return out
}

// unwritten checks that the operator wrote to no member since the marks.
func (w *world) unwritten(t *testing.T, since map[string]proxy.Mark) {
	t.Helper()
	for name, mark := range since {
		if all := w.sites[name].proxy.Since(mark, proxy.Writes()); len(all) > 0 {
			t.Errorf("%d writes on %s, the first is %s %s", len(all), name, all[0].Verb, all[0].Path)
		}
	}
}

// connected waits until the operator has read the members anew since the marks, and reaches them.
func (w *world) connected(t *testing.T, since map[string]proxy.Mark, names ...string) {
	t.Helper()
	for _, name := range names {
		eventually(t, name+" is connected", func() error {
			if w.sites[name].proxy.Count(since[name], proxy.Lists("globalnetworksets")) == 0 {
				return fmt.Errorf("the operator has not read %s", name)
			}
			return w.reachable(name, metav1.ConditionTrue, "", "")
		})
	}
}

const future = "multicloud.network/future"

// markFuture gives an object an annotation and a label that no version knows yet.
func markFuture(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	base := client.MergeFrom(o.DeepCopyObject().(client.Object))
	labels, annotations := maps.Clone(o.GetLabels()), maps.Clone(o.GetAnnotations())
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[future], annotations[future] = "yes", "yes"
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	must(t, c.Patch(t.Context(), o, base, client.FieldOwner(mcnv1alpha1.FieldManager)))
}

func downgraded(t *testing.T, w *world) time.Duration {
	w.operator.stop(t)
	for _, name := range members() {
		for _, o := range w.sites[name].held(t, baseOf()...) {
			markFuture(t, w.sites[name].admin, o)
		}
		m, err := w.member(name)
		must(t, err)
		markFuture(t, w.admin, m)
	}
	for _, name := range base {
		n, err := w.get(name)
		must(t, err)
		markFuture(t, w.admin, n)
	}
	untouched, marks := w.remember(t, members()...), w.marks()
	began := time.Now()
	w.operator.start(t)
	w.connected(t, marks, members()...)
	for _, name := range base {
		w.waitReady(t, name)
	}
	took := time.Since(began)
	rest(t, 5*time.Second)
	w.unwritten(t, marks)
	untouched(t)
	for _, name := range members() {
		m, err := w.member(name)
		must(t, err)
		if m.Labels[future] == "" || m.Annotations[future] == "" {
			t.Errorf("MemberCluster %s lost what this version does not know: %v, %v", name, m.Labels, m.Annotations)
		}
	}
	for _, name := range base {
		n, err := w.get(name)
		must(t, err)
		if n.Labels[future] == "" || n.Annotations[future] == "" {
			t.Errorf("network %s lost what this version does not know: %v, %v", name, n.Labels, n.Annotations)
		}
	}
	return took
}

func hubDown(t *testing.T, w *world) time.Duration {
	untouched, marks, exits := w.remember(t, members()...), w.marks(), w.operator.exits()
	must(t, w.hub.KillAPIServer())
	must(t, w.hub.KillEtcd())
	rest(t, 40*time.Second)
	w.unwritten(t, marks)
	untouched(t)
	must(t, w.hub.StartEtcd(t.Context(), false))
	must(t, w.hub.StartAPIServer(t.Context()))
	t.Logf("the operator gave up its lease and was started again %d times", w.operator.exits()-exits)
	began := time.Now()
	w.create(t, flat("f22", east), east)
	w.waitReady(t, "f22")
	took := time.Since(began)
	w.remove(t, "f22")
	for _, name := range base {
		w.waitReady(t, name)
	}
	untouched(t)
	return took
}

// hubID is the UID of the hub's namespace kube-system, the owner ID by default.
func (w *world) hubID(t *testing.T) string {
	t.Helper()
	var system corev1.Namespace
	must(t, w.admin.Get(t.Context(), client.ObjectKey{Name: metav1.NamespaceSystem}, &system))
	return string(system.UID)
}

func hubEmpty(t *testing.T, w *world) time.Duration {
	untouched, marks, owner := w.remember(t, members()...), w.marks(), w.hubID(t)
	must(t, w.hub.KillAPIServer())
	must(t, w.hub.KillEtcd())
	must(t, w.hub.StartEtcd(t.Context(), true))
	must(t, w.hub.StartAPIServer(t.Context()))
	// For a while the operator that ran before sees an empty hub, or one that does not know it any more.
	rest(t, 15*time.Second)
	access.InstallHub(t, w.hub)
	w.operator.stop(t)
	w.operator.credential(t, w)
	w.operator.start(t)
	for _, name := range members() {
		w.register(t, name, true)
	}
	w.connected(t, marks, members()...)
	rest(t, 5*time.Second)
	w.unwritten(t, marks)

	// The right way to rebuild a hub.
	w.operator.restart(t, "--owner-id="+owner)
	again := w.marks()
	w.connected(t, again, members()...)
	rest(t, 10*time.Second)
	w.unwritten(t, marks)
	untouched(t)
	began := time.Now()
	w.createBase(t)
	for _, name := range base {
		w.waitReady(t, name)
	}
	took := time.Since(began)
	w.unwritten(t, marks)
	untouched(t)
	return took
}

func secondOwner(t *testing.T, w *world) time.Duration {
	untouched, marks, args := w.remember(t, members()...), w.marks(), w.operator.args
	w.operator.restart(t, "--owner-id=somebody-else")
	for _, name := range base {
		for _, member := range members() {
			eventually(t, name+" is refused on "+member, func() error {
				c, err := w.clusterStatus(name, member)
				if err == nil && (c.Programmed == metav1.ConditionTrue || c.Reason != string(mcnv1alpha1.ReasonOwnershipConflict)) {
					err = fmt.Errorf("%+v", c)
				}
				return err
			})
		}
	}
	w.unwritten(t, marks)
	untouched(t)
	w.operator.stop(t)
	w.operator.args = args
	began := time.Now()
	w.operator.start(t)
	for _, name := range base {
		w.waitReady(t, name)
	}
	took := time.Since(began)
	w.unwritten(t, marks)
	untouched(t)
	return took
}

// restart stops the operator and starts it with further flags.
func (p *program) restart(t *testing.T, args ...string) {
	t.Helper()
	p.stop(t)
	p.args = append(slices.DeleteFunc(slices.Clone(p.args), func(a string) bool { return strings.HasPrefix(a, "--owner-id") }), args...)
	p.start(t)
}

var webhook = regexp.MustCompile(`(Validating|Mutating)WebhookConfiguration`)

func noWebhooks(t *testing.T, w *world) time.Duration {
	files := 0
	must(t, filepath.WalkDir(access.Config(t, "."), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err == nil && webhook.Match(text) && !strings.Contains(string(text), "rbac.authorization.k8s.io") {
			t.Errorf("%s ships a webhook: the row F43 of docs/faults.md has to say what happens when it is down", path)
		}
		return err
	}))
	if files == 0 {
		t.Error("no files in config/")
	}
	out, err := w.hub.Kubectl(context.Background(), "get", "validatingwebhookconfigurations,mutatingwebhookconfigurations", "-o", "name")
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("webhooks on the hub: %q, %v", out, err)
	}
	return 0
}
