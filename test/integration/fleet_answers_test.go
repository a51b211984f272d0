package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/faults/proxy"
)

// answersBench is a member behind a proxy that spoils what its API server answers, and one that is well.
type answersBench struct {
	*gomega.WithT
	t     *testing.T
	fleet *fleet.Fleet
	proxy *proxy.Proxy
	// spoilt and well are the administrators' hands there.
	spoilt, well client.Client
}

// maxAnswer is the most that the fleet of the test reads of one answer.
const maxAnswer = 8 << 20

func newAnswersBench(t *testing.T) *answersBench {
	t.Helper()
	behind, well := forms["native"], forms["aggregated"]
	direct := access.Member(t, behind)
	p, err := proxy.Start(proxy.Options{Name: "answers", Backend: proxy.Backend{URL: direct.Host, CA: direct.CAData}, Seed: 1, Log: t.Output()})
	must(t, err)
	t.Cleanup(p.Close)
	f := fleet.New(fleet.Options{
		Scheme: fleetScheme(t), Logger: testr.New(t), MaxResponseBytes: maxAnswer,
		ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 10 * time.Second, ProbeFailures: 2,
		BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
		RefreshInterval: time.Second, OptionalTimeout: 2 * time.Second, FrozenTimeout: 500 * time.Millisecond,
	})
	t.Cleanup(f.Close)
	b := &answersBench{WithT: gomega.NewWithT(t), t: t, fleet: f, proxy: p, spoilt: fleetAdmin(t, behind), well: fleetAdmin(t, well)}
	createPod(t, b.spoilt, "answers", "10.1.0.1")
	createPod(t, b.well, "answers-well", "10.2.0.1")
	f.Set(registration("spoilt", 0), p.Kubeconfig(direct.BearerToken))
	f.Set(registration("well", 1), kubeconfigFor(t, well, well.URL()))
	for _, name := range []string{"spoilt", "well"} {
		b.Eventually(stateReason(f, name), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	}
	return b
}

// list changes the list in an answer.
func list(name string, change func(list map[string]any, items []any)) proxy.Fault {
	return proxy.Edit(name, func(body []byte) []byte {
		var content map[string]any
		if json.Unmarshal(body, &content) != nil {
			return body
		}
		items, _ := content["items"].([]any)
		change(content, items)
		out, err := json.Marshal(content)
		if err != nil {
			return body
		}
		return out
	})
}

// eachItem changes every item of a list.
func eachItem(name string, change func(item map[string]any)) proxy.Fault {
	return list(name, func(_ map[string]any, items []any) {
		for _, item := range items {
			if object, ok := item.(map[string]any); ok {
				change(object)
			}
		}
	})
}

const (
	// unreadable is what is said of a list that is none.
	unreadable = ": what is answered is no such list; check that the kubeconfig's server is an API server, and what stands on the path to it"
	// outOfSight begins the message about a member that cannot be watched.
	outOfSight = "the cluster cannot be watched, and what is known of it is held: "
)

// TestAnswers is the row "API answers" of bad input. Its parts spoil the same pod, and so follow each other.
func TestAnswers(t *testing.T) {
	t.Parallel()
	t.Run("none", answersThatAreNone)
	t.Run("odd", answersThatAreOdd)
}

// answersThatAreNone: lists of pods that are none take the member out of sight, with a message that says what to do
// and with what was known of it held, and it returns when they are right again. The other member is as ever.
func answersThatAreNone(t *testing.T) {
	b := newAnswersBench(t)
	for _, tc := range []struct {
		name  string
		fault proxy.Fault
		want  string
	}{
		{"a list of another kind", list("kind", func(l map[string]any, _ []any) { l["kind"], l["items"] = "ServiceList", []any{} }), "cannot list pods" + unreadable},
		{"an object in place of a list", proxy.Edit("object", func([]byte) []byte {
			return []byte(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"n","resourceVersion":"1"}}`)
		}), "cannot list pods" + unreadable},
		{"a Status that says Success", proxy.Edit("status", func([]byte) []byte {
			return []byte(`{"kind":"Status","apiVersion":"v1","status":"Success","metadata":{"resourceVersion":"1"}}`)
		}), "cannot list pods" + unreadable},
		{"a kind that nobody knows", list("unknown", func(l map[string]any, _ []any) { l["kind"], l["apiVersion"] = "Things", "x.example/v7" }), "cannot list pods" + unreadable},
		{"a list without a resource version", list("version", func(l map[string]any, _ []any) { delete(l["metadata"].(map[string]any), "resourceVersion") }), "cannot list pods" + unreadable},
		{"items of another kind", eachItem("items", func(item map[string]any) { item["kind"], item["apiVersion"] = "Service", "v1" }), "cannot list pods" + unreadable},
		{"null among the items", list("null", func(l map[string]any, items []any) { l["items"] = append([]any{nil}, items...) }), "cannot list pods" + unreadable},
		{"a text for a number", eachItem("number", func(item map[string]any) {
			item["spec"].(map[string]any)["terminationGracePeriodSeconds"] = "-1"
		}), "cannot list pods" + unreadable},
		{"truncated JSON", proxy.Truncate(300), "cannot list pods" + unreadable},
		{"nothing", proxy.Truncate(0), "cannot list pods" + unreadable},
		{"bytes that are no text", proxy.Corrupt(40), "cannot list pods" + unreadable},
		{"a page of a gateway", proxy.Edit("page", func([]byte) []byte { return []byte("<html>sign in</html>") }), "cannot list pods" + unreadable},
		{"a list above --max-response", proxy.Giant(maxAnswer), "cannot list pods: the answer is larger than is taken; raise the operator's --max-response if the cluster is that large"},
	} {
		if !t.Run(tc.name, func(t *testing.T) { b.checkOutOfSight(t, tc.fault, tc.want) }) {
			return
		}
	}
}

// checkOutOfSight spoils the lists of pods, has the member listed anew, and sees what is told of it, of the other, and of it again once the lists are right.
func (b *answersBench) checkOutOfSight(t *testing.T, fault proxy.Fault, want string) {
	b.WithT = gomega.NewWithT(t)
	rule := b.proxy.Add(proxy.Rule{Match: proxy.Lists("pods"), Fault: fault})
	defer rule.Remove()
	b.proxy.Expire(proxy.Watches("pods"))
	message := func() string { s, _ := b.fleet.State("spoilt"); return s.Message }
	b.Eventually(message, patience).Should(gomega.Equal(outOfSight + want))
	b.Expect(stateReason(b.fleet, "spoilt")()).To(gomega.Equal(mcnv1alpha1.ReasonConnectionFailed))
	b.Expect(seenPods(b.fleet, "spoilt")()).To(gomega.ContainElement("answers"), "what was last known is held")
	b.Expect(stateReason(b.fleet, "well")()).To(gomega.Equal(mcnv1alpha1.ReasonConnected))
	b.Expect(seenPods(b.fleet, "well")()).To(gomega.ContainElement("answers-well"))
	rule.Remove()
	b.Eventually(stateReason(b.fleet, "spoilt"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	b.Expect(seenPods(b.fleet, "spoilt")()).To(gomega.ContainElement("answers"))
}

// answersThatAreOdd: what is odd and harmless is read, the odd parts left out.
func answersThatAreOdd(t *testing.T) {
	b := newAnswersBench(t)
	resources := []string{"pods", "services", "nodes", "namespaces", "daemonsets", "endpointslices"}
	rule := func(resource string, fault proxy.Fault) {
		b.proxy.Add(proxy.Rule{Match: proxy.Lists(resource), Fault: fault})
	}
	rule("pods", proxy.Edit("fields and bytes", func(body []byte) []byte {
		body = bytes.ReplaceAll(body, []byte(`"metadata":{`), []byte(`"unheardOf":{"a":[null,-1]},"metadata":{"remainingItemCount":-7,"unheardOf":true,`))
		return bytes.ReplaceAll(body, []byte(`"app":"answers"`), []byte("\"app\":\"answers\xff\xfe\",\"odd\":null"))
	}))
	rule("services", eachItem("negative ports", func(item map[string]any) {
		ports, _ := item["spec"].(map[string]any)["ports"].([]any)
		for _, port := range ports {
			port.(map[string]any)["port"], port.(map[string]any)["targetPort"] = -53, -53
		}
	}))
	rule("nodes", list("null", func(l map[string]any, _ []any) { l["items"] = nil }))
	rule("namespaces", eachItem("nil", func(item map[string]any) {
		item["spec"], item["status"] = nil, nil
		item["metadata"].(map[string]any)["generation"] = -1
	}))
	rule("daemonsets", eachItem("negative", func(item map[string]any) {
		item["status"] = map[string]any{"desiredNumberScheduled": -3, "numberReady": -1}
	}))
	rule("endpointslices", eachItem("negative", func(item map[string]any) { item["ports"] = []any{map[string]any{"port": -6443}, nil} }))
	for _, resource := range resources {
		b.Eventually(func() int { return b.proxy.Watching(proxy.Watches(resource)) }, patience).Should(gomega.BeNumerically(">", 0), resource)
		b.proxy.Expire(proxy.Watches(resource))
	}
	faults := func(resource string) func() int {
		return func() int {
			n := 0
			for _, i := range b.proxy.Injected() {
				if i.Request.Resource == resource && strings.HasPrefix(i.Fault, "edit") {
					n++
				}
			}
			return n
		}
	}
	for _, resource := range resources {
		b.Eventually(faults(resource), patience).Should(gomega.BeNumerically(">", 0), resource)
	}
	b.Eventually(func() []string {
		for _, p := range b.fleet.Pods().List("spoilt") {
			if p.Name == "answers" {
				return []string{p.Labels["app"]}
			}
		}
		return nil
	}, patience).Should(gomega.Equal([]string{"answers\ufffd\ufffd"}), "bytes that are no text become the sign for such")
	b.Eventually(stateReason(b.fleet, "spoilt"), patience).Should(gomega.Equal(mcnv1alpha1.ReasonConnected))
	b.Eventually(func() string {
		m, _ := b.fleet.Member("spoilt")
		if ports := len(m.APIServerEndpoints) + len(m.APIServer.Ports); ports > 0 {
			return fmt.Sprint(m.APIServerEndpoints, m.APIServer)
		}
		for _, s := range m.DNS {
			if len(s.Ports) > 0 {
				return fmt.Sprint(m.DNS)
			}
		}
		return ""
	}, patience).Should(gomega.BeEmpty(), "no port that none can have is believed")
	state, _ := b.fleet.State("well")
	b.Expect(state.Reason).To(gomega.Equal(mcnv1alpha1.ReasonConnected))
	b.Expect(state.Problems).NotTo(gomega.ContainElement(gomega.HavePrefix("cannot")))
	b.proxy.Clear()
	b.Eventually(func() int { return b.proxy.Watching(proxy.Watches("pods")) }, patience).Should(gomega.BeNumerically(">", 0))
	b.proxy.Expire(proxy.Watches("pods"))
	b.Eventually(func() map[string]string {
		for _, p := range b.fleet.Pods().List("spoilt") {
			if p.Name == "answers" {
				return p.Labels
			}
		}
		return nil
	}, patience).Should(gomega.HaveKeyWithValue("app", "answers"))
}
