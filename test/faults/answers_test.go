package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/faults/proxy"
)

// answerRows let a member answer wrongly, or the credential for it fail.
func answerRows() []row {
	return []row{
		{
			id: "F3", fault: "One-way partition: writes are lost, watches live",
			injected: "The proxy swallows every write and answers nothing; a network is created, and a pod",
			expected: "What is known of the pods stays current; writes are tried again and do no harm twice",
			result:   "`Reachable` stays True and the new pod is counted; the network becomes Ready once writes arrive; nothing else is written",
			run:      oneWay,
		},
		{
			id: "F5", fault: "History is compacted (410)",
			injected: "410 to every open watch at once, while each list takes 3 s",
			expected: "List again; remove nothing before the list is complete",
			result:   "Pods are listed again and watched again; not one write on any member, `Reachable` stays True",
			run:      expired,
		},
		{
			id: "F11", fault: "Another cluster answers under the member's URL",
			injected: "The proxy's back-end is swapped for another member, with a credential that is valid there, while a network is to be written",
			expected: "The cluster ID differs: disconnect, hold, report",
			result:   "`ClusterIDMismatch`; no write to the wrong cluster, none to the others; back at once when the right one answers, and the network becomes Ready",
			run:      swapped,
		},
		{
			id: "F12", fault: "The credential is revoked (401) and then rotated",
			injected: "The Secret that a member's token is bound to is deleted; then the hub's Secret gets a new token",
			expected: "Take the new credential at once; no new list of a cluster with the same ID",
			result:   "`ConnectionFailed`, \"refuses the credential (401)\"; with the new token it is Reachable, no pod was listed anew, and nothing was written",
			run:      revoked,
		},
		{
			id: "F13", fault: "One right is missing (403)",
			injected: "The member's role loses the verbs that write GlobalNetworkSets",
			expected: "The status names verb and resource; everything else goes on",
			result:   "`WriteFailed`, `cannot create resource \"globalnetworksets\"`, on the one network that needs it; another network becomes Ready meanwhile; Ready when the right is back",
			run:      forbidden,
		},
		{
			id: "F14", fault: "A member throttles (429 with Retry-After)",
			injected: "Every request but watches is answered 429, Retry-After 2 s, for 20 s, while a network is created",
			expected: "Retry-After is kept; less than half of what was asked at once before; no herd",
			result:   "Requests come no faster than Retry-After allows, at most two at once; nothing is removed; the network becomes Ready afterwards",
			run:      throttled,
		},
		{
			id: "F44", fault: "Clocks of hub and member differ by 10 minutes",
			injected: "All times in the member's answers and events are moved by 10 minutes, forward and back; a certificate and a token that begin 10 minutes from now",
			expected: "No decision hangs on the other's clock; errors of TLS and tokens are told as such",
			result:   "With moved times all stays Reachable and not one write is made; `ConnectionFailed` names the certificate, then the credential (401)",
			run:      skewed,
		},
		{
			id: "F45", fault: "A member's certificate authority changes",
			injected: "The proxy shows a certificate of a new authority; later the hub's Secret gets that authority",
			expected: "Follow the Secret; until then refuse, and never skip verification",
			result:   "`ConnectionFailed`, \"not signed by the kubeconfig's CA\", and not one request is sent; Reachable with the new Secret; not one write",
			run:      newAuthority,
		},
	}
}

func oneWay(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched := w.remember(t, east)
	lost := s.proxy.Add(proxy.Rule{Match: proxy.Writes(), Fault: proxy.LoseBefore()})
	defer lost.Remove()
	w.create(t, flat("f3", west), west)
	eventually(t, "a write of f3 is lost", func() error {
		if lost.Faults() == 0 {
			return errors.New("nothing was written")
		}
		return nil
	})
	s.addPod(t, "f3", "late", nil)
	eventually(t, "the late pod is counted", func() error {
		n, err := w.get("f3")
		if err == nil && n.Status.Summary.Pods != 2 {
			err = fmt.Errorf("%d pods are counted", n.Status.Summary.Pods)
		}
		return err
	})
	must(t, w.reachable(west, metav1.ConditionTrue, "", ""))
	lost.Remove()
	took := w.waitReady(t, "f3")
	untouched(t)
	return took
}

func expired(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched := w.remember(t, east)
	slow := s.proxy.Add(proxy.Rule{Match: proxy.Lists(), Fault: proxy.Delay(3 * time.Second)})
	defer slow.Remove()
	mark := s.proxy.Mark()
	open := s.proxy.Watching(proxy.Watches())
	if s.proxy.Expire(proxy.Watches()) == 0 {
		t.Fatal("no watch is open")
	}
	took := eventually(t, "pods are listed and watched again", func() error {
		if lists := done(s.proxy.Since(mark, proxy.Lists("pods"))); len(lists) == 0 {
			return errors.New("pods were not listed again")
		}
		if now := s.proxy.Watching(proxy.Watches()); now < open {
			return fmt.Errorf("%d watches are open, not %d", now, open)
		}
		return w.reachable(west, metav1.ConditionTrue, "", "")
	})
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	untouched(t)
	return took
}

