package integration

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// canary stands wherever a credential may stand. Nothing that the operator says may hold it.
const canary = "c4n4ry-in-a-c0almine-4711"

// toldFleet is a hub with the operator's program, and one member behind a relay.
type toldFleet struct {
	*fleetOfTest
	relay   *relay
	metrics string // where they are served
	log     string // the file with all that the program says
	// secrets are credentials in use.
	secrets []string
	// refused are the versions of the objects when all members had been judged for the first time.
	refused map[string]string
}

// TestWhatTheOperatorTells runs the operator's program, makes its members fail in every way that involves a credential, and looks at all that is told:
// logs, events, statuses, metrics and the audit logs of both sides.
func TestWhatTheOperatorTells(t *testing.T) {
	t.Parallel()
	f := startTold(t)
	t.Run("why each member is not connected", f.testRefusals)
	t.Run("a flap makes one event for each turn", f.testFlap)
	t.Run("rotation and a refused token", f.testRotation)
	t.Run("metrics of the fleet", f.testMetrics)
	t.Run("a quiet fleet writes no status", f.testQuiet)
	t.Run("counts are written at most twice a minute", f.testCounts)
	t.Run("no secret", f.testNoSecret)
}

func startTold(t *testing.T) *toldFleet {
	t.Helper()
	all := cluster.AllForTest(t, cluster.Options{Name: "told-hub", APIServerArgs: audit.Args(t)},
		cluster.Options{Name: "told-aws", Calico: cluster.Native, APIServerArgs: audit.Args(t)})
	f := &toldFleet{fleetOfTest: &fleetOfTest{
		t: t, cfg: all[0], members: map[string]*cluster.Cluster{"aws": all[1]}, clients: map[string]client.Client{},
	}}
	f.hub, f.clients["aws"] = f.client(all[0]), f.client(all[1])
	access.InstallHub(t, all[0])
	f.relay = newRelay(t, all[1].URL())
	f.addMember("aws", "test", map[string][]byte{"kubeconfig": f.credential(t), "notes": []byte(canary)})

	f.metrics = fmt.Sprintf("127.0.0.1:%d", operator.FreePort(t))
	process := operator.Start(t, operator.Build(t), all[0], "--zap-devel", "--zap-log-level=10", "--settle=50ms", "--barrier=5s",
		"--metrics-bind-address="+f.metrics, "--health-probe-bind-address=0")
	f.log = process.Log
	f.create(f.hub, flatNetwork("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Clusters.MaxUnavailable = 1 }))
	return f
}

// credential is a new kubeconfig for member aws, through the relay.
func (f *toldFleet) credential(t *testing.T) []byte {
	t.Helper()
	cfg := access.Member(t, f.members["aws"])
	cfg.Host = f.relay.url()
	// The part of a token that proves something is its signature.
	f.secrets = append(f.secrets, cfg.BearerToken[strings.LastIndex(cfg.BearerToken, ".")+1:])
	return access.Kubeconfig(t, cfg)
}

func (f *toldFleet) addMember(name, env string, data map[string][]byte) {
	f.t.Helper()
	f.create(f.hub,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, Data: data},
		&mcnv1alpha1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"env": env}},
			Spec: mcnv1alpha1.MemberClusterSpec{Access: mcnv1alpha1.Access{Kubeconfig: &mcnv1alpha1.KubeconfigAccess{
				SecretRef: mcnv1alpha1.SecretKeyReference{Name: name, Key: "kubeconfig"}}},
				// Where they are not known, the first pod is news.
				PodNetwork: mcnv1alpha1.PodNetwork{CIDRs: []mcnv1alpha1.CIDR{podCIDR(name)}}},
		})
}

// setSecret replaces the kubeconfig of member aws.
func (f *toldFleet) setSecret(kubeconfig []byte) {
	f.t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: operatorNamespace, Name: "aws"}
	if err := f.hub.Get(f.t.Context(), key, secret); err != nil {
		f.t.Fatal(err)
	}
	secret.Data["kubeconfig"] = kubeconfig
	if err := f.hub.Update(f.t.Context(), secret); err != nil {
		f.t.Fatal(err)
	}
}

// waitReachable waits for a member's condition Reachable.
func (f *toldFleet) waitReachable(t *testing.T, name string, want mcnv1alpha1.Reason, inMessage string) {
	t.Helper()
	eventually(t, "member "+name+" to be "+string(want), func() string {
		var m mcnv1alpha1.MemberCluster
		if err := f.hub.Get(t.Context(), client.ObjectKey{Name: name}, &m); err != nil {
			return err.Error()
		}
		c := apimeta.FindStatusCondition(m.Status.Conditions, mcnv1alpha1.ConditionReachable)
		if c == nil || c.Reason != string(want) || !strings.Contains(c.Message, inMessage) {
			return fmt.Sprintf("%+v", c)
		}
		return ""
	})
}

