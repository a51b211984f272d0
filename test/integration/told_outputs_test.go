package integration

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// scrape reads the metrics as Prometheus does.
func (f *toldFleet) scrape(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.metrics+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %s (%v)", response.Status, err)
	}
	return string(text)
}

// value sums the series whose name and labels begin so.
func value(t *testing.T, metrics, series string) (sum float64) {
	t.Helper()
	for _, match := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(series)+`[^ ]* (\S+)$`).FindAllStringSubmatch(metrics, -1) {
		v, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

func (f *toldFleet) testMetrics(t *testing.T) {
	f.change("net", func(s *mcnv1alpha1.MultiCloudNetworkSpec) { s.Boundary = mcnv1alpha1.BoundaryOpen })
	f.waitCondition("net", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	text := f.scrape(t)
	for series, want := range map[string]float64{
		`multicloud_network_member_connected{cluster="aws"}`:                                                       1,
		`multicloud_network_member_connected{cluster="dead"}`:                                                      0,
		`multicloud_network_members{state="ready"}`:                                                                1,
		`multicloud_network_clusters{network="net",state="selected"}`:                                              2,
		`multicloud_network_status_condition{kind="MemberCluster",name="exec",status="true",type="Stalled"}`:       1,
		`multicloud_network_status_condition{kind="MultiCloudNetwork",name="net",status="true",type="Programmed"}`: 0,
		`multicloud_network_writes_total{cluster="aws",kind="Tier",outcome="Created"}`:                             1,
		`multicloud_network_drift_corrected_total`:                                                                 0,
		`multicloud_network_build_info`:                                                                            1,
	} {
		if got := value(t, text, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if strings.Contains(text, `multicloud_network_member_view_age_seconds{cluster="dead"}`) {
		t.Error("the view of a member that was never seen has an age")
	}
	if value(t, text, `multicloud_network_intent_applied_duration_seconds_count`) == 0 {
		t.Error("no time from intent to applied was measured")
	}
	f.delete(&mcnv1alpha1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "not-yaml"}})
	eventually(t, "the series of a member that was removed to end", func() string {
		for line := range strings.SplitSeq(f.scrape(t), "\n") {
			if strings.Contains(line, `"not-yaml"`) {
				return line
			}
		}
		return ""
	})
}

// versions are the resource versions of all objects of both kinds, and since when members are stale.
func (f *toldFleet) versions(t *testing.T) map[string]string {
	t.Helper()
	var networks mcnv1alpha1.MultiCloudNetworkList
	var members mcnv1alpha1.MemberClusterList
	for _, list := range []client.ObjectList{&networks, &members} {
		if err := f.hub.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]string{}
	for i := range networks.Items {
		out["network "+networks.Items[i].Name] = networks.Items[i].ResourceVersion
	}
	for i := range members.Items {
		out["member "+members.Items[i].Name] = members.Items[i].ResourceVersion + " " + fmt.Sprint(members.Items[i].Status.StaleSince)
	}
	return out
}

// passes is how often the networks were reconciled.
func (f *toldFleet) passes(t *testing.T) float64 {
	t.Helper()
	return value(t, f.scrape(t), `controller_runtime_reconcile_total{controller="multicloudnetwork"`)
}

// testQuiet makes pods come and go that no network picks, and members fail again and again in the same way.
func (f *toldFleet) testQuiet(t *testing.T) {
	before := f.versions(t)
	first := f.passes(t)
	for i := 0; f.passes(t) < first+8; i++ {
		if i > 100 {
			t.Fatalf("only %v passes after %d pods", f.passes(t)-first, i)
		}
		at := f.passes(t)
		f.pod("aws", "elsewhere", fmt.Sprintf("p%d", i), nil, fmt.Sprintf("10.97.7.%d", i+1))
		eventually(t, "another pass", func() string {
			if f.passes(t) > at {
				return ""
			}
			return "none yet"
		})
	}
	now := f.versions(t)
	for name, version := range now {
		if before[name] != version {
			t.Errorf("%s was written: from %s to %s", name, before[name], version)
			if member, ok := strings.CutPrefix(name, "member "); ok {
				t.Logf("it says now %+v", f.member(member).Status)
			}
		}
	}
	for _, name := range []string{"member dead", "member exec"} {
		if now[name] != f.refused[name] {
			t.Errorf("%s was written while it failed in the same way: from %s to %s", name, f.refused[name], now[name])
		}
	}
}

// testCounts makes the number of the network's pods change again and again.
func (f *toldFleet) testCounts(t *testing.T) {
	const pods = 4
	seen := map[string]bool{}
	for i := range pods {
		at := f.passes(t)
		f.pod("aws", "pay", fmt.Sprintf("p%d", i), nil, fmt.Sprintf("10.97.8.%d", i+1))
		eventually(t, "another pass", func() string {
			seen[f.network("net").ResourceVersion] = true
			if f.passes(t) > at {
				return ""
			}
			return "none yet"
		})
	}
	eventually(t, "all pods to be counted", func() string {
		n := f.network("net")
		seen[n.ResourceVersion] = true
		if n.Status.Summary.Pods != pods {
			return fmt.Sprintf("%+v", n.Status.Summary)
		}
		return ""
	})
	// One is from before, one tells of the first pods, one of all.
	if len(seen) > 3+1 {
		t.Errorf("%d pods made %d statuses", pods, len(seen))
	}
}

// leaks are the secrets that a text holds, in clear or in base64.
func (f *toldFleet) leaks(text string) []string {
	var out []string
	for _, secret := range append([]string{canary}, f.secrets...) {
		forms := []string{secret}
		for shift := range 3 {
			// In base64 a text looks different by where it begins; what is next to it changes its ends.
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			forms = append(forms, encoded[4:len(encoded)-4])
		}
		for _, form := range forms {
			if strings.Contains(text, form) {
				out = append(out, form)
			}
		}
	}
	return out
}

func (f *toldFleet) testNoSecret(t *testing.T) {
	raw := func(args ...string) string {
		t.Helper()
		out, err := f.cfg.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if len(f.leaks(raw("get", "secrets", "-n", operatorNamespace, "-o", "json"))) == 0 {
		t.Fatal("the search does not find what is in the Secrets themselves")
	}
	told := map[string]string{
		"events":            raw("get", "events.v1.events.k8s.io", "-A", "-o", "json"),
		"core events":       raw("get", "events", "-A", "-o", "json"),
		"networks":          raw("get", "mcn", "-o", "json", "--show-managed-fields"),
		"members":           raw("get", "mcm", "-o", "json", "--show-managed-fields"),
		"described members": raw("describe", "mcm"),
		"leases":            raw("get", "leases", "-A", "-o", "json"),
		"metrics":           f.scrape(t),
		"objects on aws":    strings.Join(f.ours("aws"), "\n"),
	}
	for name, path := range map[string]string{
		"log": f.log, "audit log of the hub": filepath.Join(f.cfg.Dir, "audit.log"), "audit log of aws": filepath.Join(f.members["aws"].Dir, "audit.log"),
	} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		told[name] = string(content)
	}
	for where, text := range told {
		if len(text) < 100 {
			t.Errorf("%s: there is next to nothing to search: %q", where, text)
		}
		for _, leak := range f.leaks(text) {
			at := strings.Index(text, leak)
			t.Errorf("%s: a secret stands behind %q", where, text[max(0, at-200):at])
		}
	}
	if log := told["log"]; !strings.Contains(log, `"cluster": "aws"`) || strings.Contains(log, `"MemberCluster": `) {
		t.Error("the log names a member by another key than cluster")
	}
	if !strings.Contains(told["audit log of aws"], `"userAgent":"multicloud-network-operator"`) {
		t.Error("the audit log of aws does not name the operator")
	}
}