func swapped(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched := w.remember(t, east)
	other := w.sites[south]
	right := proxy.Backend{URL: s.URL(), CA: access.Member(t, s.Cluster).CAData}
	wrong := proxy.Backend{URL: other.URL(), CA: access.Member(t, other.Cluster).CAData, Token: other.token}
	refused := s.proxy.Add(proxy.Rule{Match: proxy.Writes(), Fault: proxy.Status(503)})
	defer refused.Remove()
	w.create(t, flat("f11", west), west)
	eventually(t, "a write of f11 is refused", func() error {
		if refused.Faults() == 0 {
			return errors.New("nothing was written")
		}
		return nil
	})
	// Nothing tells the operator: what was refused is tried again before the next probe.
	must(t, s.proxy.Swap(wrong))
	t.Cleanup(func() { _ = s.proxy.Swap(right) })
	mark := s.proxy.Mark()
	refused.Remove()
	t.Logf("found after %s", w.waitReachable(t, west, metav1.ConditionFalse, mcnv1alpha1.ReasonClusterIDMismatch, "the cluster that answers has the ID"))
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes to the wrong cluster", n)
	}
	must(t, s.proxy.Swap(right))
	s.proxy.Sever()
	took := w.waitReachable(t, west, metav1.ConditionTrue, "", "")
	w.waitReady(t, "f11")
	untouched(t)
	return took
}

// boundToken returns a token of the member's account that dies with a Secret.
func (s *site) boundToken(t *testing.T, secret string) string {
	t.Helper()
	holder := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: access.Namespace, Name: secret}}
	must(t, s.admin.Create(t.Context(), holder))
	out, err := s.Kubectl(t.Context(), "create", "token", access.MemberAccount, "-n", access.Namespace,
		"--bound-object-kind=Secret", "--bound-object-name="+secret, "--bound-object-uid="+string(holder.UID))
	must(t, err)
	return strings.TrimSpace(out)
}

// credential gives the hub a token, and the proxy's authority as it is now, for a member.
func (w *world) credential(t *testing.T, name, token string) {
	t.Helper()
	var secret corev1.Secret
	must(t, w.admin.Get(t.Context(), client.ObjectKey{Namespace: access.Namespace, Name: name}, &secret))
	secret.Data["kubeconfig"] = w.sites[name].proxy.Kubeconfig(token)
	must(t, w.admin.Update(t.Context(), &secret))
}

func revoked(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched := w.remember(t, east)
	// The first rotation is one in good time.
	first := s.boundToken(t, "first")
	mark := s.proxy.Mark()
	w.credential(t, west, first)
	steadily(t, "a rotation in good time", 5*time.Second, func() error { return w.reachable(west, metav1.ConditionTrue, "", "") })
	must(t, s.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: access.Namespace, Name: "first"}}))
	t.Logf("found after %s", w.waitReachable(t, west, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, "refuses the credential (401)"))
	w.credential(t, west, s.token)
	took := w.waitReachable(t, west, metav1.ConditionTrue, "", "")
	if lists := done(s.proxy.Since(mark, proxy.Lists("pods"))); len(lists) > 0 {
		t.Errorf("pods were listed anew: %v", lists)
	}
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	untouched(t)
	return took
}

func forbidden(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched := w.remember(t, west)
	role := &rbacv1.ClusterRole{}
	key := client.ObjectKey{Name: "multicloud-network-member"}
	must(t, s.admin.Get(t.Context(), key, role))
	whole := slices.Clone(role.Rules)
	for i, rule := range role.Rules {
		if j := slices.Index(rule.Resources, "globalnetworksets"); j >= 0 {
			role.Rules[i].Resources = slices.Delete(slices.Clone(rule.Resources), j, j+1)
		}
	}
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{"projectcalico.org"}, Resources: []string{"globalnetworksets"}, Verbs: []string{"get", "list", "watch"}})
	must(t, s.admin.Update(t.Context(), role))
	restore := func(ctx context.Context) error {
		if err := s.admin.Get(ctx, key, role); err != nil {
			return err
		}
		role.Rules = whole
		return s.admin.Update(ctx, role)
	}
	t.Cleanup(func() { _ = restore(context.Background()) })
	w.create(t, subnets("f13", west), west)
	eventually(t, "f13 names what is missing", func() error {
		c, err := w.clusterStatus("f13", west)
		if err != nil {
			return err
		}
		return condition([]metav1.Condition{{Type: "Programmed", Status: c.Programmed, Reason: c.Reason, Message: c.Message}},
			"Programmed", metav1.ConditionFalse, mcnv1alpha1.ReasonWriteFailed, `cannot create resource "globalnetworksets"`)
	})
	w.network(t, "f13-other", west)
	must(t, restore(t.Context()))
	took := w.waitReady(t, "f13")
	untouched(t)
	return took
}