// testRefusals registers members whose Secrets hold the canary in every field there is.
func (f *toldFleet) testRefusals(t *testing.T) {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	server, ca := f.relay.url(), encode(string(access.Member(t, f.members["aws"]).CAData))
	token := "{token: " + canary + "}"
	build := func(server, ca, user, more string) string {
		return "current-context: c\nclusters: [{name: c, cluster: {server: '" + server + "', certificate-authority-data: " + ca + more +
			"}}]\nusers: [{name: u, user: " + user + "}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
	}
	pem := func(kind string) string {
		return encode("-----BEGIN " + kind + "-----\n" + encode(canary) + "\n-----END " + kind + "-----\n" + canary)
	}
	const refused, invalid, failed = mcnv1alpha1.ReasonKubeconfigRefused, mcnv1alpha1.ReasonKubeconfigInvalid, mcnv1alpha1.ReasonConnectionFailed
	cases := map[string]struct {
		kubeconfig string
		want       mcnv1alpha1.Reason
	}{
		"exec":          {build(server, ca, "{exec: {command: "+canary+", args: ["+canary+"], env: [{name: A, value: "+canary+"}], apiVersion: v1}}", ""), refused},
		"auth-provider": {build(server, ca, "{auth-provider: {name: x, config: {id-token: "+canary+"}}}", ""), refused},
		"password":      {build(server, ca, "{username: "+canary+", password: "+canary+"}", ""), refused},
		"as":            {build(server, ca, "{token: "+canary+", as: "+canary+"}", ""), refused},
		"token-file":    {build(server, ca, "{tokenFile: /"+canary+"}", ""), refused},
		"unknown-field": {build(server, ca, "{token: "+canary+", "+canary+": x}", ""), refused},
		"user-info":     {build("https://me:"+canary+"@127.0.0.1:1", ca, token, ""), refused},
		"query":         {build(server+"?token="+canary, ca, token, ""), invalid},
		"proxy":         {build(server, ca, token, ", proxy-url: 'http://me:"+canary+"@127.0.0.1:1'"), refused},
		"ca-garbage":    {build(server, pem("CERTIFICATE"), token, ""), invalid},
		"key-garbage": {build(server, ca, "{client-certificate-data: "+ca+
			", client-key-data: "+pem("EC PRIVATE KEY")+"}", ""), invalid},
		"context":  {strings.Replace(build(server, ca, token, ""), "current-context: c", "current-context: "+canary, 1), invalid},
		"not-yaml": {"{" + canary, invalid},
		"no-such":  {"", mcnv1alpha1.ReasonSecretNotFound},
		"wrong-ca": {build(server, encode(string(access.Operator(t, f.cfg).CAData)), token, ""), failed},
		"dead":     {build("https://127.0.0.1:1", ca, token, ""), failed},
		"token":    {build(server, ca, token, ""), failed},
	}
	for name, tc := range cases {
		data := map[string][]byte{"kubeconfig": []byte(tc.kubeconfig), "other": []byte(canary)}
		if tc.kubeconfig == "" {
			delete(data, "kubeconfig")
		}
		env := "other"
		if name == "dead" {
			env = "test"
		}
		f.addMember(name, env, data)
	}
	for name, tc := range cases {
		f.waitReachable(t, name, tc.want, "")
	}
	f.waitReachable(t, "aws", mcnv1alpha1.ReasonConnected, "")
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	f.refused = f.versions(t)
}

// occurrences counts what was told of an object: an event that is told again within minutes is not another object, but a series.
func (f *toldFleet) occurrences(t *testing.T, kind, name string) map[string]int {
	t.Helper()
	var list eventsv1.EventList
	if err := f.hub.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range list.Items {
		if e.Regarding.Kind != kind || e.Regarding.Name != name {
			continue
		}
		count := 1
		if e.Series != nil {
			count = int(e.Series.Count)
		}
		out[e.Type+" "+e.Reason] += count
	}
	return out
}

func (f *toldFleet) testFlap(t *testing.T) {
	wantEvents := func(want string) {
		t.Helper()
		eventually(t, "events "+want, func() string {
			if got := fmt.Sprint(f.occurrences(t, "MemberCluster", "aws")); got != want {
				return got
			}
			return ""
		})
	}
	wantEvents("map[Normal Connected:1]")
	f.relay.setCut(true)
	f.waitReachable(t, "aws", mcnv1alpha1.ReasonConnectionFailed, "")
	f.relay.setCut(false)
	f.waitReachable(t, "aws", mcnv1alpha1.ReasonConnected, "")
	wantEvents("map[Normal Connected:2 Warning ConnectionFailed:1]")
	if got := f.occurrences(t, "MemberCluster", "exec"); got["Warning KubeconfigRefused"] != 1 {
		t.Errorf("of a kubeconfig that is refused it says %v, want one warning", got)
	}
	if got := f.occurrences(t, "MultiCloudNetwork", "net"); got["Normal Ready"] == 0 {
		t.Errorf("of the network it says %v, want Ready", got)
	}
}

// testRotation gives member aws a token that its API server refuses, which leaves the former one in use, and then one that it takes.
func (f *toldFleet) testRotation(t *testing.T) {
	refused := strings.Replace(string(f.credential(t)), "token: ", "token: "+canary, 1)
	f.setSecret([]byte(refused))
	f.waitReachable(t, "aws", mcnv1alpha1.ReasonConnected, "401")
	f.setSecret(f.credential(t))
	eventually(t, "the refused token to be forgotten", func() string {
		var m mcnv1alpha1.MemberCluster
		if err := f.hub.Get(t.Context(), client.ObjectKey{Name: "aws"}, &m); err != nil {
			return err.Error()
		}
		if c := apimeta.FindStatusCondition(m.Status.Conditions, mcnv1alpha1.ConditionReachable); strings.Contains(c.Message, "401") {
			return c.Message
		}
		return ""
	})
}
