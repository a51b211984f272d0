package deploy

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// handover is a hub and a member with audit logs, and replicas of the operator.
type handover struct {
	hub, member *cluster.Cluster
	admin       client.Client
	program     string
	// quiet is what member and network were like when nothing was left to do.
	quiet map[string]string
}

// TestHandover runs several replicas as a Deployment with more of them does, and takes the leader away: by SIGTERM, as a rollout, and by SIGKILL, as a
// node that fails. The next one takes over and writes nothing, because nothing changed.
func TestHandover(t *testing.T) {
	t.Parallel()
	clusters := cluster.AllForTest(t,
		cluster.Options{Name: "handover", APIServerArgs: audit.Args(t)},
		cluster.Options{Name: "handover-member", Calico: cluster.Aggregated, APIServerArgs: audit.Args(t)})
	h := &handover{hub: clusters[0], member: clusters[1], admin: operator.Admin(t, clusters[0]), program: operator.Build(t)}
	access.InstallHub(t, h.hub)
	first := h.replica(t)
	eventually(t, "the first replica to lead", h.leads(t, ""))
	second := h.replica(t)
	operator.Register(t, h.hub, h.member, "member")
	if err := h.admin.Create(t.Context(), flat("payments")); err != nil {
		t.Fatal(err)
	}
	waitReady(t, h.admin, "payments")
	h.quiet = h.state(t)

	t.Run("graceful", func(t *testing.T) {
		h.take(t, "SIGTERM", func() {
			if err := first.Stop(); err != nil {
				t.Errorf("the leader ended with %v after SIGTERM", err)
			}
		})
	})
	h.replica(t)
	t.Run("crash", func(t *testing.T) { h.take(t, "SIGKILL", second.Kill) })
}

// replica starts one more.
func (h *handover) replica(t *testing.T) *operator.Process {
	t.Helper()
	probes := operator.FreePort(t)
	p := operator.Start(t, h.program, h.hub, "--leader-elect", "--namespace="+access.Namespace, "--metrics-bind-address=0",
		fmt.Sprintf("--health-probe-bind-address=127.0.0.1:%d", probes), "--settle=100ms")
	eventually(t, "the replica to be ready", func() string { return get(probes, "/readyz", "ok") })
	return p
}

// leads waits for a holder of the lease other than one.
func (h *handover) leads(t *testing.T, other string) func() string {
	return func() string {
		if now := holder(t, h.admin); now == "" || now == other {
			return fmt.Sprintf("the lease is held by %q", now)
		}
		return ""
	}
}

// state returns resourceVersions of all that the operator could write: what the member holds, and the status on the hub.
func (h *handover) state(t *testing.T) map[string]string {
	t.Helper()
	out := ours(t, h.member)
	for _, o := range []client.Object{
		&mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: "payments"}}, &mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "member"}},
	} {
		if err := h.admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf("%T %s", o, o.GetName())] = o.GetResourceVersion()
	}
	return out
}

// take takes the leader away and waits until the next one has read the member and has reconciled everything.
func (h *handover) take(t *testing.T, how string, end func()) {
	t.Helper()
	before := holder(t, h.admin)
	hubLog, memberLog := len(audit.Read(t, h.hub)), len(audit.Read(t, h.member))
	began := time.Now()
	end()
	eventually(t, "another replica to lead", h.leads(t, before))
	took := time.Since(began)
	// The workers list what is there when the network's intent has reached them, and write right after.
	eventually(t, "the new leader to have read what it would write", func() string {
		listed := map[string]bool{}
		for _, e := range audit.Of(audit.Read(t, h.member)[memberLog:], access.Namespace, access.MemberAccount) {
			if e.Verb == "list" && strings.Contains(e.RequestURI, "labelSelector=multicloud.network%2Fowner%3D") {
				listed[e.ObjectRef.Resource] = true
			}
		}
		if len(listed) >= 5 {
			return ""
		}
		return fmt.Sprintf("of ours it listed only %v", listed)
	})
	// A change goes through everything that stands in front of it.
	marker := flat("marker-" + strings.ToLower(how))
	marker.Spec.Clusters.Selector.MatchLabels = map[string]string{"name": "none"}
	if err := h.admin.Create(t.Context(), marker); err != nil {
		t.Fatal(err)
	}
	waitCondition(t, h.admin, marker.Name, metav1.ConditionFalse, mcnv1alpha1.ReasonNoClusters)
	if after := h.state(t); !maps.Equal(h.quiet, after) {
		t.Errorf("after %s something was written: from %v to %v", how, h.quiet, after)
	}
	var writes []string
	records := 0
	for _, e := range append(audit.Of(audit.Read(t, h.hub)[hubLog:], access.Namespace, access.OperatorAccount),
		audit.Of(audit.Read(t, h.member)[memberLog:], access.Namespace, access.MemberAccount)...) {
		// The marker's own spec is recorded when it is accepted.
		if e.Verb == "create" && e.ObjectRef.Resource == "controllerrevisions" && records == 0 {
			records++
			continue
		}
		if e.Writes() && e.ObjectRef.Resource != "leases" && e.ObjectRef.Resource != "events" && e.ObjectRef.Name != marker.Name {
			writes = append(writes, e.Verb+" "+e.RequestURI)
		}
	}
	if len(writes) > 0 {
		t.Errorf("after %s, with nothing changed, the operator wrote: %q", how, writes)
	}
	t.Logf("%s: another replica led after %s; 0 writes but the lease, events and what the marker takes", how, took.Round(10*time.Millisecond))
}