func throttled(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched := w.remember(t, east)
	storm := s.proxy.Add(proxy.Rule{
		Match: proxy.Match{Verbs: []string{"get", "list", "create", "update", "patch", "delete"}}, Fault: proxy.StatusAfter(429, 2*time.Second),
	})
	defer storm.Remove()
	mark := s.proxy.Mark()
	w.create(t, flat("f14", west), west)
	const length = 20 * time.Second
	rest(t, length)
	storm.Remove()
	all := slices.DeleteFunc(s.proxy.Since(mark, proxy.Match{}), func(r proxy.Request) bool { return r.Code != 429 })
	byPath, atOnce := map[string]int{}, 0
	for _, r := range all {
		byPath[r.Verb+" "+r.Path]++
		atOnce = max(atOnce, r.Underway)
	}
	before := 0
	for _, r := range s.proxy.Since(0, proxy.Match{})[:mark] {
		before = max(before, r.Underway)
	}
	if t.Logf("at once %d requests, before %d", atOnce, before); atOnce > 2 || 2*atOnce > before {
		t.Errorf("%d requests came at once, before the storm %d: want at most two, and half", atOnce, before)
	}
	t.Logf("%d requests were throttled: %v", len(all), byPath)
	for path, n := range byPath {
		// Two at once at most, one of the probe and one of the worker, and each 2 seconds after its answer.
		if n > 2*(1+int(length/(2*time.Second))) {
			t.Errorf("%s came %d times in %s", path, n, length)
		}
	}
	took := w.waitReady(t, "f14")
	w.waitReachable(t, west, metav1.ConditionTrue, "", "")
	untouched(t)
	return took
}

func skewed(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched, mark := w.remember(t, west), s.proxy.Mark()
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		rules := []*proxy.ActiveRule{
			s.proxy.Add(proxy.Rule{Match: proxy.Match{Verbs: []string{"get", "list"}}, Fault: proxy.Skew(by)}),
			s.proxy.Add(proxy.Rule{Match: proxy.Watches(), Fault: proxy.SkewEvents(by)}),
		}
		since := s.proxy.Mark()
		s.proxy.Expire(proxy.Watches())
		eventually(t, "pods are listed again", func() error {
			if len(done(s.proxy.Since(since, proxy.Lists("pods")))) == 0 {
				return errors.New("no list yet")
			}
			return w.reachable(west, metav1.ConditionTrue, "", "")
		})
		steadily(t, "skewed by "+by.String(), 3*time.Second, func() error { return w.reachable(west, metav1.ConditionTrue, "", "") })
		for _, rule := range rules {
			rule.Remove()
		}
	}
	t.Cleanup(func() { _ = s.proxy.Certify(proxy.Certificate{}) })
	must(t, s.proxy.Certify(proxy.Certificate{From: 10 * time.Minute, Until: time.Hour}))
	s.proxy.Sever()
	w.waitReachable(t, west, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, "certificate is not valid")
	must(t, s.proxy.Certify(proxy.Certificate{}))
	w.credential(t, west, s.signedToken(t, 10*time.Minute))
	w.waitReachable(t, west, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, "(401)")
	// The same in all but when it begins.
	w.credential(t, west, s.signedToken(t, 0))
	took := w.waitReachable(t, west, metav1.ConditionTrue, "", "")
	w.credential(t, west, s.token)
	w.waitReachable(t, west, metav1.ConditionTrue, "", "")
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	untouched(t)
	return took
}

// signedToken is a token of the member's account that is valid from some time on, signed by the cluster's key.
func (s *site) signedToken(t *testing.T, from time.Duration) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "service-account.key"))
	must(t, err)
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	key := parsed.(*ecdsa.PrivateKey)
	account := &corev1.ServiceAccount{}
	must(t, s.admin.Get(t.Context(), client.ObjectKey{Namespace: access.Namespace, Name: access.MemberAccount}, account))
	const issuer = "https://kubernetes.default.svc.cluster.local"
	begin := time.Now().Add(from)
	encode := func(v any) string {
		text, err := json.Marshal(v)
		must(t, err)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := encode(map[string]any{"alg": "ES256", "typ": "JWT"}) + "." + encode(map[string]any{
		"iss": issuer, "aud": []string{issuer}, "sub": "system:serviceaccount:" + account.Namespace + ":" + account.Name,
		"iat": begin.Unix(), "nbf": begin.Unix(), "exp": begin.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": account.Namespace, "serviceaccount": map[string]any{"name": account.Name, "uid": account.UID}},
	})
	digest := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(t, err)
	signature := append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func newAuthority(t *testing.T, w *world) time.Duration {
	s := w.sites[west]
	untouched, mark := w.remember(t, west), s.proxy.Mark()
	must(t, s.proxy.Certify(proxy.Certificate{NewAuthority: true}))
	s.proxy.Sever()
	severed := s.proxy.Mark()
	w.waitReachable(t, west, metav1.ConditionFalse, mcnv1alpha1.ReasonConnectionFailed, "not signed by the kubeconfig's CA")
	if all := s.proxy.Since(severed, proxy.Match{}); len(all) > 0 {
		t.Errorf("requests came although the certificate cannot be verified: %v", all)
	}
	w.credential(t, west, s.token)
	took := w.waitReachable(t, west, metav1.ConditionTrue, "", "")
	if n := s.proxy.Count(mark, proxy.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	untouched(t)
	return took
}
