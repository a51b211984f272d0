package integration

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/controllers"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// renewalBench is a member whose token has the shortest life there is, and an operator whose clock the test moves.
type renewalBench struct {
	*terminal
	ahead atomic.Int64 // how much the clock is ahead
	mu    sync.Mutex
	said  strings.Builder // what the operator logged
}

// look makes the operator look at the token, at a time.
func (b *renewalBench) look(ahead time.Duration) {
	b.t.Helper()
	b.ahead.Store(int64(ahead))
	secret, _ := b.secret("hub", "aws")
	before := secret.DeepCopy()
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "test/look", fmt.Sprint(time.Now().UnixNano()))
	must(b.t, b.clients["hub"].Patch(b.t.Context(), secret, client.MergeFrom(before)))
}

func (b *renewalBench) token() string {
	_, cfg := b.secret("hub", "aws")
	return cfg.BearerToken
}

// waitMember waits for a condition of the member.
func (b *renewalBench) waitMember(kind string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason) *metav1.Condition {
	b.t.Helper()
	var c *metav1.Condition
	eventually(b.t, fmt.Sprintf("%s of aws to be %s %s", kind, status, reason), func() string {
		c = apimeta.FindStatusCondition(b.memberCluster("hub", "aws").Status.Conditions, kind)
		if c != nil && c.Status == status && c.Reason == string(reason) {
			return ""
		}
		return fmt.Sprint(c)
	})
	return c
}

func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	all := cluster.AllForTest(t, cluster.Options{Name: "hub"}, cluster.Options{Name: "aws", Calico: cluster.Native})
	access.InstallHub(t, all[0])
	b := &renewalBench{terminal: newTerminal(t, all...)}
	log := funcr.New(func(prefix, args string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said.WriteString(prefix + " " + args + "\n")
	}, funcr.Options{})
	operator.Run(t, all[0], operator.Options{Log: &log, Options: controllers.Options{
		TokenClock: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) },
	}})
	b.ok("register", "--context", "aws", "--name", "aws", "--token-lifetime", "10m", "--wait")
	tokens := []string{b.token()}

	b.look(time.Minute)
	b.look(5 * time.Minute)
	if b.token() != tokens[0] {
		t.Error("the token is renewed while more than a third of its life is left")
	}
	b.look(8 * time.Minute)
	eventually(t, "another token", func() string {
		if b.token() != tokens[0] {
			return ""
		}
		return "it is the old one"
	})
	tokens = append(tokens, b.token())
	b.waitMember(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	checkRenewedSecret(t, b)

	// The account loses the right to ask for its own token.
	role := &rbacv1.Role{}
	must(t, b.clients["aws"].Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "multicloud-network-member"}, role))
	must(t, b.clients["aws"].Delete(t.Context(), role))
	b.look(13 * time.Minute)
	wantReason := mcnv1alpha1.ReasonCredentialExpiring
	expiring := b.waitMember(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, wantReason)
	for _, want := range []string{"Secret multicloud-network-system/aws", "may not ask for its own token (403)", `run "kubectl mcn register" for aws again`, "ends at 20"} {
		if !strings.Contains(expiring.Message, want) {
			t.Errorf("the message is %q, want %q in it", expiring.Message, want)
		}
	}
	eventually(t, "an event", func() string {
		var events eventsv1.EventList
		must(t, b.clients["hub"].List(t.Context(), &events))
		for _, e := range events.Items {
			if e.Reason == string(wantReason) && e.Regarding.Name == "aws" && e.Type == corev1.EventTypeWarning {
				return ""
			}
		}
		return fmt.Sprintf("none of %d", len(events.Items))
	})
	b.ok("register", "--context", "aws", "--name", "aws", "--token-lifetime", "10m")
	b.waitMember(mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	tokens = append(tokens, b.token())

	// A token that holds no more, as after a long absence of the hub, is said to need a registration.
	must(t, b.clients["aws"].Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "multicloud-network-member"}}))
	lost := b.waitMember(mcnv1alpha1.ConditionReachable, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed)
	if !strings.Contains(lost.Message, "401") || !strings.Contains(lost.Message, `"kubectl mcn register" again`) {
		t.Errorf("with a token that holds no more the message is %q", lost.Message)
	}
	b.ok("register", "--context", "aws", "--name", "aws", "--token-lifetime", "10m", "--wait")
	b.waitMember(mcnv1alpha1.ConditionReachable, metav1.ConditionTrue, mcnv1alpha1.ReasonConnected)
	tokens = append(tokens, b.token())

	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said.String()
	if !strings.Contains(said, "Token renewed") {
		t.Error("a renewal is not logged")
	}
	for i, token := range tokens {
		if strings.Contains(said, token) || strings.Contains(said, strings.Split(token, ".")[2]) {
			t.Errorf("token %d is in the log", i)
		}
	}
}

// checkRenewedSecret: the token changed and nothing else, and the new one is its account's.
func checkRenewedSecret(t *testing.T, b *renewalBench) {
	t.Helper()
	secret, cfg := b.secret("hub", "aws")
	if secret.Annotations[mcnv1alpha1.RenewAnnotation] == "" || cfg.Host == "" || len(cfg.CAData) == 0 {
		t.Errorf("the renewed Secret is %v", secret.Annotations)
	}
	managers := ""
	for _, entry := range secret.ManagedFields {
		managers += entry.Manager + " "
	}
	if !strings.Contains(managers, mcnv1alpha1.FieldManager+" ") {
		t.Errorf("the Secret is managed by %s", managers)
	}
	c, err := client.New(cfg, client.Options{})
	must(t, err)
	must(t, c.List(t.Context(), &corev1.PodList{}))
}
